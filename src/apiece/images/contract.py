"""The contract of an image reader: one file in this package that defines ``READER = ImageReader(...)``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from apiece._arrays import Array
from apiece._plugins import Room
from apiece.core.image import Image, PixelSize
from apiece.errors import ImageError, Option

__all__ = [
    "LARGE",
    "MAX_PIXELS",
    "ROOM",
    "Box",
    "Decoded",
    "Header",
    "ImageReader",
    "Pyramid",
    "as_stored",
    "check_page",
    "check_size",
    "oriented",
    "oriented_size",
    "single_image",
]

MAX_PIXELS = 2**30
"""Default of ``max_pixels``: 32768 × 32768, about 3 GB as 8-bit RGB."""

LARGE = 2**26
"""Pixels, 8192 × 8192, from which on an image is worked on in parts if nobody says otherwise."""

_VALUES_PER_PIXEL = 16


@dataclass(frozen=True)
class Decoded:
    """The result of a reader: pixels as they lie in the file, and how to orient them.

    Attributes
    ----------
    pixels : array (height, width) or (height, width, channels), before orientation.
    orientation : EXIF / TIFF tag 274, 1 to 8.
    pixel_size : of the oriented image, if the file states one.
    alpha : how the last channel is an alpha channel, as in `Image`, if the file states that it is one.
    nodata : as in `Image`, if the file states it.
    """

    pixels: Array
    orientation: int = 1
    pixel_size: PixelSize | None = None
    alpha: Literal["unassociated", "associated"] | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Header:
    """What a file states of its one image before the pixels.

    Attributes
    ----------
    size : (height, width), before orientation.
    channels : number of channels, at most.
    orientation : EXIF / TIFF tag 274, 1 to 8.
    """

    size: tuple[int, int]
    channels: int
    orientation: int


AnyHeader = TypeVar("AnyHeader", bound=Header)


Box: TypeAlias = tuple[int, int, int, int]
"""A half-open window x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Hold an open image that is read in windows, with the smaller copies that its file has.

    Attributes
    ----------
    path : the file.
    levels : (height, width) of the image, and of each smaller copy.
    channels, dtype : as `Image.pixels` has them.
    pixels : from ``(level, box)`` to the pixels of a window, (height, width, channels).
    pixel_size : of level 0, if the file states one.
    alpha, nodata : as in `Image`.
    tile : (height, width) of what is stored, and so decoded, as one in level 0; (1, 1) if that is nothing to mind.

    Examples
    --------
    >>> from apiece.images import open_pyramid
    >>> with open_pyramid("photo.png") as pyramid:
    ...     print(pyramid.size, pyramid.window((4, 2, 14, 8)).size)
    (24, 32) (6, 10)
    """

    path: Path
    levels: tuple[tuple[int, int], ...]
    channels: int
    dtype: np.dtype[Any]
    pixels: Callable[[int, Box], Array]
    pixel_size: PixelSize | None = None
    alpha: Literal["unassociated", "associated"] | None = None
    tile: tuple[int, int] = (1, 1)
    nodata: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.levels[0]

    def window(self, box: Box, level: int = 0) -> Image:
        """Return a half-open window x0, y0, x1, y1 of a level, in that level's pixels; it lies within the level.

        Raises
        ------
        ImageError
            If the file is damaged there.
        ValueError
            If the level does not hold the window.
        """
        height, width = self.levels[level]
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"the window {box} does not lie within level {level} of {height} x {width} pixels")
        try:
            pixels = self.pixels(level, box)
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ImageError(self.path, f"cannot be decoded in the window {box} of level {level}: {reason}") from error
        size = self.pixel_size
        if size is not None and level:
            down, across = self.levels[0][0] / height, self.levels[0][1] / width
            size = PixelSize(size.x * across, size.y * down, size.unit)
        return Image(pixels, size, self.path, self.alpha, self.nodata)


@dataclass(frozen=True)
class ImageReader:
    """A kind of image file: how to recognise it, find its size, and read it.

    ``read`` and ``size`` may raise anything; `apiece.images` turns it into an `ImageError` with the path.
    """

    kind: str
    """Its usual name: ``"PNG"``."""
    detect: Callable[[bytes], bool]
    """Return whether a file that begins with these bytes (up to 64) is of this kind."""
    size: Callable[[Path, int | None], tuple[int, int]]
    """Return from ``(path, page)`` the (height, width) after orientation, from the header alone."""
    read: Callable[[Path, int | None, int], Decoded]
    """Return from ``(path, page, max_pixels)`` the pixels; calls `check_size` before it takes memory for them."""
    orientation: Callable[[Path, int | None], int] = lambda path, page: 1
    """Return from ``(path, page)`` the EXIF orientation, 1 to 8, from the header alone."""
    pyramid: Callable[[Path, int | None], AbstractContextManager[Pyramid | None]] | None = None
    """Open ``(path, page)`` to be read in windows; None, or one that gives None, means it is read whole."""
    folder: Callable[[Path], bool] = lambda path: False
    """Return whether a folder is an image of this kind."""
    pages: Callable[[Path], int] = lambda path: 1
    """Return how many images a file holds, from the header alone."""
    suffixes: tuple[str, ...] = ()
    """Endings of a name that mean this kind where the content does not tell it; a slide may begin as a JPEG."""


def single_image(
    kind: str,
    detect: Callable[[bytes], bool],
    header: Callable[[bytes, Path], AnyHeader],
    pixels: Callable[[bytes, AnyHeader, Path], Array],
) -> ImageReader:
    """Return the reader of files that hold one image and are read whole; a second or fourth channel is alpha.

    Parameters
    ----------
    kind, detect : as in `ImageReader`.
    header : from ``(the file's bytes, path)`` to what they state of the image.
    pixels : from ``(the file's bytes, header, path)`` to the pixels as they lie in the file, of a checked size.
    """

    def size(path: Path, page: int | None) -> tuple[int, int]:
        check_page(path, page, 1)
        found = header(path.read_bytes(), path)
        return oriented_size(found.size, found.orientation)

    def read(path: Path, page: int | None, max_pixels: int) -> Decoded:
        check_page(path, page, 1)
        data = path.read_bytes()
        found = header(data, path)
        check_size(path, found.size, found.channels, max_pixels)
        decoded = pixels(data, found, path)
        return Decoded(decoded, found.orientation, alpha="unassociated" if decoded.shape[2:] in ((2,), (4,)) else None)

    def orientation(path: Path, page: int | None) -> int:
        check_page(path, page, 1)
        return header(path.read_bytes(), path).orientation

    return ImageReader(kind, detect, size, read, orientation)


def check_size(path: Path, size: tuple[int, int], channels: int, max_pixels: int) -> None:
    """Refuse an image whose header claims no pixels, or more than ``max_pixels``.

    Raises
    ------
    ImageError
        If a side is 0, if height × width exceeds ``max_pixels``, or if there are more than 16 × ``max_pixels`` values.
    """
    height, width = size
    if height < 1 or width < 1 or channels < 1:
        raise ImageError(path, f"has no pixels: its header says {height} x {width} with {channels} channels")
    if height * width > max_pixels or height * width * channels > max_pixels * _VALUES_PER_PIXEL:
        raise ImageError(
            path,
            f"is too large: its header says {height} x {width} pixels with {channels} channels, above the limit of "
            f"{max_pixels} pixels; a higher max_pixels in Python reads it, if the file is to be trusted",
        )


def check_page(path: Path, page: int | None, pages: int, what: str = "pages") -> int:
    """Return the number of the page to read; ``page`` is the wanted one, ``pages`` their number.

    Raises
    ------
    ImageError
        If there are several pages and none is wanted, or the wanted one does not exist.
    """
    if page is None:
        if pages != 1:
            which = f"holds {pages} {what}; say which with " + Option("page", 0) + " to " + Option("page", pages - 1)
            raise ImageError(path, which + ", or save it as a file of its own")
        return 0
    if not 0 <= page < pages:
        raise ImageError(path, f"has no page {page}; it holds {pages} {what}, counted from 0")
    return page


def oriented(pixels: Array, orientation: int) -> Array:
    """Turn stored pixels as the EXIF orientation says (Exif 2.32, tag 274)."""
    if orientation in (2, 3):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
        if orientation in (6, 7):
            pixels = pixels[:, ::-1]
        if orientation in (7, 8):
            pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def as_stored(pixels: Array, orientation: int) -> Array:
    """Turn pixels back: the inverse of `oriented`."""
    return oriented(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def oriented_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return (height, width) after `oriented`."""
    return (size[1], size[0]) if orientation >= 5 else size


ROOM: Room[ImageReader] = Room("apiece.images", "READER", ImageReader)
"""The image readers."""
