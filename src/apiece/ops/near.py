"""How masks lie to each other: the nearest one of each, and the borders that they share."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from apiece._arrays import Float, Int
from apiece.core.masks import Masks
from apiece.core.run_overlap import Columns, intersections
from apiece.core.runs import Runs, chunks, expand, sums

__all__ = ["contacts", "gaps", "nearest"]

_PAIRS = 1 << 20  # looked at in one go


def nearest(masks: Masks, scale: tuple[float, float] = (1.0, 1.0)) -> tuple[Int, Float]:
    """Return the nearest other mask of each, and the gap to it (see `gaps`).

    Parameters
    ----------
    scale : width and height of a pixel.

    Returns
    -------
    int64 (N,), -1 where there is none, and float64 (N,), NaN where there is none.

    Examples
    --------
    >>> a = np.array([[1, 0, 0, 2, 3]])
    >>> nearest(apiece.Masks.from_label_map(a))
    (array([1, 2, 1]), array([2., 0., 0.]))
    """
    which, gap = np.full(len(masks), -1), np.full(len(masks), np.nan)
    some = np.flatnonzero(masks.area)
    if len(some) < 2:
        return which, gap
    part, side = masks[some], np.array(scale)
    _, close = cKDTree(part.centroids * side).query(part.centroids * side, k=2)
    every = np.arange(len(some))
    best = np.where(close[:, 0] == every, close[:, 1], close[:, 0])
    least = gaps(part, every, best, scale)
    # a nearer one has a box that is nearer than what is known
    boxes = part.boxes.astype(np.float64) * np.tile(side, 2)
    reach = least + side.max()
    for i, j in _boxes_within(boxes, reach):
        found = gaps(part, i, j, scale, reach[i])
        order = np.lexsort((found, i))
        first = order[np.flatnonzero(np.diff(i[order], prepend=-1))]
        first = first[found[first] < least[i[first]]]
        least[i[first]], best[i[first]] = found[first], j[first]
    which[some], gap[some] = some[best], least
    return which, gap


def _boxes_within(boxes: Float, reach: Float) -> Iterator[tuple[Int, Int]]:
    """Yield pairs (i, j) of different boxes that are at most ``reach[i]`` apart along x and along y; i ascends."""
    wide = boxes[:, 2] - boxes[:, 0]
    kind = np.frexp(wide)[1]  # boxes of like width are searched together, so that one wide box is no burden
    for each in np.unique(kind):
        some = np.flatnonzero(kind == each)
        some = some[np.argsort(boxes[some, 0])]
        left = boxes[some, 0]
        low = np.searchsorted(left, boxes[:, 0] - reach - wide[some].max(), "left")
        count = np.searchsorted(left, boxes[:, 2] + reach, "right") - low
        for lo, hi in chunks(count, _PAIRS):
            i, j = np.repeat(np.arange(lo, hi), count[lo:hi]), some[expand(low[lo:hi], count[lo:hi])]
            apart = np.maximum(boxes[j, :2] - boxes[i, 2:], boxes[i, :2] - boxes[j, 2:]).max(1)
            close = (apart <= reach[i]) & (i != j)
            if close.any():
                yield i[close], j[close]


def gaps(masks: Masks, i: Int, j: Int, scale: tuple[float, float] = (1.0, 1.0), reach: Float | None = None) -> Float:
    """Return the distance of the outlines of masks ``i[k]`` and ``j[k]``, for each k; 0 where they touch or overlap.

    It is the distance of the nearest pixel centres less what lies within these two pixels: the side of a pixel
    between neighbours of a row, 0.7 of it along a diagonal.

    Parameters
    ----------
    reach : only gaps up to it need to be right, and greater ones come out as anything greater; saves time.
    """
    runs, side = masks.runs, np.array(scale)
    boxes = masks.boxes.astype(np.float64)
    limit = np.full(len(i), np.inf) if reach is None else reach + 2 * side.max()
    mine, my_counts = _facing(runs, i, boxes[j], limit, side)
    other, counts = _facing(runs, j, boxes[i], limit, side)
    out = np.full(len(i), np.inf)
    some = np.flatnonzero((my_counts > 0) & (counts > 0))
    my_first, first = sums(my_counts)[some], sums(counts)[some]
    for lo, hi in chunks(my_counts[some] * counts[some], _PAIRS):
        a, b = my_counts[some[lo:hi]], counts[some[lo:hi]]
        own = expand(my_first[lo:hi], a)
        each = np.repeat(b, a)
        left, right = mine[np.repeat(own, each)], other[expand(np.repeat(first[lo:hi], a), each)]
        dx = np.abs(runs.x[left] - runs.x[right])
        dy = np.maximum(runs.y0[left] - runs.y1[right], runs.y0[right] - runs.y1[left]) + 1
        dy = np.maximum(dy, 0)
        square = (dx * side[0]) ** 2 + (dy * side[1]) ** 2
        heads = sums(a * b)[:-1]
        least = np.minimum.reduceat(square, heads)
        at = np.flatnonzero(square == np.repeat(least, a * b))
        at = at[np.searchsorted(at, heads)]
        out[some[lo:hi]] = _between(dx[at], dy[at], side)
    return out


def _facing(runs: Runs, i: Int, box: Float, limit: Float, side: Float) -> tuple[Int, Int]:
    """Return the runs of masks ``i[k]`` that are no further than the limit from a box, and how many of each k."""
    counts = np.diff(runs.offsets)[i]
    index, pair = expand(runs.offsets[:-1][i], counts), np.repeat(np.arange(len(i)), counts)
    near = np.maximum(box[pair, 0] - runs.x[index] - 1, runs.x[index] - box[pair, 2]) * side[0] <= limit[pair]
    near &= np.maximum(box[pair, 1] - runs.y1[index], runs.y0[index] - box[pair, 3]) * side[1] <= limit[pair]
    return index[near], np.bincount(pair[near], minlength=len(i))


def _between(dx: Int, dy: Int, side: Float) -> Float:
    """Return the distance of two pixels' centres less the parts of it within these pixels."""
    x, y = dx * side[0], dy * side[1]
    far = np.hypot(x, y)
    inside = np.where(dx >= dy, x * side[0], y * side[1]) / np.maximum(far, 1e-300)
    return np.maximum(far - inside, 0)


def contacts(masks: Masks, scale: tuple[float, float] = (1.0, 1.0)) -> tuple[sp.csr_array, sp.csr_array]:
    """Return which masks touch each other, and the length of the border that two of them share.

    Masks touch if a pixel of one has a pixel of the other at its side, or if they overlap. The border's length is
    measured as a perimeter is (`apiece.ops.perimeter.crofton`); masks that overlap have no common border.

    Returns
    -------
    Two symmetric sparse matrices of shape (N, N): bool, and float64.
    """
    runs, (height, width) = masks.runs, masks.size
    size, shape = (height + 2, width + 1), (len(masks), len(masks))
    runs = runs._replace(y0=runs.y0 + 1, y1=runs.y1 + 1)
    here = Columns(runs, size)

    def beside(dx: int, dy: int) -> sp.csr_array:
        moved = Columns(runs._replace(x=runs.x + dx, y0=runs.y0 + dy, y1=runs.y1 + dy), size)
        one_way = intersections(moved, here, shape)
        return one_way + one_way.T

    overlap = intersections(here, here, shape)
    across, down = beside(1, 0), beside(0, 1)
    sx, sy = scale
    tilt, spacing = math.atan2(sy, sx), sx * sy / math.hypot(sx, sy)
    length = tilt * sy * across + (math.pi / 2 - tilt) * sx * down
    length = (length + math.pi / 4 * spacing * (beside(1, 1) + beside(1, -1))) / 2
    touching = _apart((across + down + overlap) > 0)
    length = length.multiply(touching) - length.multiply(touching).multiply(overlap > 0)
    length.eliminate_zeros()
    return touching, sp.csr_array(length)


def _apart(pairs: sp.csr_array) -> sp.csr_array:
    """Return the pairs of different masks."""
    found = pairs.tocoo()
    other = found.row != found.col
    return sp.csr_array((np.ones(int(other.sum()), bool), (found.row[other], found.col[other])), shape=pairs.shape)
