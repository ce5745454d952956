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

from apiece._arrays import Array, Int, UInt8
from apiece.core.runs import Keys, LooseRuns, Runs, expand, sums
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
    kinds = set(map(type, rles))
    if kinds <= _TEXTS:
        return _decompress(rles, range(len(rles)), kinds)
    packed = [i for i, c in enumerate(rles) if isinstance(c, str | bytes)]
    plain: list[Int] = [np.zeros(0, np.int64)] * len(rles)
    for i, c in enumerate(rles):
        if not isinstance(c, str | bytes):
            plain[i] = _plain(c, i)
    if packed:
        counts, cuts = _decompress([rles[i] for i in packed], packed, kinds)
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


def _decompress(texts: Sequence[Any], index: Sequence[int], kinds: set[type]) -> tuple[Int, Int]:
    try:
        data = "".join(texts).encode("ascii") if bytes not in kinds else b"".join(map(_encoded, texts))
    except UnicodeEncodeError:
        bad = next(i for i, t in zip(index, texts, strict=True) if isinstance(t, str) and not t.isascii())
        raise InvalidInstancesError("RLE counts hold a character that no RLE has", bad) from None
    # what lies below 48 wraps round to above 63
    code = np.frombuffer(data, np.uint8) - np.uint8(48)
    cuts = sums(np.fromiter(map(len, texts), np.int64, len(texts)))
    if code.max(initial=0) > 63:
        bad = int(np.searchsorted(cuts, np.argmax(code > 63), "right")) - 1
        raise InvalidInstancesError("RLE counts hold a character that no RLE has", index[bad])
    last = code < 32
    # most counts are one character; its fifth bit is the sign
    value = ((code[last] << np.uint8(3)).view(np.int8) >> 3).astype(np.int64)
    more = (~last).nonzero()[0]  # characters that another of the same count follows
    offsets = cuts - more.searchsorted(cuts)
    if len(more):
        _add_low_bits(value, code, more, cuts, index)
    return _undo_differences(value, offsets), offsets


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("ascii")


def _add_low_bits(value: Int, code: UInt8, more: Int, cuts: Int, index: Sequence[int]) -> None:
    """Complete the counts of several characters, whose last, the highest bits, ``value`` holds."""
    ends = cuts[1:] - 1
    cut_short = (code[ends] > 31) & (ends >= cuts[:-1])
    if cut_short.any():
        raise InvalidInstancesError("RLE counts are cut short", index[int(np.argmax(cut_short))])
    place = np.arange(len(more))
    count = more - place
    fresh = np.ones(len(more) + 1, bool)
    np.not_equal(count[1:], count[:-1], out=fresh[1:-1])
    bounds = fresh.nonzero()[0]
    begin, size = bounds[:-1], bounds[1:] - bounds[:-1]
    if size.max() > 11:
        bad = int(np.searchsorted(cuts, more[begin[np.argmax(size > 11)]], "right")) - 1
        raise InvalidInstancesError("an RLE count does not fit 63 bits", index[bad])
    place -= np.repeat(begin, size)
    low = np.add.reduceat((code[more].astype(np.int64) & 31) << 5 * place, begin)
    count = count[begin]
    value[count] = (value[count] << 5 * size) + low


def _undo_differences(value: Int, offsets: Int) -> Int:
    """Counts from differences: from the fourth on, each adds the one before the last."""
    counts = np.empty_like(value)
    half, up = offsets >> 1, (offsets + 1) >> 1
    # every second value is one running sum, from which each mask takes off what lies before its own share;
    # the very first count of a mask stands alone and does not enter
    for parity, cut, begin in ((0, up, half + 1), (1, half, up)):
        total = sums(value[parity::2])
        before = np.repeat(total.take(begin[:-1], mode="clip"), cut[1:] - cut[:-1])
        np.subtract(total[1:], before, out=counts[parity::2])
    first = offsets[:-1][offsets[1:] > offsets[:-1]]
    counts[first] = value[first]
    return counts


def counts_to_runs(counts: Int, offsets: Int, size: tuple[int, int]) -> Runs:
    """Runs of flat counts.

    Raises
    ------
    InvalidInstancesError
        naming the mask whose counts are negative or do not add up to height x width.
    """
    (height, width), number = size, len(offsets) - 1
    Keys(*size).check(number)
    edges = _edges(counts, offsets, size)
    # every second count is inside
    each = (offsets[1:] - offsets[:-1]) >> 1
    begins = sums(each)
    inside = np.repeat(offsets[:-1] + 1 - 2 * begins[:-1], each)
    inside += np.arange(0, 2 * len(inside), 2)
    length, start = counts[inside], edges[inside]
    if edges[-1] < 1 << 31:  # as nearly always; half the memory to go through, and division is quicker
        length, start = length.astype(np.int32), start.astype(np.int32)
    # the columns of all masks lie one after the other
    x = start // max(height, 1)
    y0 = start - x * height  # several times faster than divmod
    x -= np.repeat(np.arange(number, dtype=x.dtype) * width, each)
    y1 = y0 + length
    seams = _has_seams(counts, offsets)
    if not seams and y1.max(initial=0) <= height:
        return Runs(x.astype(np.int32), y0.astype(np.int32), y1.astype(np.int32), begins)
    owner = np.repeat(np.arange(number), each)
    if seams:
        filled = length > 0
        owner, x, y0, y1 = owner[filled], x[filled], y0[filled], y1[filled]
    runs = _one_per_column(owner, x, y0, y1, height)
    return Runs.pack(runs, number, size) if seams else Runs.ordered(*runs, number)


def _edges(counts: Int, offsets: Int, size: tuple[int, int]) -> Int:
    """Where each count begins, all masks one after the other, and the end; refused where they do not fill the image."""
    height, width = size
    # as unsigned, what is negative is large
    if counts.view(np.uint64).max(initial=0) > height * width:
        bad = int(np.searchsorted(offsets, np.argmax((counts < 0) | (counts > height * width)), "right")) - 1
        raise InvalidInstancesError(
            f"an RLE count is negative or larger than the image of {height} x {width} pixels", bad
        )
    edges = sums(counts)
    ends = edges[offsets]
    total = ends[1:] - ends[:-1]
    wrong = total != height * width
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InvalidInstancesError(
            f"RLE counts add up to {int(total[i])} pixels, but the image of {height} x {width} has {height * width}", i
        )
    return edges


def _one_per_column(owner: Int, x: Array, y0: Array, y1: Array, height: int) -> LooseRuns:
    """One stretch down the columns, from row ``y0`` of column ``x``, to one run in each column."""
    columns = -(-y1 // height)
    ends = np.cumsum(columns)
    top, bottom = np.zeros(int(columns.sum()), np.int64), np.full(int(columns.sum()), height, np.int64)
    top[ends - columns] = y0
    bottom[ends - 1] = y1 - (columns - 1) * height
    return np.repeat(owner, columns), expand(x, columns), top, bottom


def _has_seams(counts: Int, offsets: Int) -> bool:
    """Whether a count of 0 beyond a mask's first lets two runs touch, so that they need joining."""
    first = offsets[:-1][offsets[1:] > offsets[:-1]]
    filled = np.count_nonzero(counts) - np.count_nonzero(counts[first])
    return bool(filled < len(counts) - len(first))
