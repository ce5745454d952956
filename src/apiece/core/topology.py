"""Parts, holes and outlines of all masks at once, from their runs.

Foreground is 4-connected and background 8-connected, so an outline never crosses itself and every hole belongs to one
part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Bool, Float, Int, Int32
from apiece.core.runs import Keys, Runs, expand, offsets_of, owners

__all__ = ["Rings", "count_parts_and_holes", "run_parts", "side_edges", "trace", "transposed"]


def _neighbours(runs: Runs, size: tuple[int, int], corners: bool = False) -> tuple[Int, Int]:
    """Pairs of runs (left, right) of one instance that share a side, or a corner, between neighbouring columns."""
    keys = Keys(*size)
    start, end = runs.ends(keys)
    beside = 1 << keys.y_bits  # from a pixel to the one in the next column
    low = np.searchsorted(end, start + beside, "left" if corners else "right")
    high = np.searchsorted(start, end + beside, "right" if corners else "left")
    # the last column of one instance is never beside the first of the next: there is no column x + 1 = width
    count = np.maximum(high - low, 0)
    return np.repeat(np.arange(len(start)), count), expand(low, count)


def run_parts(runs: Runs, size: tuple[int, int], corners: bool = False) -> tuple[Int, Int]:
    """Return (parts per mask, part of each run); parts are numbered through the whole set.

    ``corners``: pixels that touch at a corner hang together, too (8-connected).
    """
    return _joined(*_neighbours(runs, size, corners), runs.offsets)


def _joined(left: Int, right: Int, offsets: Int) -> tuple[Int, Int]:
    """`run_parts`, from which runs touch; ``left`` ascends."""
    runs = int(offsets[-1])
    # the form and dtype that SciPy computes with: converting costs more than the search
    graph = sp.csr_array((np.ones(len(left)), right, offsets_of(left, runs)), shape=(runs, runs))
    total, part = connected_components(graph, directed=False)
    owner_of_part = np.zeros(total, np.int64)
    owner_of_part[part] = owners(offsets)
    return np.bincount(owner_of_part, minlength=len(offsets) - 1), part.astype(np.int64)


def count_parts_and_holes(runs: Runs, size: tuple[int, int]) -> tuple[Int, Int]:
    """Return (parts, holes) per mask, by Euler's formula: parts - holes = runs - contacts between runs."""
    if plain(runs).all():
        return np.ones(runs.number, np.int64), np.zeros(runs.number, np.int64)
    left, right = _neighbours(runs, size)
    euler = np.diff(runs.offsets) - np.bincount(runs.owners[left], minlength=runs.number)
    # where no run touches two in the column before it, runs form trees, and a hole would need a ring
    if np.bincount(right).max(initial=0) < 2:
        return euler, np.zeros_like(euler)
    parts = _joined(left, right, runs.offsets)[0]
    return parts, parts - euler


def side_edges(runs: Runs, size: tuple[int, int]) -> tuple[tuple[Int, Int, Int, Int], tuple[Int, Int, Int, Int]]:
    """Return the vertical edges (owner, x, y0, y1) with the inside on their right, and with the inside on their left.

    An edge lies on the line between the columns ``x - 1`` and ``x``.
    """
    keys = Keys(size[0], size[1] + 1)
    keys.check(4 * len(runs.offsets))  # two bits of a key say which event it is
    # each run opens and closes on the line at its left (weight 1) and on the line at its right (weight 2)
    start, end = runs.ends(keys)
    beside = 1 << keys.y_bits
    kinds = [start, end, start + beside, end + beside]
    events = np.concatenate([key << 2 | kind for kind, key in enumerate(kinds)])
    events.sort()
    state = np.cumsum(np.array([1, -1, 2, -2])[events & 3])
    event_keys = events >> 2
    edges = []
    for wanted in (1, 2):
        at = np.flatnonzero(state[:-1] == wanted) if len(state) else np.zeros(0, np.int64)
        at = at[event_keys[at] != event_keys[at + 1]]
        line_owner, line, low = keys.unpack(event_keys[at])
        edges.append((line_owner, line, low, keys.unpack(event_keys[at + 1])[2]))
    return edges[0], edges[1]


def plain(runs: Runs) -> Bool:
    """Return which masks have one run in each column, touching the next one's: one part without a hole."""
    x, y0, y1 = runs.x, runs.y0, runs.y1
    apart = np.zeros(len(x) + 1, np.int64)  # of the run before
    apart[1:-1] = (np.diff(x) != 1) | (np.maximum(y0[1:], y0[:-1]) >= np.minimum(y1[1:], y1[:-1]))
    before = np.cumsum(apart)
    first, last = runs.offsets[:-1], runs.offsets[1:] - 1
    return (last >= first) & (before[np.maximum(last, 0)] == before[np.minimum(first, len(x))])


def around(runs: Runs) -> tuple[Int, Int]:
    """Return (points, offsets) of the outlines of `plain` masks, as `trace` finds them: along the top, back below."""
    first, count = runs.offsets[:-1], np.diff(runs.offsets)
    run = np.arange(len(runs.x))
    own = np.repeat(first, count)  # the first run of each run's mask
    end = own + np.repeat(count, count) - 1
    place = np.stack([2 * (run + own), 2 * (own + 2 * end + 1 - run)])  # of two points above, and of two below
    points = np.empty((4 * len(run), 2), np.int64)
    corner = np.empty(4 * len(run), bool)
    for at, y, sides in zip(place, (runs.y0, runs.y1), ((0, 1), (1, 0)), strict=True):
        turns = np.ones(len(run) + 1, bool)
        turns[1:-1] = y[1:] != y[:-1]
        turns[first] = True
        for k, side in enumerate(sides):
            points[at + k, 0], points[at + k, 1] = runs.x + side, y
            corner[at + k] = turns[side : len(run) + side]
    before = np.append(0, np.cumsum(corner))
    return points[corner], before[4 * runs.offsets]


@dataclass(frozen=True)
class Rings:
    """Closed outlines along pixel edges, clockwise as seen for an outer one and counter-clockwise for a hole.

    ``points`` (P, 2) x, y corners without repeated first one; ``offsets`` where each ring begins; per ring its
    ``owner``, its ``part`` and whether it is a ``hole``. Ordered by owner, part, outer ring first.
    """

    points: Int
    offsets: Int
    owner: Int
    part: Int
    hole: Bool


_RIGHT, _DOWN, _LEFT, _UP = range(4)


def trace(runs: Runs, size: tuple[int, int]) -> Rings:
    """Return the outlines of all masks: every pixel edge between inside and outside, linked into rings."""
    keys = Keys(size[0], size[1] + 1)
    keys.check(4 * len(runs.offsets))
    begin, end, direction, run = _directed_edges(keys, runs, size)
    following = _link(begin, end, direction)
    count, ring = connected_components(
        sp.csr_array((np.ones(len(begin)), following, np.arange(len(begin) + 1)), shape=(len(begin),) * 2),
        directed=False,
    )
    position = _positions(following, ring, count)
    # corners only: an edge that goes on in the direction of the one before it adds none
    corner = np.empty(len(begin), bool)
    corner[following] = direction[following] != direction
    owner, px, py = keys.unpack(begin)
    hole = _twice_area(px, py, following, ring, count) < 0
    part = np.arange(count)  # without holes, every ring is a part
    if hole.any():
        part[ring[run >= 0]] = run_parts(runs, size)[1][run[run >= 0]]
    ring_owner = np.zeros(count, np.int64)
    ring_owner[ring] = owner
    order = np.lexsort((hole, part, ring_owner))
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    kept = np.flatnonzero(corner)
    kept = kept[np.lexsort((position[kept], rank[ring[kept]]))]
    cuts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rank[ring[kept]], minlength=count), out=cuts[1:])
    return Rings(np.stack([px[kept], py[kept]], 1), cuts, ring_owner[order], part[order], hole[order])


def _directed_edges(keys: Keys, runs: Runs, size: tuple[int, int]) -> tuple[Int, Int, Int, Int]:
    """(begin vertex, end vertex, direction, run or -1) of every boundary edge, the inside on its right."""
    (lo, lx, l0, l1), (ro, rx, r0, r1) = side_edges(runs, size)
    first, last = runs.ends(keys)
    beside = 1 << keys.y_bits
    begin = [first, keys.pack(ro, rx, r0), last + beside, keys.pack(lo, lx, l1)]
    end = [first + beside, keys.pack(ro, rx, r1), last, keys.pack(lo, lx, l0)]
    direction = np.repeat([_RIGHT, _DOWN, _LEFT, _UP], [len(b) for b in begin])
    run = np.arange(len(first))
    runs_of = np.concatenate([run, np.full(len(ro), -1), run, np.full(len(lo), -1)])
    return np.concatenate(begin), np.concatenate(end), direction, runs_of


def _link(begin: Int, end: Int, direction: Int) -> Int:
    """The edge that follows each: where two leave a vertex, the one that turns right, which keeps parts 4-connected."""
    leaving = begin << 2 | direction
    order = np.argsort(leaving)
    leaving = leaving[order]
    turn = np.searchsorted(leaving, end << 2 | ((direction + 1) & 3))
    turns_right = leaving[np.minimum(turn, len(leaving) - 1)] == (end << 2 | ((direction + 1) & 3))
    only = np.searchsorted(leaving, end << 2)
    following: Int = order[np.where(turns_right, turn, only)]
    return following


def _positions(following: Int, ring: Int32, count: int) -> Int:
    """Steps from each edge to the end of its ring, negated, so that ascending order follows it (list ranking)."""
    head = np.full(count, len(following), np.int64)
    np.minimum.at(head, ring, np.arange(len(following)))
    stop = head[ring]
    # cut each ring before its head, then let every edge look twice as far ahead per round
    ahead = np.where(following == stop, np.arange(len(following)), following)
    steps = (following != stop).astype(np.int64)
    while True:
        further = ahead[ahead]
        if np.array_equal(further, ahead):
            return -steps
        steps += steps[ahead]
        ahead = further


def _twice_area(px: Int, py: Int, following: Int, ring: Int32, count: int) -> Float:
    cross = px * py[following] - px[following] * py
    return np.bincount(ring, weights=cross, minlength=count).astype(np.float64)


def transposed(runs: Runs, size: tuple[int, int]) -> Runs:
    """Return the transposed masks: along rows, a stretch goes from a left edge to a right edge."""
    keys = Keys(size[1], size[0])
    begins, ends = (np.sort(_paint_rows(keys, *edges)) for edges in side_edges(runs, size))
    return Runs.ordered(*keys.unpack(begins), keys.unpack(ends)[2], runs.number)


def _paint_rows(keys: Keys, owner: Int, x: Int, y0: Int, y1: Int) -> Int:
    """Key (owner, row, x) of every pixel row along vertical edges."""
    count = y1 - y0
    ends = np.cumsum(count)
    row = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - count - y0, count)
    return keys.pack(np.repeat(owner, count), row, np.repeat(x, count))
