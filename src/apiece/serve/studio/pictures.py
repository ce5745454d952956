"""`Pictures`: images as tiles of 512 pixels at each halving, and as thumbnails; for the eye only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.core.image import Image
from apiece.draw import to_display
from apiece.errors import UnknownNameError

__all__ = ["TILE", "Pictures"]

TILE = 512
_THUMB = 256
_MOST_BYTES = 400 << 20
_MOST_THUMBS = 2000


class Pictures:
    """Draw images for the page; the last ones stay in memory.

    Parameters
    ----------
    read : gives the image of a number.
    """

    def __init__(self, read: Callable[[int], Image]) -> None:
        self._read = read
        self._levels: OrderedDict[int, list[UInt8]] = OrderedDict()
        self._thumbs: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def size(self, number: int) -> tuple[int, int]:
        """Return the height and width of an image."""
        height, width = self._shown(number)[0].shape[:2]
        return height, width

    def tile(self, number: int, level: int, column: int, row: int) -> bytes:
        """Return a tile: at ``level`` 0 every pixel, at each further level half as many along both sides."""
        levels = self._shown(number)
        if not 0 <= level < len(levels):
            raise UnknownNameError("level", level, map(str, range(len(levels))))
        top, left = max(row, -1) * TILE, max(column, -1) * TILE
        if not (0 <= top < levels[level].shape[0] and 0 <= left < levels[level].shape[1]):
            raise UnknownNameError("tile", f"{column}, {row}", ())
        part = levels[level][top : top + TILE, left : left + TILE]
        return _jpeg(part, 92)

    def thumb(self, number: int) -> bytes:
        """Return the image with a longer side of 256 pixels."""
        if number not in self._thumbs:
            shown = to_display(self._read(number))
            scale = _THUMB / max(shown.shape[:2])
            size = max(round(shown.shape[1] * scale), 1), max(round(shown.shape[0] * scale), 1)
            small = shown if scale >= 1 else cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
            self._thumbs[number] = _jpeg(small, 85)
            while len(self._thumbs) > _MOST_THUMBS:
                self._thumbs.popitem(last=False)
        return self._thumbs[number]

    def _shown(self, number: int) -> list[UInt8]:
        with self._lock:
            if number not in self._levels:
                levels = [to_display(self._read(number))]
                while max(levels[-1].shape[:2]) > TILE:
                    h, w = levels[-1].shape[:2]
                    half = cv2.resize(levels[-1], (-(-w // 2), -(-h // 2)), interpolation=cv2.INTER_AREA)
                    levels.append(np.asarray(half, np.uint8))
                self._levels[number] = levels
                while len(self._levels) > 1 and sum(x.nbytes for y in self._levels.values() for x in y) > _MOST_BYTES:
                    self._levels.popitem(last=False)
            self._levels.move_to_end(number)
            return self._levels[number]


def _jpeg(pixels: UInt8, quality: int) -> bytes:
    ok, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return bytes(data.tobytes())
