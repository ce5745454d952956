"""Write the graph of a model folder beside its tensors, so that it computes without torch.

python recipes/default_weights/graph.py FOLDER

``graph.onnx`` holds the network without the tensors of ``model.safetensors``, which `apiece.models` puts into it when
it is loaded. So none of them may be changed on the way: batch norms stay, constants of more than a few numbers too.
``graph.json`` describes the graph and says which two files belong together.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import onnx
import torch
from onnxscript import rewriter
from onnxscript.optimizer import optimize_ir
from onnxscript.rewriter.rules.common import _fuse_batchnorm

from apiece import _strict_json as typed_json
from apiece.models import Graph, load_model

_FEW = 64  # numbers of a constant that may be computed with beforehand
_SIDE = 2048  # steps of the network along a side, at most


def graph_of(folder: Path) -> tuple[bytes, Graph]:
    """Return the graph of a model folder without its tensors, for any size and number of images."""
    model = load_model(folder)
    step = model.stride
    example = torch.rand(2, model.input.channels, step * 6, step * 10)
    with torch.inference_mode():
        outputs = tuple(model.module(example))
    free = {name: torch.export.Dim(name, min=1, max=_SIDE) for name in ("batch", "height", "width")}
    shapes = {0: free["batch"], 2: step * free["height"], 3: step * free["width"]}
    program = torch.onnx.export(
        model.module, (example,), dynamo=True, optimize=False, dynamic_shapes=(shapes,), input_names=["images"],
        output_names=list(outputs), verbose=False, external_data=False,
    )  # fmt: skip
    assert program is not None
    rules = rewriter._DEFAULT_REWRITE_RULES
    rewriter._DEFAULT_REWRITE_RULES = tuple(rule for rule in rules if rule not in _fuse_batchnorm.rules)
    optimize_ir(program.model, input_size_limit=_FEW)
    rewriter._DEFAULT_REWRITE_RULES = rules
    return _without_tensors(program.model_proto, set(model.module.state_dict())), Graph("onnx", outputs, step)


def _without_tensors(whole: onnx.ModelProto, names: set[str]) -> bytes:
    own = [constant for constant in whole.graph.initializer if constant.name not in names]
    del whole.graph.initializer[:]
    whole.graph.initializer.extend(own)
    for node in whole.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del whole.graph.value_info[:], whole.graph.metadata_props[:], whole.metadata_props[:]
    return whole.SerializeToString(deterministic=True)


def main() -> None:
    folder = Path(sys.argv[1])
    data, graph = graph_of(folder)
    (folder / "graph.onnx").write_bytes(data)
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in ("graph.onnx", "model.safetensors")}
    content = typed_json.dataclass_to(graph) | {"files": digests}
    (folder / "graph.json").write_text(typed_json.dump(content), encoding="utf-8")
    print(f"{folder / 'graph.onnx'} has {len(data):,} bytes")


if __name__ == "__main__":
    main()
