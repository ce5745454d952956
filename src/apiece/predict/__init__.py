"""Predict: a model folder, or prompts, to instances and files.

Names are imported on first use: listing images needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.predict._runtimes.pytorch import resolve_device
    from apiece.predict.outputs import predict_to
    from apiece.predict.predictor import Model, load
    from apiece.predict.prompted import Prompter, Session, prompt
    from apiece.predict.segmenting import Question, embed_to, segment_to
    from apiece.predict.sources import Source, find_sources
    from apiece.predict.writing import OUTPUTS, PredictSummary

__all__ = [
    "OUTPUTS",
    "Model",
    "PredictSummary",
    "Prompter",
    "Question",
    "Session",
    "Source",
    "embed_to",
    "find_sources",
    "load",
    "predict_to",
    "prompt",
    "resolve_device",
    "segment_to",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.predict.outputs": "predict_to",
            "apiece.predict._runtimes.pytorch": "resolve_device",
            "apiece.predict.predictor": "Model load",
            "apiece.predict.prompted": "Prompter Session prompt",
            "apiece.predict.segmenting": "Question embed_to segment_to",
            "apiece.predict.sources": "Source find_sources",
            "apiece.predict.writing": "OUTPUTS PredictSummary",
        },
    )
