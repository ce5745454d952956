"""Looks at an image: a square window of it, at the network's size, with maps of what was asked."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Float, Float32
from apiece.core.prompts import Prompts
from apiece.prompts._kit.pixels import discs

__all__ = ["CELL", "NEAREST", "Look", "prompt_maps"]

CELL = 2
"""Pixels of a look for each cell of its maps."""

NEAREST = 8
"""Pixels of a look at most for each pixel of the image, across."""

_RADIUS = 3  # of the disc of a click, in cells


@dataclass(frozen=True)
class Look:
    """Show a square of an image, which may reach beyond its border.

    Attributes
    ----------
    x, y, extent : the square's corner and side in pixels of the image.
    side : the side in pixels of the network's input.
    """

    x: float
    y: float
    extent: float
    side: int

    @classmethod
    def whole(cls, size: tuple[int, int], side: int) -> Look:
        """Return the look at all of an image of ``size`` (height, width)."""
        extent = max(*size, 1)
        return cls((size[1] - extent) / 2, (size[0] - extent) / 2, extent, side)

    @classmethod
    def around(cls, box: Float, share: float, side: int) -> Look:
        """Return the look in whose middle a box x0, y0, x1, y1 fills ``share`` of the side."""
        extent = max(float((box[2:] - box[:2]).max()) / share, side / NEAREST)
        x, y = (box[:2] + box[2:] - extent) / 2
        return cls(float(x), float(y), extent, side)

    def within(self, size: tuple[int, int]) -> Look:
        """Return the look moved so that it shows no more than it must beyond an image of ``size`` (height, width)."""
        free = np.array([size[1], size[0]]) - self.extent
        x, y = np.where(free > 0, np.clip([self.x, self.y], 0, np.maximum(free, 0)), free / 2)
        return Look(float(x), float(y), self.extent, self.side)

    @property
    def box(self) -> Float:
        """The square, x0, y0, x1, y1."""
        return np.array([self.x, self.y, self.x + self.extent, self.y + self.extent])

    def matrix(self, cell: int = 1) -> Float:
        """Return the map from pixels of the image to cells of ``cell`` pixels of the look: (2, 3)."""
        scale = self.side / cell / self.extent
        return np.array([[scale, 0.0, -self.x * scale], [0.0, scale, -self.y * scale]])

    def pixels(self, image: Array, fill: float) -> Array:
        """Return the pixels (side, side, channels), with ``fill`` beyond the border of the image."""
        return _warped(image, self.matrix(), self.side, fill)

    def cells(self, where: Bool) -> Float32:
        """Return the share of each cell that lies on ``where`` (height, width): float32 (side / CELL, side / CELL)."""
        side = self.side // CELL
        values = where[:, :, None].astype(np.uint8) * 255  # OpenCV averages 8 bits quickly
        return _warped(values, self.matrix(CELL), side, 0.0)[:, :, 0].astype(np.float32) / np.float32(255)

    def cells_box(self, where: Bool) -> Float:
        """Return the box around some cells, x0, y0, x1, y1 in pixels of the image."""
        rows, columns = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
        cells = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        return cells * (self.extent * CELL / self.side) + np.array([self.x, self.y, self.x, self.y])

    def rim(self, size: tuple[int, int], width: int) -> Bool:
        """Return the outermost cells, beyond which an image of ``size`` (height, width) goes on."""
        found = np.zeros((self.side // CELL,) * 2, bool)
        x0, y0, x1, y1 = self.box
        found[:, :width] |= x0 > 0
        found[:width] |= y0 > 0
        found[:, -width:] |= x1 < size[1]
        found[-width:] |= y1 < size[0]
        return found

    def seen(self, cells: Float32, other: Look) -> Float32:
        """Return cells of this look as those of another one, 0 beyond this one."""
        mine, side = self.matrix(CELL), other.side // CELL
        theirs = np.vstack([other.matrix(CELL), [0, 0, 1]])
        between = (theirs @ np.linalg.inv(np.vstack([mine, [0, 0, 1]])))[:2]
        return _warped(cells[:, :, None], between, side, 0.0)[:, :, 0]


def _warped(image: Array, matrix: Float, side: int, fill: float) -> Array:
    """Return what a scaling and shift, (2, 3), shows of an image (height, width, channels, at most 4) on a square.

    The parts of the image that the square does not see are not touched. Where it shrinks, pixels are averaged.
    """
    scale, corner = matrix[0, 0], -matrix[:, 2] / matrix[0, 0]
    low = np.floor(corner - 2).clip(0).astype(int)
    high = np.ceil(corner + side / scale + 2).clip(0).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return np.full((side, side, image.shape[2]), fill, image.dtype)
    width, height = (max(1, int(n * min(1.0, scale) + 0.5)) for n in (part.shape[1], part.shape[0]))
    ratio = np.array([width / part.shape[1], height / part.shape[0]])
    if (height, width) != part.shape[:2]:
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # OpenCV puts the middle of a pixel where its number is
    linear = scale / ratio
    shift = matrix[:, 2] + scale * low + linear / 2 - 0.5
    exact = np.array([[linear[0], 0, shift[0]], [0, linear[1], shift[1]]])
    found = cv2.warpAffine(part, exact, (side, side), flags=cv2.INTER_LINEAR, borderValue=[fill] * 4)
    return found.reshape(side, side, image.shape[2])


def prompt_maps(look: Look, size: tuple[int, int], prompts: Prompts, before: Float32 | None) -> Float32:
    """Return what was asked of one object: positive clicks, negative clicks, box, mask before, known, on the image.

    Parameters
    ----------
    size : (height, width) of the image.
    before : chance of each cell to be the object's, as known before; None: nothing is known.

    Returns
    -------
    float32 (6, side / CELL, side / CELL).
    """
    side = look.side // CELL
    matrix = look.matrix(CELL)
    at = np.floor(prompts.points @ matrix[:, :2].T + matrix[:, 2]).clip(-99, side + 99).astype(np.int64)
    maps = np.zeros((6, side, side), np.float32)
    for k, chosen in enumerate((prompts.positive, ~prompts.positive)):
        maps[k] = discs(at[chosen], (side, side), _RADIUS)
    if prompts.boxed[0]:
        maps[2] = _filled(prompts.boxes[0], matrix, side)
    if before is not None:
        maps[3], maps[4] = before, 1.0
    maps[5] = _filled(np.array([0.0, 0.0, size[1], size[0]]), matrix, side)
    return maps


def _filled(box: Float, matrix: Float, side: int) -> Float32:
    """Return the share of each cell that a box covers: float32 (side, side)."""
    corners = box.reshape(2, 2) @ matrix[:, :2].T + matrix[:, 2]
    cells = np.arange(side)
    x, y = (
        (np.minimum(cells + 1, high) - np.maximum(cells, low)).clip(0, 1)
        for low, high in zip(corners[0], corners[1], strict=True)
    )
    return (y[:, None] * x).astype(np.float32)
