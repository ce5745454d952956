"""Which score to cut at: the threshold of each class that serves best on validation data.

A threshold keeps predictions of a score of at least that much. What it keeps is judged at mask IoU 0.5 by COCO's rule,
over all images together: TP, FP and FN. Two goals:

- F1 = 2 TP / (2 TP + FP + FN), the highest.
- A `Price` for a miss (FN) and for a false alarm (FP): the lowest sum.

Predictions matched to a crowd count neither way. Equal scores stay together; of equally good thresholds the highest
wins. A threshold lies halfway between the last score kept and the next one below, so that it does not hang on a single
prediction. On few instances it would: a class of fewer than `FEWEST` takes the threshold of all classes together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import sums
from apiece.errors import ConfigError
from apiece.metrics._kit.match_ranked import Matches

FEWEST = 10
"""Instances of truth from which a class has a threshold of its own."""


@dataclass(frozen=True)
class Price:
    """What errors cost, in any unit; only their ratio decides.

    Attributes
    ----------
    miss : of an object that is not found.
    false_alarm : of a prediction where there is no such object.
    """

    miss: float
    false_alarm: float

    def __post_init__(self) -> None:
        for name, value in (("miss", self.miss), ("false_alarm", self.false_alarm)):
            if not 0 < value < np.inf:
                raise ConfigError(f"the price of a {name.replace('_', ' ')} must be above 0, got {value}")


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Fitted thresholds.

    Attributes
    ----------
    classes : K class names.
    values : float64 (K,).
    pooled : bool (K,), whether a class has too few instances and takes the threshold of all classes together.
    truths : int64 (K,), instances they were fitted on.
    notes : a sentence for each class that has none of its own.
    """

    classes: tuple[str, ...]
    values: Float
    pooled: Bool
    truths: Int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sweep:
    """What every threshold would give.

    Attributes
    ----------
    classes : K class names.
    threshold : float64 (T,), ascending.
    counts : int64 (K, T, 3), TP, FP, FN at IoU 0.5; for `precision`, `recall`, `f1` and `cost`.
    """

    classes: tuple[str, ...]
    threshold: Float
    counts: Int


def cost(counts: npt.NDArray[np.number], price: Price) -> Float:
    """Return misses and false alarms at their price, of counts with last axis (TP, FP, FN).

    >>> cost(np.array([3, 1, 2]), Price(miss=10, false_alarm=1)).tolist()
    21.0
    """
    wrong = counts.astype(np.float64)
    return wrong[..., 2] * price.miss + wrong[..., 1] * price.false_alarm


def sweep(matches: Matches, threshold: npt.ArrayLike | None = None) -> Sweep:
    """Return counts of each class at many thresholds, for a curve of them.

    Parameters
    ----------
    matches : from `Evaluation.matches`.
    threshold : (T,), ascending; default 0, 0.01, ... 1.
    """
    at = np.linspace(0.0, 1.0, 101) if threshold is None else np.asarray(threshold, np.float64)
    classes, steps = len(matches.classes), len(at) + 1
    kept_at = np.searchsorted(at, matches.score, "right")  # how many of the thresholds keep a prediction
    cell = matches.label * steps + kept_at
    tp, fp = (
        np.bincount(cell[chosen], minlength=classes * steps).reshape(classes, steps)[:, :0:-1].cumsum(1)[:, ::-1]
        for chosen in (matches.hits, matches.truth < 0)
    )
    return Sweep(matches.classes, at, np.stack([tp, fp, matches.truths.sum(0)[:, None] - tp], -1))


def fit_thresholds(
    matches: Matches, price: Price | None = None, *, fewest: int = FEWEST, default: float = 0.5
) -> Thresholds:
    """Fit the best threshold of each class.

    Parameters
    ----------
    matches : of the validation images, from `Evaluation.matches`. Predict with a low ``conf`` first: a score that was
        cut off before cannot be chosen.
    price : of errors, whose sum is to be low; None: F1 is to be high.
    fewest : instances of truth from which a class has a threshold of its own. For F1 it needs a right prediction, too.
    default : threshold where not even all classes together have that.
    """
    truths = matches.truths.sum(0, dtype=np.int64)
    rows = np.flatnonzero(~matches.ignored)
    rows = rows[np.lexsort((-matches.score[rows], matches.label[rows]))]
    label, score, right = matches.label[rows], matches.score[rows], matches.hits[rows]
    bounds = np.searchsorted(label, np.arange(len(truths) + 1))
    own = [
        _best(score[lo:hi], right[lo:hi], int(n), price) if n >= fewest else None
        for lo, hi, n in zip(bounds[:-1], bounds[1:], truths, strict=True)
    ]
    order = np.argsort(-score, kind="stable")
    together = _best(score[order], right[order], int(truths.sum()), price) if truths.sum() else None
    value = default if together is None else together
    whose = "the default" if together is None else "that of all classes together"
    notes = tuple(
        f"{name}: {_why(int(n), fewest)}; it gets {whose}, {value:.3f}"
        for name, n, found in zip(matches.classes, truths, own, strict=True)
        if found is None
    )
    pooled = np.array([found is None for found in own], bool)
    values = np.array([value if found is None else found for found in own], np.float64)
    return Thresholds(matches.classes, values, pooled, truths, notes)


def f1_thresholds(matches: Matches, default: float = 0.5) -> Float:
    """Return the thresholds of the highest F1, float64 (classes,); see `fit_thresholds`."""
    return fit_thresholds(matches, default=default).values


def _why(truths: int, fewest: int) -> str:
    """What a class lacks for a threshold of its own."""
    if truths >= fewest:
        return f"none of {truths} objects is found, so there is nothing to fit a threshold to"
    return f"{truths} object{' is' if truths == 1 else 's are'} too few to fit a threshold to ({fewest} are enough)"


def _best(score: Float, right: Bool, truths: int, price: Price | None) -> float | None:
    """The best threshold for predictions of descending score; None if nothing is right and F1 asks for something."""
    # how many to keep: a cut can only lie below the last of equal scores, or above all of them
    kept = np.concatenate([[0], 1 + np.flatnonzero(np.append(score[1:] < score[:-1], True))[: len(score)]])
    found = sums(right)[kept]
    if price is None:
        if not right.any():
            return None
        # TP + FP is what is kept, TP + FN the truth
        value = 2 * found / (kept + truths)
    else:
        value = -cost(np.stack([found, kept - found, truths - found], -1), price)
        if len(score) and score[0] >= 1:
            kept, value = kept[1:], value[1:]  # no threshold up to 1 leaves it out
    return _halfway(score, int(kept[np.argmax(value)]))


def _halfway(score: Float, kept: int) -> float:
    """Between the last score kept and the next; nothing kept: between the first and 1; all kept: the last itself."""
    if kept == len(score):
        return float(score[-1]) if kept else 1.0
    above, below = (1.0 if kept == 0 else float(score[kept - 1])), float(score[kept])
    middle = (above + below) / 2
    return middle if middle > below else above
