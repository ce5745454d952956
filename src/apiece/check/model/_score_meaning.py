"""What scores mean beside these labels: how often a score is right, and which classes a model mixes up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from apiece._arrays import Bool, Float, Int
from apiece.check.model._coverage import Whole

MATCH = 0.5  # IoU from which a prediction and a label are of the same object
ENOUGH = 20  # predictions that agree, or pairs of outlines, from which a class or a set is judged by itself


@dataclass(frozen=True, eq=False)
class Trust:
    """How far to trust the predictions.

    Attributes
    ----------
    chance : float64 (predictions,), how often predictions of this score and class are right.
    confident : bool (predictions,).
    named : float64 (predictions,), how often the label under a prediction of this score and class has its class.
    mixed : float64 (classes, classes), the share of each class (rows) among the labels under confident predictions of
        another class (columns).
    """

    chance: Float
    confident: Bool
    named: Float
    mixed: Float


def trust_of(whole: Whole, classes: int) -> Trust:
    """Judge the predictions of a whole set by the labels, most of which are right."""
    found = whole.predictions
    good = np.flatnonzero(whole.same & (whole.iou >= MATCH))
    # the prediction of the best score is right; the others of its class on the same label are neither right nor wrong
    good = good[np.lexsort((-whole.iou[good], -found["score"][whole.predicted[good]], whole.label[good]))]
    first = good[np.append(True, np.diff(whole.label[good]) != 0)[: len(good)]]
    right, counted = np.zeros(len(found), bool), np.ones(len(found), bool)
    counted[whole.predicted[good]] = False
    right[whole.predicted[first]] = counted[whole.predicted[first]] = True
    lowest, chance = np.zeros(len(found)), np.zeros(len(found))
    for k, own in _own_or_all(found["label"], right, classes):
        rows = np.flatnonzero(own & counted)
        rows = rows[np.argsort(found["score"][rows], kind="stable")]
        if len(rows):
            level, start, curve = _curve(found["score"][rows], right[rows])
            chance[own] = np.interp(found["score"][own], level, curve)
            labels = len(whole.labels) if k is None else int((whole.labels["label"] == k).sum())
            lowest[own] = level[_best_f1(right[rows], start, labels)]
    confident = found["score"] >= lowest
    return Trust(chance, confident, *_named(whole, confident, classes))


def _own_or_all(label: Int, right: Bool, classes: int) -> Iterator[tuple[int | None, Bool]]:
    """Yield all predictions, then those of each class with enough right ones to be judged by itself."""
    yield None, np.ones(len(label), bool)
    for k in range(classes):
        if (right & (label == k)).sum() >= ENOUGH:
            yield k, label == k


def _curve(score: Float, right: Bool) -> tuple[Float, Int, Float]:
    """Return (the scores that occur, where each begins, how often it is right, never falling as scores rise).

    ``score`` is ascending.
    """
    level, start = np.unique(score, return_index=True)
    # predictions of equal score have one chance; a wrong one, added at the very top, keeps it from certainty
    weights = np.diff(np.append(start, len(score))).astype(np.float64)
    weights[-1] += 1
    mean = np.add.reduceat(right.astype(np.float64), start) / weights
    return level, start, isotonic_regression(mean, weights=weights).x


def _named(whole: Whole, confident: Bool, classes: int) -> tuple[Float, Float]:
    """Return how well predictions tell the class of the label under them: `Trust.named` and `Trust.mixed`."""
    found = whole.predictions
    good = np.flatnonzero(whole.iou >= MATCH)
    pairs = best_of_each(whole.predicted[good], whole.iou[good], good)
    p, right = whole.predicted[pairs], whole.same[pairs]
    order = np.argsort(found["score"][p], kind="stable")
    p, right, pairs = p[order], right[order], pairs[order]
    named = np.zeros(len(found))
    for k, own in _own_or_all(found["label"][p], right, classes):
        if own.any():
            level, _, curve = _curve(found["score"][p[own]], right[own])
            rows = slice(None) if k is None else found["label"] == k
            named[rows] = np.interp(found["score"][rows], level, curve)
    # one case of each kind is added, so that nothing is impossible because it never happened
    mixed = np.ones((classes, classes)) - np.eye(classes)
    wrong = ~right & confident[p]
    np.add.at(mixed, (whole.labels["label"][whole.label[pairs[wrong]]], found["label"][p[wrong]]), 1)
    return named, mixed / np.maximum(mixed.sum(0), 1)


def _best_f1(right: Bool, start: Int, labels: int) -> int:
    """Return the level of score with the best F1; ``right`` by ascending score, ``start`` where each level begins."""
    hits = np.cumsum(right[::-1])[::-1][start]
    taken = len(right) - start
    return int(np.argmax(2 * hits / (taken + labels)))


def best_of_each(owner: Int, value: Float, rows: Int) -> Int:
    """Return the row of highest value of each owner."""
    order = np.lexsort((-value, owner))
    return rows[order[np.append(True, np.diff(owner[order]) != 0)[: len(order)]]]
