"""Which predictions overlap which truth, sparse, for many images and classes in one go.

Instances of different groups (one group per image and class) never meet. Masks: the groups are laid side by side on one
long strip, and one sparse IoU answers for all of them. Boxes: one range search over the left edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.run_overlap import Columns, intersections
from apiece.core.runs import Keys, Runs, chunks, expand, sums
from apiece.metrics._kit.columns import joined

_STRIP = 1 << 26
"""Widest strip: beyond it groups go to another one."""
_CANDIDATES = 1 << 19
"""Box pairs tested at once."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Overlapping pairs, ordered by (prediction, truth); every pair once.

    Attributes
    ----------
    predicted, truth : int64 (P,), rows of the two `Side`s.
    iou : float64 (P,), above 0. Against a crowd: intersection over the prediction's own area.
    """

    predicted: Int
    truth: Int
    iou: Float

    def __len__(self) -> int:
        return len(self.iou)

    def where(self, keep: Bool | Int) -> Pairs:
        """Return the chosen pairs, by a bool for each or by indices."""
        return Pairs(self.predicted[keep], self.truth[keep], self.iou[keep])

    @classmethod
    def none(cls) -> Pairs:
        """Return no pair."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def shifted(runs: Runs, mask: Int, shift: Int, size: tuple[int, int], number: Int | None = None) -> Columns:
    """Return the chosen masks, each moved right by ``shift``, on one image of ``size``, to be intersected.

    ``number`` is what each is called there; by default its place among the chosen.
    """
    chosen = runs.take(mask)
    made = Columns(chosen._replace(x=chosen.x + np.repeat(shift, np.diff(chosen.offsets))), size)
    if number is not None:
        made.owner = number[made.owner]
    return made


def shared(runs: Runs, other: Runs, size: tuple[int, int]) -> Int:
    """Return the pixels that each mask shares with the same one of ``other``: int64 (N,). ``size`` holds them all.

    >>> from apiece import Masks
    >>> boxes = [Masks.from_boxes([box], (5, 5)).runs for box in ([0, 0, 4, 2], [2, 1, 5, 5])]
    >>> shared(boxes[0], boxes[1], (5, 5)).tolist()
    [2]
    """
    keys = Keys(*size)
    keys.check(runs.number)
    start, end = other.ends(keys)
    before = sums(end - start)
    end = np.append(end, 0)  # index -1: no run begins before

    def covered(key: Int) -> Int:
        """Return the pixels of ``other`` that lie before the key."""
        found = np.searchsorted(start, key, "right")
        return before[found] - np.maximum(end[found - 1] - key, 0)

    first, last = runs.ends(keys)
    return np.bincount(runs.owners, covered(last) - covered(first), runs.number).astype(np.int64)


class Grouped(NamedTuple):
    """Rows that have a mask and belong to a group.

    Attributes
    ----------
    runs : masks.
    group : int64 (N,), group of each row.
    mask : int64 (N,), which mask each row has; None: its own.
    """

    runs: Runs
    group: Int
    mask: Int | None = None


def mask_pairs(predicted: Grouped, truth: Grouped, crowd: Bool, sizes: Int) -> Pairs:
    """Return the mask IoU of all overlapping pairs within each group.

    Of each row of truth, ``crowd`` is whether it is one, ``sizes`` the height and width of its image, int64 (N, 2).
    """
    runs_p, group_p, mask_p = predicted
    runs_t, group_t, mask_t = truth
    # a group without truth, or without predictions, needs no place on the strip
    groups = np.intersect1d(group_p, group_t)
    if not len(groups):
        return Pairs.none()
    rows_p, rows_t = (np.flatnonzero(np.isin(g, groups)) for g in (group_p, group_t))
    place_p, place_t = np.searchsorted(groups, group_p[rows_p]), np.searchsorted(groups, group_t[rows_t])
    order = np.argsort(place_t, kind="stable")
    rows_t, place_t = rows_t[order], place_t[order]
    first = np.searchsorted(place_t, np.arange(len(groups)))
    masks_p, masks_t = rows_p if mask_p is None else mask_p[rows_p], rows_t if mask_t is None else mask_t[rows_t]
    width = sizes[rows_t[first], 1]
    left = np.cumsum(width) - width
    height = int(sizes[:, 0].max())
    found = []
    for start, stop in chunks(width, _STRIP):
        size = (height, int(left[stop - 1] + width[stop - 1] - left[start]))
        here_p, here_t = ((p >= start) & (p < stop) for p in (place_p, place_t))
        shift = (left - left[start]).astype(np.int32)
        group, of = place_p[here_p], place_t[here_t]
        # truth is numbered within its group, so that the table of all pairs is narrow
        number = np.flatnonzero(here_t) - first[of]
        pixels = intersections(
            shifted(runs_p, masks_p[here_p], shift[group], size),
            shifted(runs_t, masks_t[here_t], shift[of], size, number),
            (len(group), int(number.max()) + 1),
        ).tocoo()
        found.append((np.flatnonzero(here_p)[pixels.row], first[group[pixels.row]] + pixels.col, pixels.data))
    p, t, both = (np.concatenate(columns) for columns in zip(*found, strict=True))
    area = runs_p.area[masks_p[p]]
    whole = np.where(crowd[rows_t[t]], area, area + runs_t.area[masks_t[t]] - both)
    return _ordered([Pairs(rows_p[p], rows_t[t], both / whole)])


def box_pairs(box_p: Float, group_p: Int, box_t: Float, group_t: Int, crowd: Bool) -> Pairs:
    """Return the box IoU of all overlapping pairs within each group, in the arithmetic of pycocotools.

    Boxes are float64 (N, 4), x, y, width, height; boxes without area overlap nothing.
    """
    some_p, some_t = (np.flatnonzero((box[:, 2:] > 0).all(1)) for box in (box_p, box_t))
    found = []
    # truth of one width class at a time, so that one wide box does not widen the search for all
    width_class = np.frexp(np.maximum(box_t[some_t, 2], 1.0))[1]
    for size in np.unique(width_class):
        chosen = some_t[width_class == size]
        found += _box_pairs_below(2.0**size, box_p, group_p, some_p, box_t, group_t, chosen, crowd)
    return _ordered(found)


def _box_pairs_below(
    width: float, box_p: Float, group_p: Int, rows_p: Int, box_t: Float, group_t: Int, rows_t: Int, crowd: Bool
) -> list[Pairs]:
    """Pairs whose truth is at most ``width`` wide: its left edge lies no further left of the prediction than that."""
    left_t = _whole(box_t[rows_t, 0])
    low, high = _whole(box_p[rows_p, 0] - width), _whole(box_p[rows_p, 0] + box_p[rows_p, 2])
    origin = int(left_t.min())
    # one more than the furthest edge, so that groups stay apart on the key axis
    span = int(left_t.max()) - origin + 2
    key = group_t[rows_t] * span + (left_t - origin)
    order = np.argsort(key, kind="stable")
    base = group_p[rows_p] * span
    begin = np.searchsorted(key[order], base + np.clip(low - origin, 0, span - 1), "left")
    end = np.searchsorted(key[order], base + np.clip(high - origin, -1, span - 1), "right")
    count = np.maximum(end - begin, 0)
    found = []
    for lo, hi in chunks(count, _CANDIDATES):
        p = np.repeat(np.arange(lo, hi), count[lo:hi])
        t = order[expand(begin[lo:hi], count[lo:hi])]
        found.append(_overlapping_boxes(box_p, rows_p[p], box_t, rows_t[t], crowd))
    return found


def _whole(x: Float) -> Int:
    """Floor, within the range that keys have room for."""
    return np.clip(np.floor(x), -(2.0**31), 2.0**31).astype(np.int64)


def _overlapping_boxes(box_p: Float, p: Int, box_t: Float, t: Int, crowd: Bool) -> Pairs:
    corner_p, corner_t = box_p[:, :2] + box_p[:, 2:], box_t[:, :2] + box_t[:, 2:]
    w = np.minimum(corner_p[p, 0], corner_t[t, 0]) - np.maximum(box_p[p, 0], box_t[t, 0])
    near = w > 0
    p, t, w = p[near], t[near], w[near]
    h = np.minimum(corner_p[p, 1], corner_t[t, 1]) - np.maximum(box_p[p, 1], box_t[t, 1])
    near = h > 0
    p, t, shared = p[near], t[near], w[near] * h[near]
    area = box_p[p, 2] * box_p[p, 3]
    whole = np.where(crowd[t], area, area + box_t[t, 2] * box_t[t, 3] - shared)
    return Pairs(p, t, shared / whole)


def _ordered(found: Sequence[Pairs]) -> Pairs:
    whole = joined([Pairs.none(), *found])
    return whole.where(np.lexsort((whole.truth, whole.predicted)))
