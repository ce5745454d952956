"""Shapes of all masks of an image at once, from their runs: hulls, holes closed, rims, what lies bare."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from apiece._arrays import Bool, Int, Int32
from apiece.core.masks import Masks
from apiece.core.runs import Keys, expand, offsets_of, owners, segment_sum
from apiece.ops.hull import hull_columns
from apiece.ops.overlap import intersections


def holes_in(crop: Bool) -> tuple[Int32, Int]:
    """Holes of one mask drawn in its own box.

    Returns
    -------
    part : int32 of the crop's shape: which piece of the mask or of the background each pixel belongs to.
    pixels : int64, one for each piece: how large it is where it is a hole, 0 where it is not.
    """
    ground = cv2.copyMakeBorder((~crop).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, part, stats, _ = cv2.connectedComponentsWithStats(ground, connectivity=8)
    pixels = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    pixels[[0, int(part[0, 0])]] = 0
    return part[1:-1, 1:-1], pixels


def closed(masks: Masks) -> Masks:
    """The masks with their holes filled."""
    some = np.flatnonzero(masks.holes)
    if not len(some):
        return masks
    crops, corners = masks[some].to_crops()
    filled = []
    for crop in crops:
        part, pixels = holes_in(crop)
        filled.append(crop | (pixels > 0)[part])
    joined = Masks.concatenate([masks, Masks.from_crops(filled, corners, masks.size)])
    chosen = np.arange(len(masks))
    chosen[some] = len(masks) + np.arange(len(some))
    return joined[chosen]


def bridged(masks: Masks) -> Masks:
    """Each mask with the line along the image border between the outermost places where it meets that border.

    An object that the border cuts goes on beyond it, so that a ring which is cut open there is closed by the line.
    """
    height, width = masks.size
    owner = owners(masks.offsets)
    more: list[tuple[Int, Int, Int, Int]] = []
    for side in (0, width - 1):
        at = np.flatnonzero(masks.x == side)
        who, first = np.unique(owner[at], return_index=True)
        if len(who):
            top, bottom = np.minimum.reduceat(masks.y0[at], first), np.maximum.reduceat(masks.y1[at], first)
            more.append((who, np.full(len(who), side), top.astype(np.int64), bottom.astype(np.int64)))
    for on_side, row in ((masks.y0 == 0, 0), (masks.y1 == height, height - 1)):
        at = np.flatnonzero(on_side)
        who, first = np.unique(owner[at], return_index=True)
        if len(who):
            left, right = np.minimum.reduceat(masks.x[at], first), np.maximum.reduceat(masks.x[at], first)
            count = (right - left + 1).astype(np.int64)
            rows = np.full(int(count.sum()), row)
            more.append((np.repeat(who, count), expand(left, count), rows, rows + 1))
    if not more:
        return masks
    who, x, y0, y1 = (np.concatenate(columns) for columns in zip(*more, strict=True))
    order = np.lexsort((y0, x, who))
    # lines of one mask may cross in a corner: each run is a mask of its own until they are merged
    lines = Masks(masks.size, x[order], y0[order], y1[order], np.arange(len(order) + 1))
    groups = np.concatenate([np.arange(len(masks)), who[order]])
    return Masks.concatenate([masks, lines]).merge(groups, len(masks))


def hulls(masks: Masks) -> Masks:
    """The convex hull of the pixel centres of each mask, all its parts together; what is too thin for one has none."""
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


def bare_pixels(hull: Masks, cover: Masks) -> Int:
    """Pixels of each hull that no instance covers: hollows that nothing lies in. ``cover`` is one mask."""
    return hull.area - intersections(hull, cover).toarray()[:, 0]


def grown(masks: Masks) -> Masks:
    """Each mask and the pixels that share a side with it."""
    moved = [masks, *(masks.shift(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))]
    return Masks.concatenate(moved).merge(np.tile(np.arange(len(masks)), 5), len(masks))


def crossings(masks: Masks, first: Int, second: Int) -> tuple[Int, Int, Int]:
    """For each of some runs of ``masks`` the nearest pixel of other runs.

    Compares every run with every other, in pieces; exact, and no pixel is looked at.

    Returns
    -------
    begin, end : int64 (len(first), 2): a pixel x, y of the run, and the nearest one to it of the others.
    run : which of the runs that is.
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
    """(pixels strictly between the ends of each straight line, how many of them no instance covers).

    ``begin`` and ``end`` are (N, 2) pixels x, y; ``cover`` is one mask.
    """
    steps = np.abs(end - begin).max(1)
    between = np.maximum(steps - 1, 0)
    line = np.repeat(np.arange(len(steps)), between)
    share = (expand(np.ones(len(steps), np.int64), between) / np.maximum(steps, 1)[line])[:, None]
    at = np.rint(begin[line] + (end - begin)[line] * share).astype(np.int64)
    bare = segment_sum((~_inside(cover, at[:, 0], at[:, 1])).astype(np.int64), offsets_of(line, len(steps)))
    return between, bare


def _inside(cover: Masks, x: Int, y: Int) -> Bool:
    """Whether each pixel lies in the one mask."""
    if not len(cover.x):
        return np.zeros(len(x), bool)
    keys = Keys(*cover.size)
    run = np.searchsorted(keys.pack(0, cover.x, cover.y0), keys.pack(0, x, y), "right") - 1
    return (run >= 0) & (cover.x[run] == x) & (y < cover.y1[run])
