#!/usr/bin/env bash
# onnxscript 0.7.2: `onnxscript.optimizer.optimize`, which torch.onnx.export runs on what it exports.
#
# Guess: weights keep their names, so that a graph exported once takes other weights of the same network by name.
# Happens: initializers with equal values become one, under the name of the first. Fresh batch norms and biases are all
#   ones and zeros, so a graph exported before training has one tensor where the network has many; tensors of a trained
#   network that are put in by name leave most layers with the first one's values.
# Seen: of "a.bias" and "b.bias", both zeros, "b.bias" is gone, and the second layer reads "a.bias".
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxscript.optimizer
from onnx import TensorProto, helper, numpy_helper

values = {"a.weight": np.eye(3), "a.bias": np.zeros(3), "b.weight": 2 * np.eye(3), "b.bias": np.zeros(3)}
nodes = []
for layer, source in (("a", "x"), ("b", "a.out")):
    nodes.append(helper.make_node("MatMul", [source, f"{layer}.weight"], [f"{layer}.product"]))
    nodes.append(helper.make_node("Add", [f"{layer}.product", f"{layer}.bias"], [f"{layer}.out"]))
graph = helper.make_graph(
    nodes,
    "two layers",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
    [helper.make_tensor_value_info("b.out", TensorProto.FLOAT, ["n", 3])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model)
after = onnxscript.optimizer.optimize(model)
names = [tensor.name for tensor in after.graph.initializer]
reads = {node.output[0]: list(node.input) for node in after.graph.node if node.op_type == "Add"}
print("initializers before:", list(values), "after:", names)
print("the sum of layer b reads", reads["b.out"])
assert "b.bias" not in names and "a.bias" in names
assert "a.bias" in reads["b.out"]
EOF
