"""Features of the image under each mask: a few numbers that do not depend on exposure, bit depth or channels."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Float, Float32
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.runs import segment_sum

FEATURES = (
    "brightness",
    "red against green",
    "yellow against blue",
    "contrast to its surroundings",
    "variation",
    "texture",
)
"""Columns of `features_of`."""

_FLOOR = 1e-3  # least standard deviation that differs from none, as a share of the image's range
_MARGIN = 0.5  # how far the surroundings reach beyond the bounding box, as a share of its sides


def features_of(image: Image, masks: Masks) -> Float32:
    """Return a row of `FEATURES` for each mask: float32 (N, 6); NaN for an empty mask.

    The image is stretched to 0 and 1 from its 1st to its 99.8th percentile, or further where the masks are darker or
    brighter, so that images can be compared by how objects stand out in each. Colours are 0 without three channels.
    The surroundings of a mask are the pixels of no mask in a bounding box half as large again.
    """
    channels = _stretched(image, masks)
    grey = np.mean(channels, axis=0) if len(channels) > 1 else channels[0]
    slope_x, slope_y = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    planes = [grey, grey * grey, cv2.magnitude(slope_x, slope_y)]
    if len(channels) > 1:
        red, green, blue = channels
        planes += [red - green, (red + green) / 2 - blue]
    area = masks.area
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, square, texture, *tints = (_sums(plane, masks) / area for plane in planes)
    columns = [
        mean,
        *(tints or [np.zeros(len(masks))] * 2),
        mean - _around(grey, masks),
        np.log(np.sqrt(np.maximum(square - mean**2, 0)) + _FLOOR),
        np.log(texture + _FLOOR),
    ]
    return np.stack(columns, 1).astype(np.float32)


def _stretched(image: Image, masks: Masks) -> list[Float32]:
    """Return the first three channels, or the first one where there are fewer."""
    shown = range(3 if image.channels >= 3 else 1)
    channels = [image.pixels[:, :, c].astype(np.float32) for c in shown]
    if image.pixels.dtype.kind == "f":
        channels = [np.nan_to_num(plane, posinf=0.0, neginf=0.0) for plane in channels]
    step = max(int(np.sqrt(channels[0].size / 1e5)), 1)  # a hundred thousand pixels give the percentiles
    low, high = np.percentile(np.mean([plane[::step, ::step] for plane in channels], axis=0), (1, 99.8))
    if len(masks.x):
        # a few small objects on a dark field are too few pixels to count among the image's
        middle = (masks.y0 + masks.y1) // 2
        least, most = np.percentile(np.mean([plane[middle, masks.x] for plane in channels], axis=0), (5, 95))
        low, high = min(low, least), max(high, most)
    scale = np.float32(1 / (high - low) if high > low else 0.0)
    return [(plane - np.float32(low)) * scale for plane in channels]


def _sums(plane: Float32, masks: Masks) -> Float:
    """Return the sum of a plane over each mask, run by run from the integral image."""
    whole = cv2.integral(plane, sdepth=cv2.CV_64F)
    x, y0, y1 = masks.x, masks.y0, masks.y1
    run = whole[y1, x + 1] - whole[y1, x] - whole[y0, x + 1] + whole[y0, x]
    return np.asarray(segment_sum(run, masks.offsets))


def _around(grey: Float32, masks: Masks) -> Float:
    """Return the mean of the pixels of no mask around each mask; of the whole image's where there are none."""
    free = np.ones(grey.shape, np.uint8)
    free[masks.union().to_dense()[0]] = 0
    box = masks.boxes.astype(np.int64)
    grow = np.maximum((_MARGIN * (box[:, 2:] - box[:, :2]) / 2).astype(np.int64), 3)
    x0, y0 = np.maximum(box[:, :2] - grow, 0).T
    x1, y1 = np.minimum(box[:, 2:] + grow, [grey.shape[1], grey.shape[0]]).T
    count = cv2.integral(free)
    total = cv2.integral(np.where(free > 0, grey, np.float32(0)), sdepth=cv2.CV_64F)
    pixels, value = (a[y1, x1] - a[y0, x1] - a[y1, x0] + a[y0, x0] for a in (count, total))
    whole = total[-1, -1] / count[-1, -1] if count[-1, -1] else float(grey.mean())
    return np.where(pixels > 0, value / np.maximum(pixels, 1), whole)
