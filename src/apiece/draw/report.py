"""``report.html``: one run on one page, in one file, with nothing loaded from anywhere.

The caller brings numbers, curves and examples in the plain dataclasses below; what is left empty is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from apiece._atomic import atomic
from apiece.draw._examples import Example, Panel, examples_html
from apiece.draw._scatter import Dot, Scatter, scatter_svg
from apiece.draw.charts import Bars, Chart, Line, bars_svg, lines_svg
from apiece.draw.page import html_page
from apiece.draw.tables import Cell, Matrix, PageTable, matrix_html, table_html
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
    scores : the twelve COCO numbers of masks and of boxes by key: ``mask_ap``, ``mask_ap50`` ... ``box_ar_large``;
        their intervals, ``mask_ap_low`` and ``mask_ap_high`` ..., are shown where there are any.
    extra_scores : further metrics by name; intervals as above.
    per_class : for each class its scores, (class, {column: value}).
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
    scores: Mapping[str, float] = field(default_factory=dict)
    extra_scores: Mapping[str, float] = field(default_factory=dict)
    per_class: Sequence[tuple[str, Mapping[str, float]]] = ()
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


# ---------------------------------------------------------------- tables

_LIMITED = re.compile(r"(?:mask|box)_ar(\d+)")
_SIZES_NOTE = (
    "AP: average precision, AR: average recall, by the rules of COCO: mean over IoU 0.50 to 0.95 unless one is named. "
    "Small is below 32 x 32 pixels, large above 96 x 96. A dash: nothing of that size is there."
)
_DRAWN_NOTE = " Intervals: bootstrap over images."


def _score(value: float | None) -> str:
    # COCO's -1 means that there was nothing to score
    return "–" if value is None or not math.isfinite(value) or value < 0 else f"{value:.3f}"


def _span(scores: Mapping[str, float], key: str) -> str:
    low, high = scores.get(f"{key}_low"), scores.get(f"{key}_high")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _coco_rows(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """(key after mask_ or box_, what it is called)."""
    limits = sorted({int(found[1]) for key in scores if (found := _LIMITED.fullmatch(key))}) or [100]
    sizes = ("small", "medium", "large")
    return [
        ("ap", "AP"),
        ("ap50", "AP, IoU 0.50"),
        ("ap75", "AP, IoU 0.75"),
        *((f"ap_{size}", f"AP, {size}") for size in sizes),
        *((f"ar{limit}", f"AR, {limit:,} per image") for limit in limits),
        *((f"ar_{size}", f"AR, {size}") for size in sizes),
    ]


def _coco(scores: Mapping[str, float]) -> PageTable:
    kinds = [kind for kind in ("mask", "box") if f"{kind}_ap" in scores]
    drawn = any(f"{kind}_ap_low" in scores for kind in kinds)
    rows: list[list[Cell]] = []
    for key, name in _coco_rows(scores):
        cells = [[_score(scores.get(f"{kind}_{key}"))] + [_span(scores, f"{kind}_{key}")] * drawn for kind in kinds]
        rows.append([name, *(cell for pair in cells for cell in pair)])
    columns = [column for kind in kinds for column in (kind, "95% interval")[: 1 + drawn]]
    return PageTable("COCO", ("", *columns), rows, _SIZES_NOTE + _DRAWN_NOTE * drawn)


def _further(scores: Mapping[str, float]) -> PageTable:
    named = [key for key in scores if not key.endswith(("_low", "_high"))]
    drawn = any(f"{key}_low" in scores for key in named)
    rows = [[key, _short(scores[key])] + [_span(scores, key)] * drawn for key in named]
    return PageTable("Further metrics", ("", "value", "95% interval")[: 2 + drawn], rows)


def _scores(data: ReportData) -> str:
    parts = []
    if data.scores:
        parts.append(table_html(_coco(data.scores)))
    if data.extra_scores:
        parts.append(table_html(_further(data.extra_scores)))
    if data.per_class:
        columns = list(dict.fromkeys(key for _, values in data.per_class for key in values))
        rows = [[name, *(_score(values.get(c)) for c in columns)] for name, values in data.per_class]
        parts.append(table_html(PageTable("Per class", ("class", *columns), rows)))
    # the long table on the left, the short ones below each other on the right
    return "".join(f"<div>{p}</div>" for p in (parts[0], "".join(parts[1:])) if p) if parts else ""


# ---------------------------------------------------------------- the page


def _shown(entry: Bars | Chart | PageTable) -> str:
    if isinstance(entry, PageTable):
        return table_html(entry)
    return bars_svg(entry) if isinstance(entry, Bars) else lines_svg(entry)


def _sections(data: ReportData, side: int) -> list[tuple[str, str, str]]:
    """(anchor, heading, HTML) of every section that has something to show."""
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
        ("accuracy", "Accuracy", f'<div class="columns">{s}</div>' if (s := _scores(data)) else ""),
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
