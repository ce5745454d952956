"""How the labels and the predictions of an image relate, kept small: sizes, overlaps, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.check.contract import JoinedRows, Labelled, Place, Rows, Settings
from apiece.core.classes import places, without_classes
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
class Coverage:
    """What the check remembers of an image; ``label`` and ``predicted`` index into its labels and predictions.

    ``classes`` are those of the labels; the one class ``object`` where the model knows no classes.

    The columns of both: ``label`` (class of the labels), ``area`` and ``perimeter`` in pixels, ``seen`` (share of the
    pixels that the other side covers: any prediction, or any label and crowd). Predictions also have ``score``;
    ``alone``, whether no better one of their class shares half of the smaller; and ``apart``, whether they lie off the
    labels and are the best there.
    """

    labels: Rows
    predictions: Rows
    label: Int
    predicted: Int
    shared: Float
    """Pixels that the two share; without pairs that share less than a tenth of the smaller."""
    classes: tuple[str, ...]


def coverage_of(labelled: Labelled, settings: Settings) -> Coverage | None:
    """Return the coverage of an image; None if the predictions have another size than the labels."""
    found, instances = labelled.predicted, labelled.instances
    if found is None or found.size != instances.size:
        return None
    if without_classes(found.classes, instances.classes):
        instances = instances.replace(labels=np.zeros(len(instances), np.int64), classes=found.classes)
        labelled = replace(labelled, instances=instances)
    score = np.ones(len(found)) if found.scores is None else found.scores
    label = places(found.classes, instances.classes)[found.labels]
    crowds = _share(found.masks, instances.masks[instances.crowd])
    rows = np.flatnonzero((label >= 0) & (found.masks.area > 0) & (crowds < _CROWD))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    theirs, at = found.masks[rows], np.flatnonzero(~instances.crowd & (instances.masks.area > 0))
    own = instances.masks[at]
    columns = _predicted(theirs, label[rows], score[rows], instances.masks)
    predictions = Rows(labelled.place(), rows.astype(np.int32), theirs.boxes, columns)
    labels = labelled.rows(at, **_sizes(own, found.masks))
    pairs = intersections(own, theirs).tocoo()
    some = pairs.data >= _TRACE * np.minimum(own.area[pairs.row], theirs.area[pairs.col])
    row, column = pairs.row[some].astype(np.int64), pairs.col[some].astype(np.int64)
    return Coverage(labels, predictions, row, column, pairs.data[some].astype(np.float64), instances.classes)


def _sizes(masks: Masks, others: Masks) -> dict[str, Array]:
    return {"area": masks.area.astype(np.float64), "perimeter": crofton(masks), "seen": _share(masks, others)}


def _predicted(masks: Masks, label: Int, score: Float, labels: Masks) -> dict[str, Array]:
    """Return the columns of predictions, which are ordered by descending score."""
    columns = _sizes(masks, labels)
    pairs = intersections(masks, masks).tocoo()
    smaller = np.minimum(masks.area[pairs.row], masks.area[pairs.col])
    beaten = (pairs.row < pairs.col) & (label[pairs.row] == label[pairs.col]) & (pairs.data > _SHARE * smaller)
    alone = np.ones(len(masks), bool)
    alone[pairs.col[beaten]] = False
    free = np.flatnonzero(columns["seen"] < _FREE)
    apart = np.zeros(len(masks), bool)
    apart[free[nms(masks[free], score[free], iou=_SAME)]] = True
    return {"label": label, "score": score, "alone": alone, "apart": apart, **columns}


def _share(masks: Masks, others: Masks) -> Float:
    """Return the share of each mask's pixels that any of the others covers; 0 for an empty mask."""
    if not len(others):
        return np.zeros(len(masks))
    under = np.asarray(intersections(masks, others.union()).sum(axis=1), np.float64).reshape(-1)
    return under / np.maximum(masks.area, 1)


@dataclass(frozen=True, eq=False)
class Whole:
    """The coverage of all images in flat arrays; ``label`` and ``predicted`` index into the joined rows."""

    labels: JoinedRows
    predictions: JoinedRows
    label: Int
    predicted: Int
    shared: Float

    @cached_property
    def iou(self) -> Float:
        """The mask IoU of each pair."""
        union = self.labels["area"][self.label] + self.predictions["area"][self.predicted] - self.shared
        return self.shared / union

    @cached_property
    def same(self) -> Bool:
        """Whether the label and the prediction of each pair have one class."""
        return np.asarray(self.labels["label"][self.label] == self.predictions["label"][self.predicted])

    def place(self, labels: Sequence[int]) -> Place:
        """Return the place of these labels of one image, with the box around them all."""
        places = [self.labels.place(i) for i in labels]
        boxes = np.array([place.box for place in places])
        box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        return replace(places[0], instances=tuple(p.instances[0] for p in places), box=tuple(box.tolist()))

    def rows(self, predicted: Sequence[int]) -> tuple[int, ...]:
        """Return the positions of predictions among those of their image."""
        return tuple(self.predictions.place(p).instances[0] for p in predicted)


def join(images: Sequence[Coverage]) -> Whole:
    """Join all images into one."""
    counts = np.array([(len(c.labels.at), len(c.predictions.at)) for c in images])
    before = np.cumsum(counts, axis=0) - counts
    pairs = [(c.label + a, c.predicted + b, c.shared) for c, (a, b) in zip(images, before, strict=True)]
    label, predicted, shared = (np.concatenate(column) for column in zip(*pairs, strict=True))
    labels, predictions = JoinedRows([c.labels for c in images]), JoinedRows([c.predictions for c in images])
    return Whole(labels, predictions, label, predicted, shared)
