"""Where there is room for labels: beside an object or inside it, never over another label or another object.

An object around this one, as a facade is around its windows, may lie below its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Int, Int32
from apiece.core.masks import Masks
from apiece.draw._strokes import sampled
from apiece.draw._text import text_height, text_width

PAD = 2
"""Pixels of halo around a text, on each side."""
_CELLS = 1500  # most cells of the grid along the mean side of an image
_SHARE = 0.08  # of a label may lie over other objects: its halo
_AROUND = 3  # places of an object, at least, that lie on the object around it
_INSIDE = 2  # the place inside the object, among its places
_ENOUGH = 0.9  # share of the labels that must find room before a smaller text is tried


@dataclass(frozen=True, eq=False)
class Placed:
    """Hold the labels that found room.

    Attributes
    ----------
    size : of the text.
    which : int64 (M,), the indices of their instances.
    corners : int64 (M, 2), the upper left corner (x, y) of each with its halo.
    """

    size: int
    which: Int
    corners: Int


def place(masks: Masks, texts: Sequence[str], sizes: Sequence[int]) -> Placed:
    """Return where the text of each mask has room, in the first of ``sizes`` (largest first) in which nearly all have.

    The labels of large objects choose first. Empty masks get none, nor do masks whose text is empty.
    """
    ground = _Ground(masks, np.array([bool(text) for text in texts], bool))
    found = Placed(sizes[0], np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    for size in sizes:
        corners, free, extent = ground.candidates(texts, size)
        if free.any(0).sum() >= _ENOUGH * ground.count or size == sizes[-1]:
            found = _greedy(ground, corners, free, extent, size)
        if len(found.which) >= _ENOUGH * ground.count:
            break
    return found


def _greedy(ground: _Ground, corners: Int, free: Bool, extent: Int, size: int) -> Placed:
    """Give each label the first of its free places (places, N, xy) that no label before it took."""
    low, high = ground.cells(corners, extent)
    taken = np.zeros(ground.owner.shape, bool)
    which, where = [], []
    some = np.flatnonzero(free.any(0))
    for i in some[np.argsort(-ground.area[some], kind="stable")].tolist():
        for c in np.flatnonzero(free[:, i]).tolist():
            (x0, y0), (x1, y1) = low[c, i].tolist(), high[c, i].tolist()
            spot = taken[y0:y1, x0:x1]
            if not spot.any():
                spot[:] = True
                which.append(i)
                where.append(corners[c, i])
                break
    return Placed(size, np.array(which, np.int64), np.array(where, np.int64).reshape(-1, 2))


class _Ground:
    """What lies where on a coarse grid, and the places beside and inside each mask."""

    def __init__(self, masks: Masks, named: Bool) -> None:
        height, width = self.size = masks.size
        side = np.sqrt(height * width)
        self.step = int(max(np.clip(side / 250, 1, 4), side // _CELLS))
        rows, columns = (slice(min(self.step // 2, n - 1), n, self.step) for n in self.size)
        self.owner: Int32 = sampled(masks, rows, columns).to_label_map(dtype=np.int32, overlap="smallest")
        self.area, self.boxes = masks.area, masks.boxes.astype(np.int64)
        self.named = named & (self.area > 0)
        self.count = int(self.named.sum())
        self._covered = _integral(self.owner > 0)
        self._down = _integral(np.pad(self.owner[1:] != self.owner[:-1], ((1, 0), (0, 0))))
        self._across = _integral(np.pad(self.owner[:, 1:] != self.owner[:, :-1], ((0, 0), (1, 0))))
        runs, owner = masks.runs, masks.runs.owners
        box, middle = self.boxes[owner], (runs.y0 + runs.y1) / 2
        self._top = self._mean(owner, runs.x + 0.5, runs.y0 == box[:, 1])
        self._bottom = self._mean(owner, runs.x + 0.5, runs.y1 == box[:, 3])
        self._left = self._mean(owner, middle, runs.x == box[:, 0])
        self._right = self._mean(owner, middle, runs.x + 1 == box[:, 2])

    def _mean(self, owner: Int, values: Array, where: Bool) -> Array:
        """Return the mean value of each mask's runs that lie there."""
        total = np.bincount(owner[where], values[where], len(self.area))
        return total / np.maximum(np.bincount(owner[where], minlength=len(self.area)), 1)

    def candidates(self, texts: Sequence[str], size: int) -> tuple[Int, Bool, Int]:
        """Return places by preference (places, N, xy), whether each has room (places, N), and extents (N, xy)."""
        height = text_height(size) + 2 * PAD
        extent = np.array([(text_width(text, size) + 2 * PAD, height) for text in texts], np.int64).reshape(-1, 2)
        wide = extent[:, 0]
        x0, y0, x1, y1 = self.boxes.T

        def along(centre: Array) -> Int:
            """Begin so that the label is centred there, but within the box if it is narrower than that."""
            begin = (centre - wide / 2).astype(np.int64)
            return np.where(wide < x1 - x0, np.clip(begin, x0, np.maximum(x1 - wide, x0)), begin)

        inner = self._inmost(float(np.median(wide[self.named])) / height if self.count else 1.0)
        corners = np.stack([
            np.stack([along(self._top), y0 - height], 1),
            np.stack([along(self._bottom), y1], 1),
            (inner - extent / 2).astype(np.int64),
            np.stack([x1, (self._right - height / 2).astype(np.int64)], 1),
            np.stack([x0 - wide, (self._left - height / 2).astype(np.int64)], 1),
        ])  # fmt: skip
        # a label lies inside the image, if there is room for it at all
        corners = np.clip(corners, 0, np.maximum(np.array(self.size[::-1]) - extent, 0))
        low, high = self.cells(corners, extent)
        below, beside = np.array((0, 1)), np.array((1, 0))
        changes = _inside(self._down, low + below, high) + _inside(self._across, low + beside, high)
        middle = np.moveaxis((low + high) // 2, -1, 0)
        under = self.owner[middle[1], middle[0]] - 1
        covered = _inside(self._covered, low, high) / (high - low).prod(-1)
        around = (under[:, None] == under).sum(0) >= _AROUND  # what lies below the label lies on other sides too
        mine = under == np.arange(len(texts))
        free = (covered <= _SHARE) | ((changes == 0) & (under >= 0) & around & ~mine)
        free[_INSIDE] = (changes[_INSIDE] == 0) & mine[_INSIDE]
        return corners, free & self.named, extent

    def cells(self, corners: Int, extent: Int) -> tuple[Int, Int]:
        """Return the half-open cells (x, y) that labels cover."""
        shape = np.array(self.owner.shape[::-1])
        low = np.minimum(corners // self.step, shape - 1)
        return low, np.clip(-(-(corners + extent) // self.step), low + 1, shape)

    def _inmost(self, aspect: float) -> Array:
        """Return the place (x, y) of each mask around which a label of this width over height has most room."""
        squeeze = max(round(aspect), 1)
        owner = np.ascontiguousarray(self.owner[:, squeeze // 2 :: squeeze])
        edge = np.zeros(np.add(owner.shape, 2), np.uint8)
        edge[1:-1, 1:-1] = owner > 0
        inner = edge[1:-1, 1:-1]
        inner[1:] &= ~(owner[1:] != owner[:-1])
        inner[:, 1:] &= ~(owner[:, 1:] != owner[:, :-1])
        room = cv2.distanceTransform(edge, cv2.DIST_C, 3)[1:-1, 1:-1].ravel()
        place = np.flatnonzero(owner.ravel())
        whose = owner.ravel()[place] - 1
        order = np.lexsort((room[place], whose))
        last = order[np.flatnonzero(np.diff(whose[order], append=-1))]
        at = np.full((len(self.area), 2), -1.0)
        y, x = np.divmod(place[last], owner.shape[1])
        at[whose[last]] = np.stack([(x * squeeze + squeeze // 2 + 0.5), y + 0.5], 1) * self.step
        return at


def _integral(a: Bool) -> Array:
    return cv2.integral(np.ascontiguousarray(a, np.uint8))


def _inside(integral: Array, low: Int, high: Int) -> Int:
    """Return the sum over the cells from ``low`` to below ``high`` (..., xy), of an integral image."""
    high = np.maximum(high, low)
    (x0, y0), (x1, y1) = np.moveaxis(low, -1, 0), np.moveaxis(high, -1, 0)
    return np.asarray(integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0], np.int64)
