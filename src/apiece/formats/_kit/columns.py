"""Lists of JSON values as compact typed arrays, and back: how values of images and annotations are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from apiece._arrays import Array, Int

_TEXT = np.dtypes.StringDType()  # strings of any length, no Python objects: forked workers share them


def column(values: Sequence[Any]) -> Array:
    """Return one array for values that are all integers, numbers, booleans, strings, or lists of numbers of one length.

    Anything else stays as it is, in an object array; None stands for a value that is absent.
    """
    types = set(map(type, values))
    try:
        if types == {int}:
            return np.array(values, np.int64)
        if types and types <= {int, float}:
            return np.array(values, np.float64)
        if types == {bool}:
            return np.array(values, bool)
        if types == {str}:
            return np.array(values, _TEXT)
        if types == {list}:
            array = np.array(values)
            inner = {type(v) for row in values for v in row}
            if array.ndim == 2 and (inner <= {int, float} or inner == {bool}) and array.dtype.kind in "ifb":
                return array
    except (OverflowError, ValueError, UnicodeEncodeError):
        pass  # integers beyond 64 bits, ragged lists, lone surrogates: kept as objects below
    out = np.empty(len(values), object)
    out[:] = values
    return out


def take(values: Array, rows: Int) -> Array | None:
    """Return the chosen values as an array of their own type; None if all of them are absent."""
    chosen = values[rows]
    if chosen.dtype == object:
        if len(rows) and any(v is not None for v in chosen):
            chosen = column(chosen.tolist())
        else:
            return None
    if chosen.dtype == _TEXT:
        return np.array(chosen.tolist(), np.str_)
    return chosen


def taken(columns: Mapping[str, Array], rows: Int) -> dict[str, Array]:
    """Return the chosen values of every column that has any."""
    return {name: found for name, values in columns.items() if (found := take(values, rows)) is not None}


def plain(values: Array, row: int) -> Any:
    """Return one value as a Python object; None if absent."""
    value = values[row]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def table(rows: Sequence[Mapping[str, Any]], without: Iterable[str]) -> dict[str, Array]:
    """Return a column for every key that occurs in ``rows``, but those ``without``."""
    keys = dict.fromkeys(key for row in rows for key in row)
    for key in without:
        keys.pop(key, None)
    return {key: column([row.get(key) for row in rows]) for key in keys}
