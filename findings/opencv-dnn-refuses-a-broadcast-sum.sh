#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: the new engine of `cv2.dnn` (ENGINE_NEW, the default) on a valid graph of ONNX.
#
# Guess: a sum of a map and a convolution of its mean, (1, C, 1, 1), is broadcast as ONNX says, as in heads with global context.
# Happens: the engine fuses the sum into the small convolution, with the map as its residual, and then refuses it, in `forward`
#   and not when it is read. An `Expand` to the map's shape before the sum helps: then it is computed.
# Seen: ONNX Runtime 1.32.0 computes both graphs alike; OpenCV raises "residual added after convolution must have the same shape"
#   for the first graph and computes the second.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'EOF'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WEIGHT = np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype(np.float32)
IMAGE = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)


def graph(expanded):
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["here"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["here", "axes"], ["middle"], keepdims=1),
        helper.make_node("Conv", ["middle", "point"], ["mean"]),
    ]
    if expanded:
        nodes += [helper.make_node("Shape", ["here"], ["shape"]), helper.make_node("Expand", ["mean", "shape"], ["wide"])]
    nodes.append(helper.make_node("Add", ["here", "wide" if expanded else "mean"], ["sum"]))
    made = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 4, 8, 8])],
        [
            numpy_helper.from_array(WEIGHT, "weight"),
            numpy_helper.from_array(np.ascontiguousarray(WEIGHT[:, :, :1, :1]), "point"),
            numpy_helper.from_array(np.array([2, 3]), "axes"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def by_opencv(data):
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    net.setInput(IMAGE)
    return net.forward()


def by_onnxruntime(data):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"images": IMAGE})[0]


wanted = by_onnxruntime(graph(False))
assert np.allclose(wanted, by_onnxruntime(graph(True)))
try:
    by_opencv(graph(False))
except cv2.error as error:
    print("the sum with (1, C, 1, 1):", str(error).split("error:")[1].strip()[:110])
    assert "residual added after convolution must have the same shape" in str(error)
else:
    raise SystemExit("OpenCV computes the sum now")
apart = np.abs(by_opencv(graph(True)) - wanted).max()
print("the sum after Expand: largest difference to ONNX Runtime", apart)
assert apart < 1e-4
EOF
