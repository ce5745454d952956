"""Label maps and dense stacks to runs: where the value changes down a column, a run ends and another begins."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Int
from apiece.core.runs import Keys
from apiece.errors import InvalidInstancesError

_BLOCK = 1 << 19  # pixels compared at once: the comparison stays in the second-level cache
_TABLE = 1 << 24  # values within this range are renumbered through a table, if they are many, others by sorting


def label_map_runs(a: Array, background: int = 0) -> tuple[Array, Int, Int, Int, Int]:
    """Runs of every value of a label map but ``background``.

    Parameters
    ----------
    a : integer or bool array of shape (height, width).

    Returns
    -------
    (values, owner, x, y0, y1): the distinct values, ascending, and ordered runs; ``owner`` indexes ``values``.
    """
    a = np.asarray(a)
    if a.ndim != 2 or a.dtype.kind not in "bui":
        raise InvalidInstancesError(
            f"a label map is an integer array of shape (height, width); got shape {a.shape}, dtype {a.dtype}"
        )
    if a.dtype.kind == "b":
        a = a.view(np.uint8)
    if not np.iinfo(a.dtype).min <= background <= np.iinfo(a.dtype).max:
        raise InvalidInstancesError(f"no pixel of type {a.dtype} can have the background's value {background}")
    height, width = a.shape
    if not a.size:
        empty = np.zeros(0, np.int64)
        return a.reshape(-1), empty, empty, empty, empty
    y, x, above, here = _changes(a, background)
    begins, ends = here != background, above != background
    values, index = _renumber(np.concatenate([here[begins], above[ends]]))
    keys = Keys(height, width)
    keys.check(len(values))
    place = keys.pack(0, x, y)
    index <<= keys.column_bits
    split = int(np.count_nonzero(begins))
    start, end = index[:split] + place[begins], index[split:] + place[ends]
    # runs of one value are disjoint, so its k-th start down the columns belongs to its k-th end
    start.sort()
    end.sort()
    owner, columns, y0 = keys.unpack(start)
    return values, owner, columns, y0, keys.unpack(end)[2]


def _changes(a: Array, background: int) -> tuple[Int, Int, Array, Array]:
    """(y, x, value above, value here) wherever they differ down a column; beyond the array lies background."""
    height, width = a.shape
    rows = max(_BLOCK // max(width, 1), 1)
    differs = np.empty((rows, width), bool)
    edge = np.full(width, background, a.dtype)
    places, aboves, heres = [], [], []

    def keep(place: Int, above: Array, here: Array, row: int) -> None:
        places.append(place + row * width)
        aboves.append(above)
        heres.append(here)

    first, last = a[0], a[-1]
    top = np.flatnonzero(first != background)
    keep(top, edge[top], first[top], 0)
    for row in range(1, height, rows):
        upper, lower = a[row - 1 : min(row + rows, height) - 1], a[row : row + rows]
        block = differs[: len(lower)]
        np.not_equal(upper, lower, out=block)
        place = np.flatnonzero(block)
        if a.flags.c_contiguous:
            keep(place, upper.reshape(-1)[place], lower.reshape(-1)[place], row)
        else:
            i, j = np.divmod(place, width)
            keep(place, upper[i, j], lower[i, j], row)
    bottom = np.flatnonzero(last != background)
    keep(bottom, last[bottom], edge[bottom], height)
    y, x = np.divmod(np.concatenate(places), width)
    return y, x, np.concatenate(aboves), np.concatenate(heres)


def _renumber(values: Array) -> tuple[Array, Int]:
    """(distinct values ascending, index of each), as ``np.unique`` gives them, but through a table where it fits."""
    if not len(values):
        return values, np.zeros(0, np.int64)
    low, high = int(values.min()), int(values.max())
    if high - low >= min(_TABLE, max(1 << 16, 32 * len(values))):
        distinct, index = np.unique(values, return_inverse=True)
        return distinct, index.astype(np.int64)
    if values.dtype.itemsize < 8:
        shifted = values.astype(np.int64) - low
    else:
        shifted = (values - values.dtype.type(low)).astype(np.int64)
    present = np.zeros(high - low + 1, bool)
    present[shifted] = True
    distinct = np.flatnonzero(present)
    return distinct.astype(values.dtype) + values.dtype.type(low), (np.cumsum(present) - 1)[shifted]


def dense_runs(stack: Array) -> tuple[Int, Int, Int, Int]:
    """Ordered runs (owner, x, y0, y1) of a stack of shape (N, height, width); nonzero is inside."""
    count, height, width = stack.shape
    keys = Keys(height, width)
    keys.check(count)
    per_block = max(_BLOCK // max(height * width, 1), 1)
    starts: list[Int] = [np.zeros(0, np.int64)]
    ends: list[Int] = [np.zeros(0, np.int64)]
    for n in range(0, count if height and width else 0, per_block):
        inside = np.zeros((min(per_block, count - n), height + 2, width), bool)
        np.not_equal(stack[n : n + per_block], 0, out=inside[:, 1:-1])
        owner, y, x = np.nonzero(inside[:, 1:] != inside[:, :-1])
        place = keys.pack(owner + n, x, y)
        begins = inside[owner, y + 1, x]
        starts.append(np.sort(place[begins]))
        ends.append(np.sort(place[~begins]))
    owner, x, y0 = keys.unpack(np.concatenate(starts))
    return owner, x, y0, keys.unpack(np.concatenate(ends))[2]
