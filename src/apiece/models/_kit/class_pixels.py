"""From logits of classes at the network's resolution to a class per pixel of the image, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Float32, Int
from apiece.core.masks import Masks
from apiece.core.runs import owners
from apiece.transforms.input import Frame

_TILE = 1024  # side of the square of pixels interpolated at once
_MIXED = 1 << 16  # pixels between several classes interpolated at once


def upsampled_tiles(logits: Float32, frame: Frame) -> Iterator[tuple[tuple[slice, slice], Float32]]:
    """Yield maps (C, H, W) of the network's grid at the image's resolution, tile by tile: rows and columns, values.

    Values are bilinear between pixel centres at halves, with repeated edges, as by ``align_corners=False``.
    """
    height, width = frame.input_size
    grid = logits[:, :height, :width]
    low, high, share = _corners(grid.shape[1:], frame, 1)
    for top in range(0, frame.size[0], _TILE):
        rows = slice(top, min(top + _TILE, frame.size[0]))
        fy = share[0][rows, None]
        lines = grid[:, low[0][rows]] * (1 - fy) + grid[:, high[0][rows]] * fy
        for left in range(0, frame.size[1], _TILE):
            columns = slice(left, min(left + _TILE, frame.size[1]))
            fx = share[1][columns]
            yield (rows, columns), lines[..., low[1][columns]] * (1 - fx) + lines[..., high[1][columns]] * fx


def _corners(shape: Sequence[int], frame: Frame, cell: int) -> tuple[Any, Any, Any]:
    """Return, for the pixels along both axes, the cells of a grid on both sides of their centres, and the share of the
    second; a cell is ``cell`` pixels of the input wide."""
    sides = zip(shape, frame.input_size, frame.size, strict=True)
    low, high, share = zip(*(_between(n, extent / cell, pixels) for n, extent, pixels in sides), strict=True)
    return low, high, share


def _between(cells: int, span: float, pixels: int) -> tuple[Int, Int, Float32]:
    """Return the cells around each pixel along an axis where ``span`` cells are as long as all pixels."""
    place = ((np.arange(pixels) + 0.5) * (span / pixels) - 0.5).clip(0, cells - 1)
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (place - low).astype(np.float32)


def class_pixels(logits: Float32, frame: Frame) -> tuple[npt.NDArray[np.int16], Float32]:
    """Return the likeliest class of each pixel of the image, int16 (H, W), and its probability, float32."""
    best = np.empty(frame.size, np.int16)
    probability = np.empty(frame.size, np.float32)
    for place, values in upsampled_tiles(logits, frame):
        best[place] = values.argmax(0)
        highest = values.max(0)
        probability[place] = 1 / np.exp(values - highest).sum(0)
    return best, probability


def grid_classes(logits: Float32, frame: Frame, cell: int) -> tuple[npt.NDArray[np.int16], Float]:
    """Return the likeliest class of each pixel of the image, int16 (H, W), and of each class its mean probability,
    float64 (C,), over the cells where it is the likeliest.

    ``logits`` (C, h, w) lie on a grid whose cells are ``cell`` pixels of the network's input wide. Between four cells
    of one class every pixel is of that class, as values are bilinear. So only the others are interpolated.
    """
    grid = logits[:, : -(-frame.input_size[0] // cell), : -(-frame.input_size[1] // cell)]
    top = grid.argmax(0).astype(np.int16)
    highest = grid.max(0)
    probability = 1 / np.exp(grid - highest).sum(0)
    count = np.bincount(top.ravel(), minlength=len(grid))
    likely = np.bincount(top.ravel(), probability.ravel(), len(grid)) / np.maximum(count, 1)
    (up, left), (down, right), (fy, fx) = _corners(grid.shape[1:], frame, cell)
    below, beside = np.append(top[1:], top[-1:], 0), np.append(top[:, 1:], top[:, -1:], 1)
    diagonal = np.append(below[:, 1:], below[:, -1:], 1)
    mixed = (top != below) | (top != beside) | (top != diagonal)
    best = top[up][:, left]
    ys, xs = np.nonzero(mixed[up][:, left])
    for k in range(0, len(ys), _MIXED):
        y, x = ys[k : k + _MIXED], xs[k : k + _MIXED]
        upper = grid[:, up[y], left[x]] * (1 - fx[x]) + grid[:, up[y], right[x]] * fx[x]
        lower = grid[:, down[y], left[x]] * (1 - fx[x]) + grid[:, down[y], right[x]] * fx[x]
        best[y, x] = (upper * (1 - fy[y]) + lower * fy[y]).argmax(0)
    return best, likely


def mean_inside(plane: Float32, masks: Masks) -> Float:
    """Return the mean of ``plane`` (height, width) over each mask, float64 (N,); 0 for a mask without pixels."""
    height = masks.size[0]
    flat = np.append(plane.T, np.float32(0))  # column by column as runs go; one more, for a run that ends the image
    order = np.lexsort((masks.y0, masks.x))
    start = masks.x[order].astype(np.int64) * height + masks.y0[order]
    length = (masks.y1 - masks.y0)[order]
    sums = np.zeros(len(start))
    if len(start):
        bounds = np.stack([start, start + length], 1).ravel()
        sums[order] = np.add.reduceat(flat, bounds, dtype=np.float64)[::2]
    total = np.bincount(owners(masks.offsets), sums, minlength=len(masks))
    return total / np.maximum(masks.area, 1)
