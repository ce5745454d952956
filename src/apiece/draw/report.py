"""``report.html``: one run on one page, in one file, with nothing loaded from anywhere.

The caller brings numbers, curves and examples in the plain dataclasses below; what is left empty is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from apiece._atomic import atomic
from apiece.draw._examples import Example, Panel, examples_html
from apiece.draw._scatter import Dot, Scatter, scatter_svg
from apiece.draw.charts import Bars, Chart, Line, bars_svg, lines_svg
from apiece.draw.page import html_page
from apiece.draw.tables import Matrix, PageTable, matrix_html, table_html
from apiece.errors import ConfigError

__all__ = [
    "Bars",
    "Chart",
    "Dot",
    "Example",
    "Line",
    "Matrix",
    "PageTable",
    "Panel",
    "ReportData",
    "Scatter",
    "write_report",
]


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that a report can show.

    Attributes
    ----------
    title : of the page.
    subtitle : a sentence below it.
    headline : the few numbers that matter most, (value, what it is).
    facts : what was run, (name, value): model, data, seed, hardware, time ...
    comparison : plots and tables of several models, in the order given.
    scores : tables of numbers, the longest first: it stands on the left, the others below each other on the right.
    precision_recall : charts of precision over recall, usually one per IoU and one per class.
    errors : what each kind of error costs, and how many there are.
    confusion : which class was taken for which.
    reliability : whether scores mean what they say.
    training : charts over epochs: losses, AP, learning rate ...
    counts : for each class (class, instances that are there, instances found).
    sizes : histogram of sizes, usually truth and found as two series.
    examples : (heading, examples), groups of images: the worst, the best, the most changed.
    measurements : summary of measurements, usually per class.
    notes : paragraphs at the end: what is missing, what to read with care.
    """

    title: str
    subtitle: str = ""
    headline: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    comparison: Sequence[Scatter | PageTable] = ()
    scores: Sequence[PageTable] = ()
    precision_recall: Sequence[Chart] = ()
    errors: Sequence[Bars | PageTable] = ()
    confusion: Matrix | None = None
    reliability: Sequence[Chart | Bars] = ()
    training: Sequence[Chart] = ()
    counts: Sequence[tuple[str, int, int]] = ()
    sizes: Bars | None = None
    examples: Sequence[tuple[str, Sequence[Example]]] = ()
    measurements: PageTable | None = None
    notes: Sequence[str] = ()


# ---------------------------------------------------------------- the page


def _shown(entry: Bars | Chart | PageTable) -> str:
    if isinstance(entry, PageTable):
        return table_html(entry)
    return bars_svg(entry) if isinstance(entry, Bars) else lines_svg(entry)


def _sections(data: ReportData, side: int) -> list[tuple[str, str, str]]:
    """(anchor, heading, HTML) of every section that has something to show."""
    scores = [table_html(table) for table in data.scores]
    accuracy = "".join(f"<div>{part}</div>" for part in (*scores[:1], "".join(scores[1:])) if part)
    counts = ""
    if data.counts:
        names, there, found = zip(*data.counts, strict=True)
        series = (("truth", there), ("found", found))
        counts = bars_svg(Bars("Instances per class", "class", "instances", series, groups=names))
    curves = [lines_svg(chart) for chart in (*data.precision_recall, *data.training)]
    errors = "".join(
        _shown(entry) if isinstance(entry, PageTable) else f'<div class="charts">{_shown(entry)}</div>'
        for entry in data.errors
    )
    reliability = "".join(_shown(entry) for entry in data.reliability)
    sizes = bars_svg(data.sizes) if data.sizes else ""
    measured = table_html(data.measurements) if data.measurements else ""
    compared = "".join(
        scatter_svg(c) if isinstance(c, Scatter) else f"<div>{table_html(c)}</div>" for c in data.comparison
    )
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in data.facts)
    sections = [
        ("comparison", "Side by side", f'<div class="comparison">{compared}</div>' if compared else ""),
        ("run", "What was run", f'<dl class="facts">{facts}</dl>' if facts else ""),
        ("accuracy", "Accuracy", f'<div class="columns">{accuracy}</div>' if accuracy else ""),
        ("curves", "Curves", f'<div class="charts">{"".join(curves)}</div>' if curves else ""),
        ("errors", "Errors", errors),
        ("confusion", "Confusion", matrix_html(data.confusion) if data.confusion else ""),
        ("reliability", "Reliability", f'<div class="charts">{reliability}</div>' if reliability else ""),
        ("counts", "Counts and sizes", f'<div class="charts">{counts}{sizes}</div>' if counts or sizes else ""),
        ("images", "Images", examples_html(data.examples, side) if any(e for _, e in data.examples) else ""),
        ("measurements", "Measurements", measured),
        ("notes", "Notes", "".join(f"<p>{escape(n)}</p>" for n in data.notes)),
    ]
    return [s for s in sections if s[2]]


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
    sections = _sections(data, image_side)
    page = html_page(data.title, data.subtitle, data.headline, sections)
    with atomic(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")
