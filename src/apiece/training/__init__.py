"""Train models: settings, the loop, and the state to resume from.

>>> apiece.train(data="data/", model="embedding", max_time="30m")  # doctest: +SKIP

Settings need no torch; the loop is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece._limits import parse_time
    from apiece.training._train import TrainResult, train
    from apiece.training.config import TrainConfig, parse_settings
    from apiece.training.device import Hardware
    from apiece.training.folds import predict_out_of_fold
    from apiece.training.trainer import fit, open_splits

__all__ = [
    "Hardware",
    "TrainConfig",
    "TrainResult",
    "fit",
    "open_splits",
    "parse_settings",
    "parse_time",
    "predict_out_of_fold",
    "train",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.training.config": "TrainConfig parse_settings",
            "apiece._limits": "parse_time",
            "apiece.training._train": "TrainResult train",
            "apiece.training.device": "Hardware",
            "apiece.training.folds": "predict_out_of_fold",
            "apiece.training.trainer": "fit open_splits",
        },
    )
