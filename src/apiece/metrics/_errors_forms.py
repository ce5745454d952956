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

from apiece.core._runs import Keys
from apiece.core._topology import side_edges
from apiece.metrics._batch import Batch
from apiece.metrics._errors_kinds import DUPLICATE, LOCALISATION, NO_ERROR, Verdicts, best_pair, claims
from apiece.metrics._pairs import Pairs, Runs

__all__ = ["FORMS", "GAP", "NO_FORM", "Forms", "Near", "forms", "outline_lengths", "shared_one_to_one"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

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
    size : (height, width) that holds every image of the batch.
    """

    pairs: Pairs
    shared: Int
    covers: Bool
    inside: Bool
    size: tuple[int, int]

    @classmethod
    def of(cls, batch: Batch, kept: Bool) -> Near:
        """From the overlaps of a batch; ``kept`` bool (P,), predictions that count."""
        pairs = batch.mask_pairs
        pairs = pairs.where(~batch.truth.crowd[pairs.truth] & kept[pairs.predicted])
        shared = batch.shared(pairs)
        covers = 2 * shared > batch.truth.pixels[pairs.truth]
        inside = 2 * shared > batch.predicted.pixels[pairs.predicted]
        height, width = batch.truth.sizes.max(0, initial=1).tolist()
        return cls(pairs, shared, covers, inside, (height, width))


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
    """The form of every error of a batch.

    Parameters
    ----------
    batch : the images.
    near : `Near.of` it.
    found : the verdicts at one IoU.
    """
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
    mask = batch.predicted.mask
    shared = shared_one_to_one(batch.predicted.runs[mask[piece]], batch.predicted.runs[mask[holder[whole]]], near.size)
    apart = 2 * shared <= batch.predicted.pixels[piece]
    form[piece[apart]] = SPLIT
    split = np.zeros(len(holder), bool)
    split[whole[apart]] = True
    joined = holder[split & found.lost]
    form[joined] = SPLIT
    gains[joined] = 1
    return split


def _boundaries(batch: Batch, near: Near, found: Verdicts, form: npt.NDArray[np.int8], gains: Int) -> None:
    row = np.flatnonzero((found.kind == LOCALISATION) & (form == NO_FORM))
    about = found.about[row]
    key = near.pairs.predicted * len(found.lost) + near.pairs.truth  # ascending: pairs are ordered so
    shared = near.shared[np.searchsorted(key, row * len(found.lost) + about)]
    truth, predicted = batch.truth, batch.predicted
    between = predicted.pixels[row] + truth.pixels[about] - 2 * shared
    outlines = outline_lengths(predicted.runs[predicted.mask[row]], near.size)
    outlines = outlines + outline_lengths(truth.runs[truth.mask[about]], near.size)
    close = 2 * between <= GAP * outlines
    row, about = row[close], about[close]
    form[row] = BOUNDARY
    row, about = row[found.lost[about]], about[found.lost[about]]
    gains[row[claims(row, about, predicted.score, len(found.lost))]] = 1


def outline_lengths(runs: Runs, size: tuple[int, int]) -> Int:
    """Pixel edges along the outlines of each mask, holes too: int64 (N,).

    Parameters
    ----------
    runs : N masks.
    size : (height, width) that holds them.

    >>> from apiece import Masks
    >>> outline_lengths(Runs.of([Masks.from_boxes([[0, 0, 4, 2]], (5, 5))]), (5, 5)).tolist()
    [12]
    """
    count = len(runs.offsets) - 1
    length = 2 * np.diff(runs.offsets)  # above and below each run
    for owner, _, low, high in side_edges(runs.x, runs.y0, runs.y1, runs.offsets, size):
        length = length + np.bincount(owner, high - low, count).astype(np.int64)
    return length


def shared_one_to_one(a: Runs, b: Runs, size: tuple[int, int]) -> Int:
    """Pixels that mask i of ``a`` shares with mask i of ``b``: int64 (N,).

    >>> from apiece import Masks
    >>> boxes = [Runs.of([Masks.from_boxes([box], (5, 5))]) for box in ([0, 0, 4, 2], [2, 1, 5, 5])]
    >>> shared_one_to_one(*boxes, (5, 5)).tolist()
    [2]
    """
    count = len(a.offsets) - 1
    keys = Keys(*size)
    keys.check(count)
    owner = b.owners()
    start, end = keys.pack(owner, b.x, b.y0), keys.pack(owner, b.x, b.y1)
    before = np.concatenate([[0], np.cumsum(end - start)])
    end = np.append(end, 0)  # index -1: no run begins before

    def covered(key: Int) -> Int:
        """Pixels of ``b`` that lie before the key."""
        runs = np.searchsorted(start, key, "right")
        return before[runs] - np.maximum(end[runs - 1] - key, 0)

    owner = a.owners()
    pixels = covered(keys.pack(owner, a.x, a.y1)) - covered(keys.pack(owner, a.x, a.y0))
    return np.bincount(owner, pixels, count).astype(np.int64)
