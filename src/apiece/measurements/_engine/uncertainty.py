"""How far lengths and areas may be off: half widths of 95% intervals.

Three causes add up as independent ones do. *Pixels*: a mask keeps only which pixel centres lie inside a shape; what
that leaves open was measured on drawn shapes (`Property.spread`). *The outline*: how far a model's outline may be off,
where the instances have an attribute ``edge``. *The calibration*: how well the scale of the plane is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from apiece._arrays import Array, Float
from apiece.core.masks import Masks
from apiece.measurements.contract import Property
from apiece.ops.perimeter import crofton

__all__ = ["EDGE", "SUFFIX", "half_widths"]

EDGE = "edge"
"""Attribute of instances: how far the outline may be off (95%), in pixels."""
SUFFIX = "_u95"
_95 = 1.96  # standard deviations of a normal distribution


def half_widths(
    wanted: Sequence[Property],
    measured: Mapping[str, Array],
    masks: Masks,
    edge: Float,
    side: Float,
    scale_error: float,
) -> dict[str, Float]:
    """Return the half width of each property that has one: name to float64 (N,), NaN where nothing is measured.

    Parameters
    ----------
    measured : the values, in the unit of the results.
    edge : float64 (N,), how far each outline may be off (95%), in pixels.
    side : float64 (N,), the side of a pixel at each mask, in the unit of the results.
    scale_error : relative standard uncertainty of lengths.
    """
    around, relative = crofton(masks), _95 * scale_error
    out = {}
    for prop in wanted:
        if not prop.spread:
            continue
        values = np.asarray(measured[prop.name], np.float64)
        of_disc = prop.name == "equivalent_diameter"
        if prop.dimension == "area" or of_disc:
            area = np.pi / 4 * values**2 if of_disc else values
            width = np.hypot(np.hypot(prop.spread * np.sqrt(around), edge * around) * side**2, 2 * relative * area)
            width = width / np.where(values > 0, np.pi / 2 * values, 1) if of_disc else width
        else:
            width = np.hypot(np.hypot(prop.spread, 2 * edge) * side, relative * values)
        out[prop.name] = np.where(masks.area > 0, width, np.nan)
    return out
