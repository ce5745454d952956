"""Label images: PNG and TIFF of integers, read exactly and strictly, written at the smallest depth that fits.

Pixels that belong to no object (VOC's void border, ignored regions, stuff) are kept on the image, as
``ImageRef.attributes[key] = {name: COCO RLE}``, and written back from there.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from apiece._arrays import Array, Int32, UInt8
from apiece.core.image import ImageRef
from apiece.core.masks import Masks
from apiece.errors import FormatError, ImageError, InvalidInstancesError, LossyFormatError
from apiece.formats._kit.label_arrays import ARRAY_SUFFIXES, is_label_array, read_label_array
from apiece.images import Tag, check_directories

RASTER_SUFFIXES = (".png", ".tif", ".tiff")
_MAX_PIXELS = 1 << 30  # more than 32768 x 32768 is a slide, not a label map in one piece
_INFLATION = 1100  # deflate cannot pack tighter than about 1030 : 1; a file that claims more is damaged
_INFLATION_TIFF = 30_000  # zstd and lzma can
_MODES = {"1": np.uint8, "L": np.uint8, "P": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.int32}
_COLOURS = ("RGB", "RGBA", "LA")
_INFLATIONS = {"PNG": _INFLATION, "BMP": 128, "GIF": _INFLATION_TIFF}
"""Kinds of files that keep every value, and the pixels that a byte of them can stand for."""
_NOTE = "apiece"
_COLOUR = (
    "is a colour image; a label map has one channel, whose value is the object's number. "
    "If colours stand for objects, convert them to numbers first"
)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on a broken file into one error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn where they go on; what matters is checked here
            yield
    except FormatError:
        raise
    except ImageError as error:
        raise FormatError(path, error.reason) from None
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror or error}") from None
    except Exception as error:
        # decoders of broken files raise nearly anything: SyntaxError, struct.error, KeyError, zlib.error ...
        raise FormatError(path, f"is damaged or no image of its kind ({type(error).__name__}: {error})") from error


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(4)[:2] in (b"II", b"MM")


def read_raster(path: Path, page: int | None = None) -> Array:
    """Return a label image: integers of shape (height, width), none negative; of a stack, its plane ``page``.

    Floats that are whole numbers, which ImageJ writes, count as integers. Colour, other floats, stacks, negative
    values, broken and oversized files are refused.
    """
    try:
        with decoding(path):
            if path.suffix.lower() in ARRAY_SUFFIXES:
                array = read_label_array(path)
            else:
                array = _read_tiff(path, page) if _is_tiff(path) else _read_pillow(path)
    except FormatError as error:
        if page is None:
            raise
        raise FormatError(path, f"plane {page}: {error.reason}") from error
    if not array.size:
        raise FormatError(path, f"has {array.shape[0]} x {array.shape[1]} pixels: there is nothing in it")
    if array.dtype.kind == "f":
        array = _whole(path, array)
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise FormatError(path, f"holds the negative value {array.min()}; objects count from 1, 0 is background")
    if array.dtype == np.uint64 and int(array.max()) >= 2**63:
        raise FormatError(path, f"holds the value {array.max()}; ids fit 63 bits")
    return array


def _whole(path: Path, array: Array) -> Array:
    """Return floats as integers, if they are whole and none is so large that floats of its kind skip integers."""
    wrong = np.flatnonzero(~(np.isfinite(array) & (array == np.trunc(array))))
    if len(wrong):
        y, x = divmod(int(wrong[0]), array.shape[1])
        said = f"holds floats, such as {array[y, x]:g} at row {y}, column {x}; a label map holds whole numbers"
        raise FormatError(path, said)
    most = 1 << (np.finfo(array.dtype).nmant + 1)
    if np.abs(array).max() > most:
        raise FormatError(path, f"holds floats up to {array.max():g}, and beyond {most} they are not exact")
    return array.astype(np.int64)


def _read_pillow(path: Path) -> Array:
    with Pillow.open(path) as image:
        if image.format not in _INFLATIONS:
            raise FormatError(path, f"is a {image.format} file; label maps are PNG or TIFF, which keep every value")
        if image.mode not in _MODES and image.mode not in _COLOURS:
            raise FormatError(path, "holds floats; save it as 16 or 32 bit integers" if image.mode == "F" else _COLOUR)
        bits = 8
        if image.format == "PNG":
            with path.open("rb") as file:
                bits = file.read(25)[24]  # per pixel, as stored: 1, 2, 4, 8 or 16
            check_chunks(path)
        claimed = image.size[0] * image.size[1]
        _check_claim(path, claimed, path.stat().st_size, bits / 8, _INFLATIONS[image.format])
        image.load()
        array = np.array(image)
        return array.astype(_MODES[image.mode], copy=False) if image.mode in _MODES else _grey(path, array, bits)


def _grey(path: Path, array: Array, bits: int) -> Array:
    """Return the one channel of an image whose colours are all greys, as tools save masks that show in any viewer."""
    colours = array[..., : 3 if array.shape[2] > 2 else 1]
    if bits > 8 or (colours != colours[..., :1]).any() or (array.shape[2] % 2 == 0 and (array[..., -1] < 255).any()):
        raise FormatError(path, _COLOUR)
    return np.ascontiguousarray(colours[..., 0])


def is_16_bit_png(path: Path) -> bool:
    """Return whether a file is a PNG of one channel with 16 bits, by its header; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError:
        return False
    return head[1:4] == b"PNG" and head[24:] == b"\x10\0"


def has_palette(path: Path) -> bool:
    """Return whether a file is a PNG whose values stand for colours; never raises."""
    try:
        with decoding(path), Pillow.open(path) as image:
            return image.mode == "P"
    except FormatError:
        return False


def read_colours(path: Path) -> UInt8 | None:
    """Return the 8-bit colours of a PNG, (height, width, 3), without alpha; None for an image of one channel."""
    with decoding(path):
        if _is_tiff(path):
            return None
        with Pillow.open(path) as image:
            if image.format != "PNG" or image.mode not in ("RGB", "RGBA", "P"):
                return None
            with path.open("rb") as file:
                bits = file.read(25)[24]
            if bits > 8:
                raise FormatError(path, f"has {bits} bits a channel; colours that stand for something have 8")
            _check_claim(path, image.size[0] * image.size[1], path.stat().st_size, bits / 8, _INFLATION)
            check_chunks(path)
            return np.array(image.convert("RGB"))


def colour_numbers(colours: UInt8) -> Int32:
    """Return R + 256 G + 65536 B of each pixel."""
    numbers = colours[..., 2].astype(np.int32)
    for channel in (1, 0):
        numbers <<= 8
        numbers |= colours[..., channel]
    return numbers


def check_chunks(path: Path) -> None:
    """Follow a PNG's chunks to its end, without reading them, and refuse a file that lacks one.

    The decoder stops at the last row, and would make room for a chunk that claims gigabytes.
    """
    at, size = 8, path.stat().st_size
    with path.open("rb") as file:
        while at + 12 <= size:
            file.seek(at)
            head = file.read(8)
            at += 12 + int.from_bytes(head[:4], "big")
            if head[4:] == b"IEND" and at <= size:
                return
    raise FormatError(path, "is cut short: it has no end")


def stack_pages(path: Path) -> int:
    """Return how many slices (Z) or frames (T) of one stack a TIFF has; 1 for any other file; never raises."""
    try:
        with decoding(path):
            if not _is_tiff(path):
                return 1
            check_directories(path)
            with tifffile.TiffFile(path) as file:
                return len(_planes(file)) or 1
    except FormatError:
        return 1


def _planes(file: tifffile.TiffFile) -> range:
    """Return the places of the planes of a file's one stack; none if its pages could mean anything else."""
    series = [s for s in file.series if s.keyframe is not None and not s.keyframe.is_reduced]
    if len(series) != 1 or series[0].is_multifile:
        return range(0)
    long = {axis: n for axis, n in zip(str(series[0].axes), series[0].shape, strict=True) if n > 1}
    lead = [axis for axis in str(series[0].axes) if axis in "TZ" and axis in long]
    if not lead or set(long) - {*lead, "Y", "X"}:
        return range(0)
    count = int(np.prod([long[axis] for axis in lead]))
    height, width = series[0].keyframe.imagelength, series[0].keyframe.imagewidth
    sized = int(np.prod(series[0].shape)) == count * height * width  # one plane for each directory
    return range(count if sized else 0)


def _read_tiff(path: Path, number: int | None) -> Array:
    check_directories(path)
    with tifffile.TiffFile(path) as file:
        planes = _planes(file) if number is not None else range(0)
        if number is not None and number not in planes:
            raise FormatError(path, f"is not there; it is a stack of {len(planes)}")
        if number is None and len(_planes(file)) > 1:
            raise FormatError(path, f"is a stack of {len(_planes(file))} planes, where one label map is expected")
        if number is None and len(file.pages) != 1:
            raise FormatError(
                path,
                f"has {len(file.pages)} pages, and does not say that they are slices or frames; a label map is one "
                f"plane: save one for each, or a stack with axes ZYX or TYX",
            )
        if number is not None:
            return _plane(path, file, number)
        page = file.pages.first
        shape = tuple(n for n in page.shape if n != 1) if len(page.shape) > 2 else page.shape
        if len(shape) > 2 or page.samplesperpixel > 1:
            raise FormatError(path, _COLOUR)
        _check_kind(path, page)
        stored = sum(page.databytecounts)
        if stored > path.stat().st_size:
            raise FormatError(path, "is cut short: it refers to more data than it has")
        inflation = 1 if page.compression == 1 else _INFLATION_TIFF
        _check_claim(path, int(np.prod(page.shape)), stored, page.bitspersample / 8, inflation)
        array = np.asarray(page.asarray()).reshape(page.imagelength, page.imagewidth)
        return array.view(np.uint8) if array.dtype.kind == "b" else array


def _plane(path: Path, file: tifffile.TiffFile, number: int) -> Array:
    """Return one plane of a stack, reading no more of the file than that."""
    (series,) = (s for s in file.series if s.keyframe is not None and not s.keyframe.is_reduced)
    key, whole = series.keyframe, path.stat().st_size
    _check_kind(path, key)
    pixels = int(key.imagelength) * int(key.imagewidth)
    if len(series.pages) == 1:  # ImageJ writes one directory for the whole stack
        dtype = np.dtype(file.byteorder + key.dtype.char)
        start = -1 if series.dataoffset is None else int(series.dataoffset) + number * pixels * dtype.itemsize
        if start < 0 or start + pixels * dtype.itemsize > whole:
            raise FormatError(path, "is cut short: it is not in the file")
        array = np.fromfile(path, dtype, pixels, offset=start).astype(dtype.newbyteorder("="))
        return array.reshape(key.imagelength, key.imagewidth)
    page = series.pages[number]
    if page is None:
        raise FormatError(path, "is cut short: it is not in the file")
    stored = sum(page.databytecounts)
    if max(a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)) > whole:
        raise FormatError(path, "is cut short: it is not wholly in the file")
    _check_claim(path, pixels, stored, key.bitspersample / 8, 1 if key.compression == 1 else _INFLATION_TIFF)
    array = np.asarray(page.asarray()).reshape(key.imagelength, key.imagewidth)
    return array.view(np.uint8) if array.dtype.kind == "b" else array


def _check_kind(path: Path, page: tifffile.TiffPage) -> None:
    if page.dtype is None or page.dtype.kind not in "buif":
        raise FormatError(path, f"holds values of a kind ({page.dtype}) that cannot be read")


def _check_claim(path: Path, pixels: int, stored: int, itemsize: float, inflation: int) -> None:
    if pixels > _MAX_PIXELS:
        raise FormatError(path, f"claims {pixels} pixels; label maps up to {_MAX_PIXELS} are read in one piece")
    if pixels * min(itemsize, 1) > stored * inflation + 65536:
        raise FormatError(path, f"claims {pixels} pixels, which its {stored} bytes cannot hold; it is cut short")


def is_label_raster(path: Path) -> bool:
    """Return whether a file has one channel of numbers, by its header, or only greys; never raises."""
    try:
        with decoding(path):
            if path.suffix.lower() in ARRAY_SUFFIXES:
                return is_label_array(path)
            if _is_tiff(path):
                with tifffile.TiffFile(path) as file:
                    page = file.pages.first
                    return page.samplesperpixel == 1 and page.dtype is not None and page.dtype.kind in "buif"
            with Pillow.open(path) as image:
                plain = image.format in _INFLATIONS and image.mode in _MODES
            return plain or _read_pillow(path).ndim == 2  # colours that are all greys
    except FormatError:
        return False


def note_of(path: Path) -> dict[str, Any] | None:
    """Return the note that `write_raster` left in a file; None if there is none; never raises."""
    try:
        with decoding(path):
            if _is_tiff(path):
                with tifffile.TiffFile(path) as file:
                    text = file.pages.first.description
            else:
                with Pillow.open(path) as image:
                    text = str(image.info.get(_NOTE, ""))
            if not text.startswith("{"):
                return None
            note = json.loads(text)
            return note if isinstance(note, dict) and _NOTE in note else None
    except FormatError:
        return None


def note_text(note: dict[str, Any]) -> str:
    """Return what `note_of` reads of a label map."""
    return json.dumps({_NOTE: "label map"} | note)


def write_raster(array: Array, path: Path, note: dict[str, Any], tags: Sequence[Tag] = ()) -> None:
    """Write an unsigned label image and a note: PNG (8, 16 bit) by the ending, else TIFF (also 32 bit) with tags."""
    text = note_text(note)
    if path.suffix.lower() == ".png":
        info = PngInfo()
        info.add_text(_NOTE, text)
        Pillow.fromarray(array).save(path, format="PNG", pnginfo=info)
    else:
        tifffile.imwrite(
            path, array, compression="zlib", predictor=True, description=text, metadata=None, extratags=tags
        )


def save_label_png(array: Array, path: Path, palette: list[int] | None = None) -> None:
    """Write an 8 or 16 bit PNG, an 8 bit one with the palette if there is one; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Pillow.fromarray(array)
    if palette is not None:
        image.putpalette(palette)
    image.save(path, format="PNG", compress_level=1 if array.dtype.kind == "b" else 6)


def save_label_tiff(array: Array, path: Path) -> None:
    """Write a TIFF of one plane; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, compression="zlib", predictor=True, metadata=None)


def regions_of(array: Array, names: Mapping[int, str]) -> dict[str, Any]:
    """Return COCO RLE of the pixels of each value in ``names`` that occurs, by name."""
    chosen = np.where(np.isin(array, list(names)), array.astype(np.int64) + 1, 0)
    values = np.unique(chosen[chosen > 0]) - 1
    rles = Masks.from_label_map(chosen).to_coco()
    return {names[int(v)]: rle for v, rle in zip(values, rles, strict=True)}


def add_region(painted: Array, ref: ImageRef, key: str, name: str, value: int, path: Path) -> bool:
    """Paint the region that the image has under ``key`` and ``name``, if it has it; return whether it has.

    A region that covers an instance raises a `LossyFormatError`: a pixel has one value.
    """
    rle = region_said(ref, key, name)
    if rle is None:
        return False
    region = region_mask(rle, (painted.shape[0], painted.shape[1]), path, ref, key).to_dense()[0]
    if painted[region].any():
        raise LossyFormatError(
            path,
            f"image {ref.name!r}: its {key!r} region covers instances, and a pixel has one value; "
            f"remove the attribute or cut the region",
        )
    painted[region] = value
    return True


def region_said(ref: ImageRef, key: str, name: str) -> object | None:
    """Return the region that an image has under ``key`` and ``name``; other formats may use the key otherwise."""
    said = ref.attributes.get(key)
    return said.get(name) if isinstance(said, Mapping) else None


def region_mask(rle: object, size: tuple[int, int], path: Path, ref: ImageRef, key: str) -> Masks:
    """Return a region as one mask; refuse what is no COCO RLE of this image."""
    try:
        if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
            raise InvalidInstancesError("is no COCO run-length encoding")
        return Masks.from_coco([rle], size)
    except (InvalidInstancesError, TypeError, ValueError) as error:
        raise FormatError(path, f"image {ref.name!r}, attribute {key!r}: {error}") from None
