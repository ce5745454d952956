#!/usr/bin/env bash
# onnx 1.23.2: `version_converter.convert_version` on a model of opset 9 with a linear `Upsample`, as old mask heads have.
#
# Guess: the converted model computes the same.
# Happens: `Upsample` becomes `Resize` without a coordinate mode. From opset 11 on the default is "half_pixel", where
#   `Upsample` meant "asymmetric": the mask is shifted by half a pixel of the input. The checker is content.
# Seen: twice the size: the same up to opset 10, shifted in opset 11, 13 and 18 (onnxruntime 1.32.0 computes all of them).
#   With coordinate_transformation_mode="asymmetric" put in by hand it is the same again.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

logits = np.zeros((1, 1, 4, 6), np.float32)
logits[..., 3:] = 10
node = helper.make_node("Upsample", ["logits", "scales"], ["mask"], mode="linear")
graph = helper.make_graph(
    [node],
    "head",
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, 4, 6])],
    [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 8, 12])],
    [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])],
)
old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)


def row(model):
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"logits": logits})[0][0, 0, 3].tolist()


print("opset 9: ", row(old))
for opset in (10, 11, 13, 18):
    new = version_converter.convert_version(old, opset)
    print(f"opset {opset}:", row(new))
    assert (row(new) == row(old)) == (opset == 10)
    if opset > 10:
        (resize,) = (made for made in new.graph.node if made.op_type == "Resize")
        assert not any(attribute.name.startswith("coordinate") for attribute in resize.attribute)
        resize.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
        assert row(new) == row(old)
EOF
