"""What objects look like: histograms of the colours inside their masks."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Float
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.runs import expand

_LEVELS = 5  # of each of at most three channels
_MOST = 2000  # pixels of an object that are looked at, about


def colours(image: Image, masks: Masks) -> Float:
    """Return the share of each colour in each mask: float64 (N, 5 to the number of channels)."""
    pixels = image.pixels[..., :3]
    channels = pixels.shape[2]
    step = np.maximum(masks.area // _MOST, 1)
    owner = masks.runs.owners
    length = -(-(masks.y1 - masks.y0) // step[owner])
    of = np.repeat(np.arange(len(owner)), length)
    y = masks.y0[of] + (expand(np.zeros(len(length), np.int64), length) * step[owner[of]])
    values = pixels[y, masks.x[of]].astype(np.float64)
    low, high = (
        (float(v) for v in (pixels.min(), pixels.max())) if pixels.dtype.kind == "f" else (0.0, float(_top(pixels)))
    )
    level = np.clip(((values - low) / max(high - low, 1e-9) * _LEVELS).astype(np.int64), 0, _LEVELS - 1)
    colour = level @ (_LEVELS ** np.arange(channels))
    bins = _LEVELS**channels
    counts = np.bincount(owner[of] * bins + colour, minlength=len(masks) * bins).reshape(len(masks), bins)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _top(pixels: Array) -> float:
    return 1.0 if pixels.dtype.kind == "b" else float(np.iinfo(pixels.dtype).max)


def likeness(first: Float, second: Float) -> Float:
    """Return how alike two histograms are, 0 to 1: the Bhattacharyya coefficient of each row; 1 where one is empty."""
    empty = (first.sum(1) == 0) | (second.sum(1) == 0)
    return np.where(empty, 1.0, np.sqrt(first * second).sum(1))
