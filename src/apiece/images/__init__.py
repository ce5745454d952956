"""Image files to `Image` and back: exact pixels, one orientation, or an `ImageError` that says why not.

A file's kind is found by its content, never by its name. Each module here without a leading underscore reads one
kind; another kind is another file.
"""

from __future__ import annotations

from pathlib import Path

from apiece.core.image import Image
from apiece.errors import ImageError
from apiece.images._engine.write import write_image
from apiece.images._kit.tiff_meta import check_directories
from apiece.images.contract import MAX_PIXELS, ROOM, ImageReader, oriented

__all__ = [
    "MAX_PIXELS",
    "ImageReader",
    "check_directories",
    "describe",
    "image_size",
    "load",
    "names",
    "read_image",
    "write_image",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe


def _reader(path: Path) -> ImageReader:
    try:
        if path.exists() and not path.is_file():
            raise ImageError(path, "is not a file" if not path.is_dir() else "is a folder, not an image")
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be opened: {error}"
        raise ImageError(path, reason) from error
    if not head:
        raise ImageError(path, "is empty")
    readers = ROOM.load_all().values()
    found = next((reader for reader in readers if reader.detect(head)), None)
    if found is not None:
        return found
    kinds = [reader.kind for reader in readers]
    raise ImageError(path, f"is none of {', '.join(kinds)}, whatever its name says: it begins with {head[:12]!r}")


def read_image(path: Path | str, *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one image: pixels (height, width, channels) in the dtype and range of the file, EXIF orientation applied.

    Parameters
    ----------
    path : PNG, JPEG, TIFF, WebP or BMP; told apart by content.
    page : which image of a file that holds several (TIFF pages, slices of a stack), from 0.
    max_pixels : most pixels (height × width) read; a header that claims more is refused before memory is taken.

    Raises
    ------
    ImageError
        if the file is missing, empty, truncated, damaged, of another kind, too large, or holds several images and
        ``page`` does not say which. Nothing is ever converted, filled in or dropped to get past it.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        decoded = reader.read(path, page, max_pixels)
        return Image(oriented(decoded.pixels, decoded.orientation), pixel_size=decoded.pixel_size, path=path)
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(path, reader, error) from error


def image_size(path: Path | str, *, page: int | None = None) -> tuple[int, int]:
    """(height, width) of the image that `read_image` would give, from the header, without decoding pixels.

    Raises
    ------
    ImageError
        as `read_image`, as far as the header shows it.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        return reader.size(path, page)
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(path, reader, error) from error


def _undecodable(path: Path, reader: ImageReader, error: Exception) -> ImageError:
    # decoders raise anything from struct.error to MemoryError; for the caller it is one thing: this file is bad
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ImageError(path, f"cannot be decoded as {reader.kind}, it is damaged or uses a rare feature: {reason}")
