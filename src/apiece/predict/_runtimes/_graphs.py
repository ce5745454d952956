"""What runtimes of exported graphs have in common: padding, and outputs by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from apiece._arrays import Array, Float32
from apiece.core.instances import Instances
from apiece.errors import DataError, ModelFileError
from apiece.models import ExportedModel, Frame
from apiece.models.contract import DecodeOptions
from apiece.predict.runtime import pad_to


class GraphRuntime(ABC):
    """Compute an exported graph."""

    name: str
    device: str

    def __init__(self, model: ExportedModel, given: Sequence[str]) -> None:
        self._model, self.precision = model, model.graph.precision
        if missing := sorted(set(model.graph.outputs) - set(given)):
            raise ModelFileError(model.name, f"its graph gives no {', '.join(missing)}; export it again")

    @abstractmethod
    def compute(self, images: Float32) -> list[Array]:
        """Return the outputs that the model names."""

    def run(self, images: Float32, sizes: Sequence[tuple[int, int]]) -> dict[str, Array]:
        """Return raw outputs of images (B, C, H, W), of which each fills a (height, width)."""
        graph = self._model.graph
        if graph.size is not None and (images.shape[2] > graph.size[0] or images.shape[3] > graph.size[1]):
            raise DataError(
                f"an image of {images.shape[2]} x {images.shape[3]} pixels is too large for this model, which was "
                f"exported for {graph.size[0]} x {graph.size[1]}; export it again with a larger imgsz"
            )
        padded = pad_to(images, graph.size)
        if not graph.alone or len(images) == 1:
            found = self.compute(padded)
        else:
            each = [self.compute(padded[i : i + 1]) for i in range(len(padded))]
            found = [np.concatenate(parts) for parts in zip(*each, strict=True)]
        return dict(zip(graph.outputs, found, strict=True))

    def decode(
        self, outputs: Any, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        """Return the instances of each image."""
        return self._model.decode(outputs, frames, classes, options)


def unopened(model: ExportedModel, error: Exception) -> ModelFileError:
    """Return the error of a graph that its runtime does not open."""
    reason = " ".join(str(error).split())[-240:]  # it begins with names of C++
    return ModelFileError(model.name, f"its graph cannot be opened by {model.graph.runtime}: {reason}")
