"""Labels beside predictions: what each of them is, found, missed, false ..., and which predictions are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool
from apiece.core import classes as class_lists
from apiece.core.instances import Instances
from apiece.metrics import marks
from apiece.ops.overlap import intersections

__all__ = ["Comparison", "comparable", "compared", "in_classes", "in_classes_of"]


@dataclass(frozen=True)
class Comparison:
    """What labels and predictions are beside each other, as `apiece.metrics.marks` names it.

    Attributes
    ----------
    labels : a mark of each label.
    predictions : a mark of each prediction, empty below the score.
    right : whether each prediction is right, were none below it left out: it holds at any score.
    """

    labels: list[str]
    predictions: list[str]
    right: Bool


def comparable(found: tuple[str, ...], classes: tuple[str, ...]) -> bool:
    """Return whether a model's classes can be taken for those of labels.

    A model of one class that is none of theirs finds objects whatever they are: the one class of labels, then.
    """
    return bool(set(found) & set(classes)) or len(found) == len(classes) == 1


def in_classes(found: Instances, classes: tuple[str, ...]) -> Instances:
    """Return predictions with the classes of labels, without predictions of other classes."""
    if len(found.classes) == len(classes) == 1:
        return found.replace(classes=classes)
    return class_lists.in_classes(found, classes)


def in_classes_of(found: Instances, labels: Instances) -> Instances:
    """Return predictions of a model that knows no classes, each with the class of the label that it covers most of.

    A prediction that covers no label takes the class of most labels of the image.
    """
    own = int(np.bincount(labels.labels, minlength=1).argmax())
    shared = intersections(found.masks, labels.masks).tocoo()
    order = np.argsort(shared.data, kind="stable")  # the largest share is written last
    named = np.full(len(found), own, np.int64)
    named[shared.row[order]] = labels.labels[shared.col[order]]
    return found.replace(labels=named, classes=labels.classes)


def compared(labels: Instances, found: Instances, score: float) -> Comparison:
    """Compare labels with the predictions that have at least a score.

    Where labels and model have no class in common, classes do not count.
    """
    if set(labels.classes) & set(found.classes):
        everywhere = tuple(dict.fromkeys([*labels.classes, *found.classes]))
        labels, found = (class_lists.in_classes(one, everywhere) for one in (labels, found))
    else:
        labels, found = (
            one.replace(labels=np.zeros(len(one), np.int64), classes=("object",)) for one in (labels, found)
        )
    scores = np.ones(len(found)) if found.scores is None else found.scores
    kept = np.flatnonzero(scores >= score)
    of_labels, of_found = marks(labels, found[kept])
    told = [""] * len(found)
    for row, mark in zip(kept.tolist(), of_found, strict=True):
        told[row] = mark
    right = np.array([mark == "found" for mark in marks(labels, found)[1]], bool)
    return Comparison(of_labels, told, right)
