"""The numbers of an evaluation and of a comparison as rows of tables, for pages and for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece.metrics import Evaluation, Number

if TYPE_CHECKING:
    from apiece.evaluation._compare import Comparison, Difference

__all__ = [
    "DIFFERENCE_COLUMNS", "class_rows", "coco_rows", "difference_row", "further_rows", "known", "main_differences",
    "with_intervals",
]  # fmt: skip

Rows = list[tuple[str, list[Number]]]
"""What each row is called, and its numbers."""

DIFFERENCE_COLUMNS = ("A", "B", "B - A", "95% interval", "B is")


def coco_rows(result: Evaluation) -> tuple[list[str], Rows]:
    """Return which kinds of COCO's numbers there are, masks and boxes, and a row of each kind's number by title."""
    groups = result.groups()
    kinds: list[str] = [kind for kind in ("mask", "box") if kind in groups]
    titles = groups[kinds[0]] if kinds else {}
    return kinds, [(title, [groups[kind][title] for kind in kinds]) for title in titles]


def further_rows(result: Evaluation, without: Collection[str]) -> Rows:
    """Return the defined numbers of all groups but those of ``without``."""
    keys = (key for key, known in result.about.items() if known.group not in without)
    return [(key, [number]) for key in keys if np.isfinite((number := result.number(key)).value)]


def class_rows(result: Evaluation, columns: Mapping[str, str]) -> tuple[list[str], Rows]:
    """Return what the numbers are called that there are of ``columns``, titles by key, and a row of each class."""
    keys = [key for key in columns if key in result.about]
    rows = [(name, [result.number(key, name) for key in keys]) for name in result.per_class]
    return [columns[key] for key in keys], rows


def with_intervals(
    columns: Sequence[str], rows: Rows, cell: Callable[[Number], Any], end: Callable[[float], str], head: str, none: str
) -> tuple[list[str], list[list[Any]]]:
    """Return the heads and cells of ``columns``, each followed by its intervals where any number has one.

    Parameters
    ----------
    cell, end : make the cell of a number, and the words of an interval's end.
    head, none : head of a column of intervals, and its cell where there is none.
    """
    drawn = any(number.interval for _, row in rows for number in row)
    heads = [head_ for column in columns for head_ in (column, head)[: 1 + drawn]]
    cells = []
    for name, row in rows:
        spans = [none if n.interval is None else " to ".join(map(end, n.interval)) for n in row]
        pairs = ((cell(n), span)[: 1 + drawn] for n, span in zip(row, spans, strict=True))
        cells.append([name, *(one for pair in pairs for one in pair)])
    return heads, cells


def difference_row(d: Difference) -> tuple[str, ...]:
    """Return the cells of `DIFFERENCE_COLUMNS`."""
    words = {"same": "the same", "open": "not clearly different", "unknown": "not known"}
    digits = 0 if max(abs(d.a), abs(d.b)) >= 100 else 3
    a, b = (f"{value:,.{digits}f}" for value in (d.a, d.b))
    change, low, high = (f"{value:+,.{digits}f}" for value in (d.difference, d.low, d.high))
    return a, b, change, f"{low} to {high}" if np.isfinite(d.low) else "-", words.get(d.verdict, d.verdict)


def known(numbers: Mapping[str, Difference]) -> list[tuple[str, Difference]]:
    """Return the differences of numbers that are defined for both."""
    return [(key, d) for key, d in numbers.items() if np.isfinite(d.difference)]


def main_differences(found: Comparison) -> list[tuple[str, Difference]]:
    """Return the differences a person reads first: not every level of AP-tau, of boxes AP only."""
    return [(key, d) for key, d in known(found.numbers) if key == found.by or not found.a.about[key].detail]
