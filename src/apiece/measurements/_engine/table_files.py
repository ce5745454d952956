"""Tables as Excel workbooks and Parquet files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from apiece._arrays import Array
from apiece._atomic import atomic
from apiece._extras import extras
from apiece.errors import ConfigError

__all__ = ["write_parquet", "write_xlsx"]

_ROWS = (1 << 20) - 1  # of a sheet, beside the header
_MADE = datetime.datetime(2000, 1, 1)


class _Columns(Protocol):
    """What is written of a table."""

    @property
    def columns(self) -> Mapping[str, Array]:
        """Return the columns."""
        ...

    @property
    def units(self) -> Mapping[str, str]:
        """Return the units."""
        ...

    def __len__(self) -> int: ...
    def header(self) -> list[str]:
        """Return the names of the columns."""
        ...


def write_xlsx(table: _Columns, path: Path) -> None:
    """Write a workbook of one sheet."""
    with extras():
        import xlsxwriter
    if len(table) > _ROWS:
        raise ConfigError(
            f"a sheet of Excel holds {_ROWS:,} rows, and the table has {len(table):,}; save csv or parquet"
        )
    with atomic(path) as temporary:
        # a class called "=1+1" is no formula, and one called "https://..." no link
        options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        with xlsxwriter.Workbook(str(temporary), options) as book:
            book.set_properties({"created": _MADE})
            sheet = book.add_worksheet("measurements")
            sheet.write_row(0, 0, table.header(), book.add_format({"bold": True}))
            sheet.freeze_panes(1, 0)
            for k, column in enumerate(table.columns.values()):
                numbers = column.dtype.kind == "f"
                cells = [None if numbers and not np.isfinite(v) else v for v in column.tolist()]
                sheet.write_column(1, k, cells)


def write_parquet(table: _Columns, path: Path) -> None:
    """Write a Parquet file."""
    with extras():
        import pyarrow as pa
        from pyarrow import parquet
    fields, columns = [], []
    for name, head in zip(table.columns, table.header(), strict=True):
        columns.append(pa.array(table.columns[name]))
        fields.append(pa.field(head, columns[-1].type, metadata={"unit": table.units.get(name, "")}))
    with atomic(path) as temporary:
        parquet.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), str(temporary))
