"""Features of the image under each mask: a few numbers that do not depend on exposure, bit depth or channels."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.runs import expand, segment_sum

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
_LARGE = 1 << 19  # pixels of an image from which every other row and column says what surrounds an object
_MARGIN = 0.5  # how far the surroundings reach beyond the bounding box, as a share of its sides


def features_of(image: Image, masks: Masks) -> Float32:
    """Return a row of `FEATURES` for each mask: float32 (N, 6); NaN for an empty mask.

    The image is stretched to 0 and 1 from its 1st to its 99.8th percentile, or further where the masks are darker or
    brighter, so that images can be compared by how objects stand out in each. Colours are 0 without three channels.
    The surroundings of a mask are the pixels of no mask in a bounding box half as large again.
    """
    channels = np.ascontiguousarray(image.pixels[:, :, : 3 if image.channels >= 3 else 1], np.float32)
    if image.pixels.dtype.kind == "f":
        channels = np.nan_to_num(channels, posinf=0.0, neginf=0.0)
    mean_of = np.full((1, channels.shape[2]), 1 / channels.shape[2], np.float32)
    grey = cv2.transform(channels, mean_of).reshape(image.size) if len(mean_of[0]) > 1 else channels[:, :, 0]
    low, scale = _stretch(grey, masks)
    slopes = [cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)]
    # only pixels under masks are looked at: stretching, which is linear, comes after the sums
    at = _pixels_under(masks)
    shade = (grey.ravel()[at] - low) * scale
    planes = [shade, shade * shade, np.hypot(*(slope.ravel()[at] for slope in slopes)) * scale]
    if channels.shape[2] > 1:
        red, green, blue = channels.reshape(-1, 3)[at].T * scale
        planes += [red - green, (red + green) / 2 - blue]
    area = masks.area
    cuts = np.append(0, np.cumsum(area))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, square, texture, *tints = (segment_sum(plane.astype(np.float64), cuts) / area for plane in planes)
    columns = [
        mean,
        *(tints or [np.zeros(len(masks))] * 2),
        mean - (_around(grey, masks) - low) * scale,
        np.log(np.sqrt(np.maximum(square - mean**2, 0)) + _FLOOR),
        np.log(texture + _FLOOR),
    ]
    return np.stack(columns, 1).astype(np.float32)


def _stretch(grey: Float32, masks: Masks) -> tuple[float, float]:
    """Return what is taken off the image, and by what the rest is multiplied."""
    step = max(int(np.sqrt(grey.size / 1e5)), 1)  # a hundred thousand pixels give the percentiles
    low, high = np.percentile(grey[::step, ::step], (1, 99.8)).tolist()
    if len(masks.x):
        # a few small objects on a dark field are too few pixels to count among the image's
        least, most = np.percentile(grey[(masks.y0 + masks.y1) // 2, masks.x], (5, 95)).tolist()
        low, high = min(low, least), max(high, most)
    return low, 1 / (high - low) if high > low else 0.0


def _pixels_under(masks: Masks) -> Int:
    """Return the position of every pixel of every mask in the flattened image, mask after mask."""
    y0, length = masks.y0.astype(np.int64), (masks.y1 - masks.y0).astype(np.int64)
    return expand(y0, length) * masks.size[1] + np.repeat(masks.x.astype(np.int64), length)


def _around(grey: Float32, masks: Masks) -> Float:
    """Return the mean of the pixels of no mask around each mask; of the whole image's where there are none."""
    step = 1 if grey.size < _LARGE else 2
    shown = np.ascontiguousarray(grey[::step, ::step])
    free = np.ones(grey.shape, np.uint8)
    free[masks.union().to_dense()[0]] = 0
    free = np.ascontiguousarray(free[::step, ::step])
    box = masks.boxes.astype(np.int64)
    grow = np.maximum((_MARGIN * (box[:, 2:] - box[:, :2]) / 2).astype(np.int64), 3)
    x0, y0 = np.maximum(box[:, :2] - grow, 0).T
    x1, y1 = np.minimum(box[:, 2:] + grow, [grey.shape[1], grey.shape[0]]).T
    # of pixels 0, 2, 4 ... the ones from x0 to before x1 are number x0 / 2 to before x1 / 2, rounded up
    x0, y0, x1, y1 = (-(-side // step) for side in (x0, y0, x1, y1))
    count = cv2.integral(free)
    total = cv2.integral(cv2.bitwise_and(shown, shown, mask=free), sdepth=cv2.CV_64F)
    pixels, value = (a[y1, x1] - a[y0, x1] - a[y1, x0] + a[y0, x0] for a in (count, total))
    whole = total[-1, -1] / count[-1, -1] if count[-1, -1] else float(grey.mean())
    return np.where(pixels > 0, value / np.maximum(pixels, 1), whole)
