"""What arguments that many functions share must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Float, Int
from apiece.core.runs import Keys, owners
from apiece.errors import InvalidInstancesError

Index: TypeAlias = Array | slice | Sequence[int] | Sequence[bool]
"""What chooses among the instances of a set."""
_MAX_SIDE = 2**31 - 2
_MAX_INT = 2**63 - 1


def checked_boxes(boxes: npt.ArrayLike) -> Float:
    """Boxes as float64 of shape (N, 4), refused if they are anything else."""
    array = np.asarray(boxes, np.float64)
    if not array.size:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise InvalidInstancesError(f"boxes must be finite x0, y0, x1, y1 of shape (N, 4); got shape {array.shape}")
    return array


def whole(*values: Any) -> tuple[int, ...]:
    """As Python integers; a fraction is refused, since cutting it off would move things unseen."""
    try:
        found = tuple(int(v) for v in values)
        if found == values:
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidInstancesError(f"expected whole numbers, got {', '.join(map(repr, values))}")


def integers(name: str, values: npt.ArrayLike) -> Int:
    """A copy as int64; what a cast would cut or wrap is refused."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InvalidInstancesError(f"{name} must be integers, got {array.dtype}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > _MAX_INT:
        raise InvalidInstancesError(f"{name} must fit 64 bits with a sign, got {array.max()}")
    return array.astype(np.int64)


def check_runs(size: tuple[int, int], x: Int, y0: Int, y1: Int, offsets: Int) -> None:
    """Refuse arrays that are not of the form that `Masks` stores."""
    if not (x.ndim == y0.ndim == y1.ndim == offsets.ndim == 1 and len(x) == len(y0) == len(y1)):
        raise InvalidInstancesError(f"x, y0, y1 must be 1-D of one length; got {x.shape}, {y0.shape}, {y1.shape}")
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(x) or (np.diff(offsets) < 0).any():
        raise InvalidInstancesError(f"offsets must rise from 0 to the number of runs ({len(x)})")
    height, width = size
    if len(x) and (x.min() < 0 or x.max() >= width or y0.min() < 0 or y1.max() > height or (y0 >= y1).any()):
        raise InvalidInstancesError(f"a run lies outside the image of {height} x {width} pixels or has no pixel")
    keys, owner = Keys(height, width), owners(offsets)
    keys.check(len(offsets) - 1)
    if (keys.pack(owner, x, y0)[1:] <= keys.pack(owner, x, y1)[:-1]).any():
        raise InvalidInstancesError(
            "runs must be ordered by (mask, x, y0), and runs of one mask in one column must not touch"
        )


def checked_size(size: Any) -> tuple[int, int]:
    """(height, width) as two Python integers that 32-bit coordinates hold."""
    try:
        height, width = whole(*size)
    except (TypeError, ValueError):
        raise InvalidInstancesError(f"size must be (height, width), got {size!r}") from None
    if not (0 <= height <= _MAX_SIDE and 0 <= width <= _MAX_SIDE):
        raise InvalidInstancesError(f"size must be (height, width) from 0 to {_MAX_SIDE}, got {size!r}")
    return height, width


def resolve_index(index: Index | int, count: int) -> Int:
    """Positions that an integer, integer array, bool array or slice chooses among ``count``."""
    if isinstance(index, slice):
        return np.arange(count)[index]
    chosen = np.atleast_1d(np.asarray(index))
    if not chosen.size and chosen.dtype.kind != "b":
        return np.zeros(0, np.int64)
    if chosen.dtype.kind == "b":
        if chosen.shape != (count,):
            raise InvalidInstancesError(
                f"a bool index needs one entry per instance: shape ({count},), got {chosen.shape}"
            )
        return np.flatnonzero(chosen)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise InvalidInstancesError(
            f"index with a 1-D integer array, a bool array or a slice; got {chosen.dtype} of shape {chosen.shape}"
        )
    if chosen.min() < -count or chosen.max() >= count:
        raise IndexError(
            f"index {chosen.min() if chosen.min() < -count else chosen.max()} is out of range for {count} instances"
        )
    chosen = chosen.astype(np.int64)  # before anything is added: small integers would not hold it
    return np.where(chosen < 0, chosen + count, chosen)
