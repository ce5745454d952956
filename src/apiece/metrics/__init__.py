"""How good predictions are: one sparse matching per batch of images, and one metric per file on top of it."""

from apiece.metrics._base import Judges, Metric, MetricResult, Settings
from apiece.metrics._batch import Batch, Frame, Searched
from apiece.metrics._curves import Curves
from apiece.metrics._evaluate import Evaluation, evaluate
from apiece.metrics._match import Matches
from apiece.metrics._ratios import defined
from apiece.metrics._threshold import Price, Sweep, Thresholds, f1_thresholds, fit_thresholds, sweep
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
    "Price",
    "Searched",
    "Settings",
    "Sweep",
    "Thresholds",
    "defined",
    "evaluate",
    "f1_thresholds",
    "fit_thresholds",
    "frame_of",
    "sweep",
]
