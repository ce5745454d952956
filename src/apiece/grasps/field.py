"""`Field`: distances to the outlines of some objects, and rays that stop there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from apiece._arrays import Bool, Float, Float32, Int
from apiece.core.masks import Masks
from apiece.ops.distances import distances
from apiece.ops.sheets import Sheet

__all__ = ["ALIKE", "MARGIN", "Field"]

MARGIN = 4
_STEPS = 24  # of a ray to the outline
ALIKE = 0.75  # pixels by which a place may be less deep, and is as deep: what steps of an outline make
_RIDGE = 0.05  # pixels by which a place on the ridge may be lower than one beside it


@dataclass(frozen=True, eq=False)
class Field:
    """Signed distances to the outlines of K objects on a sheet: positive inside, in pixels of the picture.

    Attributes
    ----------
    masks : int64 (K,), which objects.
    values : float32 (width, height) of the sheet.
    corners : int64 (K, 2), the place in the picture of the sheet's first pixel of each object.
    begins : int64 (K + 1,), the sheet's first column of each object.
    step : pixels of the picture between two pixels of the sheet.
    """

    masks: Int
    values: Float32
    corners: Int
    begins: Int
    step: int

    @classmethod
    def of(cls, sheet: Sheet, masks: Masks) -> Field:
        """Return the field of a sheet; outlines run half way between pixels inside and outside."""
        inside = distances(sheet.drawn)
        outside = distances(1 - sheet.drawn)
        values = (np.where(sheet.drawn > 0, inside - 0.5, 0.5 - outside) * sheet.step).astype(np.float32)
        begins = np.append(np.searchsorted(sheet.owner, np.arange(len(sheet.masks))), len(sheet.owner))
        corners = masks.boxes[sheet.masks, :2].astype(np.int64) - MARGIN * sheet.step
        return cls(sheet.masks, values, corners, begins, sheet.step)

    @property
    def deepest(self) -> Float:
        """Greatest distance to the outline of each object, (K,)."""
        columns = self.values.max(1)
        return np.maximum.reduceat(columns, self.begins[:-1]).astype(np.float64)

    def pixels(self, chosen: Bool) -> tuple[Int, Float]:
        """Return object and place (P, 2), in the picture, of the chosen pixels of the sheet, object after object."""
        column, row = np.nonzero(chosen)
        k = np.searchsorted(self.begins, column, side="right") - 1
        local = np.stack((column - self.begins[k], row), 1)
        return k, self.corners[k] + local * self.step + self.step / 2

    def ridge(self, share: Float | float) -> tuple[Int, Float]:
        """Return object and place of pixels deeper than those around, and than ``share`` of the deepest."""
        high = self.values >= ndimage.maximum_filter(self.values, 3) - _RIDGE
        least = np.repeat(np.broadcast_to(share * self.deepest, len(self.masks)), np.diff(self.begins))
        return self.pixels(high & (self.values >= least[:, None]) & (self.values > 0))

    def centres(self, centroids: Float) -> Float:
        """Return the deepest place of each object, (K, 2), and of such the one nearest to its centroid (K, 2)."""
        k, places = self.ridge(1.0 - ALIKE / np.maximum(self.deepest, ALIKE))
        off = np.hypot(*(places - centroids[k]).T)
        order = np.lexsort((off, k))
        best = places[order[np.searchsorted(k[order], np.arange(len(self.masks)))]]
        own = np.arange(len(self.masks))
        depth = self.at(own, centroids)
        central = (depth > 0) & (depth >= self.deepest - ALIKE)
        return np.where(central[:, None], centroids, best)

    def at(self, k: Int, places: Float) -> Float:
        """Return the distance of places (..., 2) to the outline of object ``k``, which broadcasts; -inf far off it."""
        local = (places - self.corners[k]) / self.step - 0.5
        x, y = local[..., 0], local[..., 1]
        wide = np.diff(self.begins)[k]
        inside = (x >= 0) & (x <= wide - 1) & (y >= 0) & (y <= self.values.shape[1] - 1)
        at = np.stack((np.where(inside, x, 0) + self.begins[k], np.where(inside, y, 0)))
        read = ndimage.map_coordinates(self.values, at.reshape(2, -1), order=1, mode="nearest", output=np.float64)
        return np.where(inside, read.reshape(x.shape), -np.inf)

    def exits(self, k: Int, places: Float, way: Float) -> Float:
        """Return how far it is from places (..., 2) along unit vectors ``way`` to the outline; -inf from outside.

        A step is as long as the distance to the outline at that place, which no outline lies within.
        """
        start = self.at(k, places)
        out = np.where(start > 0, 0.0, -np.inf)
        alive = np.flatnonzero(start.reshape(-1) > 0)
        far, flat, ahead = out.reshape(-1), places.reshape(-1, 2), np.broadcast_to(way, places.shape).reshape(-1, 2)
        which = np.broadcast_to(k, start.shape).reshape(-1)
        for _ in range(_STEPS):
            if not len(alive):
                break
            gone = self.at(which[alive], flat[alive] + far[alive, None] * ahead[alive])
            gone = np.where(np.isfinite(gone), gone, 0.0)
            far[alive] += gone
            alive = alive[np.abs(gone) > 0.02]
        return far.reshape(start.shape)
