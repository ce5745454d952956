"""The HTML report of an evaluation: what `apiece.draw.report` needs, gathered from the rooms that know it."""

from __future__ import annotations

import csv
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apiece import __version__, metrics
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset
from apiece.draw.report import Bars, Chart, Example, Line, ReportData, Table, write_report
from apiece.measure import Table as Measurements
from apiece.metrics import Evaluation

__all__ = ["write_evaluation_report"]

_SHOWN = 4  # best and worst images each


def write_evaluation_report(
    path: Path,
    truth: Dataset,
    answers: Sequence[Instances],
    result: Evaluation,
    model: Path | None = None,
    *,
    title: str = "Evaluation",
    facts: Sequence[tuple[str, str]] = (),
    measured: Measurements | None = None,
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    answers : the final answer on each image of ``truth``, in its order.
    model : folder of the model, for its training curves.
    facts : further (name, value) of what was run.
    measured : measurements of the answers, for a summary.
    """
    best, worst = _extremes(result)
    wanted = [instances for _, instances in truth.labels]
    counts = [
        (name, sum(int((t.labels == k).sum()) for t in wanted), sum(a.names.count(name) for a in answers))
        for k, name in enumerate(truth.classes)
    ]
    data = ReportData(
        title=title,
        subtitle=f"{result.images:,} images, {sum(map(len, wanted)):,} objects, {sum(map(len, answers)):,} found",
        headline=[
            (f"{result['mask_ap']:.3f}", "mask AP"),
            (f"{result['mask_ap50']:.3f}", "mask AP at IoU 0.50"),
            (f"{result['ap_tau50']:.3f}", "TP / (TP + FP + FN) at IoU 0.50"),
        ],
        facts=[*facts, *_machine()],
        scores={key: value for key, value in result.numbers.items() if key.startswith(("mask_", "box_"))},
        extra_scores=[(f"AP-tau, IoU {t / 100:.2f}", result[f"ap_tau{t}"]) for t in (50, 75, 90)],
        per_class=[
            (name, {"mask AP": s["mask_ap"], "mask AP50": s["mask_ap50"], "box AP": s["box_ap"]})
            for name, s in result.per_class.items()
        ],
        precision_recall=_precision_recall(result),
        training=[] if model is None else _training(model / "log.csv"),
        counts=counts,
        sizes=_sizes(wanted, answers),
        best=[_example(truth, answers, i, score) for i, score in best],
        worst=[_example(truth, answers, i, score) for i, score in worst],
        measurements=None if measured is None else _measurements(measured),
        notes=result.notes,
    )
    write_report(path, data)


def _machine() -> list[tuple[str, str]]:
    return [("machine", f"{platform.machine()}, Python {platform.python_version()}"), ("apiece", __version__)]


def _extremes(result: Evaluation) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(image, TP / (TP + FP + FN) at IoU 0.5) of the best and of the worst images; no image is both."""
    counts = result.extras["ap_tau"]["counts"][0]
    judged = np.flatnonzero(counts.sum(1) > 0)
    score = counts[judged, 0] / counts[judged].sum(1)
    # of equally good images those with more objects
    order = np.lexsort((-counts[judged].sum(1), -score))
    ranked = [(int(judged[i]), float(score[i])) for i in order]
    shown = min(_SHOWN, (len(ranked) + 1) // 2)
    return ranked[:shown], ranked[shown:][-shown:][::-1] if len(ranked) > shown else []


def _example(truth: Dataset, answers: Sequence[Instances], index: int, score: float) -> Example:
    image, wanted = truth[index]
    found = answers[index]
    matches = metrics.evaluate([(wanted, found)], truth.classes, max_dets=[max(len(found), 1)]).matches
    found_right, truth_found = np.zeros(len(found), bool), np.zeros(len(wanted), bool)
    found_right[matches.index[matches.truth >= 0]] = True
    truth_found[matches.truth[matches.hits]] = True
    return Example(f"{truth.refs[index].name} · {score:.2f}", image, wanted, found, truth_found, found_right)


def _precision_recall(result: Evaluation) -> list[Line]:
    curves = result.curves["mask"]
    lines = []
    for wanted in (0.5, 0.75, 0.9):
        level = int(np.argmin(np.abs(curves.iou - wanted)))
        precision = curves.precision[:, level]
        known = (precision >= 0).all(1)
        if known.any():
            lines.append(Line(f"IoU {wanted:.2f}", curves.recall.tolist(), precision[known].mean(0).tolist()))
    return lines


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


def _sizes(wanted: Sequence[Instances], answers: Sequence[Instances]) -> Bars | None:
    areas = [np.concatenate([np.zeros(0), *(s.masks.area for s in sets)]) for sets in (wanted, answers)]
    both = np.concatenate(areas)
    both = both[both > 0]
    if not len(both):
        return None
    edges = np.linspace(0, both.max() + 1, 31)
    series = [(name, np.histogram(a, edges)[0].tolist()) for name, a in zip(("truth", "found"), areas, strict=True)]
    return Bars("Sizes", "area in pixels", "objects", series, edges=edges.tolist())


def _measurements(measured: Measurements) -> Table:
    summary = measured.summary()
    rows = [[cell if isinstance(cell, str | int | float) else None for cell in row.values()] for row in summary.rows()]
    return Table("Measurements of what was found", summary.header(), rows)
