#!/usr/bin/env bash
# onnxruntime 1.32.0: a linear `Resize` of a uint8 image inside the model, as exported preprocessing does it.
#
# Guess: interpolated values are rounded to the nearest integer, as the reference of ONNX, OpenCV and Pillow do.
# Happens: they are cut off. The image gets darker by half a grey level on average, and a 0/1 mask shrinks.
# Seen: noise, twice the size: mean 0.47 below that of the float result. A mask of 0 and 1, 10 x 10 pixels to 20 x 20: 324
#   pixels are left of 400 with Resize, 400 in the reference evaluator of onnx 1.23.2.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def doubled(image):
    dtype = helper.np_dtype_to_tensor_dtype(image.dtype)
    graph = helper.make_graph(
        [helper.make_node("Resize", ["image", "", "scales"], ["out"], mode="linear")],
        "resize",
        [helper.make_tensor_value_info("image", dtype, image.shape)],
        [helper.make_tensor_value_info("out", dtype, None)],
        [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0], ReferenceEvaluator(model).run(None, {"image": image})[0]


noise = np.random.default_rng(0).integers(0, 256, (1, 1, 60, 80), dtype=np.uint8)
cut, rounded = doubled(noise)
exact = doubled(noise.astype(np.float32))[0]
print(f"below the float result: {(exact - cut).mean():.3f}, in the reference: {(exact - rounded).mean():.3f}")
mask = np.zeros((1, 1, 20, 20), np.uint8)
mask[..., 5:15, 5:15] = 1
print("mask:", int(doubled(mask)[0].sum()), "of 400 pixels, in the reference:", int(doubled(mask)[1].sum()))
assert (cut == np.floor(exact)).mean() > 0.99 and (exact - cut).mean() > 0.4
assert abs((exact - rounded).mean()) < 0.05
assert doubled(mask)[0].sum() == 324
EOF
