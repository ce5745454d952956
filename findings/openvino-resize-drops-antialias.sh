#!/usr/bin/env bash
# OpenVINO 2026.4.1, beside ONNX Runtime 1.32.0 (onnx 1.23.2): `Resize` with mode="cubic" and antialias=1 (opset 18), as
# torch exports `interpolate(..., mode="bicubic", antialias=True)`: resized images, and learned positions of
# transformers.
#
# Guess: what a runtime cannot compute, it refuses.
# Happens: OpenVINO reads the graph and computes it without antialiasing. Nothing warns. A model that resizes its
#   learned positions so answers alike at the size that it was trained for, and otherwise at every smaller one.
# Seen: noise of 32 x 32 halved: OpenVINO's result of antialias=1 is that of antialias=0 to 1e-6; ONNX Runtime's differs
#   from it by more than 0.3 of values from 0 to 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper


def halved(antialias):
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="cubic", antialias=antialias)
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, k, k]) for n, k in (("x", 32), ("y", 16))]
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 0.5, 0.5])
    graph = helper.make_graph([node], "g", sides[:1], sides[1:], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(openvino.Core().read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, {"x": noise})[0], compiled([noise])[0]


noise = np.random.default_rng(0).random((1, 1, 32, 32), np.float32)
(runtime, vino), (plain_runtime, plain_vino) = halved(1), halved(0)
apart = [float(abs(a - b).max()) for a, b in ((vino, runtime), (vino, plain_vino), (plain_vino, plain_runtime))]
print("antialias=1, OpenVINO against ONNX Runtime:", apart[0])
print("OpenVINO, antialias=1 against 0:", apart[1], " antialias=0, both:", apart[2])
assert apart[0] > 0.3 and apart[1] < 1e-6 and apart[2] < 1e-5
EOF
