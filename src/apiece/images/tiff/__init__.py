"""TIFF and BigTIFF (TIFF 6.0), with what ImageJ, OME and tifffile add: any depth, planar or contiguous, tiled or not.

- Channels are found by the axes the file states (``C``), by samples per pixel, planar or contiguous.
- A file of several pages, slices or frames is read one at a time, by ``page``. A Z-stack without ``page`` is refused.
- White-is-zero images are turned so that larger is brighter; palettes expand to their colours (8-bit if exact).
- The last channel is alpha where the tag ExtraSamples says so, associated (1) or not (2).
- Pixels that have GDAL's nodata value in every channel hold nothing; an alpha channel says better what does.
- 1-bit becomes bool; 2- to 15-bit integers keep their values in the next larger dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from apiece._arrays import Array
from apiece.errors import ImageError
from apiece.images._kit import tiff_meta
from apiece.images.contract import MAX_PIXELS, Box, Decoded, ImageReader, Pyramid, check_page, check_size, oriented_size
from apiece.images.tiff._windows import as_page, page_window, stored

__all__ = ["READER"]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _YCBCR = 0, 1, 2, 3, 4, 6
_ALPHA: dict[int, Literal["unassociated", "associated"]] = {1: "associated", 2: "unassociated"}  # of ExtraSamples
_GLASS = ("Thumbnail", "Label", "Macro", "Map")  # what tifffile calls them in SVS, NDPI and SCN
_NO_COMPRESSION, _JPEG, _ORIENTATION, _GDAL_NODATA = 1, 7, 274, 42113


@dataclass(frozen=True)
class _Plane:
    """One image of a file: the pages that hold its channels, in order."""

    series: tifffile.TiffPageSeries
    pages: tuple[int, ...]
    axes: str

    @property
    def key(self) -> tifffile.TiffPage:
        return self.series.keyframe

    @property
    def size(self) -> tuple[int, int]:
        return int(self.key.imagelength), int(self.key.imagewidth)

    @property
    def channels(self) -> int:
        return len(self.pages) * int(self.key.samplesperpixel)

    @property
    def alpha(self) -> Literal["unassociated", "associated"] | None:
        extra = self.key.extrasamples if len(self.pages) == 1 and self.channels > 1 else ()
        return _ALPHA.get(int(extra[-1])) if extra else None

    @property
    def nodata(self) -> float | None:
        """The value of pixels that hold nothing, as GDAL states it, if a pixel can have it."""
        tag, dtype = self.key.tags.get(_GDAL_NODATA), np.dtype(self.key.dtype)
        if tag is None or self.alpha is not None or int(self.key.photometric) not in (_BLACK_IS_ZERO, _RGB):
            return None
        try:
            value = float(str(tag.value))
        except ValueError:
            return None
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                return float(dtype.type(value))
        whole = dtype.kind in "ui" and value.is_integer()
        return value if whole and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max else None

    @property
    def orientation(self) -> int:
        tag = self.key.tags.get(_ORIENTATION)
        return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def _planes(tif: tifffile.TiffFile, path: Path) -> list[_Plane]:
    """Return every image of the file, without reduced copies and masks of them, and pictures of the slide's glass."""
    series = [s for s in tif.series if s.keyframe is not None and s.name not in _GLASS]
    full = [s for s in series if not (s.keyframe.is_reduced or s.keyframe.is_mask)] or series
    return [plane for s in full for plane in _planes_of(s, path)]


def _planes_of(series: tifffile.TiffPageSeries, path: Path) -> list[_Plane]:
    axes, shape = str(series.axes), tuple(int(n) for n in series.shape)
    within = str(series.keyframe.axes)
    if not axes.endswith(within) or set(within) - set("YXS") or "Y" not in within or "X" not in within:
        raise ImageError(path, f"holds an array of axes {axes} and shape {shape}, which is not a plane with channels")
    lead, lead_shape = axes[: len(axes) - len(within)], shape[: len(shape) - len(within)]
    numbers = np.arange(int(np.prod(lead_shape, dtype=np.int64))).reshape(lead_shape)
    if "C" in lead:
        numbers = np.moveaxis(numbers, lead.index("C"), -1).reshape(-1, numbers.shape[lead.index("C")])
    else:
        numbers = numbers.reshape(-1, 1)
    return [_Plane(series, tuple(int(n) for n in row), lead.replace("C", "")) for row in numbers]


def _choose(planes: list[_Plane], page: int | None, path: Path) -> _Plane:
    if not planes:
        raise ImageError(path, "is damaged: a TIFF without an image")
    what = "pages"
    if page is None and "Z" in planes[0].axes:
        what = f"images (a stack of axes {planes[0].axes}; apiece works on single planes)"
    elif page is None and len(planes) > 1:
        what = "pages (if they are channels of one image, save them with axes CYX)"
    return planes[check_page(path, page, len(planes), what)]


def _check_kind(plane: _Plane, path: Path) -> None:
    key = plane.key
    photometric, compression = int(key.photometric), int(key.compression)
    allowed = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK}
    if photometric not in allowed and not (photometric == _YCBCR and compression == _JPEG):
        name = getattr(key.photometric, "name", photometric)
        raise ImageError(path, f"stores its colours as {name}, which is not read; convert it to grey or RGB")
    if key.dtype is None or key.dtype.kind not in "buif":
        raise ImageError(path, f"stores its samples as {key.dtype or 'an unknown type'}; integers and floats are read")
    if int(key.bitspersample) % 8 and int(key.samplesperpixel) > 1 and int(key.planarconfig) == 1:
        raise ImageError(path, f"interleaves channels of {key.bitspersample} bits; save them as 8 or 16 bits")
    if plane.series.is_multifile:
        raise ImageError(path, "keeps its planes in other files; join them into one file first")


def _check_segments(page: Any, key: tifffile.TiffPage, file_size: int, path: Path) -> None:
    """Refuse a page with strips or tiles outside the file, which the decoder would silently fill with zeros."""
    offsets, counts = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    expected = int(np.prod(key.chunked))
    if len(offsets) < expected or len(counts) < expected:
        found = min(len(offsets), len(counts))
        raise ImageError(path, f"is damaged: {found} strips or tiles of pixels where {expected} are needed")
    absent = (offsets == 0) | (counts == 0)
    if absent.any() and _GDAL_NODATA not in key.tags:
        raise ImageError(path, f"is damaged: {absent.sum()} of {len(offsets)} strips or tiles hold no data")
    if (offsets < 0).any() or (counts < 0).any() or (offsets + counts).max(initial=0) > file_size:
        raise ImageError(path, f"is truncated: its pixels go on past the end of the file at byte {file_size}")
    if int(key.compression) == _NO_COMPRESSION and not absent.any():
        bits = int(key.bitspersample) * (1 if int(key.planarconfig) == 2 else int(key.samplesperpixel))
        rows = int(key.imagelength) * (int(key.samplesperpixel) if int(key.planarconfig) == 2 else 1)
        if int(counts.sum()) < rows * ((int(key.imagewidth) * bits + 7) // 8):
            raise ImageError(path, f"is damaged: {int(counts.sum())} bytes of pixels where more are needed")


def _pixels(plane: _Plane, tif: tifffile.TiffFile, path: Path) -> Array:
    pages, key, file_size = plane.series.pages, plane.key, int(tif.filehandle.size)
    parts = []
    for number in plane.pages:
        if len(pages) == 1 and number > 0:  # ImageJ writes one directory for the whole stack
            array = _contiguous(plane, number, tif, path)
        else:
            page = pages[number]
            if page is None:
                raise ImageError(path, f"is damaged: page {number} of its series is not in the file")
            _check_segments(page, key, file_size, path)
            array = page.asarray()
        parts.append(np.moveaxis(array, 0, -1) if str(key.axes) == "SYX" else array)
    first = parts[0] if parts[0].ndim == 3 else parts[0][:, :, None]
    if len(parts) == 1:
        return np.asarray(first)
    return np.concatenate([part if part.ndim == 3 else part[:, :, None] for part in parts], axis=2)


def _contiguous(plane: _Plane, number: int, tif: tifffile.TiffFile, path: Path) -> Array:
    key, handle = plane.key, tif.filehandle
    handle.seek(_contiguous_at(plane, number, tif, path))
    array = handle.read_array(np.dtype(key.dtype).newbyteorder(tif.byteorder), int(np.prod(key.shape)))
    return np.asarray(array).reshape(key.shape)


def _contiguous_at(plane: _Plane, number: int, tif: tifffile.TiffFile, path: Path) -> int:
    """Return at which byte a page begins that has no directory of its own."""
    key, size = plane.key, int(tif.filehandle.size)
    length = int(np.prod(key.shape)) * key.dtype.itemsize
    start = plane.series.dataoffset
    if start is None or int(key.compression) != _NO_COMPRESSION:
        raise ImageError(path, f"is damaged: page {number} of its series is not in the file")
    at = int(start) + number * length
    if at + length > size:
        raise ImageError(path, f"is truncated: its pixels go on past the end of the file at byte {size}")
    return at


def _seen(pixels: Array, plane: _Plane, path: Path) -> Array:
    """Turn white-is-zero images, and expand palettes."""
    key = plane.key
    if int(key.photometric) == _WHITE_IS_ZERO:
        if pixels.dtype.kind == "b":
            return ~pixels
        if pixels.dtype.kind != "u":
            raise ImageError(path, f"is white-is-zero with {pixels.dtype} samples, which has no defined brightness")
        turned = np.subtract(2 ** int(key.bitspersample) - 1, pixels, dtype=pixels.dtype)
        return turned if plane.alpha is None else np.concatenate([turned[..., :-1], pixels[..., -1:]], axis=2)
    if int(key.photometric) != _PALETTE:
        return pixels
    colours = key.colormap
    if colours is None or pixels.shape[2] != 1 or pixels.dtype.kind not in "bu" or pixels.max() >= colours.shape[1]:
        raise ImageError(path, "is damaged: its palette does not fit its pixels")
    # tables are 16-bit by definition; most hold 8-bit colours, spelt v * 257, v * 256 or plainly v
    for fits, divisor in ((colours % 257 == 0, 257), (colours % 256 == 0, 256), (colours < 256, 1)):
        if fits.all():
            colours = (colours // divisor).astype(np.uint8)
            break
    return np.asarray(colours.T[pixels[:, :, 0].astype(np.intp)])


def _size(path: Path, page: int | None) -> tuple[int, int]:
    tiff_meta.check_directories(path)
    with tifffile.TiffFile(path, _multifile=False) as tif:
        plane = _choose(_planes(tif, path), page, path)
        return oriented_size(plane.size, plane.orientation)


def _read(path: Path, page: int | None, max_pixels: int) -> Decoded:
    tiff_meta.check_directories(path)
    with tifffile.TiffFile(path, _multifile=False) as tif:
        planes = _planes(tif, path)
        plane = _choose(planes, page, path)
        check_size(path, plane.size, plane.channels, max_pixels)
        _check_kind(plane, path)
        pixels = _seen(_pixels(plane, tif, path), plane, path)
        pixel_size = tiff_meta.pixel_size(tif, plane.series, oriented=plane.orientation)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return Decoded(pixels, plane.orientation, pixel_size, plane.alpha, plane.nodata)


def _orientation(path: Path, page: int | None) -> int:
    tiff_meta.check_directories(path)
    with tifffile.TiffFile(path, _multifile=False) as tif:
        return _choose(_planes(tif, path), page, path).orientation


@contextmanager
def _pyramid(path: Path, page: int | None) -> Iterator[Pyramid | None]:
    tiff_meta.check_directories(path)
    with tifffile.TiffFile(path, _multifile=False) as tif:
        planes = _planes(tif, path)
        plane = _choose(planes, page, path)
        if plane.orientation != 1:
            yield None
            return
        _check_kind(plane, path)
        number = planes.index(plane)
        levels = [plane]
        for series in plane.series.levels[1:]:
            coarse = _planes_of(series, path)
            first = next(k for k, one in enumerate(planes) if one.series is plane.series)
            if number - first < len(coarse):
                levels.append(coarse[number - first])
        _check_levels(levels, path)
        for level in levels:  # a window decodes whole strips and tiles
            if not level.key.is_memmappable:
                tall, wide = (int(n) for n in level.key.chunks[:2])
                check_size(path, (tall, wide), level.channels, MAX_PIXELS)

        def pixels(level: int, box: Box) -> Array:
            found = _seen(_window(levels[level], tif, path, box), levels[level], path)
            return found.astype(found.dtype.newbyteorder("="), copy=False)

        size = tiff_meta.pixel_size(tif, plane.series)
        probe, key = pixels(0, (0, 0, 1, 1)), plane.key
        tile = (1, 1) if key.is_memmappable else (int(key.chunks[0]), int(key.chunks[1]))
        sizes = tuple(one.size for one in levels)
        yield Pyramid(path, sizes, probe.shape[2], probe.dtype, pixels, size, plane.alpha, tile, plane.nodata)


def _window(plane: _Plane, tif: tifffile.TiffFile, path: Path, box: Box) -> Array:
    """Return the stored pixels of a window, (height, width, channels)."""
    pages, key = plane.series.pages, plane.key
    parts = []
    for number in plane.pages:
        if len(pages) == 1 and number > 0:  # ImageJ writes one directory for the whole stack
            at = _contiguous_at(plane, number, tif, path)
            parts.append(np.array(stored(key, at)[box[1] : box[3], box[0] : box[2]]))
        else:
            page = pages[number]
            if page is None:
                raise ImageError(path, f"is damaged: page {number} of its series is not in the file")
            _check_segments(page, key, int(tif.filehandle.size), path)
            parts.append(page_window(as_page(page), box))
    parts = [part if part.ndim == 3 else part[:, :, None] for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _check_levels(levels: list[_Plane], path: Path) -> None:
    """Refuse coarse levels that are no smaller copies of the image."""
    height, width = levels[0].size
    for k, level in enumerate(levels[1:], 1):
        down = height / level.size[0], width / level.size[1]
        near = abs(down[0] / down[1] - 1) <= max(1 / level.size[0], 1 / level.size[1]) * 2
        if min(down) < 1 or not near or level.channels != levels[0].channels:
            raise ImageError(
                path,
                f"is damaged: level {k} has {level.size[0]} x {level.size[1]} pixels and {level.channels} "
                f"channels, which is no smaller copy of {height} x {width} with {levels[0].channels}",
            )


def _pages(path: Path) -> int:
    with tifffile.TiffFile(path, _multifile=False) as tif:
        return len(_planes(tif, path))


READER = ImageReader("TIFF", lambda head: head[:4] in _MAGIC, _size, _read, _orientation, _pyramid, pages=_pages)
