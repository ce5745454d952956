"""Which pixels a mask's fill and outline are, straight from the runs: nothing the size of the image is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.core.runs import chunks

_CHUNK = 1 << 22
"""Pixels expanded at a time."""


def _columns(masks: Masks, order: Int) -> tuple[Int, Int, Int, Int]:
    """Runs of the masks in ``order``: (place in order, x, y0, y1)."""
    taken = masks[order]
    place = np.repeat(np.arange(len(taken), dtype=np.int64), np.diff(taken.offsets))
    return place, taken.x.astype(np.int64), taken.y0.astype(np.int64), taken.y1.astype(np.int64)


def fill(masks: Masks, order: Int) -> Iterator[tuple[Int, Int]]:
    """(flat row-major pixel index, mask index) of all pixels, mask after mask in ``order``, in bounded pieces."""
    place, x, y0, y1 = _columns(masks, order)
    width = masks.size[1]
    for first, last in chunks(y1 - y0, _CHUNK):
        part = slice(first, last)
        yield _expand(x[part], y0[part], y1[part], width), np.repeat(order[place[part]], (y1 - y0)[part])


def outline(masks: Masks, order: Int, thickness: int) -> tuple[Int, Int]:
    """(flat pixel index, mask index) of the pixels of each mask within ``thickness`` of its outside, in ``order``.

    The outside is counted along rows and columns, holes and the world beyond the image belong to it.
    """
    place, x, y0, y1 = _columns(masks, order)
    height, width = masks.size
    # every column of every mask gets its own stretch of a line, so that one sorted difference serves all
    stride, gap = height + 2, width + 2 * thickness
    base = (place * gap + x + thickness) * stride
    start, end = base + y0, base + y1
    pieces = [(start, np.minimum(start + thickness, end)), (np.maximum(end - thickness, start), end)]
    for step in range(1, thickness + 1):
        for sign in (-1, 1):
            pieces.append(_difference(start, end, start + sign * step * stride, end + sign * step * stride))
    low, high = _union(np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces]))
    column, row = np.divmod(low, stride)
    owner, across = np.divmod(column, gap)
    at = _expand(across - thickness, row, row + high - low, width)
    return at, np.repeat(order[owner], high - low)


def _expand(x: Int, y0: Int, y1: Int, width: int) -> Int:
    length = y1 - y0
    before = np.cumsum(length) - length
    return np.repeat(y0 * width + x - before * width, length) + np.arange(int(length.sum())) * width


def _depths(low: Int, high: Int) -> tuple[Int, Int]:
    """Ends of intervals sorted, and how many intervals are open after each."""
    at = np.concatenate([low, high])
    order = np.argsort(at, kind="stable")
    change = np.ones(len(at), np.int64)
    change[len(low) :] = -1
    return at[order], np.cumsum(change[order])


def _difference(low: Int, high: Int, other_low: Int, other_high: Int) -> tuple[Int, Int]:
    """The stretches of [low, high) that no [other_low, other_high) covers; both sets sorted and disjoint."""
    at = np.concatenate([low, high, other_low, other_high])
    order = np.argsort(at, kind="stable")
    change = np.concatenate(
        [np.full(len(low), 1), np.full(len(low), -1), np.full(len(other_low), 2), np.full(len(other_low), -2)]
    )
    # a weight of 2 for the others: depth 1 is where only the first set is
    alone = np.flatnonzero((np.cumsum(change[order]) == 1)[:-1])
    at = at[order]
    begin, finish = at[alone], at[alone + 1]
    real = finish > begin
    return begin[real], finish[real]


def _union(low: Int, high: Int) -> tuple[Int, Int]:
    """Stretches merged where they overlap; those that touch may stay apart."""
    at, depth = _depths(low, high)
    opens = np.flatnonzero((depth > 0)[:-1] & (at[1:] > at[:-1]))
    return at[opens], at[opens + 1]
