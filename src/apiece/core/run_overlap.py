"""Which masks of two sets share pixels, and how many: the ground under IoU, layers and matching.

`intersections` finds every pair. Two runs of one column overlap exactly when one begins inside the other, so two range
searches over the runs sorted by (column, row) find every overlapping pair once, whatever the number of instances.

`shared` answers for pairs that are known. Nothing is sorted: a table of the columns of each mask says where the runs
beside a run are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from apiece._arrays import Int
from apiece._scipy import sp
from apiece.core.runs import Keys, Runs, chunks, expand, segment_sum, stripes, sums

__all__ = ["Columns", "added_up", "cut", "intersections", "overlapping", "shared"]

_DENSE = 1 << 23  # pairs of masks up to which a table of all of them is held (64 MB)
_CELLS = 16
"""Cells of that table, for each of the first pairs of runs, up to which it is quicker than sorting the pairs."""
_STRIPE = 1 << 19
"""Runs of two sets that `intersections` sorts, and `shared` has tables of, in one go (some 40 MB)."""
_RUNS = 1 << 18
"""Runs that `shared` looks at in one go: small enough for a processor's cache."""
_FEW = 8
"""Runs of one mask in one column up to which all are compared; of more, those that overlap are searched for."""


class Columns:
    """The runs of one set, which come ordered by (column, row), whoever they belong to: all, or those of a stripe."""

    def __init__(self, runs: Runs, size: tuple[int, int]) -> None:
        self.runs, self._keys = runs, Keys(*size)

    def stripe(self, left: int, right: int) -> _Stripe:
        """Return the runs of the columns from ``left`` to ``right - 1``."""
        return self._ordered(self.runs.between(left, right))

    @cached_property
    def whole(self) -> _Stripe:
        """All runs."""
        return self._ordered(self.runs)

    def _ordered(self, runs: Runs) -> _Stripe:
        start = self._keys.pack(0, runs.x, runs.y0)
        order = np.argsort(start, kind="stable")  # stretches in order: one of each mask
        start = start[order]
        length = (runs.y1 - runs.y0).astype(np.int64)[order]
        return _Stripe(start, length, start + length, runs.owners[order])


class _Stripe(NamedTuple):
    """Runs ordered by (column, row): keys of their begins and ends, their lengths, and the mask of each."""

    start: Int
    length: Int
    end: Int
    owner: Int


def intersections(a: Columns, b: Columns, shape: tuple[int, int]) -> sp.csr_array:
    """Shared pixels of every overlapping pair: int64 of shape (len(a), len(b)), sparse."""
    i, j, pixels = overlapping(a, b, shape)
    return sp.csr_array((pixels, j, np.searchsorted(i, np.arange(shape[0] + 1))), shape=shape)


def overlapping(a: Columns, b: Columns, shape: tuple[int, int]) -> tuple[Int, Int, Int]:
    """Return every overlapping pair, (mask of ``a``, mask of ``b``) in order, and the pixels that both share.

    Memory grows with the overlapping pairs: large sets are compared stripe by stripe, and partial sums are folded every
    `CHUNK` pairs of runs.
    """
    cells, pairs = shape[0] * shape[1], _pairs(a, b)
    first = list(itertools.islice(pairs, 1))
    pairs = itertools.chain(first, pairs)
    # no sorting: thousands of masks that all lie on each other, as in suppression
    if cells <= _DENSE and first and cells <= _CELLS * len(first[0][2]):
        table = np.zeros(cells)
        for mine, other, i, j, pixels in pairs:
            table += np.bincount(mine.owner[i] * shape[1] + other.owner[j], pixels, len(table))
        met = np.flatnonzero(table)
        return *np.divmod(met, max(shape[1], 1)), table[met].astype(np.int64)
    met, total = added_up((mine.owner[i] * shape[1] + other.owner[j], n) for mine, other, i, j, n in pairs)
    return *np.divmod(met, max(shape[1], 1)), total


def added_up(parts: Iterable[tuple[Int, Int]]) -> tuple[Int, Int]:
    """Return the keys that parts (keys, numbers) hold, ascending, each once, and the sum of its numbers.

    Memory grows with the keys, and with one part.

    >>> added_up([(np.array([4, 1, 4]), np.array([1, 2, 3])), (np.array([1]), np.array([5]))])
    (array([1, 4]), array([7, 4]))
    """
    key, total = np.zeros((2, 0), np.int64)
    for more, numbers in parts:
        key, total = np.concatenate([key, more]), np.concatenate([total, numbers])
        order = _order(key)
        key = key[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        key, total = key[first], segment_sum(total[order], np.append(first, len(order)))
    return key, total


def _order(key: Int) -> Int:
    """Return what sorts keys of 0 or more: numbers sort in a third of the time of places, so both are put in one."""
    bits = len(key).bit_length()
    if int(key.max(initial=0)) >> (63 - bits):
        return np.argsort(key)
    return np.sort(key << bits | np.arange(len(key))) & ((1 << bits) - 1)


def cut(runs: Runs, region: Runs, size: tuple[int, int]) -> Runs:
    """Return what of each mask lies in a region, which is one mask.

    >>> from apiece import Masks
    >>> a, b = (Masks.from_boxes([box], (5, 5)).runs for box in ([0, 0, 4, 2], [2, 1, 5, 5]))
    >>> cut(a, b, (5, 5)).x.tolist()
    [2, 3]
    """
    none = np.zeros(0, np.int64)
    pieces = [(none, none, none)]
    for mine, other, i, j, pixels in _pairs(Columns(runs, size), Columns(region, size)):
        pieces.append((mine.owner[i], np.maximum(mine.start[i], other.start[j]), pixels))
    owner, start, length = map(np.concatenate, zip(*pieces, strict=True))
    _, x, y0 = Keys(*size).unpack(start)
    return Runs.pack((owner, x, y0, y0 + length), len(runs.offsets) - 1, size)


def _pairs(a: Columns, b: Columns) -> Iterator[tuple[_Stripe, _Stripe, Int, Int, Int]]:
    """Yield overlapping pairs of runs, in chunks, each pair once: two stripes, index into each, shared pixels."""
    for mine, other in _stripes(a, b):
        for i, j in _begins_inside(mine, other, "left"):
            yield mine, other, i, j, np.minimum(mine.end[i] - other.start[j], other.length[j])
        # equal beginnings were met above
        for j, i in _begins_inside(other, mine, "right"):
            yield mine, other, i, j, np.minimum(other.end[j] - mine.start[i], mine.length[i])


def _stripes(a: Columns, b: Columns) -> Iterator[tuple[_Stripe, _Stripe]]:
    """Yield the runs of both sets in stripes of columns that hold at most `_STRIPE` of them."""
    if len(a.runs.x) + len(b.runs.x) <= _STRIPE:
        yield a.whole, b.whole
        return
    for left, right in stripes((a.runs, b.runs), _STRIPE):
        mine = a.stripe(left, right)
        yield mine, mine if b is a else b.stripe(left, right)


def _begins_inside(outer: _Stripe, inner: _Stripe, side: str) -> Iterator[tuple[Int, Int]]:
    """(index into outer, index into inner) where inner begins inside outer; ``"right"`` leaves equal beginnings out."""
    low = np.searchsorted(inner.start, outer.start, side)  # type: ignore[call-overload]
    count = np.searchsorted(inner.start, outer.end, "left") - low
    for lo, hi in chunks(count):
        if count[lo:hi].any():
            yield np.repeat(np.arange(lo, hi), count[lo:hi]), expand(low[lo:hi], count[lo:hi])


def shared(a: Runs, i: Int, b: Runs, j: Int) -> Int:
    """Return the pixels that mask ``i[k]`` of ``a`` shares with mask ``j[k]`` of ``b``, for each k: int64.

    >>> from apiece import Masks
    >>> a, b = (Masks.from_boxes([box], (5, 5)).runs for box in ([0, 0, 4, 2], [2, 1, 5, 5]))
    >>> shared(a, np.array([0]), b, np.array([0])).tolist()
    [2]
    """
    if len(a.x) + len(b.x) <= _STRIPE:
        return _shared(a, i, b, j)
    each = np.minimum(np.diff(a.offsets)[i], np.diff(b.offsets)[j])
    out, order = np.zeros(len(i), np.int64), np.argsort(a.boxes[:, 1][i], kind="stable")
    # from the top down, as most files have them, so that the pairs of one go are of few masks that lie side by side
    for lo, hi in chunks(each[order], _RUNS):
        some = order[lo:hi]
        (mine, place), (other, where) = (np.unique(index[some], return_inverse=True) for index in (i, j))
        out[some] = _shared(a.take(mine), place, b.take(other), where)
    return out


def _shared(a: Runs, i: Int, b: Runs, j: Int) -> Int:
    """Return what `shared` does, with tables of all masks in memory."""
    mine, other = _Table(a), _Table(b)
    first, last = mine.between(i, np.maximum(mine.left[i], other.left[j]), np.minimum(mine.right[i], other.right[j]))
    count, begins = last - first, other.begins()
    out = np.zeros(len(i), np.int64)
    for lo, hi in chunks(count, _RUNS):
        each = count[lo:hi]
        run = expand(first[lo:hi], each)
        cell = np.repeat(other.base[j[lo:hi]], each)
        cell += a.x[run]
        begin, ends = begins[cell], sums(each)
        many = begins[cell + 1] - begin
        if (many != 1).any():
            begin, many = _narrowed(a, run, b, other, cell, begin, many)
            run, begin, ends = np.repeat(run, many), expand(begin, many), sums(many)[ends]
        pixels = np.minimum(a.y1[run], b.y1[begin])
        pixels -= np.maximum(a.y0[run], b.y0[begin])
        out[lo:hi] = segment_sum(np.maximum(pixels, 0, out=pixels), ends)
    return out


class _Table:
    """The columns of every mask, end to end: column x of mask i is cell ``base[i] + x``.

    Attributes
    ----------
    left, right : int64 (N,), first column of each mask, and the one behind its last; 0 for an empty mask.
    base : int64 (N,).
    cell : int64 (R,), in which cell each run is.
    """

    def __init__(self, runs: Runs) -> None:
        each = runs.offsets[1:] - runs.offsets[:-1]
        some = each.nonzero()[0]
        self.left, self.right = np.zeros((2, len(each)), np.int64)
        self.left[some], self.right[some] = runs.x[runs.offsets[some]], runs.x[runs.offsets[some + 1] - 1] + 1
        starts = sums(self.right - self.left)
        self.base, self._cells = starts[:-1] - self.left, int(starts[-1])
        self.cell = np.repeat(self.base, each)
        self.cell += runs.x

    def between(self, mask: Int, left: Int, right: Int) -> tuple[Int, Int]:
        """Return the first run of each ``mask`` from column ``left`` on, and its first from ``right`` on."""
        base = self.base[mask]
        first, last = (np.searchsorted(self.cell, base + column) for column in (left, np.maximum(left, right)))
        return first, last

    def begins(self) -> Int:
        """Return where the runs of each cell begin, and behind the last cell where all end: int64 (cells + 1,)."""
        return sums(np.bincount(self.cell, minlength=self._cells))


def _narrowed(a: Runs, run: Int, b: Runs, other: _Table, cell: Int, begin: Int, many: Int) -> tuple[Int, Int]:
    """From which run of ``b``, and how many, each run of ``a`` may overlap: of many in one column, those that do."""
    deep = np.flatnonzero(many > _FEW)
    if len(deep):
        keys = Keys(max(int(a.y1.max()), int(b.y1.max())), 1)
        top, bottom = (keys.pack(0, cell[deep], y[run[deep]]) for y in (a.y0, a.y1))
        begin[deep] = np.searchsorted(keys.pack(0, other.cell, b.y1), top, "right")
        many[deep] = np.maximum(np.searchsorted(keys.pack(0, other.cell, b.y0), bottom) - begin[deep], 0)
    return begin, many
