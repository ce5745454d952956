"""Masks that 1 x 1 kernels draw on one map of features and coordinates: found at low resolution, decoded in windows.

A kernel has one weight per channel of the map, and `COORDINATES` more: of 1, u, v, -u squared, -v squared and -u v,
where u and v are the way right and down from the kernel's own place in units of its own side. As polynomials these are
channels of the map like any other, the same for all kernels; written in each kernel's own frame they stay exact on an
image of any size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Float32, Int
from apiece.core.masks import Masks
from apiece.models._kit.matrix_nms import pack_bits
from apiece.models.contract import Frame

LowResolution = tuple[Float, Int, npt.NDArray[np.uint64]]

COORDINATES = 6
_VALUES = 1 << 21  # values of masks, or of the map in windows, held at once


def kernel_logits(maps: Float32, kernels: Float32, places: Float32, x: Int, y: Int, stride: int) -> Float32:
    """Return mask logits (N, r, c) at rows ``y`` (N, r) and columns ``x`` (N, c) of the map; one row may serve all.

    Parameters
    ----------
    maps : float32 (h, w, E), at ``stride`` of the network's input.
    kernels : float32 (N, E + 6).
    places : float32 (N, 3): x, y and side of each kernel's cell, in pixels of the input.
    """
    weights, shape = kernels[:, :-COORDINATES], kernels[:, -COORDINATES:, None]
    u = (stride * (x + 0.5) - places[:, :1]).astype(np.float32) / places[:, 2:]
    v = (stride * (y + 0.5) - places[:, 1:2]).astype(np.float32) / places[:, 2:]
    if len(x) == 1:
        seen = maps[y[0][:, None], x[0]]
        logits = (weights @ seen.reshape(-1, seen.shape[2]).T).reshape(len(weights), *seen.shape[:2])
    else:
        seen = maps[y[:, :, None], x[:, None]].reshape(len(weights), -1, maps.shape[2])
        logits = (seen @ weights[:, :, None]).reshape(len(weights), y.shape[1], x.shape[1])
    logits += (shape[:, 0] + shape[:, 1] * u - shape[:, 3] * u * u)[:, None, :]
    logits += ((shape[:, 2] - shape[:, 4] * v) * v)[:, :, None]
    logits -= (shape[:, 5] * v)[:, :, None] * u[:, None, :]
    found: Float32 = logits
    return found


def low_resolution(maps: Float32, kernels: Float32, places: Float32, stride: int) -> LowResolution:
    """Return of each mask on the map's own grid: mean probability inside (0 if it is empty), tight half-open xyxy
    box in cells of the map, packed bits. A few masks at a time, so memory is bounded whatever their number."""
    height, width = maps.shape[:2]
    at_once = max(1, _VALUES // (height * width))
    maskness, boxes = np.zeros(len(kernels)), np.zeros((len(kernels), 4), np.int64)
    bits = np.zeros((len(kernels), -(-height * width // 64)), np.uint64)
    x, y = np.arange(width)[None], np.arange(height)[None]
    for a in range(0, len(kernels), at_once):
        some = slice(a, a + at_once)
        logits = kernel_logits(maps, kernels[some], places[some], x, y, stride)
        on: Bool = np.greater(logits, 0)
        owner = np.nonzero(on)[0]
        inside = 1 / (1 + np.exp(-logits[on].astype(np.float64)))
        area = np.bincount(owner, minlength=len(on))
        maskness[some] = np.bincount(owner, inside, minlength=len(on)) / np.maximum(area, 1)
        bits[some] = pack_bits(on)
        for k in (0, 1):
            axis: Bool = np.any(on, axis=k + 1)
            boxes[some, k] = axis.argmax(axis=1)
            boxes[some, k + 2] = axis.shape[1] - axis[:, ::-1].argmax(axis=1)
    return maskness, boxes, bits


def kernel_masks(maps: Float32, kernels: Float32, places: Float32, boxes: Int, frame: Frame, stride: int) -> Masks:
    """Return masks at the image's size, from logits in a window about each box of `low_resolution`.

    Nothing is inside beyond one cell of the map around the box, so the result is that of whole maps.
    """
    height, width = maps.shape[:2]
    scale = np.array([o / n for o, n in zip(frame.size, frame.input_size, strict=True)])[::-1]
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=2) + 2
    bucket = 1 << np.ceil(np.log2(side)).astype(np.int64)
    parts, order = [Masks.empty(frame.size)], [np.zeros(0, np.int64)]
    for size in np.unique(bucket):
        members = np.flatnonzero(bucket == size)
        at_once = max(1, _VALUES // int(size * size * maps.shape[2]))
        for a in range(0, len(members), at_once):
            some = members[a : a + at_once]
            corner = boxes[some, :2] - 1
            x, y = (corner[:, k : k + 1] + np.arange(size) for k in (0, 1))
            x, y = x.clip(0, width - 1), y.clip(0, height - 1)  # edges are repeated
            logits = kernel_logits(maps, kernels[some], places[some], x, y, stride)
            window = np.concatenate([corner, corner + size], 1) * stride * np.tile(scale, 2)
            parts.append(Masks.from_logits(logits, window, frame.size))
            order.append(some)
    return Masks.concatenate(parts)[np.argsort(np.concatenate(order))]
