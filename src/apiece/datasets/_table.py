"""A synthetic scene in the making: what lies where, what may lie there too, the shadows that it casts."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from apiece._arrays import Bool, Float32, Int32
from apiece.datasets._light import Light


@dataclass
class Table:
    """A scene in the making: pixels, the part that each belongs to, and the parts so far."""

    canvas: Float32
    owner: Int32
    crops: list[Bool] = field(default_factory=list)
    corners: list[tuple[int, int]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    middles: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, reach
    whole: list[int] = field(default_factory=list)  # pixels of each part
    seen: list[int] = field(default_factory=list)  # visible pixels of each part

    def accepts(self, x: int, y: int, mask: Bool, area: int, limit: float, hidden: float) -> bool:
        """Return whether a part may lie here.

        Enough of it must lie in the frame. It may hide the share ``limit`` of another part, all parts together the
        share ``hidden``.
        """
        y0, x0, y1, x1 = self.window(x, y, mask.shape)
        if y1 <= y0 or x1 <= x0:
            return False
        inside = mask[y0 - y : y1 - y, x0 - x : x1 - x]
        if (y1 - y0, x1 - x0) != mask.shape and np.count_nonzero(inside) < 0.4 * area:
            return False
        under = self.owner[y0:y1, x0:x1] * inside
        if not under.any():
            return True
        if limit <= 0:
            return False
        taken = np.bincount(under.ravel())
        return all(
            taken[k] <= limit * self.whole[k - 1] and self.seen[k - 1] - taken[k] >= (1 - hidden) * self.whole[k - 1]
            for k in np.flatnonzero(taken[1:]) + 1
        )

    def window(self, x: int, y: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        height, width = self.owner.shape
        return max(y, 0), max(x, 0), min(y + shape[0], height), min(x + shape[1], width)

    def lay(self, x: int, y: int, coverage: Float32, colour: Float32, label: int) -> None:
        """Paint a patch with its corner at (x, y) and keep its mask."""
        y0, x0, y1, x1 = self.window(x, y, coverage.shape)
        alpha = coverage[y0 - y : y1 - y, x0 - x : x1 - x]
        below = self.canvas[y0:y1, x0:x1]
        below += (colour[y0 - y : y1 - y, x0 - x : x1 - x] - below) * alpha[:, :, None]
        crop = alpha >= 0.5
        self.crops.append(crop)
        self.corners.append((x0, y0))
        self.labels.append(label)
        owner = self.owner[y0:y1, x0:x1]
        for k, taken in enumerate(np.bincount(owner[crop])[1:].tolist()):
            self.seen[k] -= taken
        owner[crop] = len(self.crops)
        self.whole.append(int(np.count_nonzero(crop)))
        self.seen.append(self.whole[-1])

    def shade(self, x: int, y: int, coverage: Float32, thickness: float, light: Light) -> None:
        """Darken the table and the parts that the shadow of a patch at (x, y) falls on."""
        lx, ly, lz = light.direction
        dx, dy = -lx / lz * thickness * 0.5, -ly / lz * thickness * 0.5  # from the middle of its height
        soft = 0.7 + thickness * (0.12 + 0.5 * light.size)
        pad = int(np.ceil(max(abs(dx), abs(dy)) + 2.2 * soft)) + 1
        area = (coverage.shape[1] + 2 * pad, coverage.shape[0] + 2 * pad)
        move = np.array([[1, 0, pad + dx], [0, 1, pad + dy]], np.float32)
        cast = cv2.GaussianBlur(cv2.warpAffine(coverage, move, area), (0, 0), soft)
        move[:, 2] = pad + 0.15 * dx, pad + 0.15 * dy
        touch = cv2.GaussianBlur(cv2.warpAffine(coverage, move, area), (0, 0), 0.6 + 0.22 * thickness)
        dark = (1.0 - (0.92 * (1.0 - light.ambient)) * cast) * (1.0 - 0.48 * touch)
        y0, x0, y1, x1 = self.window(x - pad, y - pad, dark.shape)
        if y1 > y0 and x1 > x0:
            part = dark[y0 - y + pad : y1 - y + pad, x0 - x + pad : x1 - x + pad]
            self.canvas[y0:y1, x0:x1] *= part[:, :, None]
