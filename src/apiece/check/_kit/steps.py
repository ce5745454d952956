"""The steps of outlines from vertex to vertex, which show how a tool traced them."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Int
from apiece.core.runs import CHUNK, chunks, segment_sum
from apiece.formats.contract import Outlines

ROUNDED = 0.02  # pixels by which coordinates differ that a format keeps as shares of the image


def steps(outlines: Outlines) -> tuple[Int, Bool, Int, Bool]:
    """Return of each object: vertices, whether it steps along rows, columns and diagonals only, diagonal steps, whole.

    Whole numbers alone are no sign, since people draw them too. An outline along pixel edges has no diagonal step, and
    no drawn outline has nothing but steps along rows, columns and diagonals.
    """
    begin = outlines.rings[outlines.parts]
    found = [_steps(outlines, begin, lo, hi) for lo, hi in chunks(np.diff(begin), CHUNK // 8)]
    none = (np.zeros(0, np.int64), np.zeros(0, bool))
    number, good, diagonal, exact = (np.concatenate(columns) for columns in zip(none * 2, *found, strict=True))
    return number, good, diagonal, exact


def _steps(outlines: Outlines, begin: Int, lo: int, hi: int) -> tuple[Int, Bool, Int, Bool]:
    """Return the same of the objects ``lo`` to ``hi - 1``; ``begin`` is where each begins among the points."""
    points = outlines.points[begin[lo] : begin[hi]]
    rings = outlines.rings[outlines.parts[lo] : outlines.parts[hi] + 1] - begin[lo]
    following = np.arange(1, len(points) + 1)
    filled = np.diff(rings) > 0
    following[rings[1:][filled] - 1] = rings[:-1][filled]
    whole = np.rint(points)
    dx, dy = np.abs(whole[following] - whole).T
    slanted = (dx == dy) & (dx > 0)
    near = (np.abs(points - whole) <= ROUNDED).all(1)
    plain = ((dx == 0) | (dy == 0) | (dx == dy)) & near
    here = begin[lo : hi + 1] - begin[lo]
    number = np.diff(here)
    good, diagonal, exact = (segment_sum(np.asarray(column), here) for column in (plain, slanted, near))
    return number, good == number, diagonal, exact == number


def through_centres(outlines: Outlines) -> Bool:
    """Return of each object whether its polygons may run through pixel centres, as OpenCV's contours do."""
    return steps(outlines)[1]
