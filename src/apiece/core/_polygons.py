"""Polygons to runs by COCO's own rule, pixel for pixel, for all polygons at once.

The rule (``rleFrPoly`` in pycocotools' ``maskApi.c``): vertices are rounded on a grid five times finer, edges are
walked on it one step at a time along their longer side, and a column's boundary is noted where the walk passes the
column's middle, from fine column 5c + 2 to 5c + 3. Only these passages matter, so they are computed directly, one per
edge and column, instead of walking.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import Keys, expand, merged

_FINE = 5
_LIMIT = 2**40  # vertices further out than this would wrap on the fine grid


def polygon_runs(points: Float, rings: Int, owner: Int, size: tuple[int, int]) -> tuple[Int, Int, Int, Int]:
    """Runs of closed polygons, in no order and possibly overlapping between polygons of one owner.

    Parameters
    ----------
    points : (P, 2) x, y of all polygons' vertices, finite.
    rings : (K + 1,) where each polygon's vertices begin and end.
    owner : (K,) instance of each polygon.
    size : (height, width); what lies outside is clipped as COCO clips it.

    Returns
    -------
    (owner, x, y0, y1)
    """
    height, width = size
    near = np.clip(points, -_LIMIT, _LIMIT)  # what is further away would overflow
    fine = np.clip(near * _FINE + 0.5, -_LIMIT, _LIMIT).astype(np.int64)  # truncates towards 0, as C does
    sizes = np.diff(rings)
    following = np.arange(1, len(fine) + 1)
    following[rings[1:][sizes > 0] - 1] = rings[:-1][sizes > 0]
    column, row, edge = _passages(fine, fine[following], width)
    ring = np.repeat(np.arange(len(sizes)), sizes)[edge]
    # back from the fine grid: the first row whose middle lies at or below the passage
    y = np.ceil(np.clip((row + 0.5) / _FINE - 0.5, 0, height)).astype(np.int64)
    keys = Keys(height, width)
    keys.check(len(sizes))
    toggles = merged(keys.pack(ring, column, y))  # an outline goes right, then left: stretches in order, or nearly
    # a closed polygon passes a column an even number of times; inside lies between the odd and the even
    ring, x, y = keys.unpack(toggles)
    return owner[ring[0::2]], x[0::2], y[0::2], y[1::2]


def _passages(a: Int, b: Int, width: int) -> tuple[Int, Int, Int]:
    """(column, fine row, edge) where each fine edge a-b passes the middle of an image column."""
    ax, ay, bx, by = a[:, 0], a[:, 1], b[:, 0], b[:, 1]
    # columns c with low <= 5c + 2 and 5c + 3 <= high, inside the image
    first = np.maximum((np.minimum(ax, bx) + 2) // _FINE, 0)
    count = np.maximum(np.minimum((np.maximum(ax, bx) - 3) // _FINE, width - 1) - first + 1, 0)
    dx, dy = bx - ax, by - ay
    steep = np.abs(dx) < np.abs(dy)
    # the walk begins at the end where its longer side is smaller
    swap = np.where(steep, dy, dx) < 0
    x, y = np.where(swap, bx, ax), np.where(swap, by, ay)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(steep, dx / dy, dy / dx)
    edge, column = np.repeat(np.arange(len(a)), count), expand(first, count)
    # along x: two neighbouring steps, the upper one counts
    t, y, s = _FINE * column + 2 - x[edge], y[edge], slope[edge]
    row = np.minimum((y + s * t + 0.5).astype(np.int64), (y + s * (t + 1) + 0.5).astype(np.int64))
    # along y: the step before the walk's column changes to the other side of the middle
    up = np.flatnonzero(steep[edge])
    some = edge[up]
    row[up] = _step_before(x[some], s[up], _FINE * column[up] + 3, np.abs(dy[some])) + y[up]
    return column, row, edge


def _step_before(x: Int, slope: Float, target: Int, steps: Int) -> Int:
    """Largest step t after which ``int(x + slope * t + 0.5)`` comes to the other side of ``target`` - 0.5.

    The real solution is rounded, then set right by at most a step or two, so that float rounding agrees with the
    walk's.
    """
    rising = slope > 0

    def before(t: Int) -> Bool:
        # not yet across: below the target when rising, at or above it when falling
        reached = (x + slope * t + 0.5).astype(np.int64) >= target
        return reached != rising

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.floor((target - 0.5 - x) / slope)
    t = np.clip(np.nan_to_num(t), 0, steps - 1).astype(np.int64)
    while True:
        late = ~before(t) & (t > 0)
        if not late.any():
            break
        t -= late
    while True:
        early = before(t + 1) & (t < steps - 1)
        if not early.any():
            break
        t += early
    return t
