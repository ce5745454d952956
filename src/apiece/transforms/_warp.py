"""Affine warps of a sample: the image by bilinear interpolation, the masks on layers by nearest neighbour.

Matrices are 2 x 3 float64, take source to output, and speak of continuous coordinates (pixel (i, j) covers
[j, j+1) x [i, i+1)). Cost depends on the output's size and the number of layers, not on the number of instances
or on the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Float, Int32
from apiece.core.masks import Masks, label_map_values
from apiece.errors import ConfigError
from apiece.transforms._sample import Sample, moved

Fill = float | Literal["median"]
"""What lies outside the image: a pixel value, or the median of each channel."""

_CV_TYPES = (np.uint8, np.int16, np.uint16, np.float32, np.float64)
# cv2 counts columns in 16 bits; outputs are made in blocks that stay below, and so do the sources they need
_BLOCK = 4096


def about(centre: tuple[float, float], linear: npt.ArrayLike, target: tuple[float, float] | None = None) -> Float:
    """Return the affine map with this 2 x 2 part that takes ``centre`` (x, y) to ``target`` (itself if None)."""
    part = np.asarray(linear, np.float64)
    shift = np.asarray(centre if target is None else target) - part @ np.asarray(centre)
    return np.column_stack([part, shift])


def fill_values(image: Array, fill: Fill) -> Float:
    """Return one value per channel."""
    channels = image.shape[2]
    if fill != "median":
        return np.full(channels, float(fill))
    if not image.size:
        return np.zeros(channels)
    # a few thousand pixels tell the median well enough, whatever the size
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1]) // 64))
    return np.median(image[::step, ::step].reshape(-1, channels), axis=0).astype(np.float64)


def resize(image: Array, size: tuple[int, int], shrinks: Literal["area", "linear"] = "area") -> Array:
    """Resize to (height, width): bilinear, but averaging when it shrinks unless told ``"linear"``; dtype kept."""
    height, width = size
    smaller = height * width < image.shape[0] * image.shape[1]
    flag = cv2.INTER_AREA if smaller and shrinks == "area" else cv2.INTER_LINEAR
    return _by_channels(image, lambda part, _: cv2.resize(part, (width, height), interpolation=flag))


def warp(
    sample: Sample, matrix: Float, size: tuple[int, int], fill: Fill = "median", keep_empty: bool = False
) -> Sample:
    """Warp image and instances onto a canvas of ``size`` (height, width)."""
    if abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        raise ConfigError(f"an affine map must not flatten the image; got {matrix.tolist()}")
    image = warp_pixels(sample.image, matrix, size, fill)
    return Sample(image, moved(sample.instances, lambda masks: warp_masks(masks, matrix, size), keep_empty))


def warp_pixels(image: Array, matrix: Float, size: tuple[int, int], fill: Fill = "median") -> Array:
    """Warp pixels alone: bilinear; averaged over the source pixels first where it shrinks by 2 or more."""
    values = fill_values(image, fill)
    shrink = int(1.0 / np.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6)

    def block(part: Array, local: Float, out: tuple[int, int]) -> Array:
        if shrink >= 2 and part.size:
            height, width = (max(1, side // shrink) for side in part.shape[:2])
            local = local @ np.diag([part.shape[1] / width, part.shape[0] / height, 1.0])
            part = resize(part, (height, width))
        return _by_channels(part, lambda few, at: _warp_cv(few, local, out, cv2.INTER_LINEAR, values[at]))

    return _in_blocks(image, matrix, size, values, block)


def warp_masks(masks: Masks, matrix: Float, size: tuple[int, int]) -> Masks:
    """Warp masks: each output pixel belongs to what lies under its centre. Masks that vanish stay, empty."""
    inverse = _inverse(matrix)
    x0, y0, x1, y1 = _window(inverse, (0, 0, size[1], size[0]), masks.size)
    if x0 >= x1 or y0 >= y1:
        return Masks.empty(size, len(masks))
    near = masks.crop(x0, y0, x1, y1)  # runs outside the needed window never become pixels
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ (x0, y0)
    nothing = np.zeros(1)

    def block(part: Array, inner: Float, out: tuple[int, int]) -> Array:
        return _warp_cv(part, inner, out, cv2.INTER_NEAREST, nothing)

    def change(layer: Int32) -> Array:
        return _in_blocks(layer[:, :, None], local, size, nothing, block)[:, :, 0]

    return on_layers(near, change, size)


def on_layers(masks: Masks, change: Callable[[Int32], Array], size: tuple[int, int]) -> Masks:
    """Apply ``change`` to each layer of the masks (value i + 1 for mask i) and gather them again, in order."""
    gone = Masks.empty(size, 1)
    found, values = [gone], [np.zeros(1, np.int64)]
    for layer in masks.to_layers():
        changed = np.ascontiguousarray(change(layer))
        found.append(Masks.from_label_map(changed))
        values.append(label_map_values(changed).astype(np.int64))
    # mask i is at where[i] in the joined set; those that vanished point to the empty one in front
    where = np.zeros(len(masks) + 1, np.int64)
    joined = np.concatenate(values)
    where[joined] = np.arange(len(joined))
    return Masks.concatenate(found)[where[1:]]


def _inverse(matrix: Float) -> Float:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _window(inverse: Float, block: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part (x0, y0, x1, y1) of a source that an output block reads, with a margin of two pixels."""
    bx0, by0, bx1, by1 = block
    corners = inverse @ np.array([[bx0, bx1, bx0, bx1], [by0, by0, by1, by1], [1, 1, 1, 1]], np.float64)
    low, high = np.floor(corners.min(axis=1)) - 2, np.ceil(corners.max(axis=1)) + 2
    (x0, y0), (x1, y1) = np.clip([low, high], 0, [size[1], size[0]]).astype(int).tolist()
    return x0, y0, x1, y1


def _in_blocks(
    source: Array,
    matrix: Float,
    size: tuple[int, int],
    values: Float,
    warp_block: Callable[[Array, Float, tuple[int, int]], Array],
) -> Array:
    """Fill the output block by block, each from the window of the source that it reads."""
    inverse = _inverse(matrix)
    height, width = size
    side = int(np.clip(16384 * np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 64, _BLOCK))
    output = np.empty((height, width, source.shape[2]), source.dtype)
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            x0, y0, x1, y1 = _window(inverse, (left, top, right, bottom), (source.shape[0], source.shape[1]))
            if x0 >= x1 or y0 >= y1:
                output[top:bottom, left:right] = np.asarray(values).astype(source.dtype)
                continue
            local = matrix.copy()
            local[:, 2] += matrix[:, :2] @ (x0, y0) - (left, top)
            part = np.ascontiguousarray(source[y0:y1, x0:x1])
            output[top:bottom, left:right] = warp_block(part, local, (bottom - top, right - left))
    return output


def _warp_cv(part: Array, matrix: Float, size: tuple[int, int], flag: int, values: Float) -> Array:
    # cv2 puts pixel centres at integers
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    result = cv2.warpAffine(
        part,
        shifted,
        (size[1], size[0]),
        flags=flag,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(values.tolist()),
    )
    return np.asarray(result).reshape(size[0], size[1], part.shape[2])


def _by_channels(image: Array, change: Callable[[Array, slice], Any]) -> Array:
    """Apply a cv2 function that takes at most four channels of the dtypes it knows."""
    known = image.dtype.type in _CV_TYPES
    work = image if known else image.astype(np.float64)
    parts = []
    for first in range(0, image.shape[2], 4):
        at = slice(first, min(first + 4, image.shape[2]))
        changed = np.asarray(change(np.ascontiguousarray(work[:, :, at]), at))
        parts.append(changed[:, :, None] if changed.ndim == 2 else changed)
    result = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    if known:
        return result
    if image.dtype.kind == "b":
        return result >= 0.5
    return (np.rint(result) if image.dtype.kind in "iu" else result).astype(image.dtype)
