"""Label Studio's brush masks: a bit-packed run-length code of RGBA bytes, to rows of pixels and back.

The code is that of ``@thi.ng/rle-pack``, which Label Studio uses (https://labelstud.io/guide/export, "Brush").
Bits, most significant first: 32 of the number of values, 5 of the word size less 1, four times 4 of a length's size
less 1; then blocks until all values are there: 1 bit "repeated", 2 bits that choose a size, that many bits of the count
less 1, then one word if repeated, or else as many words as counted. Values are the bytes of an RGBA image by rows; the
mask is where alpha is more than 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from apiece.core.masks import Masks
from apiece.formats._entries import BadEntryError

__all__ = ["decode_brush", "encode_brush"]

_SIZES = (3, 4, 8, 16)
_HEAD = 32 + 5 + 4 * 4


def decode_brush(codes: Any, size: tuple[int, int]) -> Masks:
    """A brush region as one mask on an image of ``size``."""
    height, width = size
    if type(codes) is not list or not all(type(c) is int and 0 <= c < 256 for c in codes):
        raise BadEntryError("rle must be a list of bytes, integers from 0 to 255")
    data = bytes(codes)
    if len(data) * 8 < _HEAD:
        raise BadEntryError("rle is cut short")
    values = int.from_bytes(data[:4], "big")
    if values != 4 * height * width:
        raise BadEntryError(
            f"rle is of {values // 4} pixels, but the image has {width} x {height} = {width * height}; "
            f"is original_width or original_height wrong?"
        )
    starts, ends = _opaque(data, values)
    # by rows is by columns of the picture with its sides exchanged
    counts = np.diff(np.concatenate([[0], np.stack([starts, ends], 1).ravel(), [height * width]]))
    return Masks.from_coco([{"size": [width, height], "counts": counts.tolist()}]).transpose()


def _opaque(data: bytes, values: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Half-open runs of pixels, counted by rows, whose alpha is more than 0."""
    bits = int.from_bytes(data[:8].ljust(8, b"\0"), "big")
    word = (bits >> (64 - 37)) % 32 + 1
    sizes = [(bits >> (64 - 41 - 4 * k)) % 16 + 1 for k in range(4)]
    starts: list[int] = []
    ends: list[int] = []
    at, i, total = _HEAD, 0, len(data) * 8

    def read(count: int) -> int:
        nonlocal at
        first, last = at >> 3, (at + count + 7) >> 3
        at += count
        if at > total:
            raise BadEntryError("rle is cut short")
        return (int.from_bytes(data[first:last], "big") >> (8 * last - at)) & ((1 << count) - 1)

    while i < values:
        head = read(3)
        j = i + 1 + read(sizes[head & 3])
        if j > values:
            raise BadEntryError("rle holds more values than it says")
        if head & 4:
            if read(word):
                # pixels whose fourth value lies in the run
                starts.append(i // 4)
                ends.append(j // 4)
        else:
            if at + (j - i) * word > total:
                raise BadEntryError("rle is cut short")
            alpha = i + (3 - i) % 4
            for k in range(alpha, j, 4):
                back = at
                at += (k - i) * word
                if read(word):
                    starts.append(k // 4)
                    ends.append(k // 4 + 1)
                at = back
            at += (j - i) * word
        i = j
    a, b = np.array(starts, np.int64), np.array(ends, np.int64)
    full = b > a
    return a[full], b[full]


def encode_brush(masks: Masks) -> list[list[int]]:
    """Each mask as Label Studio writes it: all four bytes of a pixel are 255 or 0."""
    height, width = masks.size
    found = []
    for mask in masks.transpose().to_coco(compressed=False):
        counts = np.array(mask["counts"], np.int64) * 4
        found.append(_pack(counts, 4 * height * width))
    return found


def _pack(counts: npt.NDArray[np.int64], values: int) -> list[int]:
    """Runs of 0 and 255 in turn, beginning with 0."""
    head = f"{values:032b}{7:05b}" + "".join(f"{s - 1:04b}" for s in _SIZES)
    texts = [head]
    longest = 1 << _SIZES[-1]
    for k, count in enumerate(counts.tolist()):
        word = "11111111" if k % 2 else "00000000"
        full, rest = divmod(count, longest)
        texts.append(f"111{'1' * _SIZES[-1]}{word}" * full)
        if rest:
            which = next(n for n, s in enumerate(_SIZES) if rest <= 1 << s)
            texts.append(f"1{which:02b}{rest - 1:0{_SIZES[which]}b}{word}")
    text = "".join(texts)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
