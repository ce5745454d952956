#!/usr/bin/env bash
# OpenVINO 2026.4.1 on the CPU: ONNX models that carry instance ids as integers.
#
# Guess: int32 and int64 tensors are computed as integers, as onnxruntime 1.32.0 does it.
# Happens: several int32 operators compute in float32, so ids that differ above 2^24 become one object, and int64 is cut
#   to 32 bits. No error and no warning, and `INFERENCE_PRECISION_HINT=f32` changes nothing.
# Seen: id 16777217 == 16777216 is True, a nearest resize turns 16777217 into 16777216, and 2^31 + 5 added to itself
#   is 10. onnxruntime gives False, 16777217 and 4294967306.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper


def both(node, ids, out_dtype, **constants):
    """Run one operator in OpenVINO and in onnxruntime."""
    dtype = helper.np_dtype_to_tensor_dtype(ids.dtype)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("ids", dtype, ids.shape)],
        [helper.make_tensor_value_info("out", out_dtype, None)],
        [helper.make_tensor(name, *value) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    peer = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return compiled([ids])[0].ravel().tolist(), peer.run(None, {"ids": ids})[0].ravel().tolist()


ids = np.array([[[[2**24, 2**24 + 1]]]], np.int32)
equal = helper.make_node("Equal", ["ids", "wanted"], ["out"])
same = both(equal, ids, TensorProto.BOOL, wanted=(TensorProto.INT32, [1], [2**24]))
resize = helper.make_node("Resize", ["ids", "", "", "size"], ["out"], mode="nearest")
resized = both(resize, ids, TensorProto.INT32, size=(TensorProto.INT64, [4], [1, 1, 1, 4]))
add = helper.make_node("Add", ["ids", "ids"], ["out"])
added = both(add, np.array([2**31 + 5]), TensorProto.INT64)
for name, (ours, peer) in {"Equal": same, "Resize": resized, "Add": added}.items():
    print(f"{name}: OpenVINO {ours}, onnxruntime {peer}")
assert same == ([True, True], [True, False])
assert resized == ([2**24] * 4, [2**24, 2**24, 2**24 + 1, 2**24 + 1])
assert added == ([10], [2**32 + 10])
EOF
