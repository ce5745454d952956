"""Shapes that label files state by numbers, in pixels from the upper left corner: outlines, boxes, ellipses, crops.

What reaches beyond the image is judged when the entries are drawn (`apiece.formats._kit.border`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from apiece._arrays import Bool, Float
from apiece._strict_json import kind_of
from apiece.core.masks import Masks
from apiece.formats._kit.checks import BadEntryError, Size

Part = list[Float]
"""One outline and its holes, each (K, 2) x, y in pixels."""
Crop = tuple[Bool, tuple[int, int]]
"""A mask in its own box, and the x, y of the box's upper left pixel."""
_NUMBER = (int, float)
_TINY, _FAR = 1e-9, 1e100  # pixels: what is smaller or further away overflows on the way, and changes no mask


class Drawn(NamedTuple):
    """A shape as the one mask it is on its image, and the box that it would have on a larger one."""

    masks: Masks
    box: tuple[float, float, float, float]


def ring(points: Any, name: str = "polygon") -> Float:
    """Return x, y pairs, a list or an array, as a ring: at least 3 finite points."""
    if not isinstance(points, list | np.ndarray):
        raise BadEntryError(f"{name} must be a list of x, y pairs of numbers, got {kind_of(points)}")
    if isinstance(points, list):
        if not all(type(p) is list and len(p) >= 2 and type(p[0]) in _NUMBER and type(p[1]) in _NUMBER for p in points):
            raise BadEntryError(f"{name} must be a list of x, y pairs of numbers")
        try:
            points = np.array([(p[0], p[1]) for p in points], np.float64).reshape(-1, 2)
        except OverflowError:
            raise BadEntryError(f"{name} has a coordinate that is not finite") from None
    if len(points) < 3:
        raise BadEntryError(f"{name} has {len(points)} points; at least 3 are needed")
    if not np.isfinite(points).all():
        raise BadEntryError(f"{name} has a coordinate that is not finite")
    return np.asarray(points, np.float64)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Float:
    """Return the outline of a rectangle, for formats that draw it as a polygon."""
    return ring([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], "rectangle")


def box_shape(
    x: float, y: float, width: float, height: float, degrees: float, pivot: tuple[float, float], size: Size
) -> list[Part] | Drawn:
    """Return the pixels whose centres a box holds; if it is turned clockwise about ``pivot``, it is a polygon."""
    if width <= 0 or height <= 0:
        raise BadEntryError(f"box is {width:g} wide and {height:g} high; both must be more than 0")
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    if degrees % 360:
        turn = math.radians(degrees)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        return [[(corners - pivot) @ rotation + pivot]]
    box = (x, y, x + width, y + height)
    return Drawn(Masks.from_boxes(np.array([box]), size), box)


def ellipse_shape(cx: float, cy: float, rx: float, ry: float, degrees: float, size: Size) -> Drawn:
    """Return the pixels whose centres lie in an ellipse turned clockwise about its centre."""
    if rx <= 0 or ry <= 0:
        raise BadEntryError(f"ellipse has radii {rx:g} and {ry:g}; both must be more than 0")
    if not max(abs(cx), abs(cy), rx, ry) < _FAR:
        raise BadEntryError(f"ellipse has radii {rx:g} and {ry:g} about ({cx:g}, {cy:g}), which no image holds")
    rx, ry = max(rx, _TINY), max(ry, _TINY)
    height, width = size
    turn = math.radians(degrees)
    c, s = math.cos(turn), math.sin(turn)
    # a dx^2 + b dx dy + d dy^2 <= 1, solved for dy in every column at once
    a, b, d = (c / rx) ** 2 + (s / ry) ** 2, 2 * c * s * (rx**-2 - ry**-2), (s / rx) ** 2 + (c / ry) ** 2
    reach, rise = math.hypot(rx * c, ry * s), math.hypot(rx * s, ry * c)
    first = min(max(math.floor(cx - reach), 0), width)
    x = np.arange(first, max(first, min(math.ceil(cx + reach) + 1, width)))
    dx = x + 0.5 - cx
    root = (b * dx) ** 2 - 4 * d * (a * dx**2 - 1)
    some = root >= 0
    x, dx, root = x[some], dx[some], np.sqrt(root[some])
    y0 = np.ceil(np.clip(cy + (-b * dx - root) / (2 * d) - 0.5, 0, height)).astype(np.int64)
    y1 = np.floor(np.clip(cy + (-b * dx + root) / (2 * d) - 0.5, -1, height - 1)).astype(np.int64) + 1
    full = y1 > y0
    masks = Masks(size, x[full], y0[full], y1[full], [0, int(full.sum())])
    return Drawn(masks, (cx - reach, cy - rise, cx + reach, cy + rise))


def check_window(width: int, height: int, size: Size) -> None:
    """Refuse a box of pixels that is empty, or larger than its image."""
    if not (1 <= width <= 2 * size[1] and 1 <= height <= 2 * size[0]):
        raise BadEntryError(f"mask of {width} x {height} pixels, on an image of {size[1]} x {size[0]}")


def rle_shape(rle: Any, name: str, size: Size) -> dict[str, Any]:
    """Return COCO RLE, compressed or not, if it is of an image of ``size``."""
    if type(rle) is not dict or type(rle.get("counts")) not in (str, list) or rle.get("size") != list(size):
        raise BadEntryError(f"{name} must be COCO RLE with size [{size[0]}, {size[1]}], the image's height and width")
    counts = rle["counts"]
    if type(counts) is str and not counts.isascii():
        raise BadEntryError(f"{name}.counts hold a character that no RLE has")
    if type(counts) is list and not all(type(c) is int and 0 <= c < 2**62 for c in counts):
        raise BadEntryError(f"{name}.counts must be a string or a list of integers")
    return {"size": list(size), "counts": counts}
