"""A graph of ONNX at work on the CPU: computed by ONNX Runtime where it is installed, else by OpenCV, always there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol

import cv2
import numpy as np

from apiece._arrays import Array, Float32
from apiece._limits import cores
from apiece.errors import ConfigError

__all__ = ["OnnxGraph", "OpenCvGraph", "OpenGraph", "graph_runtime", "installed", "open_graph", "threads"]


class OpenGraph(Protocol):
    """Map arrays by name to arrays by name."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""

    def __call__(self, inputs: Mapping[str, Float32]) -> dict[str, Array]:
        """Return every output."""


class OnnxGraph:
    """Compute with ONNX Runtime; nothing beside the bytes is read."""

    def __init__(self, data: bytes, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()  # it does not look at OMP_NUM_THREADS
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(data, options, providers=list(providers))
        self.inputs = tuple(taken.name for taken in self._session.get_inputs())
        self.outputs = tuple(given.name for given in self._session.get_outputs())

    def __call__(self, inputs: Mapping[str, Float32]) -> dict[str, Array]:
        """Return every output."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))


class OpenCvGraph:
    """Compute with OpenCV's networks, which know fewer graphs and take twice the time."""

    def __init__(self, data: bytes) -> None:
        if int(cv2.__version__.split(".")[0]) < 5:
            raise ConfigError(
                f"OpenCV {cv2.__version__} cannot compute networks of this kind; install OpenCV 5: "
                "pip install 'opencv-python-headless>=5'"
            )
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8), cv2.dnn.ENGINE_NEW)
        self.outputs = tuple(self._net.getUnconnectedOutLayersNames())

    def __call__(self, inputs: Mapping[str, Float32]) -> dict[str, Array]:
        """Return every output."""
        before = cv2.getNumThreads()
        cv2.setNumThreads(threads())
        try:
            for name, values in inputs.items():
                self._net.setInput(values, name)
            return dict(zip(self.outputs, self._net.forward(self.outputs), strict=True))
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(str(error)) from error
            raise
        finally:
            cv2.setNumThreads(before)


def open_graph(data: bytes, runtime: str | None = None) -> OpenGraph:
    """Return what computes a graph: ``"onnx"``, ``"opencv"``; None: the quickest that is installed."""
    return OnnxGraph(data) if (runtime or graph_runtime()) == "onnx" else OpenCvGraph(data)


def graph_runtime() -> str:
    """Return the name of the quickest runtime for graphs of ONNX that is installed."""
    return "onnx" if installed("onnxruntime") else "opencv"


def installed(package: str) -> bool:
    """Return whether a package can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of somebody who keeps packages from being found
        return False


def threads() -> int:
    """Return how many threads a runtime takes: ``OMP_NUM_THREADS``, as for torch, else one for each core it may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return cores()
