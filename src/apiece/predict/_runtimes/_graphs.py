"""What runtimes of exported graphs have in common: padding, and outputs by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apiece._arrays import Array, Float32
from apiece.core.instances import Instances
from apiece.errors import DataError, ModelFileError
from apiece.models import ExportedModel, Frame
from apiece.models.contract import DecodeOptions
from apiece.predict.runtime import MAIN, pad_to


class GraphRuntime(ABC):
    """Compute an exported network: its graph ``model``, and where it is made of several, the others between steps."""

    name: str
    device: str

    def __init__(self, model: ExportedModel, given: Mapping[str, Sequence[str]]) -> None:
        """``given`` are the outputs of each graph."""
        self._model, self.precision = model, model.graph.precision
        self._outputs = {MAIN: model.graph.outputs, **model.graph.parts}
        for part, wanted in self._outputs.items():
            if missing := sorted(set(wanted) - set(given[part])):
                raise ModelFileError(model.name, f"its graph gives no {', '.join(missing)}; export it again")

    @abstractmethod
    def compute(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of a graph by name."""

    def run(self, images: Float32, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Return raw outputs of images (B, C, H, W), of which each fills a (height, width)."""
        graph = self._model.graph
        if graph.size is not None and (images.shape[2] > graph.size[0] or images.shape[3] > graph.size[1]):
            raise DataError(
                f"an image of {images.shape[2]} x {images.shape[3]} pixels is too large for this model, which was "
                f"exported for {graph.size[0]} x {graph.size[1]}; export it again with a larger imgsz"
            )
        padded = pad_to(images, graph.size)
        if self._model.stages is None:
            return self._part(MAIN, images=padded)
        return self._model.stages(self._part, padded, sizes, self._model.config, len(self._model.classes))

    def _part(self, part: str, **inputs: Array) -> dict[str, Array]:
        """Return the outputs of a graph by name, and no others."""
        given = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        if part == MAIN and self._model.graph.alone and len(given["images"]) > 1:
            each = [self.compute(part, {"images": image[None]}) for image in given["images"]]
            return {name: np.concatenate([one[name] for one in each]) for name in self._outputs[part]}
        found = self.compute(part, given)
        return {name: found[name] for name in self._outputs[part]}

    def decode(
        self, outputs: Any, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        """Return the instances of each image."""
        return self._model.decode(outputs, frames, classes, options)


def unopened(model: ExportedModel, error: Exception) -> ModelFileError:
    """Return the error of a graph that its runtime does not open."""
    reason = " ".join(str(error).split())[-240:]  # it begins with names of C++
    return ModelFileError(model.name, f"its graph cannot be opened by {model.graph.runtime}: {reason}")
