"""Training: settings, the loop, and the state to resume from.

>>> import apiece
>>> apiece.train(data="data/", model="embedding", max_time="30m")  # doctest: +SKIP

Settings need no torch; the loop is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.training._train import TrainResult, train
    from apiece.training.config import TrainConfig, parse_settings, parse_time
    from apiece.training.trainer import fit

__all__ = [
    "TrainConfig",
    "TrainResult",
    "fit",
    "parse_settings",
    "parse_time",
    "train",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.training.config": "TrainConfig parse_settings parse_time",
            "apiece.training.trainer": "fit",
            "apiece.training._train": "TrainResult train",
        },
    )
