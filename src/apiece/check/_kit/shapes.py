"""Shapes of all masks of an image at once, from their runs: hulls, rims, ground that nothing covers."""

from __future__ import annotations

import itertools

import numpy as np

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.core.runs import chunks, expand, offsets_of, owners, segment_sum, stripes
from apiece.core.set_operations import replaced
from apiece.ops.hull import hull_columns
from apiece.ops.overlap import intersections

AT_ONCE = 1 << 17
"""Runs of masks whose shapes are taken at once."""


def bridged(masks: Masks) -> Masks:
    """Return each mask with a line along the image border between the outermost places where it meets that border.

    An object that the border cuts continues beyond it, so the line closes a ring that is cut open there.
    """
    return _bridged(masks) if len(masks) == 1 else masks.mapped(_bridged, AT_ONCE)


def _bridged(masks: Masks) -> Masks:
    """Return what `bridged` does, of some masks."""
    height, width = masks.size
    low, high = np.full((4, len(masks)), max(masks.size)), np.zeros((4, len(masks)), np.int64)
    for x, y0, y1, offsets in masks.runs.stretches(AT_ONCE):
        owner = owners(offsets)
        for k, (meets, begin, end) in enumerate(
            ((x == 0, y0, y1), (x == width - 1, y0, y1), (y0 == 0, x, x + 1), (y1 == height, x, x + 1))
        ):
            at = np.flatnonzero(meets)
            np.minimum.at(low[k], owner[at], begin[at])
            np.maximum.at(high[k], owner[at], end[at])
    side, who = np.nonzero(high)
    if not len(who):
        return masks
    edge, (low, high) = np.array([0, width - 1, 0, height - 1])[side], (ends[side, who] for ends in (low, high))
    boxes = np.where(
        (side < 2)[:, None], np.stack([edge, low, edge + 1, high], 1), np.stack([low, edge, high, edge + 1], 1)
    )
    some, place = np.unique(who, return_inverse=True)
    drawn = Masks.concatenate([masks[some], Masks.from_boxes(boxes, masks.size)])
    return replaced(masks, some, drawn.merge(np.append(np.arange(len(some)), place), len(some)))


def hulls(masks: Masks) -> Masks:
    """Return the convex hull of each mask's pixel centres, all parts together; empty for a mask too thin for one."""
    count = len(masks)
    chain, x, y = hull_columns(masks)
    upper = chain < count
    owner = np.where(upper, chain, chain - count)
    # from left to right along the upper side, and back along the lower one, whose y are negated
    order = np.lexsort((np.where(upper, x, -x), ~upper, owner))
    points = np.stack([x, np.where(upper, y, -y - 1)], 1)[order] + 0.5
    cuts = offsets_of(owner[order], count).tolist()
    rings = [[points[a:b]] if b - a > 2 else [] for a, b in itertools.pairwise(cuts)]
    return Masks.from_polygons(rings, masks.size)


def bare_pixels(masks: Masks, cover: Masks) -> Int:
    """Return how many pixels of each mask's hull no instance covers; ``cover`` is one mask."""
    boxes = masks.runs.boxes
    bare, order = np.zeros(len(masks), np.int64), np.argsort(boxes[:, 0], kind="stable")
    # from left to right, so that those of one go need few columns of the cover
    for lo, hi in chunks(np.diff(masks.offsets)[order], AT_ONCE):
        some = order[lo:hi]
        hull = hulls(masks[some])
        under = cover.runs.between(int(boxes[some, 0].min()), int(boxes[some, 2].max()))
        bare[some] = hull.area - intersections(hull, Masks.of_runs(cover.size, under)).toarray()[:, 0]
    return bare


def dilated(masks: Masks) -> Masks:
    """Return each mask with the pixels that share a side with it."""
    runs = masks.runs
    if len(masks) > 1 or len(runs.x) <= AT_ONCE:
        return masks.mapped(_dilated, AT_ONCE)
    ends = [right for _, right in stripes((runs,), AT_ONCE, common=False)]
    cuts = itertools.pairwise([0, *ends[:-1], masks.size[1]])
    wide = ((*cut, Masks.of_runs(masks.size, runs.between(cut[0] - 1, cut[1] + 1))) for cut in cuts)
    made = (_dilated(some).runs.between(left, right) for left, right, some in wide)
    return Masks.of_runs(masks.size, runs.like(made).as_one())


def _dilated(masks: Masks) -> Masks:
    """Return what `dilated` does, of masks in memory."""
    moved = [masks, *(masks.shift(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))]
    return Masks.concatenate(moved).merge(np.tile(np.arange(len(masks)), 5), len(masks))


def nearest_pixels(masks: Masks, first: Int, second: Int) -> tuple[Int, Int, Int]:
    """For each run in ``first`` return (its pixel x, y; the nearest pixel of the runs in ``second``; that run).

    Compares every run with every other, in chunks, without drawing a mask. ``first`` and ``second`` are positions of
    runs in ``masks``.
    """
    x, y0, y1 = (a.astype(np.int64) for a in (masks.x, masks.y0, masks.y1))
    run = np.zeros(len(first), np.int64)
    step = max((1 << 20) // max(len(second), 1), 1)
    for lo in range(0, len(first), step):
        some = first[lo : lo + step, None]
        down = np.maximum(np.maximum(y0[some] - y1[second], y0[second] - y1[some]) + 1, 0)
        run[lo : lo + step] = second[((x[some] - x[second]) ** 2 + down**2).argmin(1)]
    # where both have a row in common the line is level, in the middle of these rows
    top, bottom = np.maximum(y0[first], y0[run]), np.minimum(y1[first], y1[run]) - 1
    level, above = (top + bottom) // 2, y1[first] <= y0[run]
    begin = np.where(top <= bottom, level, np.where(above, y1[first] - 1, y0[first]))
    end = np.where(top <= bottom, level, np.where(above, y0[run], y1[run] - 1))
    return np.stack([x[first], begin], 1), np.stack([x[run], end], 1), run


def bare_on_lines(cover: Masks, begin: Int, end: Int) -> tuple[Int, Int]:
    """Return (pixels strictly between the ends of each straight line, how many of them no instance covers).

    ``begin`` and ``end`` are (N, 2) pixels x, y; ``cover`` is one mask.
    """
    steps = np.abs(end - begin).max(1)
    between = np.maximum(steps - 1, 0)
    line = np.repeat(np.arange(len(steps)), between)
    share = (expand(np.ones(len(steps), np.int64), between) / np.maximum(steps, 1)[line])[:, None]
    at = np.rint(begin[line] + (end - begin)[line] * share).astype(np.int64)
    inside = cover.contains(np.zeros(len(at), np.int64), at[:, 0], at[:, 1])
    bare = segment_sum((~inside).astype(np.int64), offsets_of(line, len(steps)))
    return between, bare
