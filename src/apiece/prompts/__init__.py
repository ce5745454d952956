"""Prompts: what answers points, boxes, earlier masks and words, one backend a file.

A session (`apiece.prompt`) asks a backend. What needs torch is imported when a backend is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy
from apiece.prompts._engine.everything import Everything, everything
from apiece.prompts._engine.opened import DEFAULT, Opened, open_backend
from apiece.prompts.contract import ROOM, Answer, Backend, Embedding, Opening, Proposals

if TYPE_CHECKING:
    from apiece.prompts._engine.saved import load_embedding, save_embedding

__all__ = [
    "DEFAULT", "Answer", "Backend", "Embedding", "Everything", "Opened", "Opening", "Proposals", "describe",
    "everything", "load", "load_embedding", "names", "open_backend", "save_embedding",
]  # fmt: skip

names, load, describe = ROOM.names, ROOM.load, ROOM.describe

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, {"apiece.prompts._engine.saved": "load_embedding save_embedding"})
