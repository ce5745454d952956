"""OpenCV: computes graphs of ONNX on the CPU with what a base install brings; at about half of ONNX Runtime's speed."""

from __future__ import annotations

from collections.abc import Mapping

import cv2

from apiece._arrays import Array
from apiece.models import ExportedModel, OpenCvGraph
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried


class _OpenCv(GraphRuntime):
    name = "opencv"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        try:
            self._graphs = {name.removesuffix(".onnx"): OpenCvGraph(data) for name, data in model.files.items()}
        except cv2.error as error:
            raise unopened(model, error) from error
        super().__init__(model, {part: graph.outputs for part, graph in self._graphs.items()})

    def compute(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        # the net's own memory, which the next image overwrites while masks are made of this one
        return {name: values.copy() for name, values in self._graphs[part](inputs).items()}


def open_runtime(model: ExportedModel, device: str) -> _OpenCv:
    """Return what computes an exported graph; it has one device."""
    return _OpenCv(model, tried(device, ["cpu"], "opencv"))
