"""The pixels of a video's frame: upright, in the colours that the file states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from apiece._arrays import Array

if TYPE_CHECKING:
    import av

__all__ = ["pixels_of", "turned"]


def pixels_of(frame: av.VideoFrame) -> Array:
    """Return a frame's pixels, upright: uint8 (height, width, 3), or grey, uint8 or uint16 (height, width, 1)."""
    form = frame.format
    deep = max(part.bits for part in form.components) > 8
    if form.name.startswith("gray"):
        pixels = frame.to_ndarray(format="gray16le" if deep else "gray")[:, :, None]
        if deep and (bits := form.components[0].bits) < 16:
            pixels = pixels >> (16 - bits)
    else:
        if deep and not form.is_rgb and form.name.startswith("yuv"):
            frame = frame.reformat(format=re.sub(r"(yuva?4\d\dp).*", r"\1", form.name))
        pixels = frame.to_ndarray(format="rgb24")
    matrix = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    return pixels if matrix is None else turned(pixels, np.frombuffer(bytes(matrix), np.int32))


def turned(pixels: Array, matrix: Array) -> Array:
    """Return pixels (height, width, channels) turned and mirrored by a display matrix, whole quarters only.

    >>> quarter = np.array([0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30])  # counter-clockwise
    >>> turned(np.array([[1, 2, 3]])[:, :, None], quarter)[..., 0].tolist()
    [[3], [2], [1]]
    """
    a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
    across, down = a, d
    if abs(b) > abs(a):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    flipped = pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    return np.ascontiguousarray(flipped)
