"""Integer rasters: PNG and TIFF label images read exactly and strictly, written at the smallest depth that fits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from apiece.errors import FormatError

__all__ = ["RASTER_SUFFIXES", "is_label_raster", "note_of", "read_raster", "write_raster"]

RASTER_SUFFIXES = (".png", ".tif", ".tiff")
_MAX_PIXELS = 1 << 30  # more than 32768 x 32768 is a slide, not a label map in one piece
_INFLATION = 1100  # deflate cannot pack tighter than about 1030 : 1; a file that claims more lies
_TAIL = 1 << 16  # where a PNG's end is looked for: some tools write more behind it
_INFLATION_TIFF = 30_000  # zstd and lzma can
_MODES = {"1": np.uint8, "L": np.uint8, "P": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.int32}
_NOTE = "apiece"
_COLOUR = (
    "is a colour image; a label map has one channel, whose value is the object's number. "
    "If colours stand for objects, convert them to numbers first"
)


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Whatever a decoder raises on a broken file, as one error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn where they go on; what matters is checked here
            yield
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror or error}") from None
    except Exception as error:
        # decoders of broken files raise nearly anything: SyntaxError, struct.error, KeyError, zlib.error ...
        raise FormatError(path, f"is damaged or no image of its kind ({type(error).__name__}: {error})") from error


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(4)[:2] in (b"II", b"MM")


def read_raster(path: Path) -> npt.NDArray[Any]:
    """A label image: integers of shape (height, width), none negative.

    Raises
    ------
    FormatError
        for colour, floats, stacks, negative values, broken or oversized files.
    """
    with _failures(path):
        array = _read_tiff(path) if _is_tiff(path) else _read_pillow(path)
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise FormatError(path, f"holds the negative value {array.min()}; objects count from 1, 0 is background")
    return array


def _read_pillow(path: Path) -> npt.NDArray[Any]:
    with Pillow.open(path) as image:
        if image.format != "PNG":
            raise FormatError(path, f"is a {image.format} file; label maps are PNG or TIFF, which keep every value")
        if image.mode not in _MODES:
            raise FormatError(path, _COLOUR if image.mode != "F" else "holds floats; save it as 16 or 32 bit integers")
        dtype = np.dtype(_MODES[image.mode])
        _check_claim(path, image.size[0] * image.size[1], path.stat().st_size, dtype.itemsize, _INFLATION)
        image.load()
        _check_end(path)
        return np.array(image).astype(dtype, copy=False)


def _check_end(path: Path) -> None:
    # the decoder is content once it has the last row
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        if b"IEND" not in file.read():
            raise FormatError(path, "is cut short: it has no end")


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise FormatError(path, f"has {len(file.pages)} pages; a label map is one plane")
        page = file.pages.first
        shape = tuple(n for n in page.shape if n != 1) if len(page.shape) > 2 else page.shape
        if len(shape) > 2 or page.samplesperpixel > 1:
            raise FormatError(path, _COLOUR)
        if page.dtype is None or page.dtype.kind not in "buif":
            raise FormatError(path, f"holds values of a kind ({page.dtype}) that cannot be read")
        if page.dtype.kind == "f":
            raise FormatError(path, "holds floats; a label map holds integers: save it as uint16 or uint32")
        stored = sum(page.databytecounts)
        if stored > path.stat().st_size:
            raise FormatError(path, "is cut short: it refers to more data than it has")
        inflation = 1 if page.compression == 1 else _INFLATION_TIFF
        _check_claim(path, int(np.prod(page.shape)), stored, page.bitspersample / 8, inflation)
        array = np.asarray(page.asarray()).reshape(page.imagelength, page.imagewidth)
        return array.view(np.uint8) if array.dtype.kind == "b" else array


def _check_claim(path: Path, pixels: int, stored: int, itemsize: float, inflation: int) -> None:
    if pixels > _MAX_PIXELS:
        raise FormatError(path, f"claims {pixels} pixels; label maps up to {_MAX_PIXELS} are read in one piece")
    if pixels * min(itemsize, 1) > stored * inflation + 65536:
        raise FormatError(path, f"claims {pixels} pixels, which its {stored} bytes cannot hold; it is cut short")


def is_label_raster(path: Path) -> bool:
    """Whether a file is a PNG or TIFF with one channel of integers, by its header; never raises."""
    try:
        with _failures(path):
            if _is_tiff(path):
                with tifffile.TiffFile(path) as file:
                    page = file.pages.first
                    return page.samplesperpixel == 1 and page.dtype is not None and page.dtype.kind in "bui"
            with Pillow.open(path) as image:
                return image.format == "PNG" and image.mode in _MODES
    except FormatError:
        return False


def note_of(path: Path) -> dict[str, Any] | None:
    """The note that `write_raster` left in a file; None if there is none; never raises."""
    try:
        with _failures(path):
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


def write_raster(array: npt.NDArray[Any], path: Path, suffix: str, note: dict[str, Any]) -> None:
    """Write an unsigned label image as PNG (8 or 16 bit) or TIFF (also 32 bit) with a note that tells what it is.

    ``suffix`` says which of them, as ``path`` may be a temporary name.
    """
    text = json.dumps({_NOTE: "label map"} | note)
    if suffix.lower() == ".png":
        info = PngInfo()
        info.add_text(_NOTE, text)
        Pillow.fromarray(array).save(path, format="PNG", pnginfo=info)
    else:
        tifffile.imwrite(path, array, compression="zlib", predictor=True, description=text, metadata=None)
