"""Masks to the bands along their outlines, as runs, all at once.

The band is what erosion by a square of side 2 d + 1 takes away, where everything outside the image is background
(Cheng et al. 2021). A square erodes as its two sides do, one after the other. Upright: runs are shortened by d at both
ends; most masks are gone after that. Sideways, where what is left has one run in each column: the run from the lowest
beginning to the highest end of the columns within d; other masks are turned to runs along rows, and these shortened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Int
from apiece.core.runs import Keys, Runs, merged
from apiece.core.topology import transposed

Column = npt.NDArray[np.integer[Any]]


def band_widths(sizes: Int, ratio: float = 0.02) -> Int:
    """Return width in pixels of the band on images of the given heights and widths (N, 2): int64 (N,), at least 1.

    It is ``ratio`` of the diagonal, rounded, as in the authors' code.

    >>> band_widths(np.array([[480, 640], [8, 6]])).tolist()
    [16, 1]
    """
    return np.maximum(np.rint(ratio * np.sqrt((sizes.astype(np.float64) ** 2).sum(1))), 1).astype(np.int64)


def bands(runs: Runs, width: Int, size: tuple[int, int]) -> Runs:
    """Return the band of each mask; ``width`` is how wide each is, int64 (N,), and ``size`` holds every image.

    >>> square = Runs(*(np.array(a, np.int32) for a in ([0, 1, 2, 3], [0] * 4, [4] * 4)), np.array([0, 4]))
    >>> band = bands(square, np.array([1]), (4, 4))
    >>> list(zip(band.x.tolist(), band.y0.tolist(), band.y1.tolist()))
    [(0, 0, 4), (1, 0, 1), (1, 3, 4), (2, 0, 1), (2, 3, 4), (3, 0, 4)]
    """
    owner, x, y0, y1 = runs.loose
    inner, column, low, high = _eroded(owner, x, y0, y1, width, size)
    keys = Keys(*size)
    keys.check(len(width))
    # what is left lies inside the mask's runs with a band on either side: it cuts them, and no piece is empty
    begin = merged(keys.pack(owner, x, y0), keys.pack(inner, column, high))
    end = merged(keys.pack(owner, x, y1), keys.pack(inner, column, low))
    owner, left, top = keys.unpack(begin)
    bottom = keys.unpack(end)[2]
    return Runs.ordered(owner, left, top, bottom, len(width))


def _eroded(owner: Int, x: Column, y0: Column, y1: Column, width: Int, size: tuple[int, int]) -> tuple[Any, ...]:
    """Owner, x, y0, y1 of what erosion leaves, in any order."""
    owner, x, y0, y1 = _shortened(owner, x, y0, y1, width)
    broken = np.zeros(len(width), bool)
    broken[owner[1:][(np.diff(owner) == 0) & (np.diff(x) != 1)]] = True
    hard = broken[owner]
    easy = _narrowed(owner[~hard], x[~hard], y0[~hard], y1[~hard], width)
    owner, x, y0, y1 = owner[hard], x[hard], y0[hard], y1[hard]
    rows = transposed(Runs.ordered(owner, x, y0, y1, len(width)), size)
    owner, y, x0, x1 = _shortened(*rows.loose, width)
    turned = transposed(Runs.ordered(owner, y, x0, x1, len(width)), (size[1], size[0])).loose
    return tuple(np.concatenate(columns) for columns in zip(easy, turned, strict=True))


def _shortened(owner: Int, line: Column, low: Column, high: Column, width: Int) -> tuple[Any, ...]:
    cut = width[owner]
    left = high - low > 2 * cut
    owner, cut = owner[left], cut[left]
    return owner, line[left], low[left] + cut, high[left] - cut


def _narrowed(owner: Int, x: Column, y0: Column, y1: Column, width: Int) -> tuple[Any, ...]:
    """Eroded sideways: masks of one run in each of neighbouring columns."""
    span = 2 * width[owner] + 1
    first = np.flatnonzero(owner[np.minimum(np.arange(len(owner)) + span - 1, len(owner) - 1)] == owner)
    first = first[first + span[first] <= len(owner)]
    span = span[first]
    low, high = highest(y0, first, span), -highest(-y1, first, span)
    left = low < high
    middle = (first + span // 2)[left]
    return owner[middle], x[middle], low[left], high[left]


def highest(values: Column, first: Int, span: Int) -> Column:
    """Return the largest of the ``span[i]`` values from ``first[i]`` on, for each i.

    >>> highest(np.array([3, 1, 4, 1, 5]), np.array([0, 1]), np.array([2, 4])).tolist()
    [3, 5]
    """
    ends = np.stack([first, first + span], 1).ravel()
    # every second stretch is one asked for; one value more, since an end may lie behind the last
    return np.maximum.reduceat(np.append(values, values[-1:]), ends)[::2]
