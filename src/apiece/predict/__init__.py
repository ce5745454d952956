"""Predict: a model folder to instances and files.

Names are imported on first use: listing images needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.predict.outputs import OUTPUTS, PredictSummary, predict_to
    from apiece.predict.predictor import Model, load, resolve_device
    from apiece.predict.sources import Source, find_sources

__all__ = [
    "OUTPUTS",
    "Model",
    "PredictSummary",
    "Source",
    "find_sources",
    "load",
    "predict_to",
    "resolve_device",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.predict.outputs": "OUTPUTS PredictSummary predict_to",
            "apiece.predict.predictor": "Model load resolve_device",
            "apiece.predict.sources": "Source find_sources",
        },
    )
