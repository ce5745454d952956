"""ONNX: one file for ONNX Runtime and whatever else reads it."""

from __future__ import annotations

from apiece.export.contract import Target

TARGET = Target(
    summary="ONNX Runtime, on any CPU, and on CUDA with onnxruntime-gpu: pip install 'apiece[onnx]'",
    convert=lambda name, graph, _: {f"{name}.onnx": graph},
    precisions=("float32", "int8"),
    package="onnxruntime",
)
