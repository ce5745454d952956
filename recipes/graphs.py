"""Write the networks that come with apiece as graphs, so that they compute without torch.

python -m recipes.graphs

It writes ``graph.onnx`` and ``graph.json`` beside the default model's tensors, and ``features.onnx`` and ``head.onnx``
beside the weights for clicks. A graph holds a network without its tensors, which stay in the file of safetensors and
are put into the graph when it is loaded. So none of them may be changed on the way: batch norms stay, and constants of
more than a few numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxscript import rewriter
from onnxscript.optimizer import optimize_ir
from onnxscript.rewriter.rules.common import _fuse_batchnorm
from safetensors.torch import load_file
from torch import Tensor, nn

from apiece import _strict_json as typed_json
from apiece.models import ClickHead, Graph, LoadedModel, click_features, load_model, model_folder
from apiece.prompts.click.networks import LEVELS, SIDE
from apiece.prompts.click.weights import SHIPPED

_FEW = 64  # numbers of a constant that may be computed with beforehand
_MOST = 2048  # images, and steps of the network along a side


class Features(nn.Module):
    """What the head for clicks looks at, with the tensors of the default model by their names."""

    def __init__(self, swift: nn.Module) -> None:
        super().__init__()
        self.encoder, self.neck = swift.encoder, swift.neck

    def forward(self, images: Tensor) -> list[Tensor]:
        return click_features(self, images)


class Head(ClickHead):
    """The head with an input for each level."""

    def forward(self, *inputs: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs[:-1], inputs[-1])


def graph_of(
    module: nn.Module, inputs: Sequence[Tensor], taken: Sequence[str], given: Sequence[str], shapes: Any = None
) -> bytes:
    """Return the graph of a network without its tensors."""
    program = torch.onnx.export(
        module.eval(), tuple(inputs), dynamo=True, optimize=False, dynamic_shapes=shapes, input_names=list(taken),
        output_names=list(given), verbose=False, external_data=False,
    )  # fmt: skip
    assert program is not None
    rules = rewriter._DEFAULT_REWRITE_RULES
    rewriter._DEFAULT_REWRITE_RULES = tuple(rule for rule in rules if rule not in _fuse_batchnorm.rules)
    optimize_ir(program.model, input_size_limit=_FEW)
    rewriter._DEFAULT_REWRITE_RULES = rules
    return _without_tensors(program.model_proto, set(module.state_dict()))


def _without_tensors(whole: onnx.ModelProto, names: set[str]) -> bytes:
    own = [constant for constant in whole.graph.initializer if constant.name not in names]
    del whole.graph.initializer[:]
    whole.graph.initializer.extend(own)
    for node in whole.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del whole.graph.value_info[:], whole.graph.metadata_props[:], whole.metadata_props[:]
    return whole.SerializeToString(deterministic=True)


def write_default(folder: Path, model: LoadedModel) -> None:
    """Write the default model's graph, for any size and number of images, and what belongs to it."""
    step = model.stride
    example = torch.rand(2, model.input.channels, step * 6, step * 10)
    with torch.inference_mode():
        outputs = tuple(model.module(example))
    free = {name: torch.export.Dim(name, min=1, max=_MOST) for name in ("batch", "height", "width")}
    shapes = ({0: free["batch"], 2: step * free["height"], 3: step * free["width"]},)
    (folder / "graph.onnx").write_bytes(graph_of(model.module, [example], ["images"], outputs, shapes))
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in ("graph.onnx", "model.safetensors")}
    content = typed_json.dataclass_to(Graph("onnx", outputs, step)) | {"files": digests}
    (folder / "graph.json").write_text(typed_json.dump(content), encoding="utf-8")


def write_clicks(folder: Path, swift: nn.Module) -> None:
    """Write the graphs for clicks, each for one look and one object."""
    image, maps = torch.rand(1, 3, SIDE, SIDE), torch.rand(1, 6, SIDE // 2, SIDE // 2)
    with torch.inference_mode():
        levels = Features(swift)(image)
    (folder / "features.onnx").write_bytes(graph_of(Features(swift), [image], ["images"], LEVELS))
    head = Head()  # with its weights: tensors that are equal become one
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(SHIPPED).items()})
    (folder / "head.onnx").write_bytes(graph_of(head, [*levels, maps], [*LEVELS, "maps"], ["logits"]))


def main() -> None:
    default = load_model("default")
    write_default(model_folder("default"), default)
    write_clicks(SHIPPED.parent, default.module)


if __name__ == "__main__":
    main()
