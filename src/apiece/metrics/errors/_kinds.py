"""Which kind of error each wrong prediction is, and which truth is missed: TIDE's six kinds, on masks.

With f the IoU from which a prediction can be right (0.5) and b = 0.1, of a prediction that matched nothing the first of
these that holds (IoU with truth that is no crowd, found or not):

1. *localisation*: best IoU with truth of its class in [b, f).
2. *class*: best IoU with truth of another class of at least f.
3. *duplicate*: best IoU with truth of its class of at least f; a better prediction has it.
4. *background*: best IoU with any truth of at most b.
5. *both*: what is left: best IoU with truth of another class in (b, f), with its own below b.

And of the truth that no prediction matched:

6. *missed*: no error of class or of localisation points at it.

The order is that of the authors' code. Where we differ from it: an IoU of exactly f with truth of its class is a
duplicate, as in the paper, not a localisation error; a prediction inside a crowd of its class is no error; matching is
COCO's to the letter (a crowd by IoU of at least f, of equal IoU the later truth).

Reference: Bolya et al., TIDE, ECCV 2020, arXiv 2008.08115.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import matched
from apiece.metrics._kit.overlaps import Pairs

KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")
"""In the order of the paper; the last is a kind of truth, the others are kinds of predictions."""
CLASS, LOCALISATION, BOTH, DUPLICATE, EMPTY = range(5)
NO_ERROR = -1
BACKGROUND = 0.1
"""IoU up to which a prediction lies on background."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The truth that each prediction overlaps most, crowds left out.

    Attributes
    ----------
    own, other : int64 (P,), row of truth of the prediction's class and of another one, -1 if there is none.
    own_iou, other_iou : float64 (P,), 0 if there is none.
    """

    own: Int
    own_iou: Float
    other: Int
    other_iou: Float

    @classmethod
    def of(cls, batch: Batch) -> Nearest:
        """Return what each prediction of a batch overlaps most."""
        pairs, count = batch.image_pairs, len(batch.predicted)
        single = ~batch.truth.crowd[pairs.truth]
        same = batch.predicted.label[pairs.predicted] == batch.truth.label[pairs.truth]
        own, other = (best_pair(pairs, pairs.iou, single & chosen, count) for chosen in (same, ~same))
        truth, iou = np.append(pairs.truth, -1), np.append(pairs.iou, 0.0)
        return cls(truth[own], iou[own], truth[other], iou[other])


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the predictions and the truth of a batch are at one IoU.

    Attributes
    ----------
    match : int64 (P,), row of the truth each prediction matched, a crowd too; -1 if none.
    right, ignored : bool (P,), matched to truth, matched to a crowd.
    kind : int8 (P,), index into `KINDS` or `NO_ERROR`.
    about : int64 (P,), row of the truth that an error is about; -1 for background and where there is no error.
    gains : bool (P,), whether mending this error of class or localisation finds a truth. Of several that point at one
        truth it is the best score's, of equal scores the first.
    lost : bool (T,), truth without a match, no crowd.
    missed : bool (T,), lost, and no error points at it.
    """

    match: Int
    right: Bool
    ignored: Bool
    kind: npt.NDArray[np.int8]
    about: Int
    gains: Bool
    lost: Bool
    missed: Bool


def best_pair(pairs: Pairs, value: npt.NDArray[np.number], chosen: Bool, count: int) -> Int:
    """Return each prediction's chosen pair of highest value, of equal ones the first; -1 if it has none.

    >>> pairs = Pairs(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 1]), np.array([0.2, 0.4, 0.3, 0.3]))
    >>> best_pair(pairs, pairs.iou, np.ones(4, bool), 3).tolist()
    [1, -1, 2]
    """
    best = np.full(count, -1, np.int64)
    at = np.flatnonzero(chosen)
    order = at[np.lexsort((-at, value[at]))]
    # where an index occurs twice the last value stays: the highest, of equal ones the first
    best[pairs.predicted[order]] = order
    return best


def claims(predicted: Int, truth: Int, score: Float, truths: int) -> Bool:
    """Return which of several wishes for a truth comes true: the best score's, of equal scores the first row's.

    ``predicted`` and ``truth`` are the rows of each wish, int64 (W,); ``score`` is that of each prediction.

    >>> claims(np.array([0, 1, 2]), np.array([5, 5, 6]), np.array([0.3, 0.9, 0.1]), 7).tolist()
    [False, True, True]
    """
    order = np.lexsort((-predicted, score[predicted]))
    holder = np.full(truths, -1, np.int64)
    holder[truth[order]] = order
    won = np.zeros(len(predicted), bool)
    won[holder[holder >= 0]] = True
    return won


def verdicts(batch: Batch, nearest: Nearest, kept: Bool, levels: tuple[float, ...]) -> list[Verdicts]:
    """Judge the predictions that are ``kept``, of an image and class the best scores, at each of several IoU."""
    matches = matched(batch.mask_pairs, batch.truth.crowd, np.array(levels), len(batch.predicted))
    return [
        _at(batch, nearest, kept, np.where(kept, match, -1), level)
        for match, level in zip(matches, levels, strict=True)
    ]


def _at(batch: Batch, nearest: Nearest, kept: Bool, match: Int, level: float) -> Verdicts:
    crowd = batch.truth.crowd
    ignored = (match >= 0) & np.append(crowd, False)[match]
    right = (match >= 0) & ~ignored
    found = np.zeros(len(crowd), bool)
    found[match[right]] = True
    lost = ~found & ~crowd
    conditions = [
        right | ignored | ~kept,
        (nearest.own_iou >= BACKGROUND) & (nearest.own_iou < level),
        nearest.other_iou >= level,
        nearest.own_iou >= level,
        np.maximum(nearest.own_iou, nearest.other_iou) <= BACKGROUND,
    ]
    kind = np.select(conditions, [NO_ERROR, LOCALISATION, CLASS, DUPLICATE, EMPTY], BOTH).astype(np.int8)
    about = np.select(
        [(kind == LOCALISATION) | (kind == DUPLICATE), (kind == CLASS) | (kind == BOTH)],
        [nearest.own, nearest.other],
        -1,
    )
    points = np.flatnonzero((kind == LOCALISATION) | (kind == CLASS))
    points = points[lost[about[points]]]
    gains = np.zeros(len(kind), bool)
    gains[points[claims(points, about[points], batch.predicted.score, len(crowd))]] = True
    missed = lost.copy()
    missed[about[points]] = False
    return Verdicts(match, right, ignored, kind, about, gains, lost, missed)
