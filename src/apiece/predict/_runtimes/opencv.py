"""OpenCV: computes graphs of ONNX on the CPU with what a base install brings; at about half of ONNX Runtime's speed."""

from __future__ import annotations

import cv2

from apiece._arrays import Array, Float32
from apiece.models import ExportedModel, OpenCvGraph
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried


class _OpenCv(GraphRuntime):
    name = "opencv"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        (data,) = model.files.values()
        try:
            self._graph = OpenCvGraph(data)
        except cv2.error as error:
            raise unopened(model, error) from error
        super().__init__(model, self._graph.outputs)

    def compute(self, images: Float32) -> list[Array]:
        found = self._graph({"images": images})
        return [found[name] for name in self._model.graph.outputs]


def open_runtime(model: ExportedModel, device: str) -> _OpenCv:
    """Return what computes an exported graph; it has one device."""
    return _OpenCv(model, tried(device, ["cpu"], "opencv"))
