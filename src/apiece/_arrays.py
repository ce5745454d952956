"""Names for arrays in annotations, one meaning each."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Bool", "Float", "Float32", "Int", "Int32", "UInt8", "UInt16", "UInt32", "keep_freed_memory"]

Array: TypeAlias = npt.NDArray[Any]
Bool: TypeAlias = npt.NDArray[np.bool_]
Float: TypeAlias = npt.NDArray[np.float64]
Float32: TypeAlias = npt.NDArray[np.float32]
Int: TypeAlias = npt.NDArray[np.int64]
Int32: TypeAlias = npt.NDArray[np.int32]
UInt8: TypeAlias = npt.NDArray[np.uint8]
UInt16: TypeAlias = npt.NDArray[np.uint16]
UInt32: TypeAlias = npt.NDArray[np.uint32]


def keep_freed_memory() -> None:
    """Let glibc keep what temporary arrays leave, up to some 60 MB, for the next ones.

    It gives memory back to the system, and faults it in again page by page, until a program has freed one large block.
    """
    np.empty(31 << 20, np.uint8)
