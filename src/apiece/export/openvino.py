"""OpenVINO: Intel's runtime, fastest on its CPUs, and in bfloat16 on those that can."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import openvino

from apiece.export.contract import Target


def convert(name: str, graph: bytes, precision: str) -> Mapping[str, bytes]:
    """Return OpenVINO's own form; weights keep their 32 bits unless asked, as it would halve them by itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.xml"
        openvino.save_model(openvino.Core().read_model(graph), path, compress_to_fp16=precision == "float16")
        return {file.name: file.read_bytes() for file in (path, path.with_suffix(".bin"))}


TARGET = Target(
    summary="OpenVINO, on Intel's CPUs: pip install 'apiece[openvino]'",
    convert=convert,
    precisions=("float32", "float16", "bfloat16", "int8"),
    package="openvino",
)
