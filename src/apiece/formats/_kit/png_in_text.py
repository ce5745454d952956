"""Small masks as PNG in a text (base64), checked against the image before a pixel is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from typing import Any

import numpy as np
from PIL import Image as Pillow

from apiece._arrays import Bool
from apiece.formats._kit.checks import BadEntryError

MOST_PIXELS = 1 << 28
_INFLATION = 8 * 1100  # pixels of one bit that a byte of deflated data can make, at most


def from_base64(text: Any, name: str) -> bytes:
    """Return the bytes of a base64 text."""
    if type(text) is not str:
        raise BadEntryError(f"{name} must be a base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEntryError(f"{name} is no base64 text, or cut short ({error})") from None


def from_png(data: bytes, size: tuple[int, int], name: str) -> Bool:
    """Return the mask in a PNG: its opaque pixels if it has transparency, else the ones that are not 0."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here
            return _decoded(data, size, name)
    except BadEntryError:
        raise
    except Exception as error:
        # decoders of broken files raise nearly anything
        raise BadEntryError(f"{name} is no PNG or damaged ({type(error).__name__}: {error})") from None


def _decoded(data: bytes, size: tuple[int, int], name: str) -> Bool:
    if data[-8:-4] != b"IEND":
        raise BadEntryError(f"{name} is no PNG or damaged: its end is missing")
    with Pillow.open(io.BytesIO(data), formats=["PNG"]) as image:
        width, height = image.size
        if height > size[0] or width > size[1]:
            raise BadEntryError(f"{name} is {width} x {height} pixels, more than the image's {size[1]} x {size[0]}")
        if height * width > min(MOST_PIXELS, len(data) * _INFLATION + (1 << 16)):
            raise BadEntryError(f"{name} claims {width} x {height} pixels, which its {len(data)} bytes cannot hold")
        image.load()
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
            return np.asarray(image.convert("RGBA"))[..., 3] > 0
        pixels = np.asarray(image)
        return np.asarray(pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(2))


def to_png(mask: Bool, transparent: bool) -> bytes:
    """Return a mask as PNG: values 0 and 1, or, if ``transparent``, a palette whose entry 0 is seen through."""
    out = io.BytesIO()
    image = Pillow.fromarray(mask.astype(np.uint8))
    if transparent:
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(out, "PNG", transparency=0)
    else:
        image.save(out, "PNG")
    return out.getvalue()
