"""The EXIF orientation, read without a library that warns about all other tags."""

from __future__ import annotations

import struct

_ORIENTATION = 274
_SHORT, _LONG = 3, 4


def orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) in an EXIF block, with or without its ``Exif\\0\\0`` head; 1 without any."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION and kind in (_SHORT, _LONG):
            (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), exif, entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1
