"""Prediction: a model folder and images in, `Instances` and files out.

Names are imported on first use: listing images or judging predictions in a file needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apiece.predict.outputs import OUTPUTS, PredictSummary, predict_to
    from apiece.predict.predictor import Model, load, resolve_device
    from apiece.predict.sources import Source, find_sources

__all__ = ["OUTPUTS", "Model", "PredictSummary", "Source", "find_sources", "load", "predict_to", "resolve_device"]

_HOMES = {
    "OUTPUTS": "outputs", "PredictSummary": "outputs", "predict_to": "outputs",
    "Model": "predictor", "load": "predictor", "resolve_device": "predictor",
    "Source": "sources", "find_sources": "sources",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
