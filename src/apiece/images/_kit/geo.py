"""Where the pixels of a GeoTIFF lie in the world: its tags as they are, and what they mean, which rasterio knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tifffile

from apiece._extras import extras
from apiece.core.image import PixelSize
from apiece.errors import ImageError, MissingExtraError

Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""GDAL's order: x of the upper left corner, x per column, x per row, y of the corner, y per column, y per row."""
Tag: TypeAlias = tuple[int, int, int, Any, bool]
"""A tag as tifffile writes it: code, type, count, value, and whether it is written once."""

_SCALE, _TIES, _TRANSFORM, _KEYS = 33550, 33922, 34264, 34735
_CODES = (_SCALE, _TIES, _TRANSFORM, _KEYS, 34736, 34737)  # with the numbers and texts that the keys refer to


@dataclass(frozen=True)
class Place:
    """Hold where the pixels of an image lie in the world.

    Attributes
    ----------
    transform : six numbers in GDAL's order, from the upper left corner of the upper left pixel, whether the file speaks
        of pixels as areas or as points.
    crs : the coordinate reference system: ``"EPSG:32633"``, or WKT where no code says the same.
    pixel_size : of a pixel in the units of a projected system; None in degrees.
    """

    transform: Affine
    crs: str
    pixel_size: PixelSize | None


def geo_tags(path: Path) -> tuple[Tag, ...]:
    """Return the tags of a TIFF that say where it lies, for a TIFF of the same pixels; none of other files."""
    try:
        with path.open("rb") as file:
            if file.read(2) not in (b"II", b"MM"):
                return ()
        with tifffile.TiffFile(path, _multifile=False) as tif:
            tags = [tag for tag in tif.pages.first.tags.values() if tag.code in _CODES]
            return tuple((tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in tags if _says_where(tags))
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError):
        return ()


def _says_where(tags: list[tifffile.TiffTag]) -> bool:
    codes = {tag.code for tag in tags}
    return _KEYS in codes and bool({_SCALE, _TRANSFORM} & codes)


def place_of(path: Path) -> Place | None:
    """Return where a GeoTIFF lies; None for other files, and for places without a coordinate reference system.

    Raises
    ------
    ImageError
        If its tags cannot be understood.
    MissingExtraError
        If it is a GeoTIFF, and rasterio is not installed.
    """
    if not geo_tags(path):
        return None
    with extras():
        import rasterio
    try:
        with rasterio.open(path) as opened:
            crs, a = opened.crs, opened.transform
            if crs is None:
                return None
            code = crs.to_authority()
            size = _pixel_size(a, crs)
    except rasterio.errors.RasterioError as error:
        raise ImageError(path, f"says where it lies in a way that cannot be read: {error}") from error
    return Place((a.c, a.a, a.b, a.f, a.d, a.e), crs.to_wkt() if code is None else ":".join(code), size)


def geo_pixel_size(path: Path) -> PixelSize | None:
    """Return the pixel size that a GeoTIFF's coordinates give; None without any, or without rasterio."""
    try:
        place = place_of(path)
    except (MissingExtraError, ImageError):
        return None
    return None if place is None else place.pixel_size


def _pixel_size(a: Any, crs: Any) -> PixelSize | None:
    """Return the lengths of a pixel's sides; the sides of a sheared pixel are no size."""
    x, y = (a.a**2 + a.d**2) ** 0.5, (a.b**2 + a.e**2) ** 0.5
    if not crs.is_projected or abs(a.a * a.b + a.d * a.e) > 1e-6 * x * y:
        return None
    _, metres = crs.linear_units_factor
    return PixelSize(x * metres, y * metres, "m")
