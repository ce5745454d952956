"""How much average precision each kind of error costs: what is gained by mending all of that kind, and nothing else.

- Class: the prediction that has the claim on its truth (see `_errors_kinds`) is right, in the truth's class; the others
  are taken away.
- Localisation: the same in its own class. Both, duplicate, background: taken away.
- Missed: the truth is taken away.
- Boundary, merge, split: wrong predictions are taken away, and a right one of the same score comes for each lost truth
  that mending finds; see `_errors_forms`.
- False positives, all of them: taken away. False negatives, all of them: the truth is taken away.

A class left without truth had all of it missed: it then counts 1 if it has no prediction either, else 0. (TIDE counts
0 in the one case and leaves the class out in the other.) No mending lowers average precision. Gains do not add up to
what is missing to 1: errors hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece.metrics._curves import Ranking
from apiece.metrics._errors_forms import BOUNDARY, FORMS, MERGE, SPLIT
from apiece.metrics._errors_kinds import CLASS, KINDS, LOCALISATION, NO_ERROR

__all__ = ["ALL_KINDS", "SPECIAL", "Ledger", "costs", "counts", "joined"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

ALL_KINDS = (*KINDS, *FORMS)
SPECIAL = ("false_positive", "false_negative")


@dataclass(frozen=True, eq=False)
class Ledger:
    """What is kept of the predictions and the truth of some images, at one IoU.

    Attributes
    ----------
    label : int32 (P,), class; predictions matched to a crowd are left out.
    score : float64 (P,).
    kind, form : int8 (P,), indices into `KINDS` and `FORMS`, or -1. A prediction of kind -1 is right.
    claim : int32 (P,), class of the truth that mending its error of class or localisation finds, -1 if none.
    gains : int32 (P,), truths that mending its form finds.
    positives, missed, lost, split : int64 (classes,), truth: all, missed, without a match, found in pieces.
    """

    label: npt.NDArray[np.int32]
    score: Float
    kind: npt.NDArray[np.int8]
    form: npt.NDArray[np.int8]
    claim: npt.NDArray[np.int32]
    gains: npt.NDArray[np.int32]
    positives: Int
    missed: Int
    lost: Int
    split: Int


def joined(parts: Sequence[Ledger], classes: int) -> Ledger:
    """Several ledgers as one, its predictions ordered by class and descending score."""
    types = (np.int32, np.float64, np.int8, np.int8, np.int32, np.int32)
    names = ("label", "score", "kind", "form", "claim", "gains")
    columns = {
        name: np.concatenate([np.zeros(0, dtype), *(getattr(p, name) for p in parts)])
        for name, dtype in zip(names, types, strict=True)
    }
    order = np.lexsort((-columns["score"], columns["label"]))
    totals = {
        name: np.sum([np.zeros(classes, np.int64), *(getattr(p, name) for p in parts)], axis=0)
        for name in ("positives", "missed", "lost", "split")
    }
    return Ledger(**{name: column[order] for name, column in columns.items()}, **totals)


def counts(ledger: Ledger) -> Int:
    """Errors by class and kind: int64 (classes, 9), in the order of `ALL_KINDS`.

    Errors of predictions count in the prediction's class, missed truth in its own. Merges are counted by prediction,
    splits by truth.
    """
    classes = len(ledger.positives)

    def by_class(rows: Bool) -> Int:
        return np.bincount(ledger.label[rows], minlength=classes)

    return np.stack(
        [
            *(by_class(ledger.kind == k) for k in range(len(KINDS) - 1)),
            ledger.missed,
            by_class(ledger.form == BOUNDARY),
            by_class(ledger.form == MERGE),
            ledger.split,
        ],
        1,
    )


def costs(ledger: Ledger) -> tuple[Float, Float, Float]:
    """Average precision, and what is gained by mending each kind, never below 0.

    Parameters
    ----------
    ledger : ordered by class and descending score, as `joined` gives it.

    Returns
    -------
    float64 (classes,), (classes, 9) in the order of `ALL_KINDS` and (classes, 2) in that of `SPECIAL`; NaN for a class
    without truth.
    """
    right = ledger.kind == NO_ERROR
    once = np.ones(len(right), np.int64)
    now = _precision(ledger, once, right, ledger.positives)
    mended = [_kind(ledger, k, right) for k in range(len(KINDS) - 1)]
    mended.append(_precision(ledger, once, right, ledger.positives - ledger.missed))
    mended += [_form(ledger, k, right) for k in (BOUNDARY, MERGE, SPLIT)]
    special = [
        _precision(ledger, right.astype(np.int64), right, ledger.positives),
        _precision(ledger, once, right, ledger.positives - ledger.lost),
    ]
    # what is left of rounding goes
    gained, special_gained = (np.maximum(np.stack(each, 1) - now[:, None], 0) for each in (mended, special))
    return now, gained, special_gained


def _kind(ledger: Ledger, kind: int, right: Bool) -> Float:
    chosen = ledger.kind == kind
    found = chosen & (ledger.claim >= 0) & ((kind == CLASS) | (kind == LOCALISATION))
    times = np.where(chosen & ~found, 0, 1)
    if kind != CLASS:
        return _precision(ledger, times, right | found, ledger.positives)
    row = np.flatnonzero(times)
    label = np.where(found, ledger.claim, ledger.label)[row]
    row = row[np.lexsort((-ledger.score[row], label))]
    label = np.where(found, ledger.claim, ledger.label)[row]
    return _average(label, ledger.score[row], (right | found)[row], ledger.positives, ledger.positives)


def _form(ledger: Ledger, form: int, right: Bool) -> Float:
    chosen = ledger.form == form
    times = np.where(chosen, ledger.gains + right, 1)
    return _precision(ledger, times, right | (chosen & (ledger.gains > 0)), ledger.positives)


def _precision(ledger: Ledger, times: Int, right: Bool, positives: Int) -> Float:
    """Average precision of each class where prediction i stands ``times[i]`` times."""
    row = np.repeat(np.arange(len(times)), times)
    return _average(ledger.label[row], ledger.score[row], right[row], positives, ledger.positives)


def _average(label: npt.NDArray[np.int32], score: Float, right: Bool, positives: Int, before: Int) -> Float:
    ranking = Ranking(label.astype(np.int64), score, len(positives))
    average = ranking.precision(right, ~right, positives)[0].mean(1)
    alone = np.bincount(label, minlength=len(positives)) == 0
    average = np.where(positives > 0, average, alone)
    return np.where(before > 0, average, np.nan)
