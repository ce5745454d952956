"""JPEG (ITU-T T.81), 8-bit grey or colour. CMYK is refused; print density is not taken for a pixel size."""

from __future__ import annotations

from pathlib import Path

import imagecodecs

from apiece.errors import ImageError
from apiece.images._kit import exif
from apiece.images.contract import Header, single_image

__all__ = ["READER"]

_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_START_OF_SCAN, _EXIF_SEGMENT, _END_OF_IMAGE = 0xDA, 0xE1, b"\xff\xd9"


def _header(data: bytes, path: Path) -> Header:
    """Walk the segments to the first scan; the image must go on from there to its end marker."""
    at, frame, orientation = 2, None, 1
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ImageError(path, f"is damaged: no JPEG segment begins at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if end > len(data) or end < at + 4:
            break
        if marker in _FRAMES and len(body) >= 6:
            frame = (body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5])
        elif marker == _EXIF_SEGMENT and body.startswith(b"Exif\0\0"):
            orientation = exif.orientation(body)
        elif marker == _START_OF_SCAN:
            return _checked(frame, orientation, data.rfind(_END_OF_IMAGE, end) >= 0, path)
        at = end
    raise ImageError(path, f"is truncated: a JPEG of {len(data)} bytes without any scan")


def _checked(frame: tuple[int, int, int, int] | None, orientation: int, ends: bool, path: Path) -> Header:
    if frame is None:
        raise ImageError(path, "is damaged: a JPEG scan without its frame header")
    # the decoder would fill what is missing with grey and say nothing
    if not ends:
        raise ImageError(path, "is truncated: a JPEG without its end marker")
    bits, height, width, channels = frame
    if bits != 8:
        raise ImageError(path, f"is a {bits}-bit JPEG; only 8 bits can be read, convert it to PNG or TIFF")
    if channels not in (1, 3):
        raise ImageError(path, f"is a JPEG of {channels} inks (CMYK), not colours of light; convert it to RGB")
    return Header((height, width), channels, orientation)


READER = single_image(
    "JPEG",
    lambda head: head.startswith(b"\xff\xd8\xff"),
    _header,
    lambda data, header, path: imagecodecs.jpeg8_decode(data),
)
