"""How good predictions are: one sparse matching per batch of images, and one metric per file on top of it."""

from apiece.metrics._base import Judges, Metric, MetricResult, Settings
from apiece.metrics._batch import Batch, Frame, Searched
from apiece.metrics._curves import Curves
from apiece.metrics._evaluate import Evaluation, evaluate
from apiece.metrics._match import Matches
from apiece.metrics._threshold import f1_thresholds
from apiece.metrics._tracks_log import frame_of

__all__ = [
    "Batch",
    "Curves",
    "Evaluation",
    "Frame",
    "Judges",
    "Matches",
    "Metric",
    "MetricResult",
    "Searched",
    "Settings",
    "evaluate",
    "f1_thresholds",
    "frame_of",
]
