"""Crops of many masks beside each other on sheets of bounded size, so that image operations see all masks at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs, paint, sums

__all__ = ["Sheet", "sheets"]

_PIXELS = 1 << 21  # of a sheet; one mask may need a larger one
_LARGEST = 1 << 24  # pixels of the box of one mask; of a larger one only every second, third ... pixel is drawn


class Sheet(NamedTuple):
    """Some masks, drawn without touching.

    Attributes
    ----------
    drawn : uint8 (width, height), 1 inside; transposed, because masks are runs along columns.
    owner : int64 (width,), to which mask a column belongs, as its place in ``masks``.
    masks : int64 (K,), which masks.
    step : every how many pixels the masks are drawn.
    """

    drawn: np.ndarray[Any, np.dtype[np.uint8]]
    owner: Int
    masks: Int
    step: int


def sheets(masks: Masks, margin: int) -> Iterator[Sheet]:
    """Yield sheets that hold every mask with pixels, each with ``margin`` pixels of background around its box.

    Masks of like height stand in one row, so little of a sheet is empty.
    """
    boxes = masks.boxes.astype(np.int64)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    step = np.ceil(np.sqrt(width * height / _LARGEST)).astype(np.int64)
    for every in np.unique(step[step > 0]).tolist():
        some = np.flatnonzero(step == every)
        some = some[np.lexsort((some, height[some]))]
        high, wide = (-(-side[some] // every) + 2 * margin for side in (height, width))
        done = 0
        while done < len(some):
            # of the rest, sorted by height, as many as fit into one sheet of their greatest height
            across = np.cumsum(wide[done:])
            fits = max(int(np.searchsorted(across * np.maximum.accumulate(high[done:]), _PIXELS, "right")), 1)
            take = slice(done, done + fits)
            yield _draw(masks.runs, some[take], boxes[some[take], :2], wide[take], int(high[take].max()), margin, every)
            done += fits


def _draw(runs: Runs, some: Int, corners: Int, wide: Int, high: int, margin: int, step: int) -> Sheet:
    """Draw masks one behind the other along x."""
    begins = sums(wide)
    part = runs.take(some)
    owner = part.owners
    x = (part.x - corners[owner, 0]) // step + begins[owner] + margin
    top, end = (-((corners[owner, 1] - y) // step) + margin for y in (part.y0, part.y1))
    kept = (part.x - corners[owner, 0]) % step == 0
    base, length = (x * high + top)[kept], (end - top)[kept]
    drawn = np.zeros((int(begins[-1]), high), np.uint8)
    paint(drawn.reshape(-1), base, 1, length, 1)
    return Sheet(drawn, np.repeat(np.arange(len(some)), wide), some, step)
