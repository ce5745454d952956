"""Metrics of a final answer that are made of sums: what each image and class adds is kept, so that draws can be summed.

Only cells in which there is anything are kept: a set of 1,000 classes has a few of them per image.

Crowds are not truth; a prediction that matches nothing is no mistake if more than half of it lies in crowds of its
class (the rule of COCO panoptic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import mean_over
from apiece.metrics._kit.weighted import weighted_sums
from apiece.metrics.contract import Judges, MetricResult, Number, Resampled, Settings


class Cells:
    """Numbers per image and class, taken in batch by batch.

    Parameters
    ----------
    classes : number of classes.
    columns : how many numbers each cell has. Memory: 8 bytes for each, and 8, per cell with anything in it.
    """

    def __init__(self, classes: int, columns: int) -> None:
        self.classes, self.columns = classes, columns
        self.images = 0
        self._cell = [np.zeros(0, np.int64)]
        self._values = [np.zeros((0, columns))]

    def add(self, values: npt.NDArray[np.number]) -> None:
        """Take in further images: numbers of shape (images, classes, columns)."""
        flat = values.reshape(-1, self.columns)
        some = np.flatnonzero(flat.any(1))
        self._cell.append(some + self.images * self.classes)
        self._values.append(flat[some].astype(np.float64))
        self.images += len(values)

    def sums(self, weights: Int32 | None = None) -> Float:
        """Return sums over images: float64 (draws, classes, columns); without weights one draw, of every image."""
        cell, values = np.concatenate(self._cell), np.concatenate(self._values)
        image, label = np.divmod(cell, self.classes)
        if weights is None:
            return _grouped(label, values, self.classes)[None]
        out = np.zeros((len(weights), self.classes, self.columns))
        for k in range(self.classes):
            rows = label == k
            out[:, k] = weighted_sums(weights[:, image[rows]], values[rows])
        return out

    def by_image(self) -> Float:
        """Return sums over all rows by image: float64 (images, columns)."""
        return _grouped(np.concatenate(self._cell) // self.classes, np.concatenate(self._values), self.images)


def _grouped(group: Int, values: Float, groups: int) -> Float:
    columns = [np.bincount(group, column, groups) for column in values.T]
    return np.stack(columns, -1) if columns else np.zeros((groups, 0))


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer on one batch against what is no crowd, within classes.

    Attributes
    ----------
    pairs : overlaps of counted predictions with truth that is no crowd, of one image and class.
    shared : int64 (P,), pixels of each pair.
    counted : bool (predictions,), score at or above the threshold of its class, or no score.
    spared : bool (predictions,), more than half in crowds of its class.
    """

    pairs: Pairs
    shared: Int
    counted: Bool
    spared: Bool

    @classmethod
    def of(cls, batch: Batch, conf: Float) -> Answer:
        """Return the answer on a batch; ``conf`` is the lowest score that counts, float64 (classes,)."""
        counted, pairs = batch.predicted.counted(conf), batch.mask_pairs
        crowd = batch.truth.crowd[pairs.truth]
        inside = np.bincount(pairs.predicted[crowd], pairs.iou[crowd], len(counted))
        pairs = pairs.where(counted[pairs.predicted] & ~crowd)
        return cls(pairs, batch.shared(pairs), counted, inside > 0.5)


class CellMetric(ABC):
    """A metric of a final answer that is made of sums over images, by class.

    Attributes
    ----------
    columns : how many numbers each image and class adds.
    further : rows beyond the classes (background, the image as a whole).
    about : see `MetricResult`.
    """

    judges: ClassVar[Judges] = "answer"
    columns: ClassVar[int]
    further: ClassVar[int] = 0
    about: ClassVar[Mapping[str, Number]] = MappingProxyType({})

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        self.settings = settings or Settings()
        self.conf = self.settings.thresholds(self.classes)
        self.reset()

    @abstractmethod
    def _count(self, batch: Batch) -> npt.NDArray[np.number]:
        """What each image adds: (images, classes + further, columns)."""

    @abstractmethod
    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        """Headline numbers and numbers by class (draws, classes), from sums (draws, rows, columns).

        A headline is (draws,), or (draws, classes) where it is the mean over the classes on which it is defined.
        """

    def _extras(self) -> dict[str, Any]:
        """Named further objects of the result."""
        return {}

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        self._cells = Cells(len(self.classes) + self.further, self.columns)

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch."""
        self._cells.add(self._count(batch))

    def compute(self) -> MetricResult:
        """Return all numbers, per class too."""
        numbers, by_class = self._found(self._cells.sums(), None)
        first = {key: values[0] for key, values in by_class.items()}
        pooled = {key: mean_over(values) if values.ndim > 1 else values for key, values in numbers.items()}
        return MetricResult.of(self.classes, pooled, first, extras=self._extras(), about=self.about)

    def resample(self, weights: Int32) -> Resampled:
        """Return all numbers on each draw; see `apiece.metrics.contract.Resampling`."""
        return Resampled.of(self.classes, *self._found(self._cells.sums(weights), weights))

    def _mean_image(self, values: Float, weights: Int32 | None) -> Float:
        """Mean over the images on which a number (images,) is defined: float64 (draws,)."""
        return mean_over(values)[None] if weights is None else mean_over(values, weights)

    def _images(self, weights: Int32 | None) -> Float:
        """How many images there are on each draw: float64 (draws,)."""
        return np.array([self._cells.images], np.float64) if weights is None else weights.sum(1).astype(np.float64)
