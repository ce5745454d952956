"""ONNX Runtime: computes graphs of ONNX, on the CPU, or on a CUDA device where its package can."""

from __future__ import annotations

from collections.abc import Mapping

import onnxruntime

from apiece._arrays import Array
from apiece.models import ExportedModel, OnnxGraph
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class _Onnx(GraphRuntime):
    name = "onnx"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        providers = tuple(dict.fromkeys((_PROVIDERS[device], _PROVIDERS["cpu"])))
        try:
            self._graphs = {
                name.removesuffix(".onnx"): OnnxGraph(data, providers) for name, data in model.files.items()
            }
        except Exception as error:  # of a dozen types of its own
            raise unopened(model, error) from error
        super().__init__(model, {part: graph.outputs for part, graph in self._graphs.items()})

    def compute(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._graphs[part](inputs)


def open_runtime(model: ExportedModel, device: str) -> _Onnx:
    """Return what computes an exported graph, on a device."""
    there = onnxruntime.get_available_providers()
    return _Onnx(model, tried(device, [d for d, provider in _PROVIDERS.items() if provider in there], "onnx"))
