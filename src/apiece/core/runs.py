"""Column runs in flat arrays: the primitives that every operation on masks is made of.

A run is one vertical stretch of pixels of one mask: column ``x``, rows ``y0`` to ``y1 - 1``. The runs of a whole set
lie in flat arrays, ordered by (mask, column, row), and two runs of one column never touch. Order and equality of
(mask, column, row) triples are decided on packed 63-bit keys, so that one ``np.sort`` or ``np.searchsorted`` serves all
masks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Int, Int32
from apiece.errors import InvalidInstancesError

__all__ = [
    "CHUNK", "Keys", "LooseRuns", "Runs", "chunks", "expand", "frozen", "merged", "offsets_of", "owners", "paint",
    "segment_sum", "stripes", "sums", "union",
]  # fmt: skip

Scalar = TypeVar("Scalar", bound=np.generic)

LooseRuns: TypeAlias = tuple[Array, Array, Array, Array]
"""(owner, x, y0, y1) of runs that need not be in order, may overlap, touch or be empty."""

CHUNK = 1 << 21
"""Elements handled at once where a step needs memory beyond the runs themselves (16 MB of int64)."""

_RUNS = 1 << 18
"""Runs that are sorted in one go (some 20 MB)."""


@dataclass(frozen=True)
class Keys:
    """Packs (instance, x, y) into one sortable int64 for masks of one size; ``x`` and ``y`` may equal the size."""

    height: int
    width: int

    @property
    def y_bits(self) -> int:
        """Bits that hold a row, 0 to height."""
        return max(int(self.height).bit_length(), 1)

    @property
    def column_bits(self) -> int:
        """Bits that hold a row and a column."""
        return self.y_bits + max(int(self.width).bit_length(), 1)

    def pack(self, owner: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Int:
        """Keys that sort as (owner, x, y) do."""
        key = np.asarray(owner, np.int64) << self.column_bits
        key = key + (np.asarray(x, np.int64) << self.y_bits)
        key += np.asarray(y, np.int64)
        return key

    def unpack(self, key: Int) -> tuple[Int, Int, Int]:
        """Return (owner, x, y) of each key."""
        return (
            key >> self.column_bits,
            (key >> self.y_bits) & ((1 << (self.column_bits - self.y_bits)) - 1),
            self.rows(key),
        )

    def rows(self, key: Int) -> Int:
        """Return y of each key."""
        return key & ((1 << self.y_bits) - 1)

    def check(self, count: int) -> None:
        """Refuse a set so large that keys would wrap."""
        if self.column_bits + max(int(count).bit_length(), 1) > 63:
            raise InvalidInstancesError(
                f"{count} masks of {self.height} x {self.width} pixels are too many for one set"
            )


class Runs(NamedTuple):
    """The runs of N masks, ordered by (mask, column, row); runs of one mask in one column never touch.

    Attributes
    ----------
    x, y0, y1 : int32 (R,): run r is column ``x[r]``, rows ``y0[r]`` to ``y1[r] - 1``.
    offsets : int64 (N + 1,): mask i has the runs ``offsets[i]`` to ``offsets[i + 1] - 1``.
    """

    x: Int32
    y0: Int32
    y1: Int32
    offsets: Int

    @classmethod
    def pack(cls, runs: LooseRuns, count: int, size: tuple[int, int]) -> Runs:
        """Return any runs of ``count`` masks on an image of ``size`` as ordered runs that do not touch."""
        keys = Keys(*size)
        keys.check(count)
        owner, x, y0, y1 = union(keys, *runs)
        return cls.ordered(owner, x, y0, y1, count)

    @classmethod
    def ordered(cls, owner: Array, x: Array, y0: Array, y1: Array, count: int) -> Runs:
        """Return runs of ``count`` masks that are in order already."""
        x, y0, y1 = (np.ascontiguousarray(a, np.int32) for a in (x, y0, y1))
        return cls(x, y0, y1, offsets_of(owner, count))

    @classmethod
    def concatenate(cls, sets: Sequence[Runs]) -> Runs:
        """Return the masks of several sets, in order; one set is itself."""
        if len(sets) == 1:
            return sets[0]
        none = np.zeros(0, np.int32)
        x, y0, y1 = (np.concatenate([none, *(runs[k] for runs in sets)]) for k in range(3))
        before = sums([len(runs.x) for runs in sets])
        begins = [runs.offsets[:-1] + base for runs, base in zip(sets, before[:-1], strict=True)]
        return cls(x, y0, y1, np.concatenate([*begins, before[-1:]]))

    def like(self, parts: Iterable[Runs]) -> Runs:
        """Return the masks of several sets, in order, kept where these are: in memory, or in a file (`StoredRuns`)."""
        return Runs.concatenate(list(parts))

    def as_one(self) -> Self:
        """Return all runs as those of one mask, of masks that lie one behind the other from left to right."""
        return self._replace(offsets=self.offsets[[0, -1]])

    @property
    def number(self) -> int:
        """Number of masks."""
        return len(self.offsets) - 1

    @property
    def owners(self) -> Int:
        """The mask each run belongs to: int64 (R,)."""
        return owners(self.offsets)

    @property
    def area(self) -> Int:
        """Pixels of each mask: int64 (N,)."""
        return self.summed(lambda runs: runs.y1 - runs.y0)

    def summed(self, values: Callable[[Runs], Array]) -> Int:
        """Return the sum of ``values`` over each mask: int64 (N,).

        ``values`` gives an integer for each run of some runs; it is asked for a few masks at a time.
        """
        total = np.zeros(self.number, np.int64)
        for lo, hi, own in self.parts():
            total[lo:hi] = segment_sum(values(own), own.offsets)
        return total

    def parts(self, limit: int | None = None) -> Iterator[tuple[int, int, Runs]]:
        """Yield ranges ``lo, hi`` of masks, as `chunks` does by their runs, and the runs of these masks."""
        for lo, hi in chunks(np.diff(self.offsets), limit):
            some = slice(self.offsets[lo], self.offsets[hi])
            yield lo, hi, Runs(self.x[some], self.y0[some], self.y1[some], self.offsets[lo : hi + 1] - self.offsets[lo])

    def stretches(self, limit: int) -> Iterator[Runs]:
        """Yield all runs, ``limit`` at a time, each stretch as `stretch` returns it."""
        for lo in range(0, len(self.x), limit):
            yield self.stretch(lo, lo + limit)

    def columns(self) -> Iterator[Int32]:
        """Yield the column of each run, some at a time."""
        for lo in range(0, len(self.x), _RUNS):
            yield self.x[lo : lo + _RUNS]

    @property
    def boxes(self) -> Int:
        """Tight boxes, half-open x0, y0, x1, y1: int64 (N, 4); zeros for an empty mask."""
        boxes = np.zeros((self.number, 4), np.int64)
        for lo, _, own in self.parts():
            some = np.flatnonzero(np.diff(own.offsets))
            starts = own.offsets[some]
            if len(some):
                boxes[lo + some, 0] = own.x[starts]
                boxes[lo + some, 1] = np.minimum.reduceat(own.y0, starts)
                boxes[lo + some, 2] = own.x[own.offsets[some + 1] - 1] + 1
                boxes[lo + some, 3] = np.maximum.reduceat(own.y1, starts)
        return boxes

    @property
    def loose(self) -> LooseRuns:
        """The same runs with their owners."""
        return self.owners, self.x, self.y0, self.y1

    def merge(self, group: Int, count: int, size: tuple[int, int]) -> Runs:
        """Return ``count`` masks on an image of ``size``: mask k is the union of those whose ``group`` is k."""
        if len(self.x) <= _RUNS or not count:
            return Runs.pack((group[self.owners], *self[:3]), count, size)
        if count == 1:
            cut = (self.between(*stripe)[:3] for stripe in stripes((self,), _RUNS))
            return self.like(Runs.pack((np.zeros_like(part[0]), *part), 1, size) for part in cut).as_one()
        return self.like(self.merged(group, count, size))

    def merged(self, group: Int, count: int, size: tuple[int, int]) -> Iterator[Runs]:
        """Yield the masks that `merge` returns, a few at a time."""
        order = np.argsort(group, kind="stable")
        cuts = np.searchsorted(group[order], np.arange(count + 1))
        each = np.bincount(group, np.diff(self.offsets), count)
        for lo, hi in chunks(each, _RUNS):
            some = order[cuts[lo] : cuts[hi]]
            own = self.take(some)
            yield own.merge(group[some] - lo, hi - lo, size)

    def take(self, index: Int) -> Runs:
        """Return the masks at ``index``, in the order asked for."""
        first, counts = self.offsets[:-1][index], np.diff(self.offsets)[index]
        offsets = sums(counts)
        if offsets[-1] <= _RUNS:
            runs = expand(first, counts)
            return Runs(self.x[runs], self.y0[runs], self.y1[runs], offsets)
        x, y0, y1 = (np.empty(offsets[-1], np.int32) for _ in range(3))
        for lo, hi in chunks(counts, _RUNS):
            runs, place = expand(first[lo:hi], counts[lo:hi]), slice(offsets[lo], offsets[hi])
            for given, taken in zip(self[:3], (x, y0, y1), strict=True):
                taken[place] = given[runs]
        return Runs(x, y0, y1, offsets)

    def span(self, first: int, stop: int) -> Runs:
        """Return the masks from ``first`` to ``stop - 1``, copied: they do not keep the whole set in memory."""
        offsets = self.offsets[first : stop + 1]
        x, y0, y1 = (array[offsets[0] : offsets[-1]].copy() for array in self[:3])
        return Runs(x, y0, y1, offsets - offsets[0])

    def stretch(self, first: int, stop: int) -> Runs:
        """Return the runs from ``first`` to ``stop - 1``, of as many masks as all are."""
        x, y0, y1 = (a[first:stop] for a in self[:3])
        return Runs(x, y0, y1, np.clip(self.offsets, first, stop) - first)

    def between(self, left: int, right: int) -> Runs:
        """Return what of each mask lies in the columns from ``left`` to ``right - 1``."""
        if self.number == 1:
            ends = (
                np.array([left, right]).clip(-1, 2**31 - 1).astype(np.int32)
            )  # of another dtype NumPy copies all of x
            return self.stretch(*np.searchsorted(self.x, ends).tolist())
        return self.kept((self.x >= left) & (self.x < right))

    def kept(self, which: Bool) -> Runs:
        """Return of each mask the runs for which ``which``, bool (R,), is true."""
        some = np.flatnonzero(which)
        return Runs(self.x[some], self.y0[some], self.y1[some], np.searchsorted(some, self.offsets))

    def without(self, part: Runs, size: tuple[int, int]) -> Runs:
        """Return each mask without ``part``'s of the same number, which lies inside it; ``size`` holds them all."""
        if part is self:
            return Runs(self.x[:0], self.y0[:0], self.y1[:0], np.zeros_like(self.offsets))
        keys = Keys(*size)
        (begins, ends), (part_begins, part_ends) = self.ends(keys), part.ends(keys)
        # what is left begins where a mask does or its part ends, and ends the other way round
        start, end = merged(begins, part_ends), merged(ends, part_begins)
        some = end > start
        owner, x, top = keys.unpack(start[some])
        return Runs.ordered(owner, x, top, top + (end - start)[some], self.number)

    def ends(self, keys: Keys) -> tuple[Int, Int]:
        """Return the keys of the first pixel of each run, and of the one behind its last."""
        owner = self.owners
        return keys.pack(owner, self.x, self.y0), keys.pack(owner, self.x, self.y1)


def frozen(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """A read-only view: what several hold must not change under one of them."""
    view = array.view()
    view.setflags(write=False)
    return view


def expand(starts: Array, counts: Array) -> Int:
    """``starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ...`` in one flat array."""
    counts = np.asarray(counts, np.int64)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(np.asarray(starts, np.int64) - (ends - counts), counts) + np.arange(total)


def owners(offsets: Int) -> Int:
    """The instance each run belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def sums(values: Array | Sequence[int]) -> Int:
    """The sum of all values before each, and of all: ``0, v[0], v[0] + v[1], ...``, one longer than ``values``."""
    total = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=total[1:])
    return total


def merged(*stretches: Int) -> Int:
    """Ascending arrays as one. NumPy's stable sort merges stretches that are in order, several times as fast as the
    default one sorts them; a few more stretches within an array cost little."""
    out = np.concatenate(stretches)
    out.sort(kind="stable")
    return out


def offsets_of(owner: Int, count: int) -> Int:
    """Where each instance's runs begin and end, from ascending owners: shape (count + 1,)."""
    return sums(np.bincount(owner, minlength=count))


def segment_sum(values: Array, offsets: Int) -> Array:
    """Sum of each segment ``values[offsets[i]:offsets[i + 1]]``; 0 for an empty one."""
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    total = np.zeros(len(values) + 1, dtype)
    np.cumsum(values, dtype=dtype, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def union(keys: Keys, owner: Array, x: Array, y0: Array, y1: Array) -> LooseRuns:
    """Any runs, in any order, overlapping or not, to ordered runs that do not touch within a column.

    Runs without pixels are dropped. Returns (owner, x, y0, y1).
    """
    filled = y1 > y0
    if not filled.all():
        owner, x, y0, y1 = owner[filled], x[filled], y0[filled], y1[filled]
    if not len(x):
        return owner, x, y0, y1
    start = keys.pack(owner, x, y0)
    if (start[1:] < start[:-1]).any():
        order = np.argsort(start, kind="stable")  # stretches in order, as a rule
        start, owner, x, y0, y1 = start[order], owner[order], x[order], y0[order], y1[order]
    # the furthest end so far; the ends of earlier columns lie below every start of a later one
    reach = np.maximum.accumulate(start + (y1 - y0))
    first = np.empty(len(start), bool)
    first[0] = True
    np.greater(start[1:], reach[:-1], out=first[1:])
    if first.all():
        return owner, x, y0, y1
    heads = np.flatnonzero(first)
    last = np.append(heads[1:], len(start)) - 1
    y1_joined = (y0[heads] + (reach[last] - start[heads])).astype(y1.dtype)
    return owner[heads], x[heads], y0[heads], y1_joined


def chunks(counts: Array, limit: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield ranges ``lo, hi`` of consecutive items that together count at most ``limit``, or one item that counts more.

    ``limit`` is `CHUNK` if it is None.

    >>> list(chunks(np.array([3, 4, 9, 1, 1]), limit=8))
    [(0, 2), (2, 3), (3, 5)]
    """
    ends, limit = np.cumsum(counts, dtype=np.int64), CHUNK if limit is None else limit
    lo = 0
    while lo < len(ends):
        done = int(ends[lo - 1]) if lo else 0
        hi = max(int(np.searchsorted(ends, done + limit, "right")), lo + 1)
        yield lo, hi
        lo = hi


def stripes(sets: Sequence[Runs], limit: int, common: bool = True) -> Iterator[tuple[int, int]]:
    """Yield ranges of columns that hold at most ``limit`` runs of some sets, or one column that holds more.

    Columns beyond the first or the last run of any of the sets are left out, for there the sets have nothing in common;
    without ``common`` none is.

    >>> from apiece import Masks
    >>> list(stripes([Masks.from_boxes([[1, 0, 5, 2], [2, 0, 4, 1]], (3, 9)).runs], 3))
    [(1, 3), (3, 5)]
    """
    some = [runs for runs in sets if len(runs.x)]
    if len(some) < (len(sets) if common else 1):
        return
    ends = [[(x.min(), x.max()) for x in runs.columns()] for runs in some]
    begin, end = [int(min(low for low, _ in one)) for one in ends], [int(max(high for _, high in one)) for one in ends]
    first, last = (max(begin), min(end)) if common else (min(begin), max(end))
    if last < first:
        return
    held = np.zeros(last - first + 1, np.int64)
    for runs in some:
        for x in runs.columns():
            held += np.bincount(x[(x >= first) & (x <= last)] - first, minlength=len(held))
    for lo, hi in chunks(held, limit):
        yield first + lo, first + hi


def paint(out: Array, base: Int, stride: int | Int, length: Array, values: Any) -> None:
    """Write each run into the flat array ``out``: at ``base + k * stride`` for k below ``length``; the last wins.

    ``values`` is one scalar or one value per run; memory is bounded by `CHUNK` pixels.
    """
    strides = np.broadcast_to(np.asarray(stride, np.int64), base.shape)
    per_run = np.ndim(values) > 0
    for lo, hi in chunks(length):
        count = np.asarray(length[lo:hi], np.int64)
        step = expand(np.zeros(len(count), np.int64), count)
        step *= np.repeat(strides[lo:hi], count)
        step += np.repeat(base[lo:hi], count)
        out[step] = np.repeat(values[lo:hi], count) if per_run else values
