"""OpenVINO: computes graphs on Intel's CPUs."""

from __future__ import annotations

import numpy as np
import openvino

from apiece._arrays import Array, Float32
from apiece.models import ExportedModel, threads
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried

_HINTS = {"float32": "f32", "int8": "f32", "bfloat16": "bf16"}


class _OpenVino(GraphRuntime):
    name, device = "openvino", "cpu"

    def __init__(self, model: ExportedModel) -> None:
        core = openvino.Core()
        weights, text = (data for _, data in sorted(model.files.items()))  # model.bin, model.xml
        settings = {
            "INFERENCE_NUM_THREADS": threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[model.graph.precision],  # it would take bfloat16 by itself
            "ENABLE_CPU_PINNING": False,  # a core that another process uses would make it ten times slower
        }
        try:
            graph = core.read_model(text.decode(), openvino.Tensor(np.frombuffer(weights, np.uint8)))
            self._compiled = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise unopened(model, error) from error
        super().__init__(model, [name for output in self._compiled.outputs for name in output.get_names()])

    def compute(self, images: Float32) -> list[Array]:
        request = self._compiled.create_infer_request()  # its own, so that threads do not meet
        request.infer([images], share_inputs=True)
        return [request.get_tensor(name).data.copy() for name in self._model.graph.outputs]


def open_runtime(model: ExportedModel, device: str) -> _OpenVino:
    """Return what computes an exported graph."""
    tried(device, ["cpu"], "openvino")
    return _OpenVino(model)
