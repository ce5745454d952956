"""What is wrong with the form of a mask: merged objects, a split object, an inexact outline.

A second reading of the errors that `_errors_kinds` names, of predictions and truth of one class; at most one each, in
this order:

1. *merge*: the prediction covers more than half of each of two or more truths, and is wrong or the only one to cover
   one of them (no other prediction matched it). Cut up, it finds every lost truth that it covers.
2. *split*: a wrong prediction, no duplicate, with more than half of its pixels in a truth that something else holds:
   the prediction that matched this truth, or else the best-scored such piece in it; holder and piece share at most
   half of the piece's pixels. Joined with its pieces, the holder finds the truth.
3. *boundary*: a localisation error whose outline lies near the truth's: the pixels in one mask but not in the other,
   divided by the mean length of the two outlines, come to at most `GAP` pixels. That is the mean distance between the
   outlines, up to the length of slanted ones, which is counted along pixel edges. Redrawn, it finds the truth.

TIDE has no such kinds. One prediction may be a localisation error (or background, if it spans many objects) there and a
merge here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Int
from apiece.core.run_overlap import shared
from apiece.core.runs import Runs
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics.errors._kinds import (
    BACKGROUND,
    DUPLICATE,
    LOCALISATION,
    NO_ERROR,
    Nearest,
    Verdicts,
    best_pair,
    claims,
)

FORMS = ("boundary", "merge", "split")
BOUNDARY, MERGE, SPLIT = range(3)
NO_FORM = -1
GAP = 2.0
"""Mean distance in pixels between two outlines up to which only the boundary is wrong: what two people drawing the same
object may differ by."""


@dataclass(frozen=True, eq=False)
class Near:
    """The overlaps of one class, crowds left out, with the pixels they share.

    Attributes
    ----------
    pairs : the overlaps.
    shared : int64 (pairs,), pixels.
    covers : bool (pairs,), the prediction has more than half of the truth.
    inside : bool (pairs,), more than half of the prediction is in the truth.
    close : bool (P,), the prediction's outline lies near that of the truth of its class that it overlaps most.
    """

    pairs: Pairs
    shared: Int
    covers: Bool
    inside: Bool
    close: Bool

    @classmethod
    def of(cls, batch: Batch, nearest: Nearest, kept: Bool, highest: float) -> Near:
        """Return the overlaps of the predictions that are ``kept``.

        From an IoU of ``highest`` on no outline matters: the prediction is right, or a duplicate.
        """
        pairs = batch.mask_pairs
        pairs = pairs.where(~batch.truth.crowd[pairs.truth] & kept[pairs.predicted])
        shared = batch.shared(pairs)
        covers = 2 * shared > batch.truth.pixels[pairs.truth]
        inside = 2 * shared > batch.predicted.pixels[pairs.predicted]
        close = np.zeros(len(kept), bool)
        row = np.flatnonzero(kept & (nearest.own_iou >= BACKGROUND) & (nearest.own_iou < highest))
        about = nearest.own[row]
        both = batch.predicted.pixels[row] + batch.truth.pixels[about]
        # shared pixels, from IoU = shared / (both - shared)
        apart = both - 2 * np.rint(nearest.own_iou[row] * both / (1 + nearest.own_iou[row]))
        outlines = _outlines(batch.predicted, row) + _outlines(batch.truth, about)
        close[row] = 2 * apart <= GAP * outlines
        return cls(pairs, shared, covers, inside, close)


@dataclass(frozen=True, eq=False)
class Forms:
    """Errors of form of a batch at one IoU.

    Attributes
    ----------
    form : int8 (P,), index into `FORMS` or `NO_FORM`. A right prediction can be a merge, and hold a split truth.
    gains : int64 (P,), how many lost truths mending it finds.
    split : bool (T,), truth found in pieces.
    """

    form: npt.NDArray[np.int8]
    gains: Int
    split: Bool


def forms(batch: Batch, near: Near, found: Verdicts) -> Forms:
    """Return the form of every error of a batch, from the verdicts at one IoU."""
    form = np.full(len(batch.predicted), NO_FORM, np.int8)
    gains = np.zeros(len(form), np.int64)
    _merges(batch, near, found, form, gains)
    split = _splits(batch, near, found, form, gains)
    _boundaries(batch, near, found, form, gains)
    return Forms(form, gains, split)


def _merges(batch: Batch, near: Near, found: Verdicts, form: npt.NDArray[np.int8], gains: Int) -> None:
    predicted, truth = near.pairs.predicted, near.pairs.truth
    many = np.bincount(predicted[near.covers], minlength=len(form)) > 1
    many &= ~found.ignored
    victim = np.flatnonzero(near.covers & many[predicted] & found.lost[truth])
    form[many & (found.kind != NO_ERROR)] = MERGE
    form[predicted[victim]] = MERGE
    won = victim[claims(predicted[victim], truth[victim], batch.predicted.score, len(found.lost))]
    gains += np.bincount(predicted[won], minlength=len(form))


def _splits(batch: Batch, near: Near, found: Verdicts, form: npt.NDArray[np.int8], gains: Int) -> Bool:
    predicted, truth = near.pairs.predicted, near.pairs.truth
    wrong = (found.kind != NO_ERROR) & (found.kind != DUPLICATE) & (form == NO_FORM)
    home = best_pair(near.pairs, near.shared, near.inside & wrong[predicted], len(form))
    piece = np.flatnonzero(home >= 0)
    whole = truth[home[piece]]
    holder = np.full(len(found.lost), -1, np.int64)
    first = claims(piece, whole, batch.predicted.score, len(holder))
    holder[whole[first]] = piece[first]
    holder[found.match[found.right]] = np.flatnonzero(found.right)
    rest = holder[whole] != piece
    piece, whole = piece[rest], whole[rest]
    mask, runs = batch.predicted.mask, batch.predicted.runs
    both = shared(runs, mask[piece], runs, mask[holder[whole]])
    apart = 2 * both <= batch.predicted.pixels[piece]
    form[piece[apart]] = SPLIT
    split = np.zeros(len(holder), bool)
    split[whole[apart]] = True
    joined = holder[split & found.lost]
    form[joined] = SPLIT
    gains[joined] = 1
    return split


def _boundaries(batch: Batch, near: Near, found: Verdicts, form: npt.NDArray[np.int8], gains: Int) -> None:
    row = np.flatnonzero((found.kind == LOCALISATION) & (form == NO_FORM) & near.close)
    form[row] = BOUNDARY
    row = row[found.lost[found.about[row]]]
    gains[row[claims(row, found.about[row], batch.predicted.score, len(found.lost))]] = 1


def _outlines(side: Side, rows: Int) -> Int:
    """Length of the outline of the mask of each row; a row may occur often."""
    some, place = np.unique(rows, return_inverse=True)
    return outline_lengths(side.runs.take(side.mask[some]))[place]


def outline_lengths(runs: Runs) -> Int:
    """Return pixel edges along the outlines of each mask, holes too: int64 (N,).

    >>> from apiece import Masks
    >>> outline_lengths(Masks.from_boxes([[0, 0, 4, 2]], (5, 5)).runs).tolist()
    [12]
    """
    # above and below each run, and where a pixel and the one beside it are not both inside
    every = np.arange(runs.number)
    alike = shared(runs._replace(x=runs.x + 1), every, runs, every)
    return 2 * np.diff(runs.offsets) + 2 * (runs.area - alike)
