"""`Table`: named columns with units, one row per instance (or per class)."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Float
from apiece._atomic import atomic
from apiece.core.runs import frozen
from apiece.errors import ConfigError, InvalidInstancesError, MissingExtraError, UnknownNameError
from apiece.measurements._engine.table_files import write_parquet, write_xlsx

_PERCENTILES = (5, 25, 50, 75, 95)
_SHOWN = 20
_ROWS = 4096  # that are texts at once


@dataclass(frozen=True, eq=False)
class Table:
    """Hold named columns of equal length and their units; immutable.

    ``table["area"]`` is a 1-D array, ``len(table)`` the number of rows, ``str(table)`` aligned text.

    Attributes
    ----------
    columns : name to 1-D array: numbers, bools or strings. Names carry no unit.
    units : name to unit (``"um"``, ``"um2"``, ``"px"``, ``"deg"``), for the columns that have one.
    levels : name to all values that a column of strings may take, in order. `summary` lists a value without rows, too,
        with count 0.

    Raises
    ------
    InvalidInstancesError
        If columns differ in length or are not 1-D.
    UnknownNameError
        If units or levels name a column that does not exist.

    Examples
    --------
    >>> from apiece.measurements import Table
    >>> table = Table({"class": np.array(["nut", "bolt"]), "area": np.array([2.5, 4.0])}, {"area": "um2"})
    >>> table.header(), table["area"].max()
    (['class', 'area_um2'], np.float64(4.0))
    """

    columns: Mapping[str, Array]
    units: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._set({name: np.array(values) for name, values in self.columns.items()}, self.units, self.levels)

    def _set(
        self, columns: Mapping[str, Array], units: Mapping[str, str], levels: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Check and keep arrays that nobody else changes."""
        columns = {name: frozen(values) for name, values in columns.items()}
        shapes = {name: a.shape for name, a in columns.items()}
        if any(len(s) != 1 for s in shapes.values()) or len(set(shapes.values())) > 1:
            raise InvalidInstancesError(f"columns of a table must be 1-D and of one length, got {shapes}")
        for key in (*units, *levels):
            if key not in columns:
                raise UnknownNameError("column", key, columns)
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "units", MappingProxyType({k: u for k, u in units.items() if u}))
        object.__setattr__(self, "levels", MappingProxyType({k: tuple(v) for k, v in levels.items()}))

    @classmethod
    def of_own(
        cls, columns: Mapping[str, Array], units: Mapping[str, str] = {}, levels: Mapping[str, tuple[str, ...]] = {}
    ) -> Table:
        """Return the table of arrays that nobody else changes: they are not copied, as those given to `Table` are."""
        table = cls.__new__(cls)
        table._set(columns, units, levels)
        return table

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Array:
        if name not in self.columns:
            raise UnknownNameError("column", name, self.columns)
        return self.columns[name]

    def __reduce__(self) -> tuple[Any, ...]:
        # a mapping proxy cannot be pickled
        return Table, (dict(self.columns), dict(self.units), dict(self.levels))

    def with_column(self, name: str, values: npt.ArrayLike, unit: str = "") -> Table:
        """Return the table with one more column, or another one in place of the column of this name.

        Examples
        --------
        >>> from apiece.measurements import Table
        >>> Table({"area": np.array([2.0])}).with_column("batch", ["a"]).header()
        ['area', 'batch']
        """
        others = {key: levels for key, levels in self.levels.items() if key != name}
        return Table.of_own({**self.columns, name: np.array(values)}, {**self.units, name: unit}, others)

    @classmethod
    def concatenate(cls, tables: Iterable[Table]) -> Table:
        """Return all rows of several tables, in order; where a table lacks a column of floats (a channel), NaN.

        Raises
        ------
        ConfigError
            If a column has different units, or if a column without floats is missing from a table.
        """
        tables = list(tables)
        units: dict[str, str] = {}
        levels: dict[str, tuple[str, ...]] = {}
        names = list(dict.fromkeys(name for t in tables for name in t.columns))
        for name in names:
            holders = [t for t in tables if name in t.columns]
            found = {t.units.get(name, "") for t in holders}
            if len(found) > 1:
                raise ConfigError(
                    f"column {name!r} has different units ({', '.join(sorted(found))}), so its rows cannot be joined; "
                    f"give one pixel size for all images"
                )
            units[name] = found.pop()
            if any(name in t.levels for t in holders):
                levels[name] = tuple(dict.fromkeys(v for t in holders for v in t.levels.get(name, t[name].tolist())))
        columns = {name: _joined([_filled(t, name, tables) for t in tables]) for name in names}
        return cls.of_own(columns, units, levels)

    def header(self) -> list[str]:
        """Return column names with their units, as in a CSV file: ``area_um2``, ``rect_angle_deg``, ``solidity``."""
        return [f"{name}_{self.units[name]}" if name in self.units else name for name in self.columns]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dictionary: column name, without its unit, to Python value; None for NaN and infinity."""
        for first in range(0, len(self), _ROWS):
            some = ([_plain(v) for v in column[first : first + _ROWS].tolist()] for column in self.columns.values())
            yield from (dict(zip(self.columns, row, strict=True)) for row in zip(*some, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"units": {name: unit}, "rows": [{name: value}, ...]}`` in plain Python values."""
        return {"units": dict(self.units), "rows": list(self.rows())}

    def to_json(self, path: Path | str | None = None) -> str:
        """Return `to_dict` as JSON text, and write it to ``path``, atomically, if there is one."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
        if path is not None:
            _write(Path(path), text)
        return text

    def to_csv(self, path: Path | str) -> None:
        """Write a CSV file, atomically: UTF-8, one header line (see `header`), numbers in full, NaN an empty cell."""
        with atomic(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            self._write_csv(file)

    def csv_text(self) -> str:
        """Return the text that `to_csv` writes."""
        out = io.StringIO()
        self._write_csv(out)
        return out.getvalue()

    def _write_csv(self, file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.header())
        for row in range(0, len(self), _ROWS):
            some = (_cells(column[row : row + _ROWS]) for column in self.columns.values())
            writer.writerows(zip(*some, strict=True))

    def to_xlsx(self, path: Path | str) -> None:
        """Write an Excel workbook of one sheet, atomically: columns as in `to_csv`, texts as texts, NaN an empty cell.

        Raises
        ------
        MissingExtraError
            If xlsxwriter is not installed.
        ConfigError
            If the table has more rows than a sheet.
        """
        write_xlsx(self, Path(path))

    def to_parquet(self, path: Path | str) -> None:
        """Write a Parquet file, atomically: columns as in `to_csv`; the metadata of each holds its ``unit``.

        Raises
        ------
        MissingExtraError
            If pyarrow is not installed.
        """
        write_parquet(self, Path(path))

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with the same columns; ``frame.attrs["units"]`` holds the units.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise MissingExtraError("pandas", "pandas") from None
        frame = pandas.DataFrame({name: column.copy() for name, column in self.columns.items()})
        frame.attrs["units"] = dict(self.units)
        return frame

    def to_text(self, rows: int | None = None) -> str:
        """Return aligned text with units in the second line; of more than ``rows`` rows only the first and last."""
        cut = rows is not None and len(self) > rows
        shown = np.arange(len(self))
        if cut and rows is not None:
            shown = np.concatenate((shown[: (rows + 1) // 2], shown[len(self) - rows // 2 :]))
        blocks = []
        for name, column in self.columns.items():
            cells = [name, self.units.get(name, ""), *(_short(v) for v in column[shown].tolist())]
            if cut and rows is not None:
                cells.insert(2 + (rows + 1) // 2, "...")
            width = max(map(len, cells))
            left = column.dtype.kind in "U"
            blocks.append([c.ljust(width) if left else c.rjust(width) for c in cells])
        lines = ["  ".join(line).rstrip() for line in zip(*blocks, strict=True)]
        if not self.units:
            del lines[1:2]
        if cut:
            lines.append(f"{len(self)} rows")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text(_SHOWN)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self.columns)})"

    def summary(self, by: str = "class", of: Sequence[str] = ("area", "equivalent_diameter")) -> Table:
        """Return count and distribution of sizes for each group, with a last row ``all``.

        Rows whose column ``crowd`` is true cover several objects and do not count.

        Parameters
        ----------
        by : column of names to group by; a class without a row has count 0.
        of : columns of numbers to describe by mean, standard deviation (population) and the percentiles 5, 25, 50, 75
            and 95 (linear between ranks, without NaN): ``area_mean``, ``area_std``, ``area_p5`` ...

        Raises
        ------
        UnknownNameError
            If there is no such column.
        ConfigError
            If a column to describe holds no numbers.

        Examples
        --------
        >>> from apiece.measurements import Table
        >>> table = Table({"class": np.array(["nut", "nut", "bolt"]), "area": np.array([2.0, 4.0, 9.0])})
        >>> table.summary(of=["area"])["area_mean"].tolist()
        [3.0, 9.0, 5.0]
        """
        group = self[by]
        for name in of:
            if self[name].dtype.kind not in "buif":
                raise ConfigError(f"column {name!r} holds no numbers, so it cannot be described; name others in of")
        numbers = {name: self[name].astype(np.float64) for name in of}
        keys = list(self.levels.get(by, ())) or list(dict.fromkeys(group.tolist()))
        single = np.flatnonzero(~self.columns["crowd"]) if "crowd" in self.columns else np.arange(len(self))
        # one sort, because there may be as many groups as images
        values, place = np.unique(group[single], return_inverse=True)
        rows = single[np.argsort(place, kind="stable")]
        parts = np.split(rows, np.cumsum(np.bincount(place, minlength=len(values)))[:-1])
        found = dict(zip(values.tolist(), parts, strict=False))  # of no rows, split makes one part
        members = [found.get(key, rows[:0]) for key in keys] + [single]
        columns: dict[str, Array] = {
            by: np.array([*(str(k) for k in keys), "all"], np.str_),
            "count": np.array([len(m) for m in members], np.int64),
        }
        units: dict[str, str] = {}
        labels = ("mean", "std", *(f"p{q}" for q in _PERCENTILES))
        for name, values in numbers.items():
            described = np.array([_describe(values[m]) for m in members])
            for k, label in enumerate(labels):
                columns[f"{name}_{label}"] = described[:, k]
                units[f"{name}_{label}"] = self.units.get(name, "")
        return Table.of_own(columns, units)


def _describe(values: Float) -> Float:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.full(2 + len(_PERCENTILES), np.nan)
    return np.array([values.mean(), values.std(), *np.percentile(values, _PERCENTILES)])


def _filled(table: Table, name: str, tables: Sequence[Table]) -> Array:
    """Return the column of a table, or NaN for each row if other tables have floats there."""
    if name in table.columns:
        return table[name]
    kinds = {t[name].dtype.kind for t in tables if name in t.columns}
    if not kinds <= set("f"):
        raise ConfigError(f"column {name!r} is missing from a table to join; measure the same properties of all")
    return np.full(len(table), np.nan)


def _joined(parts: Sequence[Array]) -> Array:
    """Return arrays as one; one alone is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _cells(column: Array) -> list[str]:
    if column.dtype.kind == "b":
        return ["true" if v else "false" for v in column.tolist()]
    if column.dtype.kind == "f":
        return ["" if v != v else repr(v) for v in column.tolist()]
    return [str(v) for v in column.tolist()]


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
