"""OpenVINO: computes graphs on Intel's CPUs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openvino

from apiece._arrays import Array
from apiece.models import ExportedModel, threads
from apiece.predict._runtimes._graphs import GraphRuntime, unopened
from apiece.predict.runtime import tried

_HINTS = {"float32": "f32", "float16": "f32", "int8": "f32", "bfloat16": "bf16"}


class _OpenVino(GraphRuntime):
    name, device = "openvino", "cpu"

    def __init__(self, model: ExportedModel) -> None:
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[model.graph.precision],  # it would take bfloat16 by itself
            "ENABLE_CPU_PINNING": False,  # a core that another process uses would make it ten times slower
        }
        try:
            self._compiled = {
                name.removesuffix(".xml"): core.compile_model(_read(core, model, name), "CPU", settings)
                for name in model.files
                if name.endswith(".xml")
            }
        except RuntimeError as error:
            raise unopened(model, error) from error
        given = {
            part: [name for output in one.outputs for name in output.get_names()]
            for part, one in self._compiled.items()
        }
        super().__init__(model, given)

    def compute(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        request = self._compiled[part].create_infer_request()  # its own, so that threads do not meet
        request.infer(dict(inputs), share_inputs=True)
        return {name: request.get_tensor(name).data.copy() for name in self._outputs[part]}


def _read(core: openvino.Core, model: ExportedModel, name: str) -> openvino.Model:
    weights = np.frombuffer(model.files[name.removesuffix("xml") + "bin"], np.uint8)
    return core.read_model(model.files[name].decode(), openvino.Tensor(weights))


def open_runtime(model: ExportedModel, device: str) -> _OpenVino:
    """Return what computes an exported graph."""
    tried(device, ["cpu"], "openvino")
    return _OpenVino(model)
