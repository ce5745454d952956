"""`Pictures`: images as tiles of 512 pixels at each halving, and as thumbnails; for the eye only.

The last images stay in memory as they were read; a level is halved when its first tile is asked for. Of a large TIFF or
OME-Zarr only the windows are read that tiles need, from the smaller copies in the file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array, UInt8
from apiece.core.image import Image, ImageRef
from apiece.draw import display_limits, to_display
from apiece.errors import ApieceError, ImageError, UnknownNameError
from apiece.images import LARGE, Pyramid, image_size, open_pyramid, read_image

__all__ = ["TILE", "Look", "Pictures", "levels_of"]

TILE = 512
_THUMB = 256
_NO_DATA = 48
_MOST_BYTES = 600 << 20
_MOST_WINDOW = 64 << 20  # pixels that are read for one tile of a slide


@dataclass(frozen=True)
class Look:
    """How an image is turned into colours.

    Attributes
    ----------
    channels : three channels as red, green and blue, or one as grey; empty: the first three, or the first.
    limits : values that are shown black and white; None: as `apiece.draw.to_display` stretches the whole image.
    """

    channels: tuple[int, ...] = ()
    limits: tuple[float, float] | None = None


def levels_of(size: tuple[int, int]) -> int:
    """Return how many levels the page asks for: the last fits into one tile."""
    return max(int(np.ceil(np.log2(max(size) / TILE))), 0) + 1


class Pictures:
    """Draw images for the page; the last ones stay open.

    Parameters
    ----------
    find : gives the image of a number.
    """

    def __init__(self, find: Callable[[int], ImageRef]) -> None:
        self._find = find
        self._open: OrderedDict[int, _Levels] = OrderedDict()
        self._lock = threading.Lock()

    def tile(self, number: int, level: int, column: int, row: int, look: Look) -> bytes:
        """Return a tile: at ``level`` 0 every pixel, at each further level half as many along both sides."""
        levels = self._levels(number)
        if not 0 <= level < levels_of(levels.size):
            raise UnknownNameError("level", level, map(str, range(levels_of(levels.size))))
        pixels = levels.window(level, column, row)
        chosen = look.channels or ((0, 1, 2) if levels.channels >= 3 else (0,))
        if len(chosen) not in (1, 3) or not all(0 <= c < levels.channels for c in chosen):
            raise UnknownNameError("channel", ", ".join(map(str, chosen)), map(str, range(levels.channels)))
        limits = levels.limits if look.limits is None and pixels.dtype != np.uint8 else look.limits
        return _jpeg(to_display(Image(np.ascontiguousarray(pixels[:, :, list(chosen)])), limits=limits), 92)

    def look(self, number: int) -> tuple[int, np.dtype[np.generic], tuple[float, float]]:
        """Return the number of channels, the dtype, and the values that are shown black and white."""
        levels = self._levels(number)
        return levels.channels, levels.dtype, levels.limits

    def open(self, number: int) -> None:
        """Open an image that is about to be asked for; errors are told when it is."""
        with suppress(ApieceError, OSError):
            self._levels(number).window(levels_of(self._levels(number).size) - 1, 0, 0)

    def part(self, number: int, box: tuple[int, int, int, int]) -> Image:
        """Return a window x0, y0, x1, y1 of the picture as it is shown."""
        levels = self._levels(number)
        pixels = levels.part(box)[:, :, : 3 if levels.channels >= 3 else 1]
        limits = None if pixels.dtype == np.uint8 else levels.limits
        return Image(to_display(Image(np.ascontiguousarray(pixels)), limits=limits))

    def thumb(self, number: int) -> bytes:
        """Return the image with a longer side of at most 256 pixels, as a JPEG."""
        ref = self._find(number)
        shown = _reduced(ref)
        if shown is None:
            levels = _Levels(ref)
            pixels = levels.window(levels_of(levels.size) - 1, 0, 0)
            shown = to_display(Image(pixels[:, :, : 3 if levels.channels >= 3 else 1]))
            levels.close()
        scale = _THUMB / max(shown.shape[:2])
        size = max(round(shown.shape[1] * scale), 1), max(round(shown.shape[0] * scale), 1)
        return _jpeg(shown if scale >= 1 else np.asarray(_resized(shown, size), np.uint8), 85)

    def _levels(self, number: int) -> _Levels:
        with self._lock:
            if number not in self._open:
                self._open[number] = _Levels(self._find(number))
                while len(self._open) > 1 and sum(one.nbytes for one in self._open.values()) > _MOST_BYTES:
                    self._open.popitem(last=False)[1].close()
            self._open.move_to_end(number)
            return self._open[number]


class _Levels:
    """An open image and its halved copies."""

    def __init__(self, ref: ImageRef) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._slide: Pyramid | None = None
        self._held: list[Array] = []
        self._limits: tuple[float, float] | None = None
        slide = self._stack.enter_context(open_pyramid(ref.path, page=ref.page)) if _is_large(ref) else None
        if slide is not None:
            self._slide, self.size, self.dtype = slide, slide.size, slide.dtype
            self.channels = slide.channels - (slide.alpha is not None)
        else:
            image = read_image(ref.path, page=ref.page)
            self._held = [_seen(image)]
            self.size, self.channels, self.dtype = image.size, self._held[0].shape[2], image.pixels.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the levels that are held."""
        return sum(level.nbytes for level in self._held)

    @property
    def limits(self) -> tuple[float, float]:
        """What is shown black and white: 8 bits as they are, all else by the coarsest level."""
        if self.dtype in (np.uint8, np.bool_):
            return 0.0, 255.0
        if self._limits is None:
            self._limits = display_limits(self.window(levels_of(self.size) - 1, 0, 0))
        return self._limits

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def window(self, level: int, column: int, row: int) -> Array:
        """Return the pixels of a tile, (height, width, channels)."""
        height, width = (-(-side // (1 << level)) for side in self.size)
        top, left = row * TILE, column * TILE
        if not (0 <= top < height and 0 <= left < width):
            raise UnknownNameError("tile", f"{column}, {row}", ())
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        with self._lock:
            if self._slide is not None:
                return _read(self._slide, level, (left, top, right, bottom))
            while len(self._held) <= level:
                h, w = self._held[-1].shape[:2]
                self._held.append(_resized(self._held[-1], (-(-w // 2), -(-h // 2))))
        return self._held[level][top:bottom, left:right]

    def part(self, box: tuple[int, int, int, int]) -> Array:
        """Return the pixels of a window of level 0."""
        if self._slide is None:
            return self._held[0][box[1] : box[3], box[0] : box[2]]
        with self._lock:
            return _seen(self._slide.window(box))


def _read(slide: Pyramid, level: int, box: tuple[int, int, int, int]) -> Array:
    """Return a tile out of the file's smallest copy that is fine enough."""
    full = slide.levels[0]
    at = max(k for k, size in enumerate(slide.levels) if k == 0 or size[0] << level >= 0.98 * full[0])
    height, width = slide.levels[at]
    down, across = height * (1 << level) / full[0], width * (1 << level) / full[1]
    x0, x1 = (min(round(v * across), width) for v in (box[0], box[2]))
    y0, y1 = (min(round(v * down), height) for v in (box[1], box[3]))
    x0, y0 = min(x0, x1 - 1), min(y0, y1 - 1)
    if (x1 - x0) * (y1 - y0) > _MOST_WINDOW:
        raise ImageError(
            slide.path,
            "has no copies that are small enough to show it whole; zoom in, or save it as a pyramid (a tiled TIFF "
            "with SubIFDs, or OME-Zarr)",
        )
    pixels = slide.window((x0, y0, x1, y1), at)
    return _resized(_seen(pixels), (box[2] - box[0], box[3] - box[1]))


def _reduced(ref: ImageRef) -> UInt8 | None:
    """Return a JPEG decoded at a half, a quarter or an eighth of its size, which takes a part of the time."""
    if ref.path.suffix.lower() not in (".jpg", ".jpeg") or ref.page is not None:
        return None
    most = max(image_size(ref.path)) // _THUMB
    for factor, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        if most >= factor:
            with suppress(cv2.error):  # of more pixels than OpenCV takes
                pixels = cv2.imdecode(np.fromfile(ref.path, np.uint8), flag)
                return None if pixels is None else np.ascontiguousarray(pixels[:, :, ::-1], np.uint8)
    return None


def _is_large(ref: ImageRef) -> bool:
    height, width = ref.size or image_size(ref.path, page=ref.page)
    return height * width >= LARGE


def _seen(image: Image) -> Array:
    """Return the colours of an image, (height, width, channels), in a dtype that can be resized."""
    pixels, data = image.colours().pixels, image.data
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        pixels = pixels.astype(np.float32)
    if data is not None:
        pixels = pixels.copy()
        pixels[~data] = _NO_DATA if pixels.dtype == np.uint8 else pixels.min()
    return pixels


def _resized(pixels: Array, size: tuple[int, int]) -> Array:
    """Return pixels of a width and height; a value is the mean of what it stands for."""
    if pixels.shape[1::-1] == size:
        return pixels
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small.reshape(*small.shape[:2], -1)


def _jpeg(pixels: UInt8, quality: int) -> bytes:
    ok, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return bytes(data.tobytes())
