"""Magic wand: the pixels around a click that look like the clicked one.

Each positive point floods what hangs together with it and differs by at most 32 of 255 in each channel of the slightly
blurred image. A negative point lowers this tolerance for every flood that reaches it, as far as needed to keep the
point out. A box limits the floods, and without a positive point its centre is one. An earlier mask is added to, and a
negative point in it takes its own flood away.
"""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Bool, UInt8
from apiece.prompts._kit.pixels import PixelSegmenter, View, flood
from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]

_TOLERANCE = 32
_MOST = 1 << 25  # pixels of a view: floods are quick


def _without(pixels: UInt8, seed: tuple[int, int], negative: Bool, within: Bool) -> Bool:
    """Return the largest flood of a seed that no negative point is in."""
    low, high = -1, _TOLERANCE
    while low < high:  # floods grow with their tolerance
        middle = (low + high + 1) // 2
        clean = not (flood(pixels, seed, middle, within) & negative).any()
        low, high = (middle, high) if clean else (low, middle - 1)
    return flood(pixels, seed, low, within) if low >= 0 else np.zeros_like(within)


def _find(view: View) -> Bool:
    pixels, within = cv2.GaussianBlur(view.pixels, (3, 3), 0), view.inside()
    negative = np.zeros(view.shape, bool)
    negative[view.negative[:, 1], view.negative[:, 0]] = True
    seeds = view.positive.tolist()
    found = np.zeros(view.shape, bool)
    if view.before is not None:
        found |= view.before
        for x, y in view.negative.tolist():
            if found[y, x]:
                found &= ~flood(pixels, (x, y), _TOLERANCE // 2, within)
    elif not seeds and view.box is not None:
        x0, y0, x1, y1 = view.box
        seeds = [[(x0 + x1) // 2, (y0 + y1) // 2]]
    for x, y in seeds:
        found |= _without(pixels, (x, y), negative, within)
    return found


def _open(opening: Opening) -> PixelSegmenter:
    return PixelSegmenter(_find, _MOST, near=False)


BACKEND = Backend(
    "magic wand: what looks like the clicked pixel and hangs together with it; for even colours, instant",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
)
