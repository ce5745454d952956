"""Files of safetensors as arrays of NumPy, for what does without torch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from apiece._arrays import Array

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def tensors_of(data: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the tensors of a file by name, and its metadata.

    Raises
    ------
    ValueError
        If the bytes are none of such a file, or a tensor has another type than float16, float32 and int64.
    """
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    about = header.pop("__metadata__", {})
    try:
        return {name: _array(data[begin:], entry) for name, entry in header.items()}, about
    except (KeyError, TypeError) as error:
        raise ValueError(f"its header does not describe tensors: {error}") from error


def _array(data: bytes, entry: dict[str, Any]) -> Array:
    first, last = entry["data_offsets"]
    return np.frombuffer(data[first:last], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
