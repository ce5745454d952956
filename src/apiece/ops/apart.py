"""How far masks lie apart, edge to edge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import CHUNK, Runs, chunks, expand, sums

__all__ = ["box_gaps", "gaps", "nearest"]

_COARSE = 4


def box_gaps(masks: Masks, i: Int, j: Int) -> Float:
    """Return the distance in pixels between the bounding boxes of masks ``i`` and ``j``, which broadcast; 0 if they
    touch.

    No mask is nearer than its box. An empty mask is infinitely far away.

    Examples
    --------
    >>> from apiece.ops import box_gaps
    >>> masks = apiece.Masks.from_boxes([[0, 0, 2, 2], [5, 6, 9, 9]], (10, 10))
    >>> box_gaps(masks, np.array([0]), np.array([1]))
    array([5.])
    """
    box = masks.boxes.astype(np.float64)
    a, b = box[i], box[j]
    apart = np.maximum(np.maximum(a[..., :2] - b[..., 2:], b[..., :2] - a[..., 2:]), 0)
    empty = masks.area == 0
    return np.where(empty[i] | empty[j], np.inf, np.hypot(apart[..., 0], apart[..., 1]))


def gaps(masks: Masks, i: Int, j: Int) -> Float:
    """Return the distance in pixels between mask ``i[k]`` and mask ``j[k]``, for each k: float64.

    Pixels are squares: masks that overlap, or share an edge or a corner, are 0 apart. An empty mask is infinitely far
    away.

    Examples
    --------
    >>> from apiece.ops import gaps
    >>> masks = apiece.Masks.from_boxes([[0, 0, 2, 2], [2, 2, 4, 4], [7, 0, 9, 9]], (10, 10))
    >>> gaps(masks, np.array([0, 1]), np.array([1, 2]))
    array([0., 3.])
    """
    runs, box = masks.runs, masks.runs.boxes
    first, second = _RunsOfPairs.of(runs, i), _RunsOfPairs.of(runs, j)
    # beyond the bound from the other's box no run can be the nearest
    bound = _bound(runs, first, second)
    first = first.take(_squared(runs, first.run, box[j][first.pair]) <= bound[first.pair])
    second = second.take(_squared(runs, second.run, box[i][second.pair]) <= bound[second.pair])
    return np.sqrt(_least(runs, first, second))


class _RunsOfPairs(NamedTuple):
    """Some runs of one mask of each of K pairs, pair after pair.

    Attributes
    ----------
    run, pair, place : int64 (R,), which run, of which pair, and its number in its mask.
    begins : int64 (K + 1,).
    """

    run: Int
    pair: Int
    place: Int
    begins: Int

    @classmethod
    def of(cls, runs: Runs, index: Int) -> _RunsOfPairs:
        """Return all runs of the masks at ``index``."""
        count = np.diff(runs.offsets)[index]
        place = expand(np.zeros(len(index), np.int64), count)
        pair = np.repeat(np.arange(len(index)), count)
        return cls(runs.offsets[index][pair] + place, pair, place, sums(count))

    def take(self, kept: Bool) -> _RunsOfPairs:
        """Return the runs that are ``kept``."""
        pair = self.pair[kept]
        count = np.bincount(pair, minlength=len(self.begins) - 1)
        return _RunsOfPairs(self.run[kept], pair, self.place[kept], sums(count))


def _bound(runs: Runs, first: _RunsOfPairs, second: _RunsOfPairs) -> Float:
    """Return a squared distance that the least one does not exceed, from every fourth run."""
    return _least(runs, first.take(first.place % _COARSE == 0), second.take(second.place % _COARSE == 0))


def _squared(runs: Runs, run: Int, box: Int) -> Int:
    """Return the squared distance of each run to a box."""
    across = np.maximum(np.maximum(box[:, 0] - runs.x[run] - 1, runs.x[run] - box[:, 2]), 0)
    down = np.maximum(np.maximum(box[:, 1] - runs.y1[run], runs.y0[run] - box[:, 3]), 0)
    return across**2 + down**2


def _least(runs: Runs, first: _RunsOfPairs, second: _RunsOfPairs) -> Float:
    """Return the least squared distance between the runs of each pair; infinite where one side has none."""
    out = np.full(len(first.begins) - 1, np.inf)
    other, many = second.begins[first.pair], np.diff(second.begins)[first.pair]
    for lo, hi in chunks(many, CHUNK):
        each = many[lo:hi]
        some = np.flatnonzero(each) + lo
        each = many[some]
        a, b = np.repeat(first.run[some], each), second.run[expand(other[some], each)]
        across = np.maximum(np.abs(runs.x[a] - runs.x[b]) - 1, 0).astype(np.int64)
        down = np.maximum(np.maximum(runs.y0[a], runs.y0[b]) - np.minimum(runs.y1[a], runs.y1[b]), 0).astype(np.int64)
        if len(some):
            least = np.minimum.reduceat(across**2 + down**2, sums(each)[:-1])
            np.minimum.at(out, first.pair[some], least)
    return out


def nearest(masks: Masks, i: Int, j: Int) -> tuple[Int, Float]:
    """Return which of the masks ``j`` lies nearest to each of the masks ``i``, and how far: int64, float64 pixels.

    A mask is not its own neighbour. Of equally near masks, the first in ``j`` counts. -1 and infinity where there is
    none.

    Examples
    --------
    >>> from apiece.ops import nearest
    >>> masks = apiece.Masks.from_boxes([[0, 0, 2, 2], [3, 0, 5, 2], [9, 0, 10, 2]], (10, 10))
    >>> nearest(masks, np.array([0, 2]), np.array([0, 1, 2]))
    (array([1, 1]), array([1., 4.]))
    """
    which, far = np.full(len(i), -1, np.int64), np.full(len(i), np.inf)
    if not len(j):
        return which, far
    rows = max(CHUNK // len(j), 1)
    for lo in range(0, len(i), rows):
        own = i[lo : lo + rows]
        least = box_gaps(masks, own[:, None], j[None, :])
        least[own[:, None] == j[None, :]] = np.inf
        first = least.argmin(1)
        bound = np.sqrt(_bound(masks.runs, *(_RunsOfPairs.of(masks.runs, k) for k in (own, j[first]))))
        bound[np.isinf(least.min(1))] = -1.0  # no neighbour at all
        a, b = np.nonzero(least <= bound[:, None])
        exact = gaps(masks, own[a], j[b])
        order = np.lexsort((b, exact, a))
        rows_there, at = np.unique(a[order], return_index=True)
        which[lo + rows_there], far[lo + rows_there] = j[b[order[at]]], exact[order[at]]
    return which, far
