"""Confusion matrix of masks, with background: which class was taken for which, what was missed, what was made up.

It judges a final answer: predictions below ``Settings.conf`` are left out. Each truth and each prediction is counted
once, at IoU 0.5:

1. Truth and predictions of one class match by COCO's rule, as everywhere here: the diagonal.
2. What is left over matches whatever its class, by the same rule, best scores of the image first: off the diagonal.
3. Truth still without a match was taken for background, a prediction still without one was made of background.

So the diagonal is the number of true positives that all other metrics count. (Others match once, whatever the class:
then a worse mask of the wrong class can take an object from a better one of the right class.) Crowds are no truth: a
prediction in a crowd of its class that matched nothing else is left out.

Keys, pooled and per class: ``confusion_precision``, ``confusion_recall`` and ``confusion_f1`` at IoU 0.5;
``confusion_accuracy``, the share of found truth that has the right class. NaN means undefined. Predictions without
scores all count, in the order given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int, Int32
from apiece.errors import ConfigError
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import matched
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import CellMetric

__all__ = ["METRIC", "Confusion", "ConfusionMatrix", "confusion", "shares"]


_IOU = np.array([0.5])


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Instances by true and by predicted class.

    Attributes
    ----------
    classes : K class names.
    counts : int64 (K + 1, K + 1), rows truth, columns predictions; the last of each is background.
    """

    classes: tuple[str, ...]
    counts: Int


def shares(counts: npt.NDArray[np.integer], by: Literal["truth", "predicted"] = "truth") -> Float:
    """Return counts as shares of their row (``"truth"``) or of their column (``"predicted"``); NaN where that is empty.

    >>> shares(np.array([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [nan, nan]]
    >>> shares(np.array([[3, 1], [1, 0]]), by="predicted").tolist()
    [[0.75, 1.0], [0.25, 0.0]]
    """
    if by not in ("truth", "predicted"):
        raise ConfigError(f"shares are of the 'truth' or of the 'predicted', got {by!r}")
    return ratio(counts, counts.sum(1 if by == "truth" else 0, keepdims=True))


def confusion(batch: Batch, conf: Float) -> tuple[Int, Int]:
    """Return the class of each truth and prediction, and of what it matched: int64 (truth, 2) and (predictions, 2).

    The number of classes stands for background, -1 in both columns for crowds, predictions in crowds and predictions
    that do not count: those below ``conf``, float64 (classes,).

    >>> from apiece import Instances, Masks
    >>> mask = Masks.from_boxes([[0, 0, 4, 4]], (9, 9))
    >>> truth, found = (Instances(mask, [label], ("bolt", "nut")) for label in (0, 1))
    >>> [rows.tolist() for rows in confusion(Batch.of(0, [(truth, found)], truth.classes), np.zeros(2))]
    [[[0, 1]], [[1, 0]]]
    """
    truth, predicted = batch.truth, batch.predicted
    kept = predicted.counted(conf)
    pairs = batch.mask_pairs.where(kept[batch.mask_pairs.predicted])
    match = matched(pairs, truth.crowd, _IOU, len(kept))[0]
    free_p, free_t = kept & (match < 0), ~truth.crowd
    free_t[match[match >= 0]] = False
    rest = batch.image_pairs
    rest = rest.where(free_p[rest.predicted] & free_t[rest.truth])
    match = np.where(match >= 0, match, _match_any_class(batch, rest))
    taken_by = np.full(len(truth), -1, np.int64)
    taken_by[match[match >= 0]] = np.flatnonzero(match >= 0)
    # -1, no match, reads the last one: background
    label_t, label_p = (np.append(side.label, len(batch.classes)) for side in (truth, predicted))
    rows_t = np.stack([truth.label, label_p[taken_by]], 1)
    rows_p = np.stack([predicted.label, label_t[match]], 1)
    rows_t[truth.crowd] = -1
    rows_p[~kept | np.append(truth.crowd, False)[match]] = -1
    return rows_t, rows_p


def _match_any_class(batch: Batch, pairs: Pairs) -> Int:
    """Row of the truth that each prediction matches, best scores of an image first: int64 (predictions,), or -1."""
    predicted = batch.predicted
    order = np.lexsort((np.nan_to_num(-predicted.score), predicted.image))
    place = np.argsort(order)
    ranked = Pairs(place[pairs.predicted], pairs.truth, pairs.iou)
    return matched(ranked, np.zeros(len(batch.truth), bool), _IOU, len(order))[0][place]


class Confusion(CellMetric):
    """The confusion matrix over a stream of batches; four numbers are kept per image and class, to be resampled.

    Extra ``"confusion"``: `ConfusionMatrix`.
    """

    crosses_classes: ClassVar[bool] = True
    columns = 4

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        super().reset()
        side = len(self.classes) + 1
        self._counts = np.zeros((side, side), np.int64)

    def _count(self, batch: Batch) -> Float:
        classes, side = len(self.classes), len(self.classes) + 1
        rows_t, rows_p = confusion(batch, self.conf)
        counted_t, counted_p = rows_t[:, 0] >= 0, rows_p[:, 0] >= 0
        cell = rows_t[counted_t] @ (side, 1)
        made_up = classes * side + rows_p[rows_p[:, 1] == classes, 0]
        self._counts += np.bincount(np.append(cell, made_up), minlength=side * side).reshape(side, side)
        found = counted_t & (rows_t[:, 1] < classes)
        right = found & (rows_t[:, 0] == rows_t[:, 1])
        group = batch.truth.group
        return batch.by_cell(group[right], group[counted_t], batch.predicted.group[counted_p], group[found])

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        return _numbers(sums.sum(1)), _numbers(sums)

    def _extras(self) -> dict[str, ConfusionMatrix]:
        return {"confusion": ConfusionMatrix(self.classes, self._counts.copy())}


METRIC = Confusion


def _numbers(sums: Float) -> dict[str, Float]:
    """From sums with last axis (right, truth, predicted, truth found under any class)."""
    right, truth, predicted, found = np.moveaxis(sums, -1, 0)
    return {
        "confusion_precision": ratio(right, predicted),
        "confusion_recall": ratio(right, truth),
        "confusion_f1": ratio(2 * right, truth + predicted),
        "confusion_accuracy": ratio(right, found),
    }
