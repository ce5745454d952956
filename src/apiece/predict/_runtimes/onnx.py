"""ONNX Runtime: computes graphs of ONNX, on the CPU, or on a CUDA device where its package can."""

from __future__ import annotations

import onnxruntime

from apiece._arrays import Array, Float32
from apiece.models import ExportedModel, OnnxGraph
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class _Onnx(GraphRuntime):
    name = "onnx"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        (data,) = model.files.values()
        try:
            self._graph = OnnxGraph(data, tuple(dict.fromkeys((_PROVIDERS[device], _PROVIDERS["cpu"]))))
        except Exception as error:  # of a dozen types of its own
            raise unopened(model, error) from error
        super().__init__(model, self._graph.outputs)

    def compute(self, images: Float32) -> list[Array]:
        found = self._graph({self._graph.inputs[0]: images})
        return [found[name] for name in self._model.graph.outputs]


def open_runtime(model: ExportedModel, device: str) -> _Onnx:
    """Return what computes an exported graph, on a device."""
    there = onnxruntime.get_available_providers()
    return _Onnx(model, tried(device, [d for d, provider in _PROVIDERS.items() if provider in there], "onnx"))
