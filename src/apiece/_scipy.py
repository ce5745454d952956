"""SciPy, imported on first use: the commands of a line PC need none of it, and a small install lacks it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import scipy.ndimage as ndimage
    import scipy.sparse as sp

__all__ = ["ndimage", "sp"]


class _OnFirstUse(ModuleType):
    def __getattr__(self, name: str) -> Any:
        from apiece._extras import extras

        with extras():
            value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)
        return value


if not TYPE_CHECKING:
    ndimage, sp = _OnFirstUse("scipy.ndimage"), _OnFirstUse("scipy.sparse")
