"""Shapes that label files state by numbers, in pixels from the upper left corner: outlines, boxes, ellipses, crops.

What reaches beyond the image is judged here for all formats (`_check_inside`, `crop_shape`).
"""

from __future__ import annotations

import math
from typing import Any

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
_SLACK = 1.0  # tools round, and draw their last point on the border; further out is another image's annotation


def ring(points: Any, size: Size | None, name: str = "polygon") -> Float:
    """Return x, y pairs, a list or an array, as a ring: at least 3 finite points, inside the image of ``size``.

    Formats whose rule is to cut what lies outside give None as ``size``.
    """
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
    if size is not None:
        _check_inside(points, size, name)
    return np.asarray(points, np.float64)


def _check_inside(points: Float, size: Size, name: str) -> None:
    outside = (points < -_SLACK).any(1) | (points > np.array([size[1], size[0]]) + _SLACK).any(1)
    if outside.any():
        x, y = points[int(np.argmax(outside))].tolist()
        raise BadEntryError(
            f"{name} has the point ({x:g}, {y:g}) outside the image of {size[1]} x {size[0]} pixels; "
            f"is this the right image, at the right scale?"
        )


def rectangle(x0: float, y0: float, x1: float, y1: float, size: Size) -> Float:
    """Return the outline of a rectangle, for formats that draw it as a polygon."""
    return ring([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], size, "rectangle")


def check_centre(kind: str, x: float, y: float, size: Size) -> None:
    """Refuse a circle or an ellipse whose centre is not in the image; it may reach beyond."""
    if not (0 <= x <= size[1] and 0 <= y <= size[0]):
        raise BadEntryError(f"the {kind}'s centre ({x:g}, {y:g}) lies outside the image")


def box_shape(
    x: float, y: float, width: float, height: float, degrees: float, pivot: tuple[float, float], size: Size
) -> list[Part] | Masks:
    """Return the pixels whose centres a box holds; if it is turned clockwise about ``pivot``, it is a polygon."""
    if width <= 0 or height <= 0:
        raise BadEntryError(f"box is {width:g} wide and {height:g} high; both must be more than 0")
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    if degrees % 360:
        turn = math.radians(degrees)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        return [[(corners - pivot) @ rotation + pivot]]
    _check_inside(corners, size, "box")
    return Masks.from_boxes(np.array([[x, y, x + width, y + height]]), size)


def ellipse_shape(cx: float, cy: float, rx: float, ry: float, degrees: float, size: Size) -> Masks:
    """Return the pixels whose centres lie in an ellipse turned clockwise about its centre; the rest is cut."""
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
    reach = math.hypot(rx * c, ry * s)
    first = min(max(math.floor(cx - reach), 0), width)
    x = np.arange(first, max(first, min(math.ceil(cx + reach) + 1, width)))
    dx = x + 0.5 - cx
    root = (b * dx) ** 2 - 4 * d * (a * dx**2 - 1)
    some = root >= 0
    x, dx, root = x[some], dx[some], np.sqrt(root[some])
    y0 = np.ceil(np.clip(cy + (-b * dx - root) / (2 * d) - 0.5, 0, height)).astype(np.int64)
    y1 = np.floor(np.clip(cy + (-b * dx + root) / (2 * d) - 0.5, -1, height - 1)).astype(np.int64) + 1
    full = y1 > y0
    return Masks(size, x[full], y0[full], y1[full], [0, int(full.sum())])


def crop_shape(crop: Bool, x: int, y: int, size: Size) -> Crop:
    """Return a mask and its box's upper left pixel; refuse a box that is empty or leaves the image."""
    check_window(x, y, crop.shape[1], crop.shape[0], size)
    return crop, (x, y)


def check_window(x: int, y: int, width: int, height: int, size: Size) -> None:
    """Refuse a box of pixels that does not lie inside the image."""
    if width < 1 or height < 1 or x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        box = f"mask of {width} x {height} pixels at ({x}, {y})"
        raise BadEntryError(f"{box} reaches outside the image of {size[1]} x {size[0]} pixels")


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
