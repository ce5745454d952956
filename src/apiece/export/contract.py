"""The contract of a target: one file in this package that defines ``TARGET = Target(...)``.

The file's name is that of the runtime which computes its graphs (`apiece.predict.runtime`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apiece._plugins import Room

__all__ = ["PRECISIONS", "ROOM", "Target"]

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
"""What a graph may be computed in; ``float16`` is the form of its weights, and the rest is float32."""


@dataclass(frozen=True)
class Target:
    """A runtime that models are exported to."""

    summary: str
    """One line: what it runs on, and which extra brings it."""
    convert: Callable[[str, bytes, str], Mapping[str, bytes]]
    """Turn ``(name, graph of ONNX, precision)`` into files of the runtime's own form: ``name`` and an ending."""
    precisions: tuple[str, ...]
    """What the runtime can compute in, of `PRECISIONS`."""
    package: str = ""
    """The package that a machine which predicts needs beside apiece's own, as pip calls it; empty: none."""


ROOM: Room[Target] = Room("apiece.export", "TARGET", Target, noun="target")
"""Where the targets are found."""
