"""Export: a trained model as a graph for a runtime without torch, held against the original on real images.

A target is one file in this package (see ``contract.py``).

>>> from apiece import export
>>> export.names()
('onnx', 'opencv', 'openvino')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy
from apiece.export.contract import PRECISIONS, ROOM, Target

if TYPE_CHECKING:
    from apiece.export._engine.parity import ImageParity, Limits, Parity, compare_answers
    from apiece.export._engine.run import Exported, export_to

__all__ = [
    "PRECISIONS",
    "Exported",
    "ImageParity",
    "Limits",
    "Parity",
    "Target",
    "compare_answers",
    "describe",
    "export_to",
    "load",
    "names",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.export._engine.run": "Exported export_to",
            "apiece.export._engine.parity": "ImageParity Limits Parity compare_answers",
        },
    )
