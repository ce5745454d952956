"""What metrics found, as charts and tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.draw.report import Bars, Chart, Line, Matrix, PageTable
from apiece.draw.tables import Cell
from apiece.metrics import Curves
from apiece.metrics.calibration import Reliability
from apiece.metrics.confusion import ConfusionMatrix
from apiece.metrics.errors import Decomposition

_LINES, _CONFUSED = 8, 20  # classes shown

_MEANING = {
    "class": "right place, wrong class",
    "localisation": "right class, IoU from 0.1 to below the threshold",
    "both": "wrong class and poor place",
    "duplicate": "found a second time",
    "background": "nothing there",
    "missed": "nothing points at it",
    "boundary": "outline off by 2 pixels or less on average",
    "merge": "one mask over several objects",
    "split": "one object in several masks",
}


def precision_recall(curves: Curves | None, objects: Int) -> list[Chart]:
    """Return curves at three IoU, mean over classes; and at IoU 0.5 of each class, those with the most objects."""
    if curves is None:
        return []
    lines = []
    for wanted in (0.5, 0.75, 0.9):
        precision = curves.precision[:, int(np.argmin(np.abs(curves.iou - wanted)))]
        known = (precision >= 0).all(1)
        if known.any():
            lines.append(Line(f"IoU {wanted:.2f}", curves.recall.tolist(), precision[known].mean(0).tolist()))
    charts = [_unit("Precision over recall", "recall", "precision", lines)] if lines else []
    first = curves.precision[:, 0]
    order = [k for k in np.argsort(-objects, kind="stable").tolist() if (first[k] >= 0).all()]
    if len(order) > 1:
        each = [Line(curves.classes[k], curves.recall.tolist(), first[k].tolist()) for k in order[:_LINES]]
        more = f", the {_LINES} with the most objects" if len(order) > _LINES else ""
        charts.append(_unit(f"Per class at IoU 0.50{more}", "recall", "precision", each))
    return charts


def _unit(title: str, x: str, y: str, lines: Sequence[Line]) -> Chart:
    return Chart(title, x, y, lines, (0.0, 1.0), (0.0, 1.03))


def error_charts(extras: Mapping[str, Any] | None) -> list[Bars | PageTable]:
    """Return what each kind of error costs at IoU 0.5 and 0.75, and how often it occurs."""
    if extras is None:
        return []
    loose: Decomposition = extras["decomposition"]
    strict: Decomposition = extras["decomposition75"]
    if not np.isfinite(loose.cost).all():
        return []
    series = [(f"IoU {d.iou:.2f}", d.cost.tolist()) for d in (loose, strict)]
    rows: list[tuple[Cell, ...]] = []
    for k, kind in enumerate(loose.kinds):
        cells: list[Cell] = [cell for d in (loose, strict) for cell in (int(d.count[k]), f"{d.cost[k]:.3f}")]
        rows.append((kind, *cells, _MEANING.get(kind, "")))
    for k, kind in enumerate(loose.special):
        cells = [cell for d in (loose, strict) for cell in (None, f"{d.special_cost[k]:.3f}")]
        rows.append((f"all {kind}s".replace("_", " "), *cells, ""))
    note = (
        "AP gained at this IoU were all errors of the kind mended and no others; gains do not add up. Boundary, merge "
        "and split say a second time, by the form of the mask, what is among the kinds above them."
    )
    columns = ("kind", "at IoU 0.50", "costs", "at IoU 0.75", "costs", "what it is")
    return [
        Bars("What each kind of error costs", "", "AP gained if mended", series, groups=loose.kinds),
        PageTable("Errors", columns, rows, note),
    ]


def confusion_matrix(found: ConfusionMatrix | None) -> list[Matrix]:
    """Return truth by prediction, background last; of many classes those that are confused most."""
    if found is None:
        return []
    counts, classes = found.counts, len(found.classes)
    chosen = np.arange(classes + 1)
    note = "At mask IoU 0.50. The last row holds what was found where nothing is, the last column what was missed."
    if classes > _CONFUSED:
        wrong = counts.copy()
        np.fill_diagonal(wrong, 0)
        amount = (wrong.sum(0) + wrong.sum(1))[:classes]
        chosen = np.append(np.sort(np.argsort(-amount, kind="stable")[:_CONFUSED]), classes)
        note += f" {_CONFUSED} of {classes} classes, those with the most errors; shares are of what is shown."
    names = [(*found.classes, "background")[k] for k in chosen.tolist()]
    shown, right = counts[np.ix_(chosen, chosen)], np.eye(len(names), dtype=bool)
    return [Matrix("Which class was taken for which", "truth", "found", names, names, shown, right, note)]


def reliability(found: Reliability | None) -> list[Chart | Bars]:
    """Return share of right predictions over their score, and how the scores lie."""
    if found is None or not found.all_count.any():
        return []
    some = found.all_count > 0
    observed = Line("observed", found.all_score[some].tolist(), found.all_right[some].tolist())
    lines = [observed, Line("perfect", [0.0, 1.0], [0.0, 1.0])]
    counts = [("predictions", found.all_count.tolist())]
    return [
        _unit("Do scores mean what they say?", "score", "share that is right at IoU 0.50", lines),
        Bars("Scores", "score", "predictions", counts, edges=found.edges.tolist()),
    ]
