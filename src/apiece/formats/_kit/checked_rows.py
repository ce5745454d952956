"""Check lists of JSON objects column by column: every check names all the rows that break it at once.

A large file costs no Python per row while it is good, and one pass for each kind of fault when it is not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from apiece._arrays import Array, Bool, Int
from apiece._strict_json import kind_of
from apiece.errors import FormatError
from apiece.formats._kit.json_files import has_constants
from apiece.formats.contract import OnBad, refuse

Row = dict[str, Any]
Reason = Callable[[int], str]
Made = TypeVar("Made")
_NAMED = 8  # ids in a message


class _BadRows(Exception):
    """Rows that broke one rule."""

    def __init__(self, rows: list[int], name: str, reason: Reason) -> None:
        super().__init__(name)
        self.rows, self.name, self.reason = rows, name, reason


class Checker:
    """Name file, key and reason of bad rows.

    ``places`` are the rows' positions in the file if some were left out, ``mask_keys`` what each row calls its mask
    where that is not ``segmentation``. ``leaves_out``: bad rows are left out, so that no message needs to offer it.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.places: Int | None = None
        self.mask_keys: Sequence[str] = ()
        self.leaves_out = False

    def place(self, index: int) -> int:
        """Return where the row is in the file."""
        return index if self.places is None else int(self.places[index])

    def where(self, index: int) -> str:
        """Return what messages call a row."""
        return f"{self.key}[{self.place(index)}]"

    def broken(self, reason: str) -> FormatError:
        """Return the error of the list as a whole."""
        return FormatError(self.path, f"{self.key}: {reason}")

    def error(self, index: int, name: str, reason: str) -> FormatError:
        """Return the error of one row."""
        if name == "segmentation" and self.mask_keys:
            name = self.mask_keys[index]
        return FormatError(self.path, f"{self.where(index)}{'.' + name if name else ''}: " + reason)

    def refuse(self, bad: Iterable[int] | Bool, name: str, reason: Reason) -> None:
        """Stop the pass if there are bad rows, given by number or by a flag each."""
        rows = np.flatnonzero(bad).tolist() if isinstance(bad, np.ndarray) else list(bad)
        if rows:
            raise _BadRows(rows, name, reason)

    def stop(self, bad: Iterable[int], name: str, reason: Reason) -> NoReturn:
        """Stop the pass: there are bad rows."""
        raise _BadRows(list(bad), name, reason)

    def objects(self, rows: Any) -> list[Row]:
        """Return the rows, all of them objects."""
        if type(rows) is not list:
            raise self.broken(f"must be a list, got {kind_of(rows)}")
        if set(map(type, rows)) - {dict}:
            bad = (i for i, row in enumerate(rows) if type(row) is not dict)
            self.stop(bad, "", lambda i: f"must be an object, got {kind_of(rows[i])}")
        return rows

    def values(self, rows: list[Row], name: str, types: set[type], expected: str) -> list[Any]:
        """Return one value of each row, all of the types wanted; integers may be spelled ``1.0`` or ``"1"``."""
        try:
            values = list(map(itemgetter(name), rows))
        except KeyError:
            self.stop((i for i, row in enumerate(rows) if name not in row), name, lambda i: "is missing")
        if set(map(type, values)) - types and int in types:
            values = [_integer(v, str not in types) for v in values]
        if set(map(type, values)) - types:
            bad = (i for i, v in enumerate(values) if type(v) not in types)
            said = lambda i: f"must be {expected}, got {kind_of(values[i])} ({str(values[i])[:60]!r})"  # noqa: E731
            self.stop(bad, name, said)
        return values

    def distinct(self, values: Sequence[Any], name: str) -> None:
        """Refuse every row whose value an earlier row has."""
        if len(set(values)) == len(values):
            return
        seen: dict[Any, int] = {}
        twice = [i for i, value in enumerate(values) if seen.setdefault(value, i) != i]
        self.stop(twice, name, lambda i: f"{values[i]!r} is used twice; {self.where(seen[values[i]])} has it too")

    def finite(self, columns: dict[str, Array]) -> None:
        """Refuse NaN and infinity in columns of numbers."""
        for name, values in columns.items():
            if values.dtype.kind == "f":
                good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
                self.refuse(np.logical_not(good), name, lambda i: "must be a finite number")

    def no_constants(self, rows: list[Row]) -> None:
        """Refuse NaN and infinity however deep in a row."""
        bad = (i for i, row in enumerate(rows) if has_constants(row))
        self.refuse(bad, "", lambda i: "holds NaN or Infinity, which is no number in JSON")

    def int64(self, values: list[int], name: str) -> Int:
        """Return the values as an array."""
        try:
            return np.array(values, np.int64)
        except OverflowError:
            bad = (i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
            self.stop(bad, name, lambda i: f"{values[i]} does not fit 64 bits")

    def look_up(self, rows: list[Row], name: str, known: dict[Any, int], types: set[type], kind: str) -> Int:
        """Return the position in ``known`` of each row's value; ``"1"`` is 1 where no other is meant."""
        values = self.values(rows, name, types, "an integer" if types == {int} else "an integer or a string")
        found = np.fromiter((known.get(v, -1) for v in values), np.int64, len(values))
        if str in types and (found < 0).any():
            spelled = {str(v): place for v, place in known.items()}
            for i in np.flatnonzero(found < 0).tolist():
                found[i] = spelled.get(str(values[i]), -1)
        some = ", ".join(repr(v) for v in itertools.islice(known, _NAMED)) + (", ..." if len(known) > _NAMED else "")
        self.refuse(
            found < 0, name, lambda i: f"there is no {kind} with id {values[i]!r}; the ids are {some or 'none'}"
        )
        return found


def _integer(value: Any, of_text: bool) -> Any:
    """Return the integer that a number, or with ``of_text`` a text, spells; any other value as it is."""
    if type(value) is float and value.is_integer():
        return int(value)
    plain = of_text and type(value) is str and len(value) < 20 and value.isascii() and value.isdecimal()
    return int(value) if plain else value


def number_of(value: Any) -> Any:
    """Return the finite number that a text spells, as exporters from XML write numbers; any other value as it is."""
    try:
        number = float(value) if type(value) is str else value
    except ValueError:
        return value
    return value if number is not value and not math.isfinite(number) else number


def sifted(check: Checker, rows: Any, build: Callable[[Any], Made], on_bad: OnBad) -> Made:
    """Return ``build(rows)`` without the rows that its checks find bad: each is reported, or the first one raised."""
    check.leaves_out = on_bad is not None
    while True:
        try:
            return build(rows)
        except _BadRows as bad:
            found = bad
        for i in found.rows:
            refuse(check.error(i, found.name, found.reason(i)), on_bad)
        keep = np.ones(len(rows), bool)
        keep[found.rows] = False
        places = np.arange(len(rows)) if check.places is None else check.places
        rows, check.places = list(itertools.compress(rows, keep)), places[keep]
