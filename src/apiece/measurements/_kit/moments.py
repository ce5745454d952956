"""Second moments of the pixel centres of each mask, as the ellipse that has the same."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Float
from apiece.core.masks import Masks
from apiece.core.runs import owners

__all__ = ["ellipses", "ratio"]


def ellipses(masks: Masks, scale: tuple[float, float]) -> dict[str, Float]:
    """Return the axes of the ellipse with the pixel centres' second moments, in closed form from the runs."""
    n = (masks.y1 - masks.y0).astype(np.float64)
    owner = owners(masks.offsets)
    centre = masks.centroids[owner]
    dx = (masks.x + 0.5 - centre[:, 0]) * scale[0]
    dy = ((masks.y0 + masks.y1) / 2 - centre[:, 1]) * scale[1]
    inside = (n * n - 1) / 12 * scale[1] ** 2
    area = masks.area
    xx, yy, xy = (ratio(_sum(n * v, masks), area) for v in (dx * dx, dy * dy + inside, dx * dy))
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # rounding leaves a trace instead of 0: the width of a line, the difference of a disc's axes
    noise = 1e-12 * middle
    small = np.where(middle - spread > noise, middle - spread, np.minimum(middle, 0.0))
    large = middle + spread
    turned = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2 % 180
    turned = np.where(180 - turned < 1e-9, 0.0, turned)
    return {
        "major_axis": 4 * np.sqrt(large),
        "minor_axis": 4 * np.sqrt(small),
        "orientation": np.where(spread <= noise, np.minimum(middle, 0.0), turned),
        "eccentricity": np.sqrt(1 - ratio(small, large, where_zero=1.0)),
    }


def _sum(values: Float, masks: Masks) -> Float:
    """Sum over the runs of each mask; unlike a difference of running sums, this keeps a small mask's digits."""
    out = np.zeros(len(masks))
    some = np.flatnonzero(np.diff(masks.offsets))
    if len(some):
        out[some] = np.add.reduceat(values, masks.offsets[some])
    return out


def ratio(a: Array, b: Array, where_zero: float = np.nan) -> Float:
    out = np.full(len(a), where_zero)
    np.divide(a, b, out=out, where=b != 0)
    return out
