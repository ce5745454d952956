"""How the labels and the predictions of an image relate, kept small: sizes, overlaps, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apiece._arrays import Bool, Float, Float32, Int
from apiece.check.contract import Labelled, Place, Settings
from apiece.core.masks import Masks
from apiece.ops import nms
from apiece.ops.overlap import intersections
from apiece.ops.perimeter import crofton

_TRACE = 0.1  # share of the smaller mask from which an overlap is kept
_CROWD = 0.5  # share of a prediction in a crowd from which it is ignored: the objects there were not labelled singly
_FREE = 0.45  # largest share of a prediction's pixels under labels if it is of an object without a label
_SAME = 0.3  # IoU from which two predictions off the labels are of the same object, whatever their classes
_SHARE = 0.5  # share of the smaller of two predictions of a class from which they contradict each other


@dataclass(frozen=True, eq=False)
class Side:
    """The labels, or the predictions, of an image; arrays of one length.

    Attributes
    ----------
    row : int64, position in the image's labels or predictions.
    label : int64, index into the classes of the labels.
    area, perimeter : float64, in pixels.
    box : float32 (N, 4).
    seen : float64, share of the pixels that the other side covers: any prediction, or any label and crowd.
    score : float64; 1 for labels.
    alone : bool; a prediction is alone if none of its class with a better score shares half of the smaller one.
    apart : bool; a prediction is apart if it lies off the labels, and is the best of those of its place.
    """

    row: Int
    label: Int
    area: Float
    perimeter: Float
    box: Float32
    seen: Float
    score: Float
    alone: Bool
    apart: Bool

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, eq=False)
class Coverage:
    """What the check remembers of an image; ``label`` and ``predicted`` index into its two sides."""

    place: Place
    labels: Side
    predictions: Side
    label: Int
    predicted: Int
    shared: Float
    """Pixels that the two share; without pairs that share less than a tenth of the smaller."""


def coverage_of(labelled: Labelled, settings: Settings) -> Coverage | None:
    """Return the coverage of an image; None if the predictions have another size than the labels."""
    found, instances = labelled.predicted, labelled.instances
    if found is None or found.size != instances.size:
        return None
    score = np.ones(len(found)) if found.scores is None else found.scores
    number = {name: k for k, name in enumerate(instances.classes)}
    label = np.array([number.get(name, -1) for name in found.classes], np.int64)[found.labels]
    crowds = _share(found.masks, instances.masks[instances.crowd])
    rows = np.flatnonzero((label >= 0) & (found.masks.area > 0) & (crowds < _CROWD))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    predictions = _predictions(found.masks[rows], rows, label[rows], score[rows], instances.masks)
    at = np.flatnonzero(~instances.crowd & (instances.masks.area > 0))
    own, yes = instances[at], np.ones(len(at), bool)
    area, seen = own.masks.area.astype(np.float64), _share(own.masks, found.masks)
    labels = Side(at, own.labels, area, crofton(own.masks), own.boxes, seen, np.ones(len(at)), yes, yes)
    pairs = intersections(own.masks, found.masks[rows]).tocoo()
    some = pairs.data >= _TRACE * np.minimum(labels.area[pairs.row], predictions.area[pairs.col])
    row, column = pairs.row[some].astype(np.int64), pairs.col[some].astype(np.int64)
    return Coverage(labelled.place(), labels, predictions, row, column, pairs.data[some].astype(np.float64))


def _predictions(masks: Masks, rows: Int, label: Int, score: Float, labels: Masks) -> Side:
    """Return the side of predictions, which are ordered by descending score."""
    area = masks.area.astype(np.float64)
    seen = _share(masks, labels)
    pairs = intersections(masks, masks).tocoo()
    smaller = np.minimum(area[pairs.row], area[pairs.col])
    beaten = (pairs.row < pairs.col) & (label[pairs.row] == label[pairs.col]) & (pairs.data > _SHARE * smaller)
    alone = np.ones(len(masks), bool)
    alone[pairs.col[beaten]] = False
    free = np.flatnonzero(seen < _FREE)
    apart = np.zeros(len(masks), bool)
    apart[free[nms(masks[free], score[free], iou=_SAME)]] = True
    return Side(rows, label, area, crofton(masks), masks.boxes, seen, score, alone, apart)


def _share(masks: Masks, others: Masks) -> Float:
    """Return the share of each mask's pixels that any of the others covers; 0 for an empty mask."""
    if not len(others):
        return np.zeros(len(masks))
    under = np.asarray(intersections(masks, others.union()).sum(axis=1), np.float64).reshape(-1)
    return under / np.maximum(masks.area, 1)


@dataclass(frozen=True, eq=False)
class Whole:
    """The coverage of all images in flat arrays; ``label`` and ``predicted`` index into the joined sides.

    Attributes
    ----------
    images : the images.
    label_image, predicted_image : int64, the image of each label and of each prediction.
    """

    images: Sequence[Coverage]
    labels: Side
    predictions: Side
    label_image: Int
    predicted_image: Int
    label: Int
    predicted: Int
    shared: Float

    @cached_property
    def iou(self) -> Float:
        """The mask IoU of each pair."""
        union = self.labels.area[self.label] + self.predictions.area[self.predicted] - self.shared
        return self.shared / union

    @cached_property
    def same(self) -> Bool:
        """Whether the label and the prediction of each pair have one class."""
        return np.asarray(self.labels.label[self.label] == self.predictions.label[self.predicted])

    def place(self, labels: Sequence[int], box: Float32 | None = None, image: int | None = None) -> Place:
        """Return the place of these labels, or of ``box`` on an image."""
        where = self.images[int(self.label_image[labels[0]]) if image is None else image].place
        if box is None:
            boxes = self.labels.box[list(labels)]
            box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        rows = tuple(self.labels.row[list(labels)].tolist())
        return Place(where.split, where.image, where.index, rows, tuple(float(v) for v in box))

    def rows(self, predicted: Sequence[int]) -> tuple[int, ...]:
        """Return the positions of predictions among those of their image."""
        return tuple(self.predictions.row[list(predicted)].tolist())


def join(images: Sequence[Coverage]) -> Whole:
    """Join all images into one."""
    labels, predictions = (_stack([getattr(c, name) for c in images]) for name in ("labels", "predictions"))
    counts = np.array([(len(c.labels), len(c.predictions)) for c in images])
    image, before = np.arange(len(images)), np.cumsum(counts, axis=0) - counts
    pairs = [(c.label + a, c.predicted + b, c.shared) for c, (a, b) in zip(images, before, strict=True)]
    label, predicted, shared = (np.concatenate(column) for column in zip(*pairs, strict=True))
    label_image, predicted_image = (np.repeat(image, n) for n in counts.T)
    return Whole(images, labels, predictions, label_image, predicted_image, label, predicted, shared)


def _stack(sides: Sequence[Side]) -> Side:
    columns = {name: np.concatenate([getattr(s, name) for s in sides]) for name in Side.__dataclass_fields__}
    return Side(**columns)
