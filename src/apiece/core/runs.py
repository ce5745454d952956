"""Column runs in flat arrays: the primitives that every operation on masks is made of.

A run is one vertical stretch of pixels of one instance: column ``x``, rows ``y0`` to ``y1 - 1``. The runs of a whole
set lie in flat arrays, ordered by (instance, column, row), and two runs of one column never touch. Order and
equality of (instance, column, row) triples are decided on packed 63-bit keys, so that one ``np.sort`` or
``np.searchsorted`` serves all instances at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Int
from apiece.errors import InvalidInstancesError

__all__ = [
    "CHUNK", "Bool", "Int", "Keys", "expand", "frozen", "offsets_of", "owners", "paint", "segment_sum", "sums", "union",
]  # fmt: skip

Scalar = TypeVar("Scalar", bound=np.generic)

CHUNK = 1 << 21
"""Elements handled at once where a step needs memory beyond the runs themselves (16 MB of int64)."""


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
        """(owner, x, y) of each key."""
        return (
            key >> self.column_bits,
            (key >> self.y_bits) & ((1 << (self.column_bits - self.y_bits)) - 1),
            key & ((1 << self.y_bits) - 1),
        )

    def check(self, count: int) -> None:
        """Refuse a set so large that keys would wrap."""
        if self.column_bits + max(int(count).bit_length(), 1) > 63:
            raise InvalidInstancesError(
                f"{count} masks of {self.height} x {self.width} pixels are too many for one set"
            )


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


def offsets_of(owner: Int, count: int) -> Int:
    """Where each instance's runs begin and end, from ascending owners: shape (count + 1,)."""
    return sums(np.bincount(owner, minlength=count))


def segment_sum(values: Array, offsets: Int) -> Array:
    """Sum of each segment ``values[offsets[i]:offsets[i + 1]]``; 0 for an empty one."""
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    total = np.zeros(len(values) + 1, dtype)
    np.cumsum(values, dtype=dtype, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def union(keys: Keys, owner: Array, x: Array, y0: Array, y1: Array) -> tuple[Array, Array, Array, Array]:
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
        order = np.argsort(start)
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


def paint(out: Array, base: Int, stride: int | Int, length: Array, values: Any) -> None:
    """Write each run into the flat array ``out``: at ``base + k * stride`` for k below ``length``; the last wins.

    ``values`` is one scalar or one value per run; memory is bounded by `CHUNK` pixels.
    """
    ends = np.cumsum(length, dtype=np.int64)
    strides = np.broadcast_to(np.asarray(stride, np.int64), base.shape)
    per_run = np.ndim(values) > 0
    lo = 0
    while lo < len(base):
        done = int(ends[lo - 1]) if lo else 0
        hi = max(int(np.searchsorted(ends, done + CHUNK, "right")), lo + 1)
        count = np.asarray(length[lo:hi], np.int64)
        step = np.arange(int(count.sum())) - np.repeat(ends[lo:hi] - count - done, count)
        step *= np.repeat(strides[lo:hi], count)
        step += np.repeat(base[lo:hi], count)
        out[step] = np.repeat(values[lo:hi], count) if per_run else values
        lo = hi
