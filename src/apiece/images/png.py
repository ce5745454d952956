"""PNG (ISO/IEC 15948): every colour type and depth.

- 1-bit grey becomes bool; 2- and 4-bit grey become uint8 with the stored values 0 to 3 and 0 to 15.
- Palette images expand to the colours of their palette (RGB, or RGBA where the palette has transparency).
- A transparent colour (``tRNS``) of a grey or RGB image becomes an alpha channel.
- ``pHYs`` is a print density, not a scale, and is not taken for a pixel size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from apiece._arrays import Array
from apiece.errors import ImageError
from apiece.images._kit import exif
from apiece.images.contract import Header, single_image

__all__ = ["READER"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEFLATE_AT_MOST = 1032  # RFC 1951: the best that deflate can do


@dataclass(frozen=True)
class _Header(Header):
    depth: int
    colour: int
    compressed: int


def _chunks(data: bytes, path: Path, pixels: bool = False) -> Iterator[tuple[bytes, memoryview]]:
    """Yield each chunk's type and content, to IEND; checks the checksum of critical chunks, of IDAT with ``pixels``.

    The decoder checks IDAT, too: whoever asks for the size alone does not wait for all bytes of a large image.
    """
    view = memoryview(data)
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        body = view[at + 8 : end - 4]
        if (
            kind[:1].isupper()
            and (pixels or kind != b"IDAT")
            and zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end], "big")
        ):
            raise ImageError(path, f"is damaged: checksum of its {kind.decode('ascii', 'replace')} chunk is wrong")
        yield kind, body
        if kind == b"IEND":
            return
        at = end
    raise ImageError(path, f"is truncated: a PNG of {len(data)} bytes without its end")


def _header(data: bytes, path: Path) -> _Header:
    head: tuple[int, int, int, int] | None = None
    orientation, compressed = 1, 0
    for kind, body in _chunks(data, path):
        if head is None:
            if kind != b"IHDR" or len(body) != 13:
                raise ImageError(path, "is damaged: a PNG that does not begin with its header")
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            if colour not in _CHANNELS:
                raise ImageError(path, f"is damaged: there is no PNG colour type {colour}")
            head = (height, width, depth, colour)
        elif kind == b"eXIf":
            orientation = exif.orientation(bytes(body))
        elif kind == b"IDAT":
            compressed += len(body)
        elif kind == b"acTL" and (frames := int.from_bytes(body[:4], "big")) > 1:
            raise ImageError(path, f"is an animation of {frames} frames; save the frame as its own file")
    if head is None:
        raise ImageError(path, "is damaged: a PNG without a header")
    height, width, depth, colour = head
    return _Header((height, width), 4 if colour == 3 else _CHANNELS[colour], orientation, depth, colour, compressed)


def _pixels(data: bytes, header: _Header, path: Path) -> Array:
    height, width = header.size
    stored = height * ((width * _CHANNELS[header.colour] * header.depth + 7) // 8)
    if stored > _DEFLATE_AT_MOST * header.compressed:
        raise ImageError(path, f"is damaged: {header.compressed} bytes of data cannot hold {height} x {width} pixels")
    try:
        pixels = imagecodecs.png_decode(data)
    except imagecodecs.PngError:
        for _ in _chunks(data, path, pixels=True):  # a wrong checksum is the better reason
            pass
        raise
    if header.colour == 0 and header.depth < 8:
        # the decoder stretches to 0..255; take that back in the grey channel
        grey = (pixels if pixels.ndim == 2 else pixels[..., 0]) // (255 // (2**header.depth - 1))
        if pixels.ndim == 2:
            pixels = grey.astype(bool) if header.depth == 1 else grey
        else:
            pixels = np.stack([grey, pixels[..., 1]], axis=-1)
    return pixels


READER = single_image("PNG", lambda head: head.startswith(_SIGNATURE), _header, _pixels)
