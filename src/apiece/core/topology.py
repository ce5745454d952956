"""Parts, holes and outlines of all masks at once, from their runs.

Foreground is 4-connected and background 8-connected, so an outline never crosses itself and every hole belongs to one
part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Int
from apiece.core.runs import Keys, Runs, expand, merged

__all__ = ["Rings", "components", "count_parts_and_holes", "run_parts", "side_edges", "trace", "transposed"]

_RUNS = 1 << 18
"""Runs that are linked to their neighbours in one go (some 30 MB)."""


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
    part, owner = np.zeros(len(runs.x), np.int64), [np.zeros(0, np.int64)]
    seams, total = [np.zeros((2, 0), np.int64)], 0
    for lo in range(0, len(part), _RUNS):
        hi = min(lo + _RUNS, len(part))
        some = runs.stretch(lo, _column_end(runs, hi))
        left, right = _neighbours(some, size, corners)
        across = (left < hi - lo) & (right >= hi - lo)
        seams.append(np.stack([left[across], right[across]]) + lo)
        inside = right < hi - lo
        number, here = components(left[inside], right[inside], hi - lo)
        part[lo:hi] = here + total
        of_part = np.zeros(number, np.int64)
        of_part[here] = some.owners[: hi - lo]
        owner.append(of_part)
        total += number
    of_part, (left, right) = np.concatenate(owner), part[np.concatenate(seams, 1)]
    if len(left):
        number, whole = components(left, right, total)
        part, joined = whole[part], np.zeros(number, np.int64)
        joined[whole] = of_part
        of_part = joined
    return np.bincount(of_part, minlength=runs.number), part


def _column_end(runs: Runs, run: int) -> int:
    """Return the run behind those in the column to the right of the run before ``run``, in the same mask."""
    if run >= len(runs.x):
        return run
    end = int(runs.offsets[np.searchsorted(runs.offsets, run - 1, "right")])
    return run + int(np.searchsorted(runs.x[run:end], runs.x[run - 1] + 1, "right"))


def components(left: Int, right: Int, count: int) -> tuple[int, Int]:
    """Return how many components a graph of ``count`` nodes has, and that of each, from its edges.

    Every node points at a lower one of its component, or at itself. In each round an edge between two roots puts the
    higher below the lower, so that at least half of the roots that have an edge go.
    """
    root = np.arange(count)
    while len(left):
        a, b = root[left], root[right]
        apart = a != b
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(further := root[root], root):
            root = further
    first = root == np.arange(count)
    return int(first.sum()), (np.cumsum(first) - 1)[root]


def count_parts_and_holes(runs: Runs, size: tuple[int, int]) -> tuple[Int, Int]:
    """Return (parts, holes) per mask, by Euler's formula: parts - holes = runs - contacts between runs."""
    parts, holes = np.ones(runs.number, np.int64), np.zeros(runs.number, np.int64)
    for lo, _, own in runs.parts(_RUNS):
        forked = np.flatnonzero(~plain(own))
        if len(forked):
            parts[lo + forked], holes[lo + forked] = _counted(own.take(forked), size)
    return parts, holes


def _counted(runs: Runs, size: tuple[int, int]) -> tuple[Int, Int]:
    """`count_parts_and_holes` of masks of any shape."""
    left, right = _neighbours(runs, size)
    owner = runs.owners
    parts = euler = np.diff(runs.offsets) - np.bincount(owner[left], minlength=runs.number)
    # a hole begins right of a run that touches two in the next column, and ends left of a run that touches two before
    forks, joints = (np.flatnonzero(np.bincount(touching) > 1) for touching in (left, right))
    first = np.full(runs.number, len(owner))
    forked, at = np.unique(owner[forks], return_index=True)
    first[forked] = forks[at]
    ringed = np.unique(owner[joints[joints > first[owner[joints]]]])
    if len(ringed):
        parts = euler.copy()
        parts[ringed] = run_parts(runs.take(ringed), size)[0]
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
    events = merged(*(key << 2 | kind for kind, key in enumerate(kinds)))
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


def trace(runs: Runs, size: tuple[int, int]) -> Rings:
    """Return the outlines of all masks: the upper and the lower end of every run, linked into rings."""
    number = len(runs.x)  # of runs; each has two ends
    following, beside = _linked_ends(runs, size)
    head, left = _ranked(following)
    first = np.flatnonzero(head == np.arange(2 * number))
    ring = np.empty(2 * number, np.int64)
    ring[first] = np.arange(len(first))
    ring = ring[head]
    # the first run of a part has none at its left; the first below a hole has one, since no pixel of the hole is there
    owner, part, hole = runs.owners[first], np.arange(len(first)), beside[first]
    if hole.any():  # without holes every ring is a part
        part = run_parts(runs, size)[1][first]
        order = np.lexsort((hole, part))
        ring = np.argsort(order)[ring]
        owner, part, hole = owner[order], part[order], hole[order]
    cuts = np.append(0, np.cumsum(np.bincount(ring, minlength=len(first))))
    end = np.empty(2 * number, np.int64)  # in the order of the rings
    end[cuts[ring + 1] - 1 - left] = np.arange(2 * number)
    # two corners at most: where the end is reached and where it is left; a step to an end at the same height has none
    y = np.concatenate([runs.y0, runs.y1[::-1]])
    turns = y[following] != y
    corner = np.empty((2 * number, 2), bool)
    corner[following, 0] = turns
    corner[:, 1] = turns
    kept = np.flatnonzero(corner[end])
    at = end[kept >> 1]
    below = at >= number
    run = np.where(below, 2 * number - 1 - at, at)
    points = np.stack([runs.x[run] + (below ^ (kept & 1)), y[at]], 1).astype(np.int64)
    return Rings(points, np.searchsorted(kept, 2 * cuts), owner, part, hole)


def _linked_ends(runs: Runs, size: tuple[int, int]) -> tuple[Int, Bool]:
    """Return the end that follows each along its outline, and which runs touch one in the column before.

    The upper end of run r is r, and is walked to the right; its lower end is 2 R - 1 - r, and is walked to the left.
    """
    number = len(runs.x)
    # most masks have one run in each column: along their upper ends, and back along their lower ones
    run = np.arange(number)
    after_upper, after_lower, has_left = run + 1, 2 * number - run, np.ones(number, bool)
    sizes = np.diff(runs.offsets)
    first, last = runs.offsets[:-1][sizes > 0], runs.offsets[1:][sizes > 0] - 1
    after_upper[last], after_lower[first], has_left[first] = 2 * number - 1 - last, first, False
    forked = np.flatnonzero(np.repeat(~plain(runs), sizes))
    if len(forked):
        after_upper[forked], after_lower[forked], has_left[forked] = _linked_forks(runs, size, forked)
    return np.concatenate([after_upper, after_lower[::-1]]), has_left


def _linked_forks(runs: Runs, size: tuple[int, int], some: Int) -> tuple[Int, Int, Bool]:
    """Return what follows the upper and the lower end of ``some`` runs, all those of masks of any shape."""
    keys = Keys(*size)
    start, end = (ends[some] for ends in runs.ends(keys))
    upper, lower = some, 2 * len(runs.x) - 1 - some
    run = np.arange(len(some))
    beside = 1 << keys.y_bits
    (left, last_left), (right, last_right) = (
        (np.searchsorted(end, start + step, "right"), np.searchsorted(start, end + step, "left") - 1)
        for step in (-beside, beside)
    )
    has_left, has_right = left <= last_left, right <= last_right
    # past a neighbour that also touches the run above or below this one, the outline turns back to that run
    first = left[np.minimum(right, len(run) - 1)] == run
    after_upper = np.where(has_right, np.where(first, upper[np.minimum(right, len(run) - 1)], lower + 1), lower)
    last = last_right[last_left] == run
    after_lower = np.where(has_left, np.where(last, lower[last_left], upper + 1), upper)
    return after_upper, after_lower, has_left


def _ranked(following: Int) -> tuple[Int, Int]:
    """Return the lowest number in the ring of each, and the steps from each to the one before that (list ranking)."""
    number = np.arange(len(following))
    # most are followed by the next number: such a stretch is one link of a shorter chain
    begin = np.flatnonzero(np.append(-1, following)[:-1] != number)
    length = np.diff(begin, append=len(following))
    stretch = np.repeat(np.arange(len(begin)), length)
    end = begin + length - 1
    every, follows = np.arange(len(begin)), stretch[following[end]]
    head, ahead = every, follows
    while not np.array_equal(lowest := np.minimum(head, head[ahead]), head):
        head, ahead = lowest, ahead[ahead]  # every round looks twice as far
    last = follows == head
    ahead, steps = np.where(last, every, follows), np.where(last, 0, length[follows])
    while not np.array_equal(further := ahead[ahead], ahead):
        steps += steps[ahead]
        ahead = further
    return begin[head][stretch], (steps + end)[stretch] - number


def transposed(runs: Runs, size: tuple[int, int]) -> Runs:
    """Return the transposed masks: along rows, a stretch goes from a left edge to a right edge."""
    keys = Keys(size[1], size[0])
    begins, ends = (merged(_paint_rows(keys, *edges)) for edges in side_edges(runs, size))
    return Runs.ordered(*keys.unpack(begins), keys.unpack(ends)[2], runs.number)


def _paint_rows(keys: Keys, owner: Int, x: Int, y0: Int, y1: Int) -> Int:
    """Key (owner, row, x) of every pixel row along vertical edges."""
    count = y1 - y0
    ends = np.cumsum(count)
    row = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - count - y0, count)
    return keys.pack(np.repeat(owner, count), row, np.repeat(x, count))
