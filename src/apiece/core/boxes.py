"""Boxes are plain arrays: half-open x0, y0, x1, y1 in pixels, float32 of shape (N, 4); these are the functions on them.

Pixel (row i, column j) covers [j, j + 1) x [i, i + 1), so the box of pixels 2 to 4 is 2, 5 and its width is 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Float32
from apiece.errors import InvalidInstancesError

__all__ = ["area", "clip", "from_xywh", "scale", "shift", "to_xywh"]


def _boxes(boxes: npt.ArrayLike) -> Float32:
    array = np.asarray(boxes, np.float32)
    if not array.size:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InvalidInstancesError(f"boxes must have shape (N, 4), got {array.shape}")
    return array


def from_xywh(boxes: npt.ArrayLike) -> Float32:
    """Return half-open boxes of COCO's x, y, width, height."""
    box = _boxes(boxes).copy()
    box[:, 2:] += box[:, :2]
    return box


def to_xywh(boxes: npt.ArrayLike) -> Float32:
    """Return boxes as COCO's x, y, width, height."""
    box = _boxes(boxes).copy()
    box[:, 2:] -= box[:, :2]
    return box


def area(boxes: npt.ArrayLike) -> Float:
    """Return width times height, 0 for a box turned inside out: float64 of shape (N,)."""
    sides = np.diff(_boxes(boxes).astype(np.float64).reshape(-1, 2, 2), axis=1)[:, 0]
    product: Float = np.maximum(sides, 0).prod(1)
    return product


def clip(boxes: npt.ArrayLike, size: tuple[int, int]) -> Float32:
    """Return the boxes cut at the borders of an image of ``size`` (height, width)."""
    limits = np.array([size[1], size[0], size[1], size[0]], np.float32)
    return np.clip(_boxes(boxes), np.float32(0), limits)


def scale(boxes: npt.ArrayLike, x: float, y: float) -> Float32:
    """Return the boxes multiplied by ``x`` across and ``y`` down."""
    return _boxes(boxes) * np.array([x, y, x, y], np.float32)


def shift(boxes: npt.ArrayLike, dx: float, dy: float) -> Float32:
    """Return the boxes moved by ``dx`` across and ``dy`` down."""
    return _boxes(boxes) + np.array([dx, dy, dx, dy], np.float32)
