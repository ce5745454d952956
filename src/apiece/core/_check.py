"""What arguments that many functions share must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from apiece.core._runs import Int
from apiece.errors import InvalidInstancesError

__all__ = ["checked_boxes", "checked_size", "resolve_index"]

_MAX_SIDE = 2**31 - 2


def checked_boxes(boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Boxes as float64 of shape (N, 4), refused if they are anything else."""
    array = np.asarray(boxes, np.float64)
    if not array.size:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise InvalidInstancesError(f"boxes must be finite x0, y0, x1, y1 of shape (N, 4); got shape {array.shape}")
    return array


def checked_size(size: Any) -> tuple[int, int]:
    """(height, width) as two Python integers that 32-bit coordinates hold."""
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise InvalidInstancesError(f"size must be (height, width), got {size!r}") from None
    if not (0 <= height <= _MAX_SIDE and 0 <= width <= _MAX_SIDE):
        raise InvalidInstancesError(f"size must be (height, width) from 0 to {_MAX_SIDE}, got {size!r}")
    return height, width


def resolve_index(index: Any, count: int) -> Int:
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
    return np.where(chosen < 0, chosen + count, chosen).astype(np.int64)
