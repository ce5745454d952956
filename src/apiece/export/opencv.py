"""OpenCV: the same file of ONNX, computed by what every install of apiece has."""

from __future__ import annotations

from apiece.export.contract import Target

TARGET = Target(
    summary="OpenCV 5, on any CPU: nothing but a base install",
    convert=lambda name, graph, _: {f"{name}.onnx": graph},
    precisions=("float32",),
)
