"""OpenCV: computes graphs of ONNX on the CPU with what a base install brings; at about half of ONNX Runtime's speed."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Array, Float32
from apiece.errors import ModelFileError
from apiece.models import ExportedModel
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import threads, tried


class _OpenCv(GraphRuntime):
    name = "opencv"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        engine = getattr(cv2.dnn, "ENGINE_NEW", None)
        if engine is None or int(cv2.__version__.split(".")[0]) < 5:
            raise ModelFileError(
                model.name,
                f"its graph needs OpenCV 5, here is {cv2.__version__}; pip install 'opencv-python-headless>=5'",
            )
        (data,) = model.files.values()
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8), engine)
        except cv2.error as error:
            raise unopened(model, error) from error
        super().__init__(model, self._net.getUnconnectedOutLayersNames())

    def compute(self, images: Float32) -> list[Array]:
        before = cv2.getNumThreads()
        cv2.setNumThreads(threads())
        try:
            self._net.setInput(images)
            return list(self._net.forward(list(self._model.graph.outputs)))
        finally:
            cv2.setNumThreads(before)


def open_runtime(model: ExportedModel, device: str) -> _OpenCv:
    """Return what computes an exported graph; it has one device."""
    return _OpenCv(model, tried(device, ["cpu"], "opencv"))
