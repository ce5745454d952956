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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.curves import Ranking
from apiece.metrics.errors._forms import BOUNDARY, FORMS, MERGE, SPLIT
from apiece.metrics.errors._kinds import CLASS, KINDS, LOCALISATION, NO_ERROR

ALL_KINDS = (*KINDS, *FORMS)
SPECIAL = ("false_positive", "false_negative")
_OF_PREDICTIONS = ("label", "image", "score", "kind", "form", "claim", "gains")


@dataclass(frozen=True, eq=False)
class Ledger:
    """What is kept of the predictions and the truth of some images, at one IoU.

    Attributes
    ----------
    label : int32 (P,), class; predictions matched to a crowd are left out.
    image : int32 (P,), its image among all that are evaluated.
    score : float64 (P,).
    kind, form : int8 (P,), indices into `KINDS` and `FORMS`, or -1. A prediction of kind -1 is right.
    claim : int32 (P,), class of the truth that mending its error of class or localisation finds, -1 if none.
    gains : int32 (P,), truths that mending its form finds.
    truth_label, truth_image : int32 (T,), class and image of each truth that is no crowd.
    missed, lost, split : bool (T,), whether it is missed, without a match, found in pieces.
    """

    label: Int32
    image: Int32
    score: Float
    kind: npt.NDArray[np.int8]
    form: npt.NDArray[np.int8]
    claim: Int32
    gains: Int32
    truth_label: Int32
    truth_image: Int32
    missed: Bool
    lost: Bool
    split: Bool


def ordered(parts: Sequence[Ledger]) -> Ledger:
    """Return several ledgers as one, its predictions ordered by class and descending score."""
    whole = joined(parts)
    order = np.lexsort((-whole.score, whole.label))
    return replace(whole, **{name: getattr(whole, name)[order] for name in _OF_PREDICTIONS})


def counts(ledger: Ledger, predicted: Int32, truth: Int32, groups: int) -> Int:
    """Return errors by group and kind: int64 (groups, 9), in the order of `ALL_KINDS`.

    ``predicted`` and ``truth`` are the group of each prediction and of each truth: their classes, or their images.
    """
    chosen = [
        *(predicted[ledger.kind == k] for k in range(len(KINDS) - 1)),
        truth[ledger.missed],
        predicted[ledger.form == BOUNDARY],
        predicted[ledger.form == MERGE],
        truth[ledger.split],
    ]
    return np.stack([np.bincount(group, minlength=groups) for group in chosen], 1)


class Mended(NamedTuple):
    """The ranking and the truth once all errors of one kind are mended.

    Attributes
    ----------
    row : int64 (M,), which prediction of the ledger each is, ordered by class and descending score.
    label : int32 (M,), class, ascending.
    right : bool (M,).
    wanted : bool (T,), truth that counts.
    """

    row: Int
    label: Int32
    right: Bool
    wanted: Bool


def mended(ledger: Ledger) -> Iterator[Mended]:
    """Yield an `ordered` ledger as it is, then with each of `ALL_KINDS` mended, then with each of `SPECIAL`."""
    right = ledger.kind == NO_ERROR
    once, every = np.ones(len(right), np.int64), np.ones(len(ledger.lost), bool)
    yield _repeated(ledger, once, right, every)
    for kind in range(len(KINDS) - 1):
        found = (ledger.kind == kind) & (ledger.claim >= 0) & (kind in (CLASS, LOCALISATION))
        row, label = np.flatnonzero((ledger.kind != kind) | found), ledger.label
        if kind == CLASS:
            label = np.where(found, ledger.claim, label)
            row = row[np.lexsort((-ledger.score[row], label[row]))]
        yield Mended(row, label[row], (right | found)[row], every)
    yield _repeated(ledger, once, right, ~ledger.missed)
    for form in (BOUNDARY, MERGE, SPLIT):
        chosen = ledger.form == form
        times = np.where(chosen, ledger.gains + right, 1)
        yield _repeated(ledger, times, right | (chosen & (ledger.gains > 0)), every)
    yield _repeated(ledger, right.astype(np.int64), right, every)
    yield _repeated(ledger, once, right, ~ledger.lost)


def _repeated(ledger: Ledger, times: Int, right: Bool, wanted: Bool) -> Mended:
    """Prediction i stands ``times[i]`` times."""
    row = np.repeat(np.arange(len(times)), times)
    return Mended(row, ledger.label[row], right[row], wanted)


def costs(ledger: Ledger, classes: int) -> tuple[Float, Float, Float]:
    """Return AP (classes,), and what mending each kind gains, never below 0: (classes, 9) and (classes, 2).

    In the order of `ALL_KINDS` and `SPECIAL`; NaN for a class without truth. The ledger is `ordered`.
    """
    before = np.bincount(ledger.truth_label, minlength=classes)

    def average(m: Mended) -> Float:
        ranking = Ranking(m.label.astype(np.int64), ledger.score[m.row], classes)
        positives = np.bincount(ledger.truth_label[m.wanted], minlength=classes)
        precision = ranking.precision(m.right, ~m.right, positives)[0].mean(1)
        without = np.bincount(m.label, minlength=classes) == 0
        return np.where(before > 0, np.where(positives > 0, precision, without), np.nan)

    now, *then = (average(m) for m in mended(ledger))
    # what is left of rounding goes
    gained = np.maximum(np.stack(then) - now, 0)
    return now, gained[: len(ALL_KINDS)].T, gained[len(ALL_KINDS) :].T
