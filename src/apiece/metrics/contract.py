"""What a metric is: one file in this package that defines ``METRIC``, a class with `update`, `compute` and `reset`.

The file's name is the metric's name. `apiece.metrics.evaluate` finds it by itself, makes ``METRIC(classes, settings)``
and gives it one `Batch` of images after another; every metric of one run shares the overlaps the batch computes once.
Files whose name starts with an underscore are helpers, not metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from apiece._arrays import Bool, Float, Int32
from apiece._plugins import Room
from apiece.core.conf import Conf, thresholds
from apiece.errors import ConfigError, Option, UnknownNameError
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.ratios import mean_over

__all__ = [
    "FEWER", "ROOM", "Aim", "Judges", "Metric", "MetricResult", "Number", "Resampled", "Resampling", "Settings",
    "Unit", "UnitResampling",
]  # fmt: skip

Judges = Literal["ranked", "answer"]
"""What a metric judges: everything the model can rank, or the final answer at the model's thresholds."""

Aim = Literal["more", "less", "neither"]
"""What is better: more of a number, less of it, or neither (a mere count, an offset)."""

Unit = Literal["share", "count", "objects"]
"""What a number is in: a share of 1, a whole number of things, objects per image."""


@dataclass(frozen=True)
class Number:
    """One number, and what is known of it; a metric declares it once, `Evaluation.number` adds the value.

    Attributes
    ----------
    value : NaN where it is undefined.
    interval : (low, high), the 95% interval over images; None where there is none.
    bias : how much too high the value probably is, which the interval allows for; NaN where that is not known.
    unit : see `Unit`.
    aim : see `Aim`.
    group : numbers of one group are listed together; by default the metric's name.
    title : what the number is called within its group; by default its key.
    detail : whether short lists leave it out.
    undefined : what stands for an undefined value among ``Evaluation.numbers``: NaN, or pycocotools' -1.
    """

    value: float = math.nan
    interval: tuple[float, float] | None = None
    bias: float = math.nan
    unit: Unit = "share"
    aim: Aim = "more"
    group: str = ""
    title: str = ""
    detail: bool = False
    undefined: float = math.nan

    def of(self, value: float, interval: tuple[float, float] | None = None, bias: float = math.nan) -> Number:
        """Return the number with a value as it stands in ``Evaluation.numbers``."""
        known = math.nan if value == self.undefined else float(value)
        return replace(self, value=known, interval=interval, bias=bias)

    def within(self, low: float, high: float) -> tuple[float, float]:
        """Return an interval cut to what the number can be: no count and no share is below 0, no share above 1."""
        if self.aim == "neither" and self.unit != "count":
            return low, high
        return max(low, 0.0), min(high, 1.0) if self.unit == "share" else high


FEWER = Number(unit="count", aim="less")
"""A count of which less is better."""


@dataclass(frozen=True)
class Settings:
    """How to evaluate; every metric takes what concerns it.

    Attributes
    ----------
    max_dets : COCO and boundary: most detections counted per image and class, best scores first; average recall is
        given for each number, everything else for the largest.
    kinds : COCO only: ``"mask"``, ``"box"`` or both; leaving one out saves its time.
    conf : metrics of a final answer (AP-tau), not COCO: lowest score that counts, see `apiece.core.conf`.
    image_dets : LVIS only: most predictions counted per image, all classes together.
    frequency : LVIS only: ``"r"``, ``"c"`` or ``"f"`` (rare, common, frequent) for each class; empty: not known. See
        `apiece.metrics.lvis.frequencies`.
    stuff : panoptic quality and semantic metrics: names of the classes that are stuff, one segment each per image. If
        there are any, the labels are panoptic, and pixels that no truth covers are void instead of background.
    """

    max_dets: tuple[int, ...] = (1, 10, 100)
    kinds: tuple[str, ...] = ("mask", "box")
    conf: Conf = 0.0
    image_dets: int = 300
    frequency: tuple[str, ...] = ()
    stuff: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        limits = tuple(sorted(int(m) for m in self.max_dets))
        if not limits or limits[0] < 1 or len(set(limits)) != len(limits):
            raise ConfigError(
                Option("max_dets") + f" must be distinct numbers of 1 or more, got {tuple(self.max_dets)}"
            )
        object.__setattr__(self, "max_dets", limits)
        kinds = tuple(kind for kind in ("mask", "box") if kind in self.kinds)
        if not kinds or len(kinds) != len(self.kinds):
            raise ConfigError(f"kinds must be 'mask', 'box' or both, got {self.kinds!r}")
        object.__setattr__(self, "kinds", kinds)
        if self.image_dets < 1:
            raise ConfigError(f"image_dets must be 1 or more, got {self.image_dets}")
        if not set(self.frequency) <= {"r", "c", "f"}:
            raise ConfigError(f"frequency needs 'r', 'c' or 'f' for each class, got {self.frequency!r}")

    def thresholds(self, classes: Sequence[str]) -> Float:
        """Return ``conf`` of each class: float64 (classes,); see `apiece.core.conf.thresholds`."""
        return thresholds(self.conf, classes)

    def is_stuff(self, classes: Sequence[str]) -> Bool:
        """Return whether each class is stuff, bool (classes,); raises UnknownNameError for one that there is not."""
        for unknown in set(self.stuff) - set(classes):
            raise UnknownNameError("class", unknown, classes)
        return np.array([name in self.stuff for name in classes], bool)


@dataclass(frozen=True)
class MetricResult:
    """What one metric found.

    Attributes
    ----------
    numbers : headline numbers by key.
    per_class : the same keys, for each class name.
    extras : named further objects (curves, matches).
    notes : sentences a person should read beside the numbers.
    applies : whether the data is of the kind the metric is made for; if not, it answers only those who name it.
    about : by key, what is known of each number; default a share of which more is better.
    """

    numbers: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    extras: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    applies: bool = True
    about: Mapping[str, Number] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(
        cls, classes: Sequence[str], numbers: Mapping[str, Any], by_class: Mapping[str, Any], **more: Any
    ) -> MetricResult:
        """Return the result of arrays: of one value each, and of one for each class."""
        per_class = {name: {key: float(v[k]) for key, v in by_class.items()} for k, name in enumerate(classes)}
        return cls({key: float(np.squeeze(value)) for key, value in numbers.items()}, per_class, **more)


@dataclass(frozen=True, eq=False)
class Resampled:
    """Numbers of one metric on several draws of the same images.

    Attributes
    ----------
    numbers : by key, float64 (draws,), or (draws, classes) where the number is the mean over the classes on which it is
        defined; NaN where a draw leaves it undefined.
    per_class : float64 (draws,) by class name, then by key; may hold fewer keys.
    fall : the power of the number of images with which the numbers' bias falls; 1 for quotients of sums.
    """

    numbers: Mapping[str, Float]
    per_class: Mapping[str, Mapping[str, Float]]
    fall: float = 1.0

    @classmethod
    def of(
        cls, classes: Sequence[str], numbers: Mapping[str, Float], by_class: Mapping[str, Float], fall: float = 1.0
    ) -> Resampled:
        """Return the draws of ``numbers``, as they are kept, and of ``by_class``, float64 (draws, classes)."""
        per_class = {name: {key: v[:, k] for key, v in by_class.items()} for k, name in enumerate(classes)}
        return cls(numbers, per_class, fall)

    def pooled(self) -> Mapping[str, Float]:
        """Return every number of all classes together on each draw: float64 (draws,)."""
        return {key: mean_over(values) if values.ndim > 1 else values for key, values in self.numbers.items()}


class Metric(Protocol):
    """One metric over a stream of batches.

    Attributes
    ----------
    judges : which predictions the caller gives it: ``"ranked"``, all that the model can rank, down to a low score
        (average precision needs them); ``"answer"``, the final answer at the model's thresholds.
    crosses_classes : may be left out; True: it looks at overlaps of different classes, too (`Batch.image_pairs`), of
        which those of one class are then taken, so that overlaps are not computed twice.
    """

    judges: ClassVar[Judges]

    def __init__(self, classes: tuple[str, ...], settings: Settings = ...) -> None: ...

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch."""
        ...

    def compute(self) -> MetricResult:
        """Return the result over everything taken in so far; does not change the state."""
        ...

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        ...


@runtime_checkable
class Resampling(Protocol):
    """A `Metric` that can say what it would have found on other draws of its images, without seeing them again.

    It keeps what each image adds: counts, or ranked hits with their image. `_kit/half_samples` draws, and
    `_kit/weighted` has `weighted_sums` and `weighted_precision` for the arithmetic.
    """

    def resample(self, weights: Int32) -> Resampled:
        """Return the numbers on each draw; does not change the state.

        Parameters
        ----------
        weights : int32 (draws, images), how often each image was drawn, in the order it was taken in. All ones give
            what ``compute`` gives.
        """
        ...


@runtime_checkable
class UnitResampling(Protocol):
    """A `Metric` whose images hang together, so that more than an image is drawn: a video, or a stretch of it."""

    def units(self) -> tuple[int, str]:
        """Return how many units there are, 0 where no interval would hold, and what a person should know of that."""
        ...

    def resample_units(self, weights: Int32) -> Resampled:
        """Return the numbers on each draw, as `Resampling.resample` does; weights are int32 (draws, units)."""
        ...


ROOM: Room[type[Metric]] = Room("apiece.metrics", "METRIC", Metric)
"""Where the metrics are found."""
