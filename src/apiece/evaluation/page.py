"""The HTML pages of evaluation and comparison: what `apiece.draw.report` needs, from the rooms that know it."""

from __future__ import annotations

import csv
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece import __version__
from apiece.core.classes import places
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset
from apiece.draw.report import (
    Bars,
    Chart,
    Example,
    Examples,
    Facts,
    Line,
    PageTable,
    Panel,
    ReportData,
    Section,
    write_report,
)
from apiece.evaluation._charts import confusion_matrix, error_charts, precision_recall, reliability
from apiece.evaluation._pairing import Joined
from apiece.evaluation._track_charts import track_entries
from apiece.evaluation.tables import (
    DIFFERENCE_COLUMNS,
    class_rows,
    coco_rows,
    difference_row,
    further_rows,
    known,
    main_differences,
    with_intervals,
)
from apiece.measurements import Table
from apiece.metrics import Evaluation, Number, marks
from apiece.metrics.ap_tau import accuracy

if TYPE_CHECKING:
    from apiece.evaluation._compare import Comparison

__all__ = ["PAGE_METRICS", "TRACK_METRICS", "Seen", "log_lines", "write_comparison", "write_evaluation"]

TRACK_METRICS = ("hota", "mots", "identity", "ctc")
"""Metrics of tracks: the page of an evaluation that has one of them shows errors of tracks, too."""

PAGE_METRICS = ("coco", "ap_tau", "confusion", "calibration", "errors")
"""What the page of an evaluation is made of."""

_WORST, _BEST, _CHANGED = 8, 2, 4  # images
_OWN_SECTION = ("mask", "box", "ap_tau", "f1_tau", "errors", "confusion", "calibration", "track_errors")
"""Groups of numbers."""
_OF_CLASS = {"mask_ap": "mask AP", "mask_ap50": "mask AP50", "box_ap": "box AP", "confusion_f1": "F1"}
_SIZES_NOTE = (
    "AP: average precision, AR: average recall, by the rules of COCO: mean over IoU 0.50 to 0.95 unless one is named. "
    "Small is below 32 x 32 pixels, large above 96 x 96. A dash: nothing of that size is there."
)


class Seen:
    """Counts and sizes of what is there and of what was found, image by image: what a page says beside metrics.

    Memory: 8 bytes per object and per prediction.

    Attributes
    ----------
    classes : K class names.
    counts : int64 (2, K), objects there, and found.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.counts = np.zeros((2, len(classes)), np.int64)
        self._areas: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(self, truth: Instances, answer: Instances) -> None:
        """Take in one image."""
        for side, instances in enumerate((truth, answer)):
            label = places(instances.classes, self.classes)[instances.labels]
            self.counts[side] += np.bincount(label, minlength=len(self.classes))
            self._areas[side].append(instances.masks.area)

    def charts(self) -> list[Bars]:
        """Return objects of each class, and a histogram of their areas if there are any."""
        counts = list(zip(("truth", "found"), self.counts.tolist(), strict=True))
        charts = [Bars("Instances per class", "class", "instances", counts, groups=self.classes)]
        sides = [np.concatenate([np.zeros(0, np.int64), *areas]) for areas in self._areas]
        largest = int(np.concatenate(sides).max(initial=0))
        if largest:
            edges = np.linspace(0, largest + 1, 31)
            series = [(name, np.histogram(a, edges)[0].tolist()) for (name, _), a in zip(counts, sides, strict=True)]
            charts.append(Bars("Sizes", "area in pixels", "objects", series, edges=edges.tolist()))
        return charts


def write_evaluation(
    path: Path,
    joined: Joined,
    result: Evaluation,
    seen: Seen,
    model: Path | None = None,
    *,
    title: str = "Evaluation",
    facts: Sequence[tuple[str, str]] = (),
    measured: Table | None = None,
) -> None:
    """Write ``evaluation.html``.

    Parameters
    ----------
    joined : what was evaluated; the images shown are predicted or read again.
    result : with the metrics of `PAGE_METRICS`, but for those that do not apply, and any others.
    seen : of the same run.
    model : folder of the model, for its training curves.
    facts : further (name, value) of what was run.
    measured : measurements of the answers, for a summary.
    """
    there, found = seen.counts.sum(1).tolist()
    training = []
    if model is not None and (log := model / "log.csv").is_file():
        scores = log_lines(log, {"val_mask_ap": "mask AP", "val_mask_ap50": "mask AP50"})
        training.append(Chart("Losses", "minutes", "loss", log_lines(log, {k: k for k in ("box", "class", "mask")})))
        training.append(Chart("Validation", "minutes", "AP", scores, y_range=(0.0, 1.0)))
    examples = [
        (f"{name} images", [_example(joined.truth, i, score, (("found", joined),)) for i, score in some])
        for name, some in zip(("Worst", "Best"), _extremes(result), strict=True)
    ]
    data = ReportData(
        title=title,
        subtitle=f"{result.images:,} images, {there:,} objects, {found:,} found",
        headline=[
            _headline(result, "mask_ap", "mask AP"),
            _headline(result, "mask_ap50", "mask AP at IoU 0.50"),
            _headline(result, "ap_tau50", "TP / (TP + FP + FN) at IoU 0.50"),
        ],
        sections=[
            Section("run", "What was run", [Facts([*facts, *_machine()])]),
            Section("accuracy", "Accuracy", _scores(result), columns=True),
            Section("curves", "Curves", [*precision_recall(result.curves.get("mask"), seen.counts[0]), *training]),
            Section("errors", "Errors", error_charts(result.extras.get("errors"))),
            Section("tracks", "Tracks", track_entries(joined, result)),
            Section("confusion", "Confusion", confusion_matrix(_extra(result, "confusion", "confusion"))),
            Section("reliability", "Reliability", reliability(_extra(result, "calibration", "reliability"))),
            Section("counts", "Counts and sizes", seen.charts()),
            Section("images", "Images", [Examples(examples)]),
            Section("measurements", "Measurements", [] if measured is None else [_measurements(measured)]),
            Section("notes", "Notes", result.notes),
        ],
    )
    write_report(path, data)


def write_comparison(
    path: Path, a: Joined, b: Joined, found: Comparison, *, facts: Sequence[tuple[str, str]] = ()
) -> None:
    """Write the page of ``apiece compare``: the verdict, every difference, and the images that changed most."""
    sides = (("A", a), ("B", b))
    examples = []
    for word, sign in (("gained", 1), ("lost", -1)):
        changed = [c for c in found.images if c.difference * sign > 0][:_CHANGED]
        shown = [_example(a.truth, c.index, (c.a, c.b), sides) for c in changed]
        examples.append((f"Images that {word} most", shown))
    by_class = {name: by_key[found.by] for name, by_key in found.per_class.items() if found.by in by_key}
    tables = [("Numbers", "", main_differences(found)), (f"{found.by} per class", "class", known(by_class))]
    compared = [
        PageTable(title, (what, *DIFFERENCE_COLUMNS), [(name, *difference_row(d)) for name, d in rows])
        for title, what, rows in tables
        if rows
    ]
    draws = f"{found.draws:,} of {found.a.images:,} images, the same for both"
    data = ReportData(
        title="Is B better than A?",
        subtitle=found.verdict,
        headline=[
            (f"{found.numbers[found.by].difference:+.3f}", f"{found.by}, B - A"),
            (f"{found.numbers[found.by].a:.3f}", f"{found.by} of A"),
            (f"{found.numbers[found.by].b:.3f}", f"{found.by} of B"),
        ],
        sections=[
            Section("comparison", "Side by side", compared),
            Section("run", "What was run", [Facts([*facts, ("draws", draws), *_machine()])]),
            Section("images", "Images", [Examples(examples)]),
            Section("notes", "Notes", found.notes),
        ],
    )
    write_report(path, data)


def _extra(result: Evaluation, metric: str, name: str) -> Any:
    return result.extras.get(metric, {}).get(name)


def _headline(result: Evaluation, key: str, name: str) -> tuple[str, str]:
    if key not in result:
        return "–", name
    found = result.number(key)
    span = "" if found.interval is None else f", {' to '.join(map(_digits, found.interval))} (95%)"
    return _cell(found), name + span


def _scores(result: Evaluation) -> list[PageTable]:
    """COCO's numbers, all others that have no section of their own, and the main numbers of each class."""
    levels = [*(f"ap_tau{level}" for level in ("", 50, 75, 90)), *(f"f1_tau{level}" for level in ("", 50, 75))]
    tau = [(key, [number]) for key in levels if key in result and np.isfinite((number := result.number(key)).value)]
    kinds, coco = coco_rows(result)
    drawn = any(number.interval for _, row in coco for number in row)
    classes, by_class = class_rows(result, _OF_CLASS)
    by_class = [(name, [replace(number, interval=None) for number in row]) for name, row in by_class]
    tables = [
        ("COCO", "", kinds, coco, _SIZES_NOTE + " Intervals: over images, from halves of them." * drawn),
        ("Further metrics", "", ["value"], tau + further_rows(result, _OWN_SECTION), ""),
        ("Per class", "class", classes, by_class, ""),
    ]
    found = []
    for title, what, columns, rows, note in tables:
        heads, cells = with_intervals(columns, rows, _cell, _digits, "95% interval", "–")
        found += [PageTable(title, (what, *heads), cells, note)] if rows else []
    return found


def _cell(number: Number) -> str:
    if math.isnan(number.value):
        return "–"
    return f"{number.value:,.0f}" if number.unit == "count" else _digits(number.value)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _machine() -> list[tuple[str, str]]:
    return [("machine", f"{platform.machine()}, Python {platform.python_version()}"), ("apiece", __version__)]


def _extremes(result: Evaluation) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(image, TP / (TP + FP + FN), mean over IoU 0.5 to 0.95) of the worst and of the best images; none is both."""
    counts = _extra(result, "ap_tau", "counts")
    if counts is None:
        return [], []
    quality, objects = accuracy(counts).mean(0), counts[0].sum(1)
    judged = np.flatnonzero(objects > 0)
    # of equally good images those with more objects
    order = judged[np.lexsort((-objects[judged], quality[judged]))]
    ranked = [(int(i), float(quality[i])) for i in order]
    best = ranked[_WORST:][-_BEST:][::-1]
    return ranked[:_WORST], best


def _example(
    truth: Dataset, index: int, scores: float | tuple[float, ...], sides: Sequence[tuple[str, Joined]]
) -> Example:
    """Truth beside the answers of one or of two; truth is marked as the last of them found it."""
    image, wanted = truth[index]
    panels = []
    for name, joined in sides:
        answer = joined.answer(index)
        of_truth, of_answer = marks(wanted, answer)
        panels.append(Panel(name, answer, of_answer))
    shown = " → ".join(f"{score:.2f}" for score in (scores if isinstance(scores, tuple) else (scores,)))
    return Example(f"{truth.refs[index].name} · {shown}", image, [Panel("truth", wanted, of_truth), *panels])


def log_lines(log: Path, columns: Mapping[str, str]) -> list[Line]:
    """Return columns of a run's ``log.csv`` over minutes, named as said; none where there is no file, or no value."""
    if not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    minutes = {column: [float(row["seconds"]) / 60 for row in rows if row.get(column)] for column in columns}
    values = {column: [float(row[column]) for row in rows if row.get(column)] for column in columns}
    return [Line(name, minutes[column], values[column]) for column, name in columns.items() if values[column]]


def _measurements(measured: Table) -> PageTable:
    summary = measured.summary()
    rows = [[cell if isinstance(cell, str | int | float) else None for cell in row.values()] for row in summary.rows()]
    return PageTable("Measurements of what was found", summary.header(), rows)
