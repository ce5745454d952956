"""Which runs of two sets share pixels, and how many: the ground under IoU, layers and matching.

Two runs of one column overlap exactly when one begins inside the other, so two range searches over the runs sorted by
(column, row) find every overlapping pair once, whatever the number of instances.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from apiece._arrays import Int
from apiece.core.runs import Keys, Runs, chunks, expand

__all__ = ["Columns", "intersections"]

_DENSE = 1 << 23  # pairs of masks up to which a table of all of them is held (64 MB)


class Columns:
    """The runs of one set ordered by (column, row), whoever they belong to."""

    def __init__(self, runs: Runs, size: tuple[int, int]) -> None:
        start = Keys(*size).pack(0, runs.x, runs.y0)
        order = np.argsort(start)
        self.start = start[order]
        self.length = (runs.y1 - runs.y0).astype(np.int64)[order]
        self.end = self.start + self.length
        self.owner = runs.owners[order]


def intersections(a: Columns, b: Columns, shape: tuple[int, int]) -> sp.csr_array:
    """Shared pixels of every overlapping pair: int64 of shape (len(a), len(b)), sparse.

    Memory grows with the overlapping pairs: partial sums are folded every `CHUNK` pairs of runs.
    """
    if shape[0] * shape[1] <= _DENSE:  # no sorting: thousands of masks that all lie on each other, as in suppression
        table = np.zeros(shape[0] * shape[1])
        for i, j, pixels in _pairs(a, b):
            table += np.bincount(a.owner[i] * shape[1] + b.owner[j], pixels, len(table))
        cells = np.flatnonzero(table)
        begins = np.searchsorted(cells, np.arange(shape[0] + 1) * shape[1])
        return sp.csr_array((table[cells].astype(np.int64), cells % shape[1], begins), shape=shape)
    total = sp.csr_array(shape, dtype=np.int64)
    for i, j, pixels in _pairs(a, b):
        # csr from coordinates adds up what falls on one cell
        total = total + sp.coo_array((pixels, (a.owner[i], b.owner[j])), shape=shape).tocsr()
    return total


def _pairs(a: Columns, b: Columns) -> Iterator[tuple[Int, Int, Int]]:
    """Overlapping pairs of runs (index into a, index into b, shared pixels), in chunks; each pair once."""
    for i, j in _begins_inside(a, b, "left"):
        yield i, j, np.minimum(a.end[i] - b.start[j], b.length[j])
    # equal beginnings were met above
    for j, i in _begins_inside(b, a, "right"):
        yield i, j, np.minimum(b.end[j] - a.start[i], a.length[i])


def _begins_inside(outer: Columns, inner: Columns, side: str) -> Iterator[tuple[Int, Int]]:
    """(index into outer, index into inner) where inner begins inside outer; ``"right"`` leaves equal beginnings out."""
    low = np.searchsorted(inner.start, outer.start, side)  # type: ignore[call-overload]
    count = np.searchsorted(inner.start, outer.end, "left") - low
    for lo, hi in chunks(count):
        if count[lo:hi].any():
            yield np.repeat(np.arange(lo, hi), count[lo:hi]), expand(low[lo:hi], count[lo:hi])
