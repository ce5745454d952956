"""Label maps and dense stacks to runs: where the value changes down a column, a run ends and another begins."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Int, keep_freed_memory
from apiece.core.runs import Keys
from apiece.errors import InvalidInstancesError

_LARGE = 1 << 21  # pixels from which temporary arrays are worth keeping
_BLOCK = 1 << 19  # pixels compared at once: the comparison stays in the second-level cache


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
    if a.size > _LARGE:
        keep_freed_memory()
    keys, values = Keys(*a.shape), None
    try:
        start, end = _ends(a, background, keys)
    except OverflowError:  # values too high to be part of a key
        values, index = np.unique(np.append(a, a.dtype.type(background)), return_inverse=True)
        start, end = _ends(index[:-1].reshape(a.shape), int(index[-1]), keys)
    # runs of one value are disjoint, so its k-th start down the columns belongs to its k-th end
    start.sort()
    end.sort()
    owner, columns, y0 = keys.unpack(start)
    first = np.diff(owner, prepend=owner[:1] - 1) != 0
    found = owner[first].astype(a.dtype) if values is None else values[owner[first]]
    keys.check(len(found))
    return found, np.cumsum(first) - 1, columns, y0, keys.rows(end)


def _ends(a: Array, background: int, keys: Keys) -> tuple[Int, Int]:
    """Keys (value, column, row), unsorted, where values begin and end down the columns; beyond lies background.

    Block by block, so that all but the array itself stays in the second-level cache. A value that a key cannot hold
    raises `OverflowError`.
    """
    height, width = a.shape
    rows = max(_BLOCK // max(width, 1), 1)
    differs = np.empty((rows, width), bool)
    edge = np.full(width, background, a.dtype)
    highest = 1 << 62 - keys.column_bits
    found: tuple[list[Int], list[Int]] = ([], [])

    def keep(place: Int, above: Array, here: Array) -> None:
        for side, values in zip(found, (here, above), strict=True):
            chosen = np.flatnonzero(values != background)
            given = values[chosen]
            if a.dtype.itemsize > 2 and len(given) and not -highest <= int(given.min()) <= int(given.max()) < highest:
                raise OverflowError
            key = given.astype(np.int64)
            key <<= keys.column_bits
            key += place[chosen]
            side.append(key)

    top = np.arange(width) << keys.y_bits
    keep(top, edge, a[0] if height else edge)
    for row in range(1, height, rows):
        upper, lower = a[row - 1 : min(row + rows, height) - 1], a[row : row + rows]
        block = differs[: len(lower)]
        np.not_equal(upper, lower, out=block)
        at = np.flatnonzero(block)
        y, x = np.divmod(at, width)
        place = (x << keys.y_bits) + (y + row)
        if a.flags.c_contiguous:
            keep(place, upper.reshape(-1)[at], lower.reshape(-1)[at])
        else:
            keep(place, upper[y, x], lower[y, x])
    keep(top + height, a[-1] if height else edge, edge)
    start, end = map(np.concatenate, found)
    return start, end


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
