"""COCO's run-length encoding, both kinds, for a whole set of masks at once.

The counts are lengths of alternating background and object stretches down the columns, background first.
Compressed, each count beyond the third is stored as its difference from the one before the last, in groups of five
bits with a continuation bit, as printable characters (the scheme of pycocotools' ``maskApi.c``). Counts are
64-bit here, so images beyond 65535 x 65535 pixels hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.core.runs import Runs, expand, sums
from apiece.errors import InvalidInstancesError

_TEXTS = {str, bytes}


def counts_of(runs: Runs, size: tuple[int, int]) -> tuple[Int, Int]:
    """Return the counts of every mask in one flat array, and where each mask's begin: (counts, offsets)."""
    (x, y0, y1, offsets), (height, width) = runs, size
    start = x.astype(np.int64) * height + y0
    end = start + (y1 - y0)
    # a run that reaches the last row goes on in the next column
    fresh = np.ones(len(start) + 1, bool)
    np.not_equal(start[1:], end[:-1], out=fresh[1:-1])
    fresh[offsets] = True  # but not in the next mask
    start, end, lines = start[fresh[:-1]], end[fresh[1:]], np.searchsorted(np.flatnonzero(fresh), offsets)
    total, each = height * width, np.diff(lines)
    reach = np.zeros(len(each), np.int64)
    some = each > 0
    reach[some] = end[lines[1:][some] - 1]
    # every mask's boundaries, then the image's end unless the mask reaches it; an empty mask has that end alone
    out = sums(2 * each + ((reach < total) | ~some))
    bounds = np.full(int(out[-1]), total, np.int64)
    place = np.repeat(out[:-1] - 2 * lines[:-1], each) + 2 * np.arange(len(start))
    bounds[place] = start
    bounds[place + 1] = end
    counts = bounds.copy()
    counts[1:] -= bounds[:-1]
    counts[out[:-1]] = bounds[out[:-1]]
    return counts, out


def compress(counts: Int, offsets: Int) -> list[str]:
    """The compressed string of each mask's counts."""
    small = counts.max(initial=0) < 1 << 30  # as nearly always; half the memory to go through
    counts = counts.astype(np.int32 if small else np.int64)
    value = counts.copy()
    value[2:] -= counts[:-2]
    for k in range(3):  # of each mask, the first three stand alone
        alone = (offsets[:-1] + k)[np.diff(offsets) > k]
        value[alone] = counts[alone]
    size = np.ones(len(value), np.uint8)
    limit = 16
    magnitude = np.maximum(value, ~value)
    peak = int(magnitude.max(initial=0))
    while limit <= peak:
        size += magnitude >= limit
        limit <<= 5
    begin = sums(size.astype(np.int64))
    text = np.empty(int(begin[-1]), np.uint8)
    place = begin[:-1]
    while len(value):
        code = value.astype(np.uint8)  # the lowest byte
        code &= np.uint8(31)
        code += np.uint8(48)
        on = np.flatnonzero(size > 1)
        code[on] += np.uint8(32)
        text[place] = code
        value, place, size = value[on] >> 5, place[on] + 1, size[on] - np.uint8(1)
    cuts = begin[offsets].tolist()
    joined = text.tobytes().decode("ascii")
    return [joined[a:b] for a, b in itertools.pairwise(cuts)]


def decode(rles: Sequence[Any]) -> tuple[Int, Int]:
    """``counts`` of each mask, compressed (str or bytes) or a list of integers: flat (counts, offsets).

    Raises
    ------
    InvalidInstancesError
        naming the mask's index, for counts that are no valid encoding.
    """
    if set(map(type, rles)) <= _TEXTS:
        return _decompress(rles, range(len(rles)))
    packed = [i for i, c in enumerate(rles) if isinstance(c, str | bytes)]
    plain: list[Int] = [np.zeros(0, np.int64)] * len(rles)
    for i, c in enumerate(rles):
        if not isinstance(c, str | bytes):
            plain[i] = _plain(c, i)
    if packed:
        counts, cuts = _decompress([rles[i] for i in packed], packed)
        for k, i in enumerate(packed):
            plain[i] = counts[cuts[k] : cuts[k + 1]]
    return np.concatenate(plain), sums([len(c) for c in plain])


def _plain(counts: Any, index: int) -> Int:
    try:
        array = np.asarray(counts)
        exact = array.astype(np.int64)
        if array.ndim != 1 or not np.array_equal(array, exact):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InvalidInstancesError("RLE counts must be a string or a flat list of integers", index) from None
    return exact


def _decompress(texts: Sequence[str | bytes], index: Sequence[int]) -> tuple[Int, Int]:
    try:
        data = [t if isinstance(t, bytes) else t.encode("ascii") for t in texts]
    except UnicodeEncodeError:
        bad = next(i for i, t in zip(index, texts, strict=True) if isinstance(t, str) and not t.isascii())
        raise InvalidInstancesError("RLE counts hold a character that no RLE has", bad) from None
    # what lies below 48 wraps round to above 63
    code = np.frombuffer(b"".join(data), np.uint8) - np.uint8(48)
    cuts = sums(np.fromiter(map(len, data), np.int64, len(data)))
    if code.max(initial=0) > 63:
        bad = int(np.searchsorted(cuts, np.argmax(code > 63), "right")) - 1
        raise InvalidInstancesError("RLE counts hold a character that no RLE has", index[bad])
    last = code < 32
    some = np.diff(cuts) > 0
    open_end = ~last[cuts[1:][some] - 1]
    if open_end.any():
        raise InvalidInstancesError("RLE counts are cut short", index[int(np.flatnonzero(some)[np.argmax(open_end)])])
    ends = np.flatnonzero(last)
    groups = ends.copy()
    groups[1:] -= ends[:-1]
    groups[:1] += 1
    if groups.max(initial=0) > 12:
        bad = int(np.searchsorted(cuts, ends[np.argmax(groups > 12)], "right")) - 1
        raise InvalidInstancesError("an RLE count does not fit 63 bits", index[bad])
    # most counts are one character; its fifth bit is the sign
    final = code[ends] & np.uint8(31)
    final ^= np.uint8(16)
    final -= np.uint8(16)
    value = final.view(np.int8).astype(np.int64)
    long = np.flatnonzero(groups > 1)
    size, end, whole = groups[long], ends[long], value[long]
    for k in range(1, int(size.max(initial=1))):
        on = np.flatnonzero(size > k)
        whole[on] = (whole[on] << 5) | (code[end[on] - k] & 31)
    value[long] = whole
    offsets = np.searchsorted(ends, cuts, "left")
    return _undo_differences(value, offsets), offsets


def _undo_differences(value: Int, offsets: Int) -> Int:
    """Counts from differences: from the fourth on, each adds the one before the last."""
    counts = np.empty_like(value)
    for parity in (0, 1):
        # every second value is one running sum, from which each mask takes off what lies before its own share;
        # the very first count of a mask stands alone and does not enter
        total = sums(value[parity::2])
        place = (offsets - parity + 1) >> 1
        begin = (offsets[:-1] - parity + 2) >> 1
        before = np.repeat(total[np.minimum(begin, len(total) - 1)], np.diff(place))
        np.subtract(total[1:], before, out=counts[parity::2])
    first = offsets[:-1][np.diff(offsets) > 0]
    counts[first] = value[first]
    return counts


def counts_to_runs(counts: Int, offsets: Int, size: tuple[int, int]) -> tuple[Int, Int, Int, Int]:
    """Column runs (owner, x, y0, y1) of flat counts; they may touch where a count in between is 0.

    Raises
    ------
    InvalidInstancesError
        naming the mask whose counts are negative or do not add up to height x width.
    """
    height, width = size
    if len(counts) and (counts.min() < 0 or counts.max() > height * width):
        bad = int(np.searchsorted(offsets, np.argmax((counts < 0) | (counts > height * width)), "right")) - 1
        raise InvalidInstancesError(
            f"an RLE count is negative or larger than the image of {height} x {width} pixels", bad
        )
    edges = sums(counts)
    total = np.diff(edges[offsets])
    wrong = total != height * width
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InvalidInstancesError(
            f"RLE counts add up to {int(total[i])} pixels, but the image of {height} x {width} has {height * width}",
            i,
        )
    # every second count is inside
    some = np.diff(offsets) // 2
    owner = np.repeat(np.arange(len(some)), some)
    inside = np.repeat(offsets[:-1] + 1 - 2 * (np.cumsum(some) - some), some)
    inside += 2 * np.arange(len(owner))
    length = counts[inside]
    start = edges[inside] - np.repeat(edges[offsets[:-1]], some)
    if len(length) and not length.all():
        filled = length > 0
        owner, length, start = owner[filled], length[filled], start[filled]
    first = start // max(height, 1)
    y0 = start - first * height  # several times faster than divmod
    y1 = y0 + length
    if not len(y1) or y1.max() <= height:
        return owner, first, y0, y1
    # one stretch down the columns to one run per column
    columns = -(-y1 // height)
    x = expand(first, columns)
    owner = np.repeat(owner, columns)
    ends = np.cumsum(columns)
    top, bottom = np.zeros(len(x), np.int64), np.full(len(x), height, np.int64)
    top[ends - columns] = y0
    bottom[ends - 1] = y1 - (columns - 1) * height
    return owner, x, top, bottom


def has_seams(counts: Int, offsets: Int) -> bool:
    """Whether a count of 0 beyond a mask's first lets two runs touch, so that they need joining."""
    none = counts == 0
    none[offsets[:-1][np.diff(offsets) > 0]] = False
    return bool(none.any())
