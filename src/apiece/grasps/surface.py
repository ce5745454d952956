"""`Surface`: what is known of the world behind the pixels: depth, the camera, or a calibrated plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.calibration import Calibration, Intrinsics
from apiece.core.image import PixelSize
from apiece.core.instances import Instances
from apiece.core.runs import expand, owners

__all__ = ["Surface", "disc"]

_FLOOR = 95  # per cent
_RINGS = (0.0, 0.35, 0.7, 1.0)


def disc() -> Float:
    """Return points that are spread over the unit disc: (K, 2)."""
    parts = []
    for radius in _RINGS:
        turns = np.linspace(0, 2 * np.pi, 1 + round(16 * radius), endpoint=False)
        parts.append(radius * np.stack((np.cos(turns), np.sin(turns)), 1))
    return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Surface:
    """The world behind a picture, and its N objects.

    Attributes
    ----------
    instances : the objects.
    depth : metres (H, W), NaN where nothing was measured; or None.
    intrinsics : the camera of the depth image, or None.
    calibration : of the plane that the objects lie on, or None.
    """

    instances: Instances
    depth: Float | None = None
    intrinsics: Intrinsics | None = None
    calibration: Calibration | None = None

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.instances)

    @property
    def unit(self) -> str:
        """Unit of the frame of `world`: metres of a camera, else that of the plane, else pixels."""
        if self.depth is not None and self.intrinsics is not None:
            return "m"
        return "px" if self.calibration is None else self.calibration.unit

    @cached_property
    def object_depth(self) -> Float:
        """Median depth of each object, metres (N,); NaN where there is none."""
        out = np.full(self.count, np.nan)
        if self.depth is None or not self.count:
            return out
        runs, width = self.instances.masks.runs, self.instances.size[1]
        count = (runs.y1 - runs.y0).astype(np.int64)
        y = expand(runs.y0.astype(np.int64), count)
        values = self.depth.reshape(-1)[y * width + np.repeat(runs.x.astype(np.int64), count)]
        owner = np.repeat(owners(runs.offsets), count)
        owner, values = owner[np.isfinite(values)], values[np.isfinite(values)]
        order = np.lexsort((values, owner))
        found = np.bincount(owner, minlength=self.count)
        first = np.cumsum(found) - found
        some = found > 0
        out[some] = values[order][(first + found // 2)[some]]
        return out

    @cached_property
    def floor(self) -> float:
        """Depth of the ground in metres: only a twentieth of the picture lies lower."""
        return float("nan") if self.depth is None else float(np.nanpercentile(self.depth, _FLOOR))

    @cached_property
    def pixels_per_metre(self) -> Float | None:
        """How many pixels a metre has at each object, (N,); None where nothing says so."""
        if self.depth is not None and self.intrinsics is not None:
            return self.intrinsics.focal / self.object_depth
        if self.calibration is None:
            return None
        middle = np.array(self.instances.size[::-1]) / 2
        place = np.where(self.instances.masks.area[:, None] > 0, self.instances.masks.centroids, middle)
        across = np.sqrt(np.abs(np.linalg.det(self.calibration.stretch(place)))) if self.count else np.zeros(0)
        return np.asarray(1 / (across * PixelSize(1.0, 1.0, self.calibration.unit).to("m").x))

    def at(self, places: Float) -> Float:
        """Return the depth at places (..., 2) in pixels; NaN outside, and where there is none."""
        if self.depth is None:
            return np.full(places.shape[:-1], np.nan)
        x, y, inside = self._pixel(places)
        return np.where(inside, self.depth[y, x], np.nan)

    def owner_at(self, places: Float) -> Int:
        """Return the object that is seen at places (..., 2); -1 for none, -2 outside of the picture."""
        x, y, inside = self._pixel(places)
        return np.where(inside, self.top[y, x], -2)

    def _pixel(self, places: Float) -> tuple[Int, Int, Bool]:
        height, width = self.instances.size
        x, y = (np.floor(np.nan_to_num(places[..., k], nan=-1.0)).astype(np.int64) for k in (0, 1))
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        return np.where(inside, x, 0), np.where(inside, y, 0), inside

    @cached_property
    def top(self) -> Int:
        """Which object each pixel shows, int (H, W), -1 for none; where masks overlap, the smallest."""
        masks, (height, width) = self.instances.masks, self.instances.size
        order = np.argsort(-masks.area, kind="stable")
        drawn = np.full(height * width, -1, np.int64)
        runs = masks.runs.take(order)
        count = (runs.y1 - runs.y0).astype(np.int64)
        y = expand(runs.y0.astype(np.int64), count)
        drawn[y * width + np.repeat(runs.x.astype(np.int64), count)] = np.repeat(order[owners(runs.offsets)], count)
        return drawn.reshape(height, width)

    def local_depth(self, places: Float, radius: Float) -> Float:
        """Return the median depth around places (N, 2), one of each object, on the object itself."""
        around = places[:, None] + radius[:, None, None] * disc()[None]
        depth = self.at(around)
        own = self.owner_at(around) == np.arange(self.count)[:, None]
        depth = np.where(own, depth, np.nan)
        out = np.full(self.count, np.nan)
        some = np.isfinite(depth).any(1)
        out[some] = np.nanmedian(depth[some], axis=1)
        return out

    def world(self, places: Float, depth: Float | None = None) -> Float | None:
        """Return places (N, 2) in the frame of the camera (N, 3) or the plane (N, 2), in `unit`; None for neither."""
        if self.depth is not None and self.intrinsics is not None:
            return self.intrinsics.points(places, self.at(places) if depth is None else depth)
        return None if self.calibration is None else self.calibration.plane(places)
