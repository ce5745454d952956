"""Training: settings, the loop, and the state to resume from. The package is called as the function it is named after.

>>> import apiece
>>> apiece.train(data="data/", model="embedding", max_time="30m")  # doctest: +SKIP

Settings need no torch; the loop is imported when it is first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from apiece.train.config import TrainConfig, parse_settings, parse_time

if TYPE_CHECKING:
    from apiece.train.trainer import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "parse_settings", "parse_time", "train"]


class _Callable(ModuleType):
    """`apiece.train` is this package once it is imported, and can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> TrainResult:
        from apiece.train.trainer import train

        return train(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in ("TrainResult", "train"):
            raise AttributeError(f"module 'apiece.train' has no attribute {name!r}")
        from apiece.train import trainer

        return getattr(trainer, name)


sys.modules[__name__].__class__ = _Callable
