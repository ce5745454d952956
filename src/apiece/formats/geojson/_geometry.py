"""Where pixels lie in the world: six numbers, stated by a label file or by a world file beside the image.

With a coordinate reference system beside them, a GeoJSON file has longitudes and latitudes, as RFC 7946 wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Float
from apiece._extras import extras
from apiece.errors import FormatError

Affine = tuple[float, float, float, float, float, float]
"""GDAL's order: x of the upper left corner, x per column, x per row, y of the corner, y per column, y per row."""


def checked_transform(value: Any) -> Affine | None:
    """Return six numbers as a transform that can be undone; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 6 or not all(type(v) in (int, float) for v in value):
        return None
    try:
        found = tuple(float(v) for v in value)
    except OverflowError:
        return None
    x0, dx, rx, y0, ry, dy = found
    if not np.isfinite(found).all() or dx * dy - rx * ry == 0:
        return None
    try:
        back = _inverse(dx, rx, ry, dy)
    except np.linalg.LinAlgError:  # what is left of rounding is no determinant
        return None
    return (x0, dx, rx, y0, ry, dy) if np.isfinite(back).all() else None


@dataclass(frozen=True)
class Placed:
    """How the coordinates of a file and pixels become each other."""

    transform: Affine
    crs: str | None = None
    """The system that the six numbers lead to, where the file's is WGS 84."""

    @property
    def mirrors(self) -> bool:
        """Whether what runs clockwise in the one runs counter-clockwise in the other."""
        return self.transform[1] * self.transform[5] < self.transform[2] * self.transform[4]

    def to_world(self, points: Float) -> Float:
        """Return pixel coordinates (K, 2) as the file's; not finite where there is no such place."""
        world = to_world(points, self.transform)
        return world if self.crs is None else _reprojected(world, self.crs, _WGS84)

    def to_pixels(self, points: Float) -> Float:
        """Return the file's coordinates (K, 2) in pixels; not finite where there is no such place."""
        world = points if self.crs is None else _reprojected(points, _WGS84, self.crs)
        return to_pixels(world, self.transform)


_WGS84 = "EPSG:4326"


def placed(attributes: Mapping[str, Any]) -> Placed | None:
    """Return what the attributes ``geotransform`` and ``crs`` of an image mean; None where it is not in the world.

    A ``crs`` that is a text is the name of a system. Any other is the member of that name, of old GeoJSON, in whose
    system the file's coordinates are.
    """
    transform, crs = checked_transform(attributes.get("geotransform")), attributes.get("crs")
    if transform is None:
        return None
    return Placed(transform, crs if type(crs) is str and _is_system(crs) else None)


@lru_cache(maxsize=64)
def _is_system(text: str) -> bool:
    with extras():
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    try:
        return bool(CRS.from_user_input(text))
    except CRSError:
        return False


def _reprojected(points: Float, source: str, target: str) -> Float:
    with extras():
        from rasterio.crs import CRS
        from rasterio.warp import transform
    x, y = transform(CRS.from_user_input(source), CRS.from_user_input(target), points[:, 0], points[:, 1])
    return np.stack([x, y], 1)


def _inverse(dx: float, rx: float, ry: float, dy: float) -> Float:
    return np.linalg.inv(np.array([[dx, ry], [rx, dy]]))


def to_world(points: Float, transform: Affine) -> Float:
    """Return pixel coordinates (K, 2) in the world; not finite where doubles do not reach."""
    x0, dx, rx, y0, ry, dy = transform
    with np.errstate(over="ignore", invalid="ignore"):
        world: Float = points @ np.array([[dx, ry], [rx, dy]]) + np.array([x0, y0])
    return world


def to_pixels(points: Float, transform: Affine) -> Float:
    """Return world coordinates (K, 2) in pixels; not finite where doubles do not reach."""
    x0, dx, rx, y0, ry, dy = transform
    with np.errstate(over="ignore", invalid="ignore"):
        pixels: Float = (points - np.array([x0, y0])) @ _inverse(dx, rx, ry, dy)
    return pixels


def world_file(image: Path) -> Affine | None:
    """Return the transform in a world file beside an image (``.pgw``, ``.pngw``, ``.wld``); None without such a file.

    A world file speaks of the centre of the upper left pixel.
    """
    ending = image.suffix
    short = ending[:2] + ending[-1:] + "w" if len(ending) > 3 else ending + "w"
    for suffix in (short, ending + "w", ".wld"):
        path = image.with_suffix(suffix)
        if len(suffix) < 3 or not path.is_file():
            continue
        try:
            if path.stat().st_size > 4096:
                raise ValueError
            a, d, b, e, c, f = (float(word) for word in path.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            raise FormatError(path, "a world file holds six numbers, one a line") from None
        found = checked_transform((c - a / 2 - b / 2, a, b, f - d / 2 - e / 2, d, e))
        if found is None:
            raise FormatError(path, "its six numbers place all pixels on one line")
        return found
    return None
