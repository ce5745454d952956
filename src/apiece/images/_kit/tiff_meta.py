"""What a TIFF states beside its pixels: whole directories, and the size of a pixel."""

from __future__ import annotations

import html
import re
import struct
from pathlib import Path

import tifffile

from apiece.core.image import PixelSize
from apiece.errors import ConfigError, ImageError
from apiece.images._kit.geo import geo_pixel_size, geo_tags

_PIXELS_ELEMENT = re.compile(r"<(?:\w+:)?Pixels\b([^>]*)>")
_ATTRIBUTE = re.compile(r'\b(PhysicalSize[XY](?:Unit)?)\s*=\s*"([^"]*)"')
_MPP = re.compile(r"\bMPP *= *([\d.]+)")  # micrometres per pixel, in an SVS's description
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_UNITS = {2: "in", 3: "cm", 4: "mm", 5: "um"}
_SCREEN = (72.0, 96.0)


def check_directories(path: Path) -> None:
    """Follow the chain of directories to its end, because a cut chain would read as a file of fewer pages.

    Raises
    ------
    ImageError
        If a directory lies outside the file, or the chain runs in a circle.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", head, 2)[0] == 43
        count_format, entry, next_format = (order + "Q", 20, order + "Q") if big else (order + "H", 12, order + "I")
        (at,) = struct.unpack_from(next_format, head, 8 if big else 4)
        seen: set[int] = set()
        while at:
            if at in seen:
                raise ImageError(path, "is damaged: its chain of pages runs in a circle")
            seen.add(at)
            file.seek(at)
            raw = file.read(struct.calcsize(count_format))
            if len(raw) == struct.calcsize(count_format):
                end = at + len(raw) + struct.unpack(count_format, raw)[0] * entry
                if end + struct.calcsize(next_format) <= size:
                    file.seek(end)
                    (at,) = struct.unpack(next_format, file.read(struct.calcsize(next_format)))
                    continue
            raise ImageError(path, f"is truncated: a TIFF of {size} bytes with a page directory at byte {at}")


def pixel_size(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, *, oriented: int = 1) -> PixelSize | None:
    """Return the pixel size from OME or SVS metadata, the world's coordinates, ImageJ's unit or resolution tags.

    Programs that know no size write 72 or 96 per inch, so these two do not count.
    """
    if tif.is_ome:
        size = _from_ome(tif, series)
    elif tif.is_svs:
        stated = _MPP.search(str(series.keyframe.description))
        size = None if stated is None else _made(_number(stated[1]), _number(stated[1]), "um")
    elif geo_tags(path := Path(tif.filehandle.path)):
        size = geo_pixel_size(path)
    else:
        size = _from_tags(tif, series)
    if size is not None and oriented >= 5:
        return PixelSize(size.y, size.x, size.unit)
    return size


def _made(x: float, y: float, unit: str) -> PixelSize | None:
    try:
        return PixelSize(x, y, unit)
    except ConfigError:  # a unit that is no length, such as "pixel", or a size of 0
        return None


def _from_ome(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> PixelSize | None:
    elements = _PIXELS_ELEMENT.findall(tif.ome_metadata or "")
    index = tif.series.index(series)
    if index >= len(elements):
        return None
    stated = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(elements[index])}
    x = _made(_number(stated.get("PhysicalSizeX")), 1, stated.get("PhysicalSizeXUnit", "um"))
    y = _made(1, _number(stated.get("PhysicalSizeY")), stated.get("PhysicalSizeYUnit", "um"))
    return PixelSize(x.x, y.to(x.unit).y, x.unit) if x is not None and y is not None else None


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _from_tags(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> PixelSize | None:
    tags = series.keyframe.tags
    rationals = [tags.get(_X_RESOLUTION), tags.get(_Y_RESOLUTION)]
    if any(tag is None or not isinstance(tag.value, tuple) or 0 in tag.value for tag in rationals):
        return None
    x, y = (tag.value[0] / tag.value[1] for tag in rationals if tag is not None)
    if tif.is_imagej and (unit := (tif.imagej_metadata or {}).get("unit")):
        return _made(1 / x, 1 / y, str(unit).replace("\\u00B5", "µ"))
    tag = tags.get(_RESOLUTION_UNIT)
    unit = _UNITS.get(int(tag.value) if tag is not None else 2)
    if unit is None or (unit == "in" and x in _SCREEN and y in _SCREEN):
        return None
    return _made(1 / x, 1 / y, unit)
