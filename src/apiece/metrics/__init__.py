"""How good predictions are: one sparse matching per batch of images, and one metric per file on top of it."""

from apiece.metrics._engine.evaluate import Evaluation, evaluate
from apiece.metrics._engine.picture_marks import MARKS, marks
from apiece.metrics._engine.thresholds import Price, Sweep, Thresholds, cost, f1_thresholds, fit_thresholds, sweep
from apiece.metrics._kit.batch import Batch, Searched, VideoFrame
from apiece.metrics._kit.curves import Curves
from apiece.metrics._kit.half_samples import ENOUGH, FEW, Halves
from apiece.metrics._kit.match_ranked import Matches
from apiece.metrics._kit.ratios import f1, precision, recall
from apiece.metrics._kit.tracks_log import frame_of
from apiece.metrics.contract import ROOM, Judges, Metric, MetricResult, Number, Settings

__all__ = [
    "ENOUGH", "FEW", "MARKS", "Batch", "Curves", "Evaluation", "Halves", "Judges", "Matches", "Metric", "MetricResult",
    "Number", "Price",
    "Searched", "Settings", "Sweep", "Thresholds", "VideoFrame", "cost", "describe", "evaluate", "f1",
    "f1_thresholds", "fit_thresholds", "frame_of", "load", "marks", "names", "precision", "recall",
    "sweep",
]  # fmt: skip

names, load, describe = ROOM.names, ROOM.load, ROOM.describe
