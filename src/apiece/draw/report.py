"""``report.html``: one run on one page, in one file, with nothing loaded from anywhere.

The caller brings numbers, curves and examples in the plain dataclasses below; what is left empty is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apiece._atomic import atomic
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw._charts import Bars, Chart, Line, bars_svg, lines_svg
from apiece.draw._scatter import Dot, Scatter, scatter_svg
from apiece.draw.overlay import overlay
from apiece.draw.page import data_uri, html_page, scaled
from apiece.errors import ConfigError

__all__ = ["Bars", "Chart", "Dot", "Example", "Line", "ReportData", "Scatter", "Table", "write_report"]

Cell = str | int | float | None

FOUND, MISSED, FALSE_ALARM = (42, 157, 255), (255, 176, 0), (255, 60, 140)
"""Outline colours of what was found, what was missed and what is not there; told apart by every kind of eye."""


@dataclass(frozen=True)
class Table:
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
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise ConfigError(
                f"table {self.title!r} has {len(self.columns)} columns, but row {wrong[0]} has "
                f"{len(self.rows[wrong[0]])} cells"
            )


@dataclass(frozen=True, eq=False)
class Example:
    """An image with what is there beside what was found.

    Attributes
    ----------
    title : usually the image's name and its score.
    image : the pixels; any dtype and number of channels.
    truth : what is there.
    predicted : what was found.
    truth_matched : bool (N,): which of ``truth`` were found.
    predicted_matched : bool (M,): which of ``predicted`` are there.
    """

    title: str
    image: Image
    truth: Instances
    predicted: Instances
    truth_matched: npt.NDArray[np.bool_]
    predicted_matched: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name, flags, instances in (
            ("truth_matched", self.truth_matched, self.truth),
            ("predicted_matched", self.predicted_matched, self.predicted),
        ):
            if np.shape(flags) != (len(instances),):
                raise ConfigError(
                    f"{name} of example {self.title!r} needs one flag for each of {len(instances)} instances, "
                    f"got shape {np.shape(flags)}"
                )


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
    scores : the twelve COCO numbers of masks and of boxes by key: ``mask_ap``, ``mask_ap50`` ... ``box_ar_large``.
    extra_scores : further metrics, (name, value).
    per_class : for each class its scores, (class, {column: value}).
    precision_recall : curves over recall, usually one per IoU or per class.
    training : charts over epochs: losses, AP, learning rate ...
    counts : for each class (class, instances that are there, instances found).
    sizes : histogram of sizes, usually truth and found as two series.
    best, worst : examples.
    measurements : summary of measurements, usually per class.
    notes : paragraphs at the end: what is missing, what to read with care.
    """

    title: str
    subtitle: str = ""
    headline: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    comparison: Sequence[Scatter | Table] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    extra_scores: Sequence[tuple[str, float]] = ()
    per_class: Sequence[tuple[str, Mapping[str, float]]] = ()
    precision_recall: Sequence[Line] = ()
    training: Sequence[Chart] = ()
    counts: Sequence[tuple[str, int, int]] = ()
    sizes: Bars | None = None
    best: Sequence[Example] = ()
    worst: Sequence[Example] = ()
    measurements: Table | None = None
    notes: Sequence[str] = ()


# ---------------------------------------------------------------- tables

# (key after mask_ or box_, what it is called, at which IoU, of which sizes, at most so many per image)
_COCO = (
    ("ap", "AP", "0.50 to 0.95", "all", "100"),
    ("ap50", "AP", "0.50", "all", "100"),
    ("ap75", "AP", "0.75", "all", "100"),
    ("ap_small", "AP", "0.50 to 0.95", "small", "100"),
    ("ap_medium", "AP", "0.50 to 0.95", "medium", "100"),
    ("ap_large", "AP", "0.50 to 0.95", "large", "100"),
    ("ar1", "AR", "0.50 to 0.95", "all", "1"),
    ("ar10", "AR", "0.50 to 0.95", "all", "10"),
    ("ar100", "AR", "0.50 to 0.95", "all", "100"),
    ("ar_small", "AR", "0.50 to 0.95", "small", "100"),
    ("ar_medium", "AR", "0.50 to 0.95", "medium", "100"),
    ("ar_large", "AR", "0.50 to 0.95", "large", "100"),
)
_SIZES_NOTE = (
    "AP: average precision, AR: average recall, by the rules of COCO. "
    "Small is below 32 x 32 pixels, large above 96 x 96. A dash: nothing of that size is there."
)


def _score(value: float | None) -> str:
    # COCO's -1 means that there was nothing to score
    return "–" if value is None or not math.isfinite(value) or value < 0 else f"{value:.3f}"


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return escape(value)
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _is_number(value: Cell) -> bool:
    return not isinstance(value, str) or value == "–" or value.replace(".", "", 1).isdigit()


def _table(table: Table) -> str:
    right = [all(_is_number(row[k]) for row in table.rows) for k in range(len(table.columns))]
    style = [' class="n"' if r else "" for r in right]
    head = "".join(f'<th scope="col"{s}>{escape(c)}</th>' for c, s in zip(table.columns, style, strict=True))
    body = []
    for row in table.rows:
        cells = [f"<td{s}>{_cell(c)}</td>" for c, s in zip(row[1:], style[1:], strict=True)]
        body.append(f'<tr><th scope="row"{style[0]}>{_cell(row[0])}</th>{"".join(cells)}</tr>')
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _scores(data: ReportData) -> str:
    parts = []
    if data.scores:
        rows: list[list[Cell]] = [
            [name, iou, size, most, _score(data.scores.get(f"mask_{key}")), _score(data.scores.get(f"box_{key}"))]
            for key, name, iou, size, most in _COCO
        ]
        parts.append(_table(Table("COCO", ("", "IoU", "size", "per image", "mask", "box"), rows, _SIZES_NOTE)))
    if data.extra_scores:
        rows = [[name, _score(value)] for name, value in data.extra_scores]
        parts.append(_table(Table("Further metrics", ("", "value"), rows)))
    if data.per_class:
        columns = list(dict.fromkeys(key for _, values in data.per_class for key in values))
        rows = [[name, *(_score(values.get(c)) for c in columns)] for name, values in data.per_class]
        parts.append(_table(Table("Per class", ("class", *columns), rows)))
    # the long table on the left, the short ones below each other on the right
    return "".join(f"<div>{p}</div>" for p in (parts[0], "".join(parts[1:])) if p) if parts else ""


# ---------------------------------------------------------------- pictures


def _panel(
    image: Image, instances: Instances, matched: npt.NDArray[np.bool_], wrong: tuple[int, int, int], side: int
) -> str:
    factor = side / max(image.size)
    shown, grown = scaled(image, instances, factor)
    colours = np.where(np.asarray(matched, bool)[:, None], FOUND, wrong).astype(np.uint8)
    drawn = overlay(shown, grown, colours=colours, names=False, alpha=0.22, thickness=2)
    return data_uri(drawn)


def _example(example: Example, side: int) -> str:
    found, missed = int(np.sum(example.truth_matched)), int(np.sum(~np.asarray(example.truth_matched, bool)))
    false = int(np.sum(~np.asarray(example.predicted_matched, bool)))
    truth, predicted = example.truth, example.predicted
    panels = (
        ("truth", truth, example.truth_matched, MISSED, f"{len(truth)}, {missed} missed"),
        ("found", predicted, example.predicted_matched, FALSE_ALARM, f"{len(predicted)}, {false} false"),
    )
    pictures = "".join(
        f'<figure><img src="{_panel(example.image, instances, flags, wrong, side)}" loading="lazy" '
        f'alt="{escape(example.title)}, {name}: {words}"><figcaption><b>{name}</b> {words}</figcaption></figure>'
        for name, instances, flags, wrong, words in panels
    )
    summary = f"{found} of {len(example.truth)} found, {false} false"
    return (
        f'<article class="example"><h3>{escape(example.title)}</h3><p class="note">{summary}</p>'
        f'<div class="pair">{pictures}</div></article>'
    )


def _examples(data: ReportData, side: int) -> str:
    keys = "".join(
        f'<span class="key"><i style="background:rgb{rgb}"></i>{name}</span>'
        for name, rgb in (("found", FOUND), ("missed", MISSED), ("false alarm", FALSE_ALARM))
    )
    parts = [f'<p class="legend">{keys}</p>']
    for name, examples in (("Best images", data.best), ("Worst images", data.worst)):
        if examples:
            parts.append(f'<h3 class="group">{name}</h3><div class="examples">')
            parts.extend(_example(e, side) for e in examples)
            parts.append("</div>")
    return "".join(parts)


# ---------------------------------------------------------------- the page


def _sections(data: ReportData, side: int) -> list[tuple[str, str, str]]:
    """(anchor, heading, HTML) of every section that has something to show."""
    counts = ""
    if data.counts:
        names, there, found = zip(*data.counts, strict=True)
        series = (("truth", there), ("found", found))
        counts = bars_svg(Bars("Instances per class", "class", "instances", series, groups=names))
    curves = [lines_svg(chart) for chart in data.training]
    if data.precision_recall:
        both = (0.0, 1.0)
        chart = Chart("Precision over recall", "recall", "precision", data.precision_recall, both, (0.0, 1.03))
        curves.insert(0, lines_svg(chart))
    sizes = bars_svg(data.sizes) if data.sizes else ""
    measured = _table(data.measurements) if data.measurements else ""
    compared = "".join(scatter_svg(c) if isinstance(c, Scatter) else f"<div>{_table(c)}</div>" for c in data.comparison)
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in data.facts)
    sections = [
        ("comparison", "Side by side", f'<div class="comparison">{compared}</div>' if compared else ""),
        ("run", "What was run", f'<dl class="facts">{facts}</dl>' if facts else ""),
        ("accuracy", "Accuracy", f'<div class="columns">{s}</div>' if (s := _scores(data)) else ""),
        ("curves", "Curves", f'<div class="charts">{"".join(curves)}</div>' if curves else ""),
        ("counts", "Counts and sizes", f'<div class="charts">{counts}{sizes}</div>' if counts or sizes else ""),
        ("images", "Images", _examples(data, side) if data.best or data.worst else ""),
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
