"""The coordinates of many outlines from their text at once, by NumPy: the same doubles as `json` finds, sooner.

Only plain coordinates are read here: polygons and multipolygons of points with two numbers without exponents. Anything
else, also what is no JSON, is a `ValueError`, and `apiece.formats.geojson._outlines.outline` says what it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import sums
from apiece.formats._kit.flat_parts import FlatParts
from apiece.formats.geojson._features import Drawing
from apiece.formats.geojson._geometry import Placed

_SIGNS = b"0123456789-. ,[]"
_MINUS, _DOT, _SPACE, _COMMA, _OPEN, _CLOSE = range(10, 16)
_CODES = bytearray([255]) * 256
for _code, _sign in enumerate(_SIGNS):
    _CODES[_sign] = _code
for _sign in b"\t\n\r":
    _CODES[_sign] = _SPACE
_MAY_FOLLOW = np.zeros((3, 3, 2), bool)
"""Whether a sign of a list, ``,`` ``[`` or ``]``, may follow another, without and with a number between them."""
for _number, _pairs in enumerate((("[[", "],", "]]", ",["), ("[,", ",]"))):
    for _pair in _pairs:
        _MAY_FOLLOW[",[]".index(_pair[0]), ",[]".index(_pair[1]), _number] = True
# whole numbers of 15 digits and these powers of ten are doubles, so that one division rounds once
_TENS = np.array([float(10**k) for k in range(23)])


def read_outlines(texts: Sequence[str], place: Placed | None) -> Drawing:
    """Return outlines in pixels; each text is one value of ``coordinates``, and there is one at least.

    Raises
    ------
    ValueError
        If one is not plain.
    """
    codes = np.frombuffer(",".join(texts).encode("ascii").translate(_CODES), np.uint8)
    if codes[0] != _OPEN or codes[-1] != _CLOSE or codes.max() > _CLOSE:
        raise ValueError("exponents, words, or no list")
    begun = np.count_nonzero((codes[1:] < _SPACE) & (codes[:-1] >= _SPACE))
    codes = codes[codes != _SPACE]
    signs = np.flatnonzero(codes >= _COMMA)
    numbered = np.diff(signs) > 1
    if np.count_nonzero(numbered) != begun:
        raise ValueError("a space between two numbers")
    rings, parts, outlines, deepest = _lists(codes[signs] - _COMMA, numbered, len(texts))
    points = _numbers(codes, signs, numbered).reshape(-1, 2)
    begin = np.concatenate([[0], rings[:-1]])
    closed = (points[begin] == points[rings - 1]).all(1) & (rings - begin > 1)
    lengths = rings - begin - closed
    if place is not None:
        points = place.to_pixels(points)
    if (lengths < 3).any() or not np.isfinite(points).all():
        raise ValueError("fewer than three points")
    if closed.any():
        points = np.delete(points, rings[closed] - 1, axis=0)
    kinds = ["Polygon" if depth == 3 else "MultiPolygon" for depth in deepest.tolist()]
    begins = (np.concatenate([[0], ends]) for ends in (parts, outlines))
    return FlatParts(points, sums(lengths), *begins), kinds


def _numbers(codes: npt.NDArray[np.uint8], signs: Int, numbered: Bool) -> Float:
    """Return the numbers behind the signs that are ``numbered``.

    Digits are turned into a number eight at a time: a word of eight bytes becomes four of two digits, and so on.
    """
    number = np.flatnonzero(numbered)
    bare, dots = codes[codes != _DOT], np.flatnonzero(codes == _DOT)
    ends = np.flatnonzero(bare >= _COMMA)
    start, stop, begin, end = signs[number], signs[number + 1], ends[number], ends[number + 1]
    dotted = stop - start != end - begin
    if np.count_nonzero(dotted) != len(dots):
        raise ValueError("a number with two dots")
    behind = np.zeros(len(start), np.int64)  # how many digits stand behind the dot
    behind[dotted] = stop[dotted] - 1 - dots
    first = begin + 1
    negative = bare[first] == _MINUS
    first += negative
    digits = end - first
    before = digits - behind
    if (
        (behind[dotted] == 0).any()
        or (before < 1).any()
        or ((bare[first] == 0) & (before > 1)).any()
        or np.count_nonzero(bare == _MINUS) != np.count_nonzero(negative)
    ):
        raise ValueError("no number of JSON")
    padded = np.concatenate([np.zeros(16, np.uint8), bare])
    words = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
    whole = _eight(words[end + 8], digits)
    long = np.flatnonzero(digits > 8)
    whole[long] += 100_000_000 * _eight(words[end[long]], digits[long] - 8)
    found = whole.astype(np.float64)
    found /= _TENS[np.minimum(behind, 22)]
    np.negative(found, found, where=negative)
    for k in np.flatnonzero((digits > 15) | (behind > 22)).tolist():
        found[k] = float(bytes(_SIGNS[code] for code in codes[start[k] + 1 : stop[k]]))
    return found


def _eight(words: npt.NDArray[np.uint64], digits: Int) -> npt.NDArray[np.uint64]:
    """Return the numbers that the last of eight digits make; the first of them is the lowest byte."""
    unused = (64 - 8 * np.minimum(digits, 8)).astype(np.uint64)
    words = words >> unused << unused
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (words * np.uint64(10_000) + (words >> np.uint64(32))) & np.uint64(0xFFFFFFFF)


def _lists(kinds: npt.NDArray[np.uint8], numbered: Bool, count: int) -> tuple[Int, Int, Int, Int]:
    """Return where rings end in points, parts in rings, and outlines in parts, and how deep outlines are nested."""
    if not _MAY_FOLLOW.reshape(-1)[kinds[:-1] * 6 + kinds[1:] * 2 + numbered].all():
        raise ValueError("no lists of points")
    commas = np.flatnonzero(kinds == 0)
    if (numbered[commas - 1] != numbered[commas]).any():
        raise ValueError("a point without two numbers")
    depth = np.cumsum(np.array([0, 1, -1], np.int32)[kinds])
    top = np.flatnonzero((depth == 0) & (kinds == 2))
    if depth.min() < 0 or depth[-1] != 0 or len(top) != count:
        raise ValueError("lists that are not closed")
    first = np.concatenate([[0], top[:-1] + 2])
    deepest = np.maximum.reduceat(depth, first)
    if (deepest < 3).any() or (deepest > 4).any():
        raise ValueError("neither polygons nor multipolygons")
    own = depth - np.repeat(deepest, np.diff(top + 1, prepend=0))
    if (own[:-1][numbered] != 0).any():
        raise ValueError("points at different depths")
    closed = own[kinds == 2]
    last = [np.flatnonzero(closed == -level) for level in (1, 2, 3)]  # signs that end points, rings, parts
    rings, parts = (np.searchsorted(inner, outer) for inner, outer in itertools.pairwise(last))
    return rings, parts, np.searchsorted(np.flatnonzero(kinds == 2)[last[2]], top, "right"), deepest
