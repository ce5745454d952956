"""BMP of 1 to 32 bits, plain or run-length coded.

A palette expands to its colours; one of black and white gives bool, one of plain greys gives a single channel. The
fourth byte of a plain 32-bit BMP is unused by definition; where the header names it alpha, it is kept.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin

from apiece._arrays import Array
from apiece.errors import ImageError
from apiece.images.contract import Header, single_image

__all__ = ["READER"]


def _open(data: bytes) -> BmpImagePlugin.BmpImageFile:
    # the class itself rather than Image.open: that would try other kinds, warn, and have a limit of its own
    return BmpImagePlugin.BmpImageFile(io.BytesIO(data))


def _header(data: bytes, path: Path) -> Header:
    with _open(data) as image:
        return Header((image.height, image.width), 4, 1)


def _pixels(data: bytes, header: Header, path: Path) -> Array:
    with _open(data) as image:
        # without run-lengths, eight pixels take at least a byte: no need to make room to find out
        if image.info["compression"] not in (1, 2) and image.width * image.height > len(data) * 8:
            raise ImageError(path, f"is truncated: {len(data)} bytes cannot hold {image.height} x {image.width} pixels")
        return np.array(image.convert("RGB") if image.mode == "P" else image)


READER = single_image("BMP", lambda head: head.startswith(b"BM"), _header, _pixels)
