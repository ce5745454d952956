"""WebP, lossy and lossless (RFC 9649): 8-bit RGB or RGBA. Animations are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs

from apiece.errors import ImageError
from apiece.images._kit import exif
from apiece.images.contract import Header, single_image

__all__ = ["READER"]

_ANIMATION = 0x02


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ImageError(path, f"is truncated: {len(data)} bytes of the {end} that its header says")
    at = 12
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise ImageError(path, f"is damaged: the WebP chunk at byte {at} is longer than the file")
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _header(data: bytes, path: Path) -> Header:
    size, orientation = None, 1
    for kind, body in _chunks(data, path):
        if kind == b"VP8X" and len(body) >= 10:
            if body[0] & _ANIMATION:
                raise ImageError(path, "is an animation; save the frame as its own file")
            size = (1 + int.from_bytes(body[7:10], "little"), 1 + int.from_bytes(body[4:7], "little"))
        elif kind == b"VP8L" and size is None and len(body) >= 5:
            bits = int.from_bytes(body[1:5], "little")
            size = (1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF))
        elif kind == b"VP8 " and size is None and len(body) >= 10:
            size = (int.from_bytes(body[8:10], "little") & 0x3FFF, int.from_bytes(body[6:8], "little") & 0x3FFF)
        elif kind == b"EXIF":
            orientation = exif.orientation(body)
    if size is None:
        raise ImageError(path, "is damaged: a WebP without an image")
    return Header(size, 4, orientation)


READER = single_image(
    "WebP",
    lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    _header,
    lambda data, header, path: imagecodecs.webp_decode(data),
)
