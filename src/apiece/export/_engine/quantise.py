"""A graph in 8-bit integers: static, each tensor's range taken from real images.

Values are quantised around convolutions and products only, and not around the first and the last of them. What the
first read are pixels: scaled by percentiles, a few lie far beyond the rest, and would take most of 256 steps. The
results of the last are outputs, and a score, a box and a kernel that shared one scale would collapse.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from apiece._arrays import Float32

_QUANTISED = ("Conv", "MatMul", "Gemm")


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Iterable[Float32]) -> None:
        self._images: Iterator[Float32] = iter(images)

    def get_next(self) -> dict[str, Float32] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image[None]}


def quantise(graph: bytes, images: Iterable[Float32]) -> bytes:
    """Return a graph of ONNX with most of its work in 8-bit integers.

    Parameters
    ----------
    graph : the ONNX file; its input is called ``images``.
    images : what the network takes, (C, H, W) each, from which ranges are taken.
    """
    with tempfile.TemporaryDirectory() as name, _quiet():
        before, ready, after = (Path(name) / f"{part}.onnx" for part in ("before", "ready", "after"))
        before.write_bytes(graph)
        quant_pre_process(before, ready, skip_symbolic_shape=True)
        nodes = onnx.load(ready).graph
        quantize_static(
            ready, after, _Images(images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=[*_first(nodes), *_last(nodes)],
        )  # fmt: skip
        return after.read_bytes()


def _first(graph: Any) -> list[str]:
    """Return the convolutions and products that read the image itself."""
    return [n.name for n in graph.node if n.op_type in _QUANTISED and "images" in n.input]


def _last(graph: Any) -> list[str]:
    """Return the convolutions and products after which there is no further one on the way to an output."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    leads: dict[str, bool] = {}  # whether a further one lies behind a value
    for node in reversed(graph.node):  # nodes come in the order in which they are computed
        behind = any(
            reader.op_type in _QUANTISED or any(leads.get(value, False) for value in reader.output)
            for value in node.output
            for reader in readers.get(value, ())
        )
        for value in node.output:
            leads[value] = behind
    return [n.name for n in graph.node if n.op_type in _QUANTISED and not any(leads[v] for v in n.output)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice from people who can do nothing about it."""
    with contextlib.redirect_stdout(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
