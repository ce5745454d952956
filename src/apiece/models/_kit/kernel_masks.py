"""Masks that 1 x 1 kernels draw on one map of features and coordinates: found at low resolution, decoded in windows.

A kernel has one weight per channel of the map, and `COORDINATES` more: of 1, u, v, -u squared, -v squared and -u v,
where u and v are the way right and down from the kernel's own place in units of its own side. As polynomials these are
channels of the map like any other, the same for all kernels; written in each kernel's own frame they stay exact on an
image of any size.

The map is cut into tiles of 8 x 8 cells. The quadratic part falls off in every direction, and the least and greatest
feature of a tile bound the rest. So most tiles of most masks are known to be empty without looking at their cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from apiece._arrays import Bool, Float, Float32, Int
from apiece.core.masks import Masks
from apiece.core.runs import chunks, sums
from apiece.models._kit.matrix_nms import TILE, Words, pack_tiles
from apiece.models.contract import Frame

COORDINATES = 6
_VALUES = 1 << 20  # values of masks, or bounds of kernels in tiles, held at once
_SLACK = 1e-3  # more than bounds and sums differ by rounding, as a share of the largest feature's part


class Kernels:
    """Kernels and the map that they draw on.

    Parameters
    ----------
    features : float32 (E, h, w), at ``stride`` of the network's input.
    weights : float32 (N, E + 6); the quadratic part is concave.
    places : float32 (N, 3): x, y and side of each kernel's cell, in pixels of the input.
    """

    def __init__(self, features: Float32, weights: Float32, places: Float32, stride: int) -> None:
        self.size, self.stride = (features.shape[1], features.shape[2]), stride
        self.weights, self.forms, self.places = weights[:, :-COORDINATES], weights[:, -COORDINATES:], places
        self.rows, self.columns = (-(-n // TILE) for n in self.size)
        beyond = [(0, TILE * n - m) for n, m in zip((self.rows, self.columns), self.size, strict=True)]
        wide = np.pad(features, [(0, 0), *beyond], mode="edge")
        cut = wide.reshape(len(wide), self.rows, TILE, self.columns, TILE).transpose(1, 3, 0, 2, 4)
        self.tiles = np.ascontiguousarray(cut).reshape(self.rows * self.columns, len(wide), TILE * TILE)

    def __len__(self) -> int:
        return len(self.weights)

    def logits(self, kernel: Int, tile: Int) -> Float32:
        """Return the logits of ``kernel[k]`` in ``tile[k]``: (K, 8, 8). Beyond the map its edge is repeated."""
        order = np.argsort(tile, kind="stable")
        weights = self.weights[kernel[order]]
        sorted_tile = tile[order]
        change = np.flatnonzero(np.diff(sorted_tile)) + 1
        products = np.empty((len(tile), TILE * TILE), np.float32)
        for a, b in itertools.pairwise([0, *change.tolist(), len(tile)] if len(tile) else []):
            np.matmul(weights[a:b], self.tiles[sorted_tile[a]], out=products[a:b])
        found = np.empty((len(tile), TILE, TILE), np.float32)
        found.reshape(len(tile), TILE * TILE)[order] = products
        row, column = np.divmod(tile, self.columns)
        u = self._ways(kernel, column, 0)
        v = self._ways(kernel, row, 1)
        one, first, second, uu, vv, uv = (part[:, None] for part in self.forms[kernel].T)
        found += (one + first * u - uu * u * u)[:, None, :]
        found += ((second - vv * v) * v)[:, :, None]
        found -= (uv * v)[:, :, None] * u[:, None, :]
        return found

    def _ways(self, kernel: Int, tile: Int, axis: int) -> Float32:
        """Return how far the cells of tiles lie from each kernel's place, in its sides: (K, 8)."""
        cell = np.minimum(TILE * tile[:, None] + np.arange(TILE), self.size[1 - axis] - 1)
        place = self.places[kernel]
        ways: Float32 = (self.stride * (cell + 0.5) - place[:, axis, None]).astype(np.float32) / place[:, 2:]
        return ways

    def reached(self) -> Iterator[tuple[Int, Int]]:
        """Yield (kernel, tile) of every tile where a mask can be, ordered by kernel, a few at a time."""
        least, greatest = self.tiles.min(axis=2).astype(np.float64), self.tiles.max(axis=2).astype(np.float64)
        at_once = max(1, _VALUES // max(1, len(self.tiles)))
        for a in range(0, len(self), at_once):
            weights = self.weights[a : a + at_once].astype(np.float64)
            part = np.maximum(weights, 0) @ greatest.T + np.minimum(weights, 0) @ least.T
            part += _SLACK * (1 + np.abs(part).max(initial=0))
            kernel, tile = np.nonzero(self._near(slice(a, a + at_once), part))
            kernel += a
            ends = np.searchsorted(kernel, np.arange(len(self) + 1))
            for lo, hi in chunks(np.diff(ends), _VALUES // TILE**2):
                yield kernel[ends[lo] : ends[hi]], tile[ends[lo] : ends[hi]]

    def _near(self, some: slice, part: Float) -> Bool:
        """Return whether the ellipse in which the form is above ``-part`` (n, T) meets each tile: bool (n, T)."""
        one, first, second, uu, vv, uv = (values[:, None] for values in self.forms[some].astype(np.float64).T)
        x, y, side = (values[:, None] for values in self.places[some].astype(np.float64).T)
        whole = 4 * uu * vv - uv * uv
        u, v = (2 * vv * first - uv * second) / whole, (2 * uu * second - uv * first) / whole
        high = (one + (first * u + second * v) / 2)[..., None] + part.reshape(len(part), self.rows, self.columns)
        gaps = []
        for middle, count in ((x + u * side, self.columns), (y + v * side, self.rows)):
            low = self.stride * (TILE * np.arange(count) + 0.5)
            far = np.maximum(np.maximum(low - middle, middle - low - self.stride * (TILE - 1)), 0) / side
            gaps.append(far**2 * whole / 4)
        near = (gaps[0][:, None] <= high * vv[..., None]) & (gaps[1][:, :, None] <= high * uu[..., None])
        met: Bool = near.reshape(part.shape)
        return met


def low_resolution(kernels: Kernels) -> tuple[Float, Int, Words]:
    """Return of each mask on the map's own grid: mean probability inside (0 if it is empty), tight half-open xyxy
    box in cells of the map, and the mask in tiles."""
    height, width = kernels.size
    probability, area = np.zeros(len(kernels)), np.zeros(len(kernels), np.int64)
    boxes = np.tile(np.array([width, height, 0, 0]), (len(kernels), 1))
    parts = [Words.empty()]
    for kernel, tile in kernels.reached():
        logits = kernels.logits(kernel, tile)
        row, column = np.divmod(tile, kernels.columns)
        x, y = (TILE * at[:, None] + np.arange(TILE) for at in (column, row))
        on = (logits > 0) & (y < height)[:, :, None] & (x < width)[:, None, :]
        inside = on.sum((1, 2))
        some = np.flatnonzero(inside)
        kernel, on, inside = kernel[some], on[some], inside[some]
        sigmoid = 1 / (1 + np.exp(-logits[some][on].astype(np.float64)))
        probability += np.bincount(kernel, np.add.reduceat(sigmoid, sums(inside)[:-1]), len(kernels))
        area += np.bincount(kernel, inside, len(kernels)).astype(np.int64)
        for k, at in ((0, column), (1, row)):
            along = on.any(axis=k + 1)
            begin = TILE * at[some] + along.argmax(axis=1)
            end = TILE * (at[some] + 1) - along[:, ::-1].argmax(axis=1)
            np.minimum.at(boxes[:, k], kernel, begin)
            np.maximum.at(boxes[:, k + 2], kernel, end)
        parts.append(Words(kernel, tile[some], pack_tiles(on)))
    boxes[area == 0] = 0
    return probability / np.maximum(area, 1), boxes, Words.concatenate(parts)


def kernel_masks(kernels: Kernels, chosen: Int, boxes: Int, frame: Frame, threshold: float = 0.0) -> Masks:
    """Return the masks of some kernels at the image's size, where logits in the tiles about their boxes lie above.

    ``boxes`` (len(chosen), 4) are those of `low_resolution`.

    Nothing is inside beyond one cell of the map around the box, so the result is that of whole maps.
    """
    limits = np.array([kernels.columns, kernels.rows])
    low = np.maximum(boxes[:, :2] - 1, 0) // TILE
    side = (np.minimum(boxes[:, 2:] // TILE + 1, limits) - low).max(axis=1, initial=1)
    scale = np.array([o / n for o, n in zip(frame.size, frame.input_size, strict=True)])[::-1]
    unit = np.tile(TILE * kernels.stride * scale, 2)
    bucket = 1 << np.ceil(np.log2(side)).astype(np.int64)
    parts, order = [Masks.empty(frame.size)], [np.zeros(0, np.int64)]
    for size in np.unique(bucket):
        sides = np.minimum(size, limits)
        wide, tall = sides.tolist()
        members = np.flatnonzero(bucket == size)
        at_once = max(1, _VALUES // (wide * tall * TILE**2))
        for a in range(0, len(members), at_once):
            some = members[a : a + at_once]
            corner = np.minimum(low[some], limits - sides)
            row = corner[:, 1, None, None] + np.arange(tall)[:, None]
            tile = (row * kernels.columns + corner[:, 0, None, None] + np.arange(wide)).reshape(len(some), -1)
            logits = kernels.logits(np.repeat(chosen[some], tile.shape[1]), tile.ravel())
            whole = logits.reshape(len(some), tall, wide, TILE, TILE).transpose(0, 1, 3, 2, 4)
            window = np.concatenate([corner, corner + sides], 1) * unit
            maps = whole.reshape(len(some), tall * TILE, -1)
            parts.append(Masks.from_logits(maps, window, frame.size, threshold=threshold))
            order.append(some)
    return Masks.concatenate(parts)[np.argsort(np.concatenate(order))]
