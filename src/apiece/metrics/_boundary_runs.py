"""Masks to the bands along their outlines, as runs, all at once.

The band is what erosion by a square of side 2 d + 1 takes away, where everything outside the image is background
(Cheng et al. 2021). A square erodes as its two sides do, one after the other: runs are shortened by d at both ends, the
rest is turned to runs along rows, and these are shortened again. Most masks are gone after the first step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from apiece.core._convert import transposed_runs
from apiece.core._runs import Keys, offsets_of
from apiece.metrics._pairs import Runs

__all__ = ["band_widths", "bands"]

Int = npt.NDArray[np.int64]
Column = npt.NDArray[np.integer[Any]]


def band_widths(sizes: Int, ratio: float = 0.02) -> Int:
    """Width in pixels of the band on images of the given heights and widths (N, 2): int64 (N,), at least 1.

    It is ``ratio`` of the diagonal, rounded, as in the authors' code.

    >>> band_widths(np.array([[480, 640], [8, 6]])).tolist()
    [16, 1]
    """
    return np.maximum(np.rint(ratio * np.sqrt((sizes.astype(np.float64) ** 2).sum(1))), 1).astype(np.int64)


def bands(runs: Runs, width: Int, size: tuple[int, int]) -> Runs:
    """The band of each mask.

    Parameters
    ----------
    runs : N masks, of several images.
    width : int64 (N,), how wide each band is.
    size : (height, width) that holds every image.

    >>> square = Runs(*(np.array(a, np.int32) for a in ([0, 1, 2, 3], [0] * 4, [4] * 4)), np.array([0, 4]))
    >>> band = bands(square, np.array([1]), (4, 4))
    >>> list(zip(band.x.tolist(), band.y0.tolist(), band.y1.tolist()))
    [(0, 0, 4), (1, 0, 1), (1, 3, 4), (2, 0, 1), (2, 3, 4), (3, 0, 4)]
    """
    owner, x, y0, y1 = runs.owners(), runs.x, runs.y0, runs.y1
    inner, column, low, high = _eroded(owner, x, y0, y1, width, size)
    keys = Keys(*size)
    keys.check(len(width))
    # what is left lies inside the mask's runs with a band on either side: it cuts them, and no piece is empty
    begin = np.sort(np.concatenate([keys.pack(owner, x, y0), keys.pack(inner, column, high)]))
    end = np.sort(np.concatenate([keys.pack(owner, x, y1), keys.pack(inner, column, low)]))
    owner, left, top = keys.unpack(begin)
    bottom = keys.unpack(end)[2]
    return Runs(left.astype(np.int32), top.astype(np.int32), bottom.astype(np.int32), offsets_of(owner, len(width)))


def _eroded(owner: Int, x: Column, y0: Column, y1: Column, width: Int, size: tuple[int, int]) -> tuple[Any, ...]:
    """Owner, x, y0, y1 of what erosion leaves, ordered."""
    owner, x, y0, y1 = _shortened(owner, x, y0, y1, width)
    offsets = offsets_of(owner, len(width))
    # no row is longer than the columns from a mask's first to its last
    first, last = offsets[:-1], offsets[1:] - 1
    some = last >= first
    wide = np.zeros(len(width), bool)
    wide[some] = x[last[some]] - x[first[some]] >= 2 * width[some]
    left = wide[owner]
    owner, x, y0, y1 = owner[left], x[left], y0[left], y1[left]
    rows = transposed_runs(x, y0, y1, offsets_of(owner, len(width)), size)
    owner, y, x0, x1 = _shortened(*rows, width)
    return transposed_runs(y, x0, x1, offsets_of(owner, len(width)), (size[1], size[0]))


def _shortened(owner: Int, line: Column, low: Column, high: Column, width: Int) -> tuple[Any, ...]:
    cut = width[owner]
    left = high - low > 2 * cut
    owner, cut = owner[left], cut[left]
    return owner, line[left], low[left] + cut, high[left] - cut
