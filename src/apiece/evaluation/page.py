"""The HTML pages of evaluation and comparison: what `apiece.draw.report` needs, from the rooms that know it."""

from __future__ import annotations

import csv
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apiece import __version__
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset
from apiece.draw.report import Bars, Chart, Example, Line, PageTable, Panel, ReportData, write_report
from apiece.evaluation._charts import confusion_matrix, error_charts, precision_recall, reliability
from apiece.evaluation._pairing import Joined
from apiece.measurements import Table
from apiece.metrics import Evaluation, defined, marks
from apiece.metrics.ap_tau import accuracy

if TYPE_CHECKING:
    from apiece.evaluation._compare import Comparison, Difference

__all__ = [
    "DIFFERENCE_COLUMNS",
    "PAGE_METRICS",
    "Seen",
    "difference_row",
    "known",
    "main_differences",
    "write_comparison",
    "write_evaluation",
]

PAGE_METRICS = ("coco", "ap_tau", "confusion", "calibration", "errors")
"""What the page of an evaluation is made of."""

_WORST, _BEST, _CHANGED = 8, 2, 4  # images
_OWN_SECTION = ("mask_", "box_", "ap_tau", "f1_tau", "dap", "errors", "confusion_", "calibration_", "overconfidence")


class Seen:
    """Counts and sizes of what is there and of what was found, image by image: what a page says beside metrics.

    Memory: 8 bytes per object and per prediction.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._counts = np.zeros((2, len(classes)), np.int64)
        self._areas: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(self, truth: Instances, answer: Instances) -> None:
        """Take in one image."""
        for side, instances in enumerate((truth, answer)):
            place = [self.classes.index(name) if name in self.classes else -1 for name in instances.classes]
            label = np.array(place, np.int64)[instances.labels]
            self._counts[side] += np.bincount(label, minlength=len(self.classes))
            self._areas[side].append(instances.masks.area)

    @property
    def total(self) -> tuple[int, int]:
        """Objects there, and found."""
        there, found = self._counts.sum(1).tolist()
        return there, found

    @property
    def counts(self) -> list[tuple[str, int, int]]:
        """(class, objects there, objects found)."""
        return list(zip(self.classes, *self._counts.tolist(), strict=True))

    def sizes(self) -> Bars | None:
        """Histogram of areas; None if there are none."""
        sides = [np.concatenate([np.zeros(0, np.int64), *areas]) for areas in self._areas]
        largest = max((int(areas.max(initial=0)) for areas in sides), default=0)
        if not largest:
            return None
        edges = np.linspace(0, largest + 1, 31)
        series = [(name, np.histogram(a, edges)[0].tolist()) for name, a in zip(("truth", "found"), sides, strict=True)]
        return Bars("Sizes", "area in pixels", "objects", series, edges=edges.tolist())


def _further(result: Evaluation) -> dict[str, float]:
    """The numbers that have no table or section of their own, those that are defined, with their intervals."""
    return {
        key: value for key, value in result.numbers.items()
        if not key.startswith(_OWN_SECTION) and np.isfinite(defined(key, value))
    }  # fmt: skip


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
    result : with the metrics of `PAGE_METRICS`, and any others.
    seen : of the same run.
    model : folder of the model, for its training curves.
    facts : further (name, value) of what was run.
    measured : measurements of the answers, for a summary.
    """
    truth = joined.truth
    worst, best = _extremes(result)
    numbers = result.numbers
    data = ReportData(
        title=title,
        subtitle=f"{result.images:,} images, {seen.total[0]:,} objects, {seen.total[1]:,} found",
        headline=[
            _headline(numbers, "mask_ap", "mask AP"),
            _headline(numbers, "mask_ap50", "mask AP at IoU 0.50"),
            _headline(numbers, "ap_tau50", "TP / (TP + FP + FN) at IoU 0.50"),
        ],
        facts=[*facts, *_machine()],
        scores={key: value for key, value in numbers.items() if key.startswith(("mask_", "box_"))},
        extra_scores=_tau(numbers) | _further(result),
        per_class=[(name, _class_scores(scores)) for name, scores in result.per_class.items()],
        precision_recall=precision_recall(result.curves["mask"], [there for _, there, _ in seen.counts]),
        errors=error_charts(result.extras["errors"]),
        confusion=confusion_matrix(result.extras["confusion"]["confusion"]),
        reliability=reliability(result.extras["calibration"].get("reliability")),
        training=[] if model is None else _training(model / "log.csv"),
        counts=seen.counts,
        sizes=seen.sizes(),
        examples=[
            ("Worst images", [_example(truth, i, score, (("found", joined),)) for i, score in worst]),
            ("Best images", [_example(truth, i, score, (("found", joined),)) for i, score in best]),
        ],
        measurements=None if measured is None else _measurements(measured),
        notes=result.notes,
    )
    write_report(path, data)


def write_comparison(
    path: Path, a: Joined, b: Joined, found: Comparison, *, facts: Sequence[tuple[str, str]] = ()
) -> None:
    """Write the page of ``apiece compare``: the verdict, every difference, and the images that changed most."""
    truth = a.truth
    gained = [c for c in found.images if c.difference > 0][:_CHANGED]
    lost = [c for c in found.images if c.difference < 0][:_CHANGED]
    sides = (("A", a), ("B", b))
    by_class = {name: by_key[found.by] for name, by_key in found.per_class.items() if found.by in by_key}
    tables = [("Numbers", "", main_differences(found)), (f"{found.by} per class", "class", known(by_class))]
    data = ReportData(
        title="Is B better than A?",
        subtitle=found.verdict,
        headline=[
            (f"{found.numbers[found.by].difference:+.3f}", f"{found.by}, B - A"),
            (f"{found.numbers[found.by].a:.3f}", f"{found.by} of A"),
            (f"{found.numbers[found.by].b:.3f}", f"{found.by} of B"),
        ],
        comparison=[
            PageTable(title, (what, *DIFFERENCE_COLUMNS), [(name, *difference_row(d)) for name, d in rows])
            for title, what, rows in tables
            if rows
        ],
        facts=[*facts, ("draws", f"{found.draws:,} of {found.a.images:,} images, the same for both"), *_machine()],
        examples=[
            (name, [_example(truth, c.index, (c.a, c.b), sides) for c in changes])
            for name, changes in (("Images that gained most", gained), ("Images that lost most", lost))
        ],
        notes=found.notes,
    )
    write_report(path, data)


DIFFERENCE_COLUMNS = ("A", "B", "B - A", "95% interval", "B is")


def difference_row(d: Difference) -> tuple[str, ...]:
    """The cells of `DIFFERENCE_COLUMNS`."""
    words = {"higher": "higher", "lower": "lower", "same": "the same", "open": "not clearly different"}
    digits = 0 if max(abs(d.a), abs(d.b)) >= 100 else 3
    a, b = (f"{value:,.{digits}f}" for value in (d.a, d.b))
    change, low, high = (f"{value:+,.{digits}f}" for value in (d.difference, d.low, d.high))
    return a, b, change, f"{low} to {high}", words[d.verdict]


def known(numbers: Mapping[str, Difference]) -> list[tuple[str, Difference]]:
    """Those that are defined for both."""
    return [(key, d) for key, d in numbers.items() if np.isfinite([d.a, d.b, d.low, d.high]).all()]


def main_differences(found: Comparison) -> list[tuple[str, Difference]]:
    """Those a person reads first: not every level of AP-tau, of boxes AP only."""
    left = re.compile(r"(ap_tau|f1_tau)\d\d(_image)?$|box_(ar|ap_)")
    kept = ("ap_tau50", "ap_tau75", "f1_tau50", found.by)
    return [(key, d) for key, d in known(found.numbers) if key in kept or not left.match(key)]


def _headline(numbers: Mapping[str, float], key: str, name: str) -> tuple[str, str]:
    value, low, high = (numbers.get(k, float("nan")) for k in (key, f"{key}_low", f"{key}_high"))
    span = f", {low:.3f} to {high:.3f} (95%)" if np.isfinite(low) else ""
    return (f"{value:.3f}" if np.isfinite(defined(key, value)) else "–"), name + span


def _tau(numbers: Mapping[str, float]) -> dict[str, float]:
    shown = [*(f"ap_tau{level}" for level in ("", 50, 75, 90)), *(f"f1_tau{level}" for level in ("", 50, 75))]
    keys = [key + end for key in shown for end in ("", "_low", "_high")]
    return {key: numbers[key] for key in keys if np.isfinite(numbers.get(key, np.nan))}


def _class_scores(scores: Mapping[str, float]) -> dict[str, float]:
    keys = {"mask_ap": "mask AP", "mask_ap50": "mask AP50", "box_ap": "box AP", "confusion_f1": "F1"}
    return {name: scores[key] for key, name in keys.items() if key in scores}


def _machine() -> list[tuple[str, str]]:
    return [("machine", f"{platform.machine()}, Python {platform.python_version()}"), ("apiece", __version__)]


def _extremes(result: Evaluation) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(image, TP / (TP + FP + FN), mean over IoU 0.5 to 0.95) of the worst and of the best images; none is both."""
    counts = result.extras["ap_tau"]["counts"]
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


def _training(log: Path) -> list[Chart]:
    if not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def line(column: str, name: str) -> Line:
        points = [(float(row["seconds"]) / 60, float(row[column])) for row in rows if row.get(column)]
        return Line(name, [x for x, _ in points], [y for _, y in points])

    losses = [line(name, name) for name in ("box", "class", "mask")]
    scores = [line("val_mask_ap", "mask AP"), line("val_mask_ap50", "mask AP50")]
    return [
        Chart("Losses", "minutes", "loss", [entry for entry in losses if entry.x]),
        Chart("Validation", "minutes", "AP", [entry for entry in scores if entry.x], y_range=(0.0, 1.0)),
    ]


def _measurements(measured: Table) -> PageTable:
    summary = measured.summary()
    rows = [[cell if isinstance(cell, str | int | float) else None for cell in row.values()] for row in summary.rows()]
    return PageTable("Measurements of what was found", summary.header(), rows)
