"""The class map that instances paint, compared without painting it: in stretches of columns between ends of runs.

Between two neighbouring ends of runs nothing changes, so one number stands for a whole stretch: coordinates are
compressed, and what lies on top is found for stretches instead of pixels. Each run is two overlapping blocks of a power
of two; going from large blocks to small ones, each block hands what it shows to its halves. So time grows with the runs
and not with how deep they lie on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apiece._arrays import Float, Int, Int32
from apiece.core.runs import Keys, stripes
from apiece.metrics._kit.batch import Batch, Side

_RUNS = 1 << 18
"""Runs of truth and predictions that are painted at once (some 50 MB)."""


def class_pixels(batch: Batch, conf: Float, void: bool = False) -> Int:
    """Return pixels right, of truth, and of predictions: int64 (images, classes + 1, 3), background last.

    Of instances that overlap, truth shows the smallest, and crowds below everything, as models learn it; predictions
    show the one of highest score, of equal scores the smallest. Where that is equal too, the later one shows.

    ``void``: pixels that no truth covers are left out; else they are background.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 4, 1], [0, 0, 2, 1]], (1, 10)), [0, 1], ("a", "b"))
    >>> found = Instances(Masks.from_boxes([[0, 0, 5, 1]], (1, 10)), [0], ("a", "b"), [0.9])
    >>> class_pixels(Batch.of(0, [(truth, found)], ("a", "b")), np.zeros(2)).tolist()
    [[[2, 2, 5], [0, 2, 0], [5, 6, 5]]]
    """
    truth, predicted = batch.truth, batch.predicted
    keys = Keys(*truth.sizes.max(0).tolist())
    keys.check(batch.count)
    bottom_up = np.lexsort((truth.index, -truth.pixels, ~truth.crowd))
    score = np.nan_to_num(predicted.score)
    worst_first = np.lexsort((predicted.index, -predicted.pixels, score))
    worst_first = worst_first[predicted.counted(conf)[worst_first]]
    rows = len(batch.classes) + 1
    out = np.zeros((batch.count * rows, 3), np.int64)
    for stripe in stripes((truth.runs, predicted.runs), _RUNS, common=False):
        painted = [
            _Painted.of(keys, side, order, stripe) for side, order in ((truth, bottom_up), (predicted, worst_first))
        ]
        out += _counted(keys, painted, rows, len(out), void)
    found: Int = out.reshape(batch.count, rows, 3)
    if not void:
        found[:, -1] += (truth.sizes.prod(1) - found[..., 1].sum(1))[:, None]
    return found


class _Painted(NamedTuple):
    """Runs in the order in which they are painted, on one long column: int64 (R,) each."""

    begin: Int
    end: Int
    label: Int

    @classmethod
    def of(cls, keys: Keys, side: Side, rows: Int, stripe: tuple[int, int]) -> _Painted:
        """Return what some rows of a side have in a stripe of columns."""
        runs = side.runs.between(*stripe).take(side.mask[rows])
        owner = rows[runs.owners]
        begin = keys.pack(side.image[owner], runs.x, runs.y0)
        return cls(begin, begin + (runs.y1 - runs.y0), side.label[owner])


def _counted(keys: Keys, painted: Sequence[_Painted], rows: int, cells: int, void: bool) -> Int:
    """Return pixels right, of truth, and of predictions, where any is painted: int64 (images * rows, 3)."""
    cuts, place = np.unique(np.concatenate([end for one in painted for end in one[:2]]), return_inverse=True)
    length, begin, shown = np.diff(cuts), 0, []
    for one in painted:
        first, stop = place[begin : begin + 2 * len(one.label)].reshape(2, -1)
        shown.append(np.append(rows - 1, one.label)[last_over(first, stop, len(length))])
        begin += 2 * len(one.label)
    seen, told = shown
    covered = seen < rows - 1 if void else (seen < rows - 1) | (told < rows - 1)
    # as float, which bincount would make of it each time
    length = (length * covered).astype(np.float64)
    image = (cuts[:-1] >> keys.column_bits) * rows
    columns = ((seen, length * (seen == told)), (seen, length), (told, length))
    return np.stack([np.bincount(image + label, weight, cells) for label, weight in columns], -1).astype(np.int64)


def last_over(first: Int, stop: Int, size: int) -> Int32:
    """Return the last interval that covers each place, counted from 1; 0 where none does: int32 (size,).

    ``first`` and ``stop`` are int64 (N,), half-open intervals of one place or more.

    >>> last_over(np.array([0, 2]), np.array([4, 3]), 5).tolist()
    [1, 1, 2, 1, 0]
    """
    level = np.frexp((stop - first).astype(np.float64))[1] - 1
    shown = np.zeros(size, np.int32)
    for k in range(int(level.max(initial=-1)), -1, -1):
        block = 1 << k
        chosen = np.flatnonzero(level == k)
        here = np.zeros(size, np.int32)
        # where a place occurs twice the last value stays: both blocks of one interval before those of the next
        here[np.stack([first[chosen], stop[chosen] - block], 1).ravel()] = np.repeat(chosen + 1, 2)
        np.maximum(here, shown, out=here)
        np.maximum(here[block:], shown[:-block], out=here[block:])
        shown = here
    return shown
