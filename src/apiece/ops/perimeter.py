"""Perimeter of all masks at once from their runs, by the Crofton formula in four directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.masks import Masks
from apiece.core.run_overlap import shared
from apiece.core.runs import Runs

__all__ = ["crofton"]


def crofton(masks: Masks, scale: tuple[float, float] = (1.0, 1.0)) -> Float:
    """Return the length of each outline, holes included.

    Crofton: a curve's length follows from how often straight lines cross it. Lines run through the pixel centres along
    x, y and both diagonals. With square pixels this is ``skimage.measure.perimeter_crofton(directions=4)``; otherwise
    each direction weighs as much as the angle nearest to it, and lines lie as far apart as the pixels do (Legland,
    Kiêu and Devaux 2007, *Computation of Minkowski measures on 2D and 3D binary images*).

    Parameters
    ----------
    scale : width and height of a pixel.

    Returns
    -------
    float64[N], in the unit of ``scale``; 0 for an empty mask.
    """
    area = masks.area
    level, falling, rising = _beside(masks.runs, (0, 1, -1))
    # each stretch of pixels along a line is entered once and left once
    vertical = 2 * np.diff(masks.offsets)
    horizontal = 2 * (area - level)
    diagonal = 4 * area - 2 * (falling + rising)
    sx, sy = scale
    tilt = math.atan2(sy, sx)
    spacing = sx * sy / math.hypot(sx, sy)
    length = tilt * sy * horizontal + (math.pi / 2 - tilt) * sx * vertical + math.pi / 4 * spacing * diagonal
    return np.asarray(length / 2, np.float64)


def _beside(runs: Runs, down: Sequence[int]) -> Int:
    """How many pixels of each mask have its own pixel in the next column, ``down[k]`` rows below: (len(down), N)."""
    moved = Runs.concatenate([runs._replace(x=runs.x + 1, y0=runs.y0 + d, y1=runs.y1 + d) for d in down])
    every = np.arange(moved.number)
    return shared(moved, every, runs, every % max(runs.number, 1)).reshape(len(down), -1)
