"""``report.html``: one run on one page, in one file, with nothing loaded from anywhere.

The caller brings numbers, curves and examples in the plain dataclasses below; what is left empty is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypeAlias

from apiece._arrays import UInt8
from apiece._atomic import write_text
from apiece.draw._examples import Example, Panel, examples_html
from apiece.draw._scatter import Dot, Scatter, scatter_svg
from apiece.draw.charts import Bars, Chart, Line, bars_svg, lines_svg
from apiece.draw.page import html_page, picture
from apiece.draw.tables import Matrix, PageTable, matrix_html, table_html
from apiece.errors import ConfigError

__all__ = [
    "Bars", "Chart", "Dot", "Entry", "Example", "Examples", "Facts", "Line", "Matrix", "PageTable", "Panel",
    "ReportData", "Scatter", "Section", "Shot", "Shots", "write_report",
]  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What was run: (name, value) of model, data, seed, hardware, time ..."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Examples:
    """Groups of images, (heading, examples): the worst, the best, the most changed."""

    groups: Sequence[tuple[str, Sequence[Example]]]


Entry: TypeAlias = "Bars | Chart | Scatter | PageTable | Matrix | Facts | Examples | Shots | str | None"
"""What a section can show; text is a paragraph."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture as it is: a title, a few words, and pixels, uint8 RGB."""

    title: str
    words: str
    pixels: UInt8


@dataclass(frozen=True, eq=False)
class Shots:
    """Groups of pictures, (heading, pictures), in rows of two."""

    groups: Sequence[tuple[str, Sequence[Shot]]]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page under a heading of its own.

    Attributes
    ----------
    anchor : its address on the page.
    heading : above it.
    entries : what it shows, in order.
    columns : whether the first entry stands on the left, and the others below each other on the right.
    """

    anchor: str
    heading: str
    entries: Sequence[Entry]
    columns: bool = False


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that a report shows.

    Attributes
    ----------
    title : of the page.
    subtitle : a sentence below it.
    headline : the few numbers that matter most, (value, what it is).
    sections : the parts of the page; those without anything to show are left out.
    """

    title: str
    subtitle: str = ""
    headline: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()


def _html(entry: Entry, side: int) -> str:
    if isinstance(entry, Bars):
        return bars_svg(entry)
    if isinstance(entry, Chart):
        return lines_svg(entry)
    if isinstance(entry, Scatter):
        return scatter_svg(entry)
    if isinstance(entry, PageTable):
        return table_html(entry)
    if isinstance(entry, Matrix):
        return matrix_html(entry)
    if isinstance(entry, Examples):
        return examples_html(entry.groups, side) if any(examples for _, examples in entry.groups) else ""
    if isinstance(entry, Shots):
        return "".join(_shots_html(name, shots) for name, shots in entry.groups)
    if isinstance(entry, Facts):
        facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in entry.pairs)
        return f'<dl class="facts">{facts}</dl>' if facts else ""
    return f"<p>{escape(entry)}</p>" if entry else ""


def _shots_html(name: str, shots: Sequence[Shot]) -> str:
    rows = []
    for pair in (shots[k : k + 2] for k in range(0, len(shots), 2)):
        shown = "".join(
            picture(shot.pixels, f"{shot.title}: {shot.words}", f"<b>{escape(shot.title)}</b> {escape(shot.words)}")
            for shot in pair
        )
        rows.append(f'<article class="example" style="--panels:{len(pair)}"><div class="pair">{shown}</div></article>')
    return f'<h3 class="group">{escape(name)}</h3><div class="examples">{"".join(rows)}</div>'


def _section_html(section: Section, side: int) -> str:
    parts = []
    # charts that follow each other stand side by side
    for is_chart, entries in itertools.groupby(section.entries, lambda entry: isinstance(entry, Bars | Chart)):
        shown = [html for entry in entries if (html := _html(entry, side))]
        parts += [f'<div class="charts">{"".join(shown)}</div>'] if is_chart else shown
    if section.columns and parts:
        sides = "".join(f"<div>{part}</div>" for part in (parts[0], "".join(parts[1:])) if part)
        return f'<div class="columns">{sides}</div>'
    return "".join(parts)


def write_report(path: Path | str, data: ReportData, *, image_side: int = 560) -> None:
    """Write the page: one HTML file that opens anywhere, in light and dark, on paper and without a network.

    Parameters
    ----------
    path : the file, usually ``report.html``; written whole or not at all.
    data : what to show. All text is escaped.
    image_side : longer side in pixels of the pictures of examples; small images are enlarged to it.

    Raises
    ------
    ConfigError
        if ``image_side`` is below 32.
    """
    if image_side < 32:
        raise ConfigError(f"image_side must be at least 32, got {image_side}")
    shown = [(section.anchor, escape(section.heading), _section_html(section, image_side)) for section in data.sections]
    page = html_page(data.title, data.subtitle, data.headline, [part for part in shown if part[2]])
    write_text(Path(path), page)
