"""ONNX Runtime: computes graphs of ONNX, on the CPU, or on a CUDA device where its package can."""

from __future__ import annotations

import onnxruntime

from apiece._arrays import Array, Float32
from apiece.models import ExportedModel
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import threads, tried

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class _Onnx(GraphRuntime):
    name = "onnx"

    def __init__(self, model: ExportedModel, device: str) -> None:
        self.device = device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()  # it does not look at OMP_NUM_THREADS
        options.log_severity_level = 3
        (data,) = model.files.values()
        providers = list(dict.fromkeys((_PROVIDERS[device], _PROVIDERS["cpu"])))
        try:  # from memory, so that no file beside it is read
            self._session = onnxruntime.InferenceSession(data, options, providers=providers)
        except Exception as error:  # of a dozen types of its own
            raise unopened(model, error) from error
        self._input = self._session.get_inputs()[0].name
        super().__init__(model, [o.name for o in self._session.get_outputs()])

    def compute(self, images: Float32) -> list[Array]:
        found: list[Array] = self._session.run(list(self._model.graph.outputs), {self._input: images})
        return found


def open_runtime(model: ExportedModel, device: str) -> _Onnx:
    """Return what computes an exported graph, on a device."""
    there = onnxruntime.get_available_providers()
    return _Onnx(model, tried(device, [d for d, provider in _PROVIDERS.items() if provider in there], "onnx"))
