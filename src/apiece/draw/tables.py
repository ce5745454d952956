"""Tables and matrices of a page, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool
from apiece.errors import ConfigError

__all__ = ["Cell", "Matrix", "PageTable", "matrix_html", "table_html"]

Cell = str | int | float | None

_DARK = 0.55
"""Share from which the ground of a cell is dark enough for white text."""


@dataclass(frozen=True)
class PageTable:
    """Rows under named columns. Numbers are set flush right; None and NaN are shown as a dash.

    Attributes
    ----------
    title : above the table.
    columns : names, the first one of what a row is about.
    rows : as many cells each as there are columns.
    note : small print below.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                width = len(self.columns)
                raise ConfigError(f"table {self.title!r} has {width} columns, but row {i} has {len(row)} cells")


@dataclass(frozen=True, eq=False)
class Matrix:
    """Counts by row and column, each cell tinted by its share of the row.

    Attributes
    ----------
    title : above the matrix.
    row_label, column_label : what rows and columns are.
    rows, columns : names.
    counts : int (rows, columns).
    right : bool (rows, columns), cells of what is right: another tint.
    note : small print below.
    """

    title: str
    row_label: str
    column_label: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: npt.NDArray[np.integer]
    right: Bool
    note: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.columns))
        for name, array in (("counts", self.counts), ("right", self.right)):
            if np.shape(array) != shape:
                raise ConfigError(f"{name} of matrix {self.title!r} must have shape {shape}, got {np.shape(array)}")


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return escape(value)
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _is_number(value: Cell) -> bool:
    if not isinstance(value, str) or value == "–":
        return True
    return value.lstrip("+−-").replace(".", "", 1).replace(",", "").isdigit()


def _html(of: PageTable | Matrix, kind: str, head: str, rows: Sequence[str]) -> str:
    note = f'<p class="note">{escape(of.note)}</p>' if of.note else ""
    return (
        f'<div class="scroll"><table{kind}><caption>{escape(of.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def table_html(table: PageTable) -> str:
    """Return a table as HTML."""
    right = [all(_is_number(row[k]) for row in table.rows) for k in range(len(table.columns))]
    style = [' class="n"' if r else "" for r in right]
    head = "".join(f'<th scope="col"{s}>{escape(c)}</th>' for c, s in zip(table.columns, style, strict=True))
    body = []
    for row in table.rows:
        cells = [f"<td{s}>{_cell(c)}</td>" for c, s in zip(row[1:], style[1:], strict=True)]
        body.append(f'<tr><th scope="row"{style[0]}>{_cell(row[0])}</th>{"".join(cells)}</tr>')
    return _html(table, "", head, body)


def matrix_html(matrix: Matrix) -> str:
    """Return a matrix as an HTML table."""
    total = matrix.counts.sum(1, keepdims=True)
    share = np.divide(matrix.counts, total, out=np.zeros(matrix.counts.shape), where=total > 0)
    head = "".join(f'<th scope="col" class="n">{escape(name)}</th>' for name in matrix.columns)
    body = []
    for name, *row in zip(matrix.rows, matrix.counts.tolist(), share.tolist(), matrix.right.tolist(), strict=True):
        cells = "".join(_tinted(f"{name}, {column}", *cell) for column, *cell in zip(matrix.columns, *row, strict=True))
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    corner = f'<th class="corner">{escape(matrix.row_label)} ↓ {escape(matrix.column_label)} →</th>'
    return _html(matrix, ' class="matrix"', corner + head, body)


def _tinted(where: str, count: int, share: float, right: bool) -> str:
    if not count:
        return '<td class="n none">0</td>'
    kind = ("right" if right else "wrong") + (" dark" if share >= _DARK else "")
    hint = escape(f"{where}: {count:,}, {share:.1%} of the row")
    return f'<td class="n {kind}" style="--share:{share:.3f}" title="{hint}">{count:,}</td>'
