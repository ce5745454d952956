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

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.formats._kit.checks import BadEntryError, Size
from apiece.formats._kit.entries import RowRle

_SIZES = (3, 4, 8, 16)
_HEAD = 32 + 5 + 4 * 4
_MOST = (1 << 64) - 1


def decode_brush(codes: Any, size: Size) -> RowRle:
    """Return a brush region on an image of ``size``."""
    height, width = size
    try:
        if type(codes) is not list or set(map(type, codes)) - {int}:
            raise ValueError
        data = bytes(codes)
    except ValueError:
        raise BadEntryError("rle must be a list of bytes, integers from 0 to 255") from None
    if len(data) * 8 < _HEAD:
        raise BadEntryError("rle is cut short")
    values = int.from_bytes(data[:4], "big")
    if values != 4 * height * width:
        raise BadEntryError(
            f"rle is of {values // 4} pixels, but the image has {width} x {height} = {width * height}; "
            f"is original_width or original_height wrong?"
        )
    starts, ends = _opaque(data, values)
    counts = np.diff(np.concatenate([[0], np.stack([starts, ends], 1).ravel(), [height * width]]))
    return RowRle(size=[width, height], counts=counts.tolist())


def _opaque(data: bytes, values: int) -> tuple[Int, Int]:
    """Return the half-open runs of pixels, counted by rows, whose alpha is more than 0."""
    total = len(data) * 8
    data += bytes(8)  # so that there are 64 bits to read at any place

    def ahead() -> int:
        """Return at least 57 bits from here on, with zeros behind them to 64."""
        return (int.from_bytes(data[at >> 3 : (at >> 3) + 8], "big") << (at & 7)) & _MOST

    at = 32
    bits = ahead()
    word = (bits >> 59) + 1
    sizes = [((bits >> (55 - 4 * k)) & 15) + 1 for k in range(4)]
    starts: list[int] = []
    ends: list[int] = []
    at, i = _HEAD, 0
    while i < values:
        bits = ahead()
        size = sizes[(bits >> 61) & 3]
        j = i + 1 + ((bits >> (61 - size)) & ((1 << size) - 1))
        repeated = bits >> 63
        at += 3 + size + word * (1 if repeated else j - i)
        if at > total:
            raise BadEntryError("rle is cut short")
        if j > values:
            raise BadEntryError("rle holds more values than it says")
        if not repeated:
            end = at
            for k in range(i + (3 - i) % 4, j, 4):
                at = end - (j - k) * word
                if ahead() >> (64 - word):
                    starts.append(k // 4)
                    ends.append(k // 4 + 1)
            at = end
        elif (bits >> (61 - size - word)) & ((1 << word) - 1):
            # pixels whose fourth value lies in the run
            starts.append(i // 4)
            ends.append(j // 4)
        i = j
    a, b = np.array(starts, np.int64), np.array(ends, np.int64)
    full = b > a
    return a[full], b[full]


def encode_brush(masks: Masks) -> list[list[int]]:
    """Return each mask as Label Studio writes it: all four bytes of a pixel are 255 or 0."""
    height, width = masks.size
    found = []
    for mask in masks.transpose().to_coco(compressed=False):
        counts = np.array(mask["counts"], np.int64) * 4
        found.append(_pack(counts, 4 * height * width))
    return found


def _pack(counts: Int, values: int) -> list[int]:
    """Return runs of 0 and 255 in turn, beginning with 0, as bytes."""
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
