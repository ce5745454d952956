"""How masks lie to each other: the nearest one of each, and the borders that they share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Float, Int
from apiece._scipy import sp
from apiece.core.masks import Masks
from apiece.core.run_overlap import Columns, added_up, overlapping
from apiece.core.runs import Runs, chunks, expand, stripes, sums

__all__ = ["box_gaps", "contacts", "gaps", "nearest", "touching"]

_PAIRS = 1 << 20  # looked at in one go
_RUNS = 1 << 18  # of the masks that are looked at in one go
_FEW = 256  # boxes
_ROUNDING = 1e-6  # of a pixel


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


def nearest(masks: Masks, i: Int, j: Int, scale: tuple[float, float] = (1.0, 1.0)) -> tuple[Int, Float]:
    """Return which of the masks ``j`` lies nearest to each of the masks ``i``, and the gap to it (see `gaps`).

    A mask is not its own neighbour. Of equally near masks, the first in ``j`` counts.

    Parameters
    ----------
    scale : width and height of a pixel.

    Returns
    -------
    int64 (len(i),), -1 where there is none, and float64 (len(i),), infinity where there is none.

    Examples
    --------
    >>> from apiece.ops import nearest
    >>> masks = apiece.Masks.from_boxes([[0, 0, 2, 2], [3, 0, 5, 2], [9, 0, 10, 2]], (10, 10))
    >>> nearest(masks, np.array([0, 2]), np.array([0, 1, 2]))
    (array([1, 1]), array([1., 4.]))
    """
    which, gap = np.full(len(i), -1, np.int64), np.full(len(i), np.inf)
    there = masks.area > 0
    own, other = np.flatnonzero(there[i]), np.flatnonzero(there[j])
    a, b = i[own], j[other]
    if not len(a) or not len(b):
        return which, gap
    from scipy.spatial import cKDTree  # takes longer to import than all of this room

    side = np.array(scale)
    centres = masks.centroids * side
    close = cKDTree(centres[b]).query(centres[a], k=[1, min(2, len(b))])[1]
    best = np.where(b[close[:, 0]] == a, close[:, 1], close[:, 0])
    some = np.flatnonzero(b[best] != a)
    own, a, best = own[some], a[some], best[some]
    # the nearest has a box that is no further than a near one is at most
    limit = np.empty(len(a))
    for pairs, runs, one, other in _few(masks.runs, a, b[best]):
        limit[pairs] = _at_most(runs, one, other, side)
    limit += _ROUNDING * side.max()
    least = np.full(len(a), np.inf)
    boxes = masks.boxes.astype(np.float64) * np.tile(side, 2)
    for row, column in _boxes_within(boxes[a], boxes[b], limit):
        different = a[row] != b[column]
        row, column = row[different], column[different]
        found = gaps(masks, a[row], b[column], scale, limit[row])
        order = np.lexsort((column, found, row))
        first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
        at, new, place = row[first], found[first], column[first]
        better = (new < least[at]) | ((new == least[at]) & (place < best[at]))
        least[at[better]], best[at[better]] = new[better], place[better]
    which[own], gap[own] = b[best], least
    return which, gap


def _boxes_within(boxes: Float, others: Float, reach: Float) -> Iterator[tuple[Int, Int]]:
    """Yield pairs of a box and another one, at most ``reach[i]`` apart along x and along y; i ascends."""
    wide = others[:, 2] - others[:, 0]
    # boxes of like width are searched together, so that one wide box is no burden; among few boxes it is none
    kind = np.frexp(wide)[1] if len(others) > _FEW else np.zeros(len(others), np.int64)
    for each in np.unique(kind):
        some = np.flatnonzero(kind == each)
        some = some[np.argsort(others[some, 0])]
        left = others[some, 0]
        low = np.searchsorted(left, boxes[:, 0] - reach - wide[some].max(), "left")
        count = np.searchsorted(left, boxes[:, 2] + reach, "right") - low
        for lo, hi in chunks(count, _PAIRS):
            i, j = np.repeat(np.arange(lo, hi), count[lo:hi]), some[expand(low[lo:hi], count[lo:hi])]
            apart = np.maximum(others[j, :2] - boxes[i, 2:], boxes[i, :2] - others[j, 2:]).max(1)
            close = apart <= reach[i]
            if close.any():
                yield i[close], j[close]


def gaps(masks: Masks, i: Int, j: Int, scale: tuple[float, float] = (1.0, 1.0), reach: Float | None = None) -> Float:
    """Return the distance of the outlines of masks ``i[k]`` and ``j[k]``, for each k: float64.

    It is the distance of the nearest pixel centres less what lies within these two pixels: the side of a pixel
    between neighbours of a row, 0.7 of it along a diagonal. So masks that overlap or share a pixel's side are 0 apart,
    and an empty mask is infinitely far away.

    Parameters
    ----------
    scale : width and height of a pixel.
    reach : only gaps up to it need to be right, and greater ones come out as anything greater; saves time.

    Examples
    --------
    >>> from apiece.ops import gaps
    >>> masks = apiece.Masks.from_boxes([[0, 0, 2, 2], [2, 2, 4, 4], [7, 0, 9, 9]], (10, 10))
    >>> gaps(masks, np.array([0, 1]), np.array([1, 2])).round(2)
    array([0.71, 3.  ])
    """
    side, boxes, out = np.array(scale), masks.boxes.astype(np.float64), np.empty(len(i))
    for some, runs, own, other in _few(masks.runs, i, j):
        near = _at_most(runs, own, other, side) if reach is None else reach[some]
        limit = near + 2 * side.max()
        mine = _facing(runs, own, boxes[j[some]], limit, side)
        others = _facing(runs, other, boxes[i[some]], limit, side)
        out[some] = _least(runs, mine, others, side)
    return out


def _few(runs: Runs, i: Int, j: Int) -> Iterator[tuple[slice, Runs, Int, Int]]:
    """Yield a few pairs at a time: which ones, the runs of their masks, and where among these the two of each are."""
    each = np.diff(runs.offsets)
    for lo, hi in chunks(each[i] + each[j], _RUNS):
        own, place = np.unique(np.concatenate([i[lo:hi], j[lo:hi]]), return_inverse=True)
        yield slice(lo, hi), runs.take(own), place[: hi - lo], place[hi - lo :]


Some = tuple[Int, Int]
"""Runs of one mask of each pair, pair after pair, and how many there are of each."""


def _least(runs: Runs, first_ones: Some, second_ones: Some, side: Float) -> Float:
    """Return the least gap between runs of the two masks of each pair; infinity where one of them has none."""
    (mine, my_counts), (others, counts) = first_ones, second_ones
    out = np.full(len(counts), np.inf)
    some = np.flatnonzero((my_counts > 0) & (counts > 0))
    my_first, first = sums(my_counts)[some], sums(counts)[some]
    for lo, hi in chunks(my_counts[some] * counts[some], _PAIRS):
        a, b = my_counts[some[lo:hi]], counts[some[lo:hi]]
        own = expand(my_first[lo:hi], a)
        each = np.repeat(b, a)
        left, right = mine[np.repeat(own, each)], others[expand(np.repeat(first[lo:hi], a), each)]
        dx = np.abs(runs.x[left] - runs.x[right])
        dy = np.maximum(runs.y0[left] - runs.y1[right], runs.y0[right] - runs.y1[left]) + 1
        dy = np.maximum(dy, 0)
        square = (dx * side[0]) ** 2 + (dy * side[1]) ** 2
        heads = sums(a * b)[:-1]
        at = np.flatnonzero(square == np.repeat(np.minimum.reduceat(square, heads), a * b))
        # of equally near pixels, the nearest outlines count
        out[some[lo:hi]] = np.minimum.reduceat(_between(dx[at], dy[at], side), np.searchsorted(at, heads))
    return out


def _at_most(runs: Runs, i: Int, j: Int, side: Float) -> Float:
    """Return how far apart masks ``i[k]`` and ``j[k]`` are at most, from some of their runs."""
    return _least(runs, _every_fourth(runs, i), _every_fourth(runs, j), side)


def _every_fourth(runs: Runs, i: Int) -> Some:
    counts = (np.diff(runs.offsets)[i] + 3) // 4
    return runs.offsets[:-1][i].repeat(counts) + 4 * expand(np.zeros(len(i), np.int64), counts), counts


def _facing(runs: Runs, i: Int, box: Float, limit: Float, side: Float) -> Some:
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
    overlap, across, down, falling, rising = _met(masks, ((0, 0), (1, 0), (0, 1), (1, 1), (1, -1)))
    across, down, diagonal = across + across.T, down + down.T, falling + falling.T + rising + rising.T
    sx, sy = scale
    tilt, spacing = math.atan2(sy, sx), sx * sy / math.hypot(sx, sy)
    length = tilt * sy * across + (math.pi / 2 - tilt) * sx * down
    length = (length + math.pi / 4 * spacing * diagonal) / 2
    together = _true((across + down + overlap) > 0)
    length = length.multiply(together) - length.multiply(together).multiply(overlap > 0)
    length.eliminate_zeros()
    return together, sp.csr_array(length)


def touching(masks: Masks) -> sp.csr_array:
    """Return which masks touch each other, or overlap: symmetric bool of shape (N, N), sparse; see `contacts`."""
    overlap, across, down = _met(masks, ((0, 0), (1, 0), (0, 1)))
    return _true((overlap + across + across.T + down + down.T) > 0)


def _met(masks: Masks, moves: Sequence[tuple[int, int]]) -> list[sp.csr_array]:
    """Return, for each move (dx, dy), the pixels that each mask shares with each other one if it is moved so.

    Columns are compared a few at a time, so memory grows with the masks that meet.
    """
    runs, count, (height, width) = masks.runs, len(masks), masks.size
    found = [[(np.zeros(0, np.int64),) * 2] for _ in moves]
    for left, right in stripes((runs,), _RUNS, common=False):
        around = runs.between(left - 1, right + 1)
        for (dx, dy), pairs in zip(moves, found, strict=True):
            # so that nothing is moved to below zero, the others are moved the other way
            there, here = (
                Columns(_moved(around.between(left - x, right - x), x, y), (height + abs(dy), width + abs(dx)))
                for x, y in ((max(dx, 0), max(dy, 0)), (max(-dx, 0), max(-dy, 0)))
            )
            i, j, pixels = overlapping(there, here, (count, count))
            other = i != j
            pairs.append(((i * count + j)[other], pixels[other]))
    return [_table(*added_up([(_joined(pairs, 0), _joined(pairs, 1))]), count) for pairs in found]


def _joined(pairs: Sequence[tuple[Int, Int]], k: int) -> Int:
    """Return the ``k``-th arrays of pairs of arrays, as one."""
    return np.concatenate([pair[k] for pair in pairs])


def _table(pair: Int, values: Int, count: int) -> sp.csr_array:
    """Return values of pairs in order, ``i * count + j``, as a matrix."""
    i, j = np.divmod(pair, max(count, 1))
    return sp.csr_array((values, j, np.searchsorted(i, np.arange(count + 1))), shape=(count, count))


def _moved(runs: Runs, dx: int, dy: int) -> Runs:
    """Return the runs elsewhere; what does not change is not copied."""
    x = runs.x + dx if dx else runs.x
    y0, y1 = (runs.y0 + dy, runs.y1 + dy) if dy else (runs.y0, runs.y1)
    return Runs(x, y0, y1, runs.offsets)


def _true(pairs: sp.csr_array) -> sp.csr_array:
    """Return the pairs that are true, in order."""
    found = pairs.tocoo()
    return sp.csr_array((np.ones(found.nnz, bool), (found.row, found.col)), shape=pairs.shape)
