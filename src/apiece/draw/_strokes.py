"""Which pixels a mask's fill and outline are, straight from the runs: nothing the size of the image is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece._arrays import Array, Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs, chunks

_CHUNK = 1 << 22
"""Pixels expanded at a time."""


def _columns(masks: Masks, order: Int) -> tuple[Int, Int, Int, Int]:
    """Runs of the masks in ``order``: (place in order, x, y0, y1)."""
    place, x, y0, y1 = masks.runs.take(order).loose
    return place, x.astype(np.int64), y0.astype(np.int64), y1.astype(np.int64)


def fill(masks: Masks, order: Int) -> Iterator[tuple[Int, Int]]:
    """Yield (flat row-major pixel index, mask index) of all pixels, mask after mask in ``order``, in bounded pieces."""
    place, x, y0, y1 = _columns(masks, order)
    width = masks.size[1]
    for first, last in chunks(y1 - y0, _CHUNK):
        part = slice(first, last)
        yield _expand(x[part], y0[part], y1[part], width), np.repeat(order[place[part]], (y1 - y0)[part])


def outline(masks: Masks, order: Int, thickness: int) -> tuple[Int, Int]:
    """Return (flat pixel index, mask index) of the pixels of each mask within ``thickness`` of its outside.

    The outside is counted along rows and columns, holes and the world beyond the image belong to it.
    """
    place, x, y0, y1 = _columns(masks, order)
    height, width = masks.size
    # every column of every mask gets its own stretch of a line, so that one sorted difference serves all
    stride, gap = height + 2, width + 2 * thickness
    base = (place * gap + x + thickness) * stride
    start, end = base + y0, base + y1
    pieces = [(start, np.minimum(start + thickness, end), 1), (np.maximum(end - thickness, start), end, 1)]
    for step in (*range(-thickness, 0), *range(1, thickness + 1)):
        beside = start + step * stride, end + step * stride, 2
        # a weight of 2 for the column beside: 1 is where only this one is
        pieces.append((*_stretches([(start, end, 1), beside], np.equal), 1))
    low, high = _stretches(pieces, np.greater_equal)
    column, row = np.divmod(low, stride)
    owner, across = np.divmod(column, gap)
    at = _expand(across - thickness, row, row + high - low, width)
    return at, np.repeat(order[owner], high - low)


def _expand(x: Int, y0: Int, y1: Int, width: int) -> Int:
    length = y1 - y0
    before = np.cumsum(length) - length
    return np.repeat(y0 * width + x - before * width, length) + np.arange(int(length.sum())) * width


def _stretches(intervals: list[tuple[Int, Int, int]], compared: np.ufunc) -> tuple[Int, Int]:
    """Where the weights of the intervals (low, high, weight) over a place add up to what is so ``compared`` to 1."""
    at = np.concatenate([end for low, high, _ in intervals for end in (low, high)])
    change = np.concatenate([np.full(len(low), w) for low, _, weight in intervals for w in (weight, -weight)])
    order = np.argsort(at, kind="stable")
    at, depth = at[order], np.cumsum(change[order])
    begin = np.flatnonzero(compared(depth, 1)[:-1] & (at[1:] > at[:-1]))
    return at[begin], at[begin + 1]


def sampled(masks: Masks, rows: slice, columns: slice) -> Masks:
    """Return the masks on these rows and columns; what lies between them vanishes. Costs runs, never pixels."""
    height, width = masks.size
    size = len(range(height)[rows]), len(range(width)[columns])
    runs = masks.runs
    x, y0, y1 = (_place(a, s) for a, s in ((runs.x, columns), (runs.y0, rows), (runs.y1, rows)))
    kept = (x * columns.step + columns.start == runs.x) & (y0 < y1)
    loose = runs.owners[kept], x[kept], y0[kept], y1[kept]  # they touch where the gap between them is not shown
    return Masks.of_runs(size, Runs.pack(loose, len(masks), size))


def _place(at: Array, shown: slice) -> Int:
    """Return how many of the rows or columns that are shown lie before each."""
    return -((shown.start - at.astype(np.int64)) // shown.step)
