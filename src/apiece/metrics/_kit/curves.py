"""Precision and recall over ranked predictions, by COCO's rule: 101 recall points, interpolated from the right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import sums

RECALL: Float = np.linspace(0.0, 1.0, 101)
"""The recall values at which precision is read: 0, 0.01, ... 1, bit for bit those of pycocotools."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision-recall curves of each class (objects of all sizes, largest ``max_dets``).

    Attributes
    ----------
    classes : K class names.
    iou : float64 (T,), IoU thresholds.
    recall : float64 (101,).
    precision : float64 (K, T, 101): best precision at this recall or a higher one; 0 where recall is not reached; -1
        for a class without truth.
    score : float64 (K, T, 101): score of the prediction that reaches the recall; NaN where none does.
    """

    classes: tuple[str, ...]
    iou: Float
    recall: Float
    precision: Float
    score: Float


@dataclass(frozen=True, eq=False)
class Ranking:
    """Predictions ordered by class and descending score.

    Attributes
    ----------
    label : int64 (P,), ascending class.
    score : float64 (P,), descending within a class.
    classes : number of classes.
    """

    label: Int
    score: Float
    classes: int

    def recall(self, right: Bool, positives: Int) -> Float:
        """Return the share of the truth that is found, per class: float64 (classes,); -1 where there is no truth."""
        found = np.bincount(self.label[right], minlength=self.classes)
        return np.where(positives > 0, found / np.maximum(positives, 1), -1.0)

    def precision(self, right: Bool, wrong: Bool, positives: Int) -> tuple[Float, Float]:
        """Return interpolated precision at each of the 101 recalls, and the score there: two float64 (classes, 101).

        A prediction that is neither ``right`` nor ``wrong`` is ignored; ``positives`` is the truth of each class.
        """
        hit = np.flatnonzero(right)
        label = self.label[hit]
        found = np.bincount(label, minlength=self.classes)
        first = np.cumsum(found) - found
        so_far = np.arange(len(hit)) - first[label] + 1.0
        mistakes = sums(wrong)
        begin = np.searchsorted(self.label, np.arange(self.classes))
        value = so_far / ((mistakes[hit] - mistakes[begin[label]]) + so_far + np.spacing(1))
        # best from here on; precision only rises at a hit, so looking at hits is enough
        for lo, n in zip(first.tolist(), found.tolist(), strict=True):
            if n > 1:
                value[lo : lo + n] = np.maximum.accumulate(value[lo : lo + n][::-1])[::-1]
        needed = hits_needed(positives)
        reached = (needed <= found[:, None]) & (positives > 0)[:, None]
        at = np.where(reached, first[:, None] + needed - 1, 0)
        # one entry more: there may be no hit at all
        precision = np.where(reached, np.append(value, 0.0)[at], np.where(positives > 0, 0.0, -1.0)[:, None])
        return precision, np.where(reached, np.append(self.score, np.nan)[np.append(hit, -1)[at]], np.nan)


def hits_needed(positives: Int) -> Int:
    """Return the fewest hits whose recall is not below each of the 101 recalls: int64 (classes, 101), at least 1."""
    total = np.maximum(positives, 1)[:, None]
    needed = np.ceil(RECALL * total).astype(np.int64)
    # rounding in the product can be off by one either way; the quotient decides, as in COCOeval
    needed -= (needed - 1) / total >= RECALL
    needed += needed / total < RECALL
    return np.maximum(needed, 1)
