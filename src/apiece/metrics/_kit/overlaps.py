"""Which predictions overlap which truth, sparse, for many images and classes in one go.

Instances of different groups (one group per image and class) never meet. Boxes: all pairs of a group where these are
few, else one range search over the left edges. Masks: the pixels shared by each pair whose boxes overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.run_overlap import Columns, intersections, shared
from apiece.core.runs import Runs, chunks, expand

_SMALL = 16
"""Box pairs for each box up to which all of a group are tested."""
_WOUND = 6
"""Runs looked at pair by pair, for each run there is, from which a sweep over all is quicker: of fibres that lie across
each other, nearly all boxes overlap."""
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


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows that have a mask and belong to a group.

    Attributes
    ----------
    runs : masks.
    group : int64 (N,), group of each row.
    mask : int64 (N,), which mask each row has.
    """

    runs: Runs
    group: Int
    mask: Int

    @property
    def box(self) -> Float:
        """X, y, width, height of the mask of each row: float64 (N, 4)."""
        box = self.runs.boxes[self.mask].astype(np.float64)
        box[:, 2:] -= box[:, :2]
        return box


def mask_pairs(predicted: Grouped, truth: Grouped, crowd: Bool) -> Pairs:
    """Return the mask IoU of all overlapping pairs within each group; ``crowd`` is whether each row of truth is one."""
    p, t, _ = _near(predicted.box, predicted.group, truth.box, truth.group)
    mask_p, mask_t = predicted.mask[p], truth.mask[t]
    looked_at = np.diff(predicted.runs.offsets)[mask_p].sum()
    if looked_at > _WOUND * (len(predicted.runs.x) + len(truth.runs.x)):
        both = _swept(predicted, p, truth, t)
    else:
        both = shared(predicted.runs, mask_p, truth.runs, mask_t)
    area = predicted.runs.area[mask_p]
    whole = np.where(crowd[t], area, area + truth.runs.area[mask_t] - both)
    return Pairs(p, t, both / whole).where(both > 0)


def _swept(predicted: Grouped, p: Int, truth: Grouped, t: Int) -> Int:
    """Return the pixels that each pair shares, by one sweep over all masks, with the groups side by side on a strip."""
    width = 1 + max(int(side.runs.x.max()) for side in (predicted, truth))
    height = max(int(side.runs.y1.max()) for side in (predicted, truth))
    sides, places = [], []
    for side, rows in ((predicted, p), (truth, t)):
        some, place = np.unique(rows, return_inverse=True)
        runs = side.runs.take(side.mask[some])
        x = runs.x + np.repeat(side.group[some] * width, np.diff(runs.offsets))
        sides.append(Columns(runs._replace(x=x), (height, int(x.max()) + 1)))
        places.append(place)
    shape = (int(places[0].max()) + 1, int(places[1].max()) + 1)
    return np.asarray(intersections(sides[0], sides[1], shape)[places[0], places[1]], np.int64)


def box_pairs(box_p: Float, group_p: Int, box_t: Float, group_t: Int, crowd: Bool) -> Pairs:
    """Return the box IoU of all overlapping pairs within each group, in the arithmetic of pycocotools.

    Boxes are float64 (N, 4), x, y, width, height; boxes without area overlap nothing.
    """
    p, t, both = _near(box_p, group_p, box_t, group_t)
    area = box_p[p, 2] * box_p[p, 3]
    return Pairs(p, t, both / np.where(crowd[t], area, area + box_t[t, 2] * box_t[t, 3] - both))


def _near(box_p: Float, group_p: Int, box_t: Float, group_t: Int) -> tuple[Int, Int, Float]:
    """Rows of all pairs within each group whose boxes overlap, ordered by them, and the area that is shared."""
    some_p, some_t = (np.flatnonzero((box[:, 2:] > 0).all(1)) for box in (box_p, box_t))
    some_t = some_t[np.argsort(group_t[some_t], kind="stable")]
    begin, end = (np.searchsorted(group_t[some_t], group_p[some_p], side) for side in ("left", "right"))
    if (end - begin).sum() <= _SMALL * (len(some_p) + len(some_t)):
        return _overlapping(box_p, some_p, box_t, some_t, begin, end - begin)
    # truth of one width class at a time, so that one wide box does not widen the search for all
    width_class = np.frexp(np.maximum(box_t[some_t, 2], 1.0))[1]
    found = []
    for size in np.unique(width_class):
        chosen = some_t[width_class == size]
        found.append(_near_below(2.0**size, box_p, group_p, some_p, box_t, group_t, chosen))
    p, t, both = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((t, p))
    return p[order], t[order], both[order]


def _near_below(
    width: float, box_p: Float, group_p: Int, rows_p: Int, box_t: Float, group_t: Int, rows_t: Int
) -> tuple[Int, Int, Float]:
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
    return _overlapping(box_p, rows_p, box_t, rows_t[order], begin, np.maximum(end - begin, 0))


def _whole(x: Float) -> Int:
    """Floor, within the range that keys have room for."""
    return np.clip(np.floor(x), -(2.0**31), 2.0**31).astype(np.int64)


def _overlapping(
    box_p: Float, rows_p: Int, box_t: Float, rows_t: Int, begin: Int, count: Int
) -> tuple[Int, Int, Float]:
    """Of the pairs of each prediction and the ``count`` truths from ``begin`` on, those whose boxes overlap."""
    corner_p, corner_t = box_p[:, :2] + box_p[:, 2:], box_t[:, :2] + box_t[:, 2:]
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for lo, hi in chunks(count, _CANDIDATES):
        p, t = np.repeat(rows_p[lo:hi], count[lo:hi]), rows_t[expand(begin[lo:hi], count[lo:hi])]
        w = np.minimum(corner_p[p, 0], corner_t[t, 0]) - np.maximum(box_p[p, 0], box_t[t, 0])
        near = w > 0
        p, t, w = p[near], t[near], w[near]
        h = np.minimum(corner_p[p, 1], corner_t[t, 1]) - np.maximum(box_p[p, 1], box_t[t, 1])
        near = h > 0
        found.append((p[near], t[near], w[near] * h[near]))
    p, t, both = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return p, t, both
