"""One row per model, the Pareto line, and the files for other programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from apiece._atomic import atomic, write_text
from apiece.benchmark._processes import Outcome
from apiece.benchmark.config import Entry
from apiece.metrics.coco import PRECISIONS

__all__ = ["Row", "pareto", "row", "write_csv", "write_json"]

_VERSION = 1


@dataclass(frozen=True)
class Row:
    """Hold what is known of one model. None: not measured, or nothing there to score.

    Attributes
    ----------
    model, architecture, kind : name in this benchmark, and what it is.
    status : ``"done"``, ``"failed"`` or ``"waiting"``.
    error : why it failed.
    mask_ap, mask_ap50, mask_ap75, mask_ap_small, mask_ap_medium, mask_ap_large, box_ap : by COCO's rule.
    ap_tau50, ap_tau : TP / (TP + FP + FN) of the final answer, pooled over all images: at IoU 0.5, and the mean of
        0.5 to 0.95.
    latency_ms, latency_p90_ms : from image file to instances at the image's own size, one image at a time: median and
        90th percentile.
    others_cores : cores that other programs kept busy meanwhile: they make latency longer.
    predict_memory_mb, train_memory_mb : most resident memory (10^6 bytes) of the process beyond that of the libraries;
        of training without its data-loader processes.
    predict_gpu_memory_mb, train_gpu_memory_mb : most memory that tensors took on a GPU.
    parameters : of the network.
    train_images_per_second : crops that training takes in, validation left out.
    steps, best_step, train_seconds : of training, and the step of the model that was kept.
    batch, imgsz, precision : of training; ``imgsz`` None: the images' own size.
    pareto : no other model is both faster and better.
    folder : of the model.
    per_class : for each class its mask APs.
    """

    model: str
    architecture: str = ""
    kind: str = ""
    status: str = "waiting"
    error: str = ""
    mask_ap: float | None = None
    mask_ap50: float | None = None
    mask_ap75: float | None = None
    mask_ap_small: float | None = None
    mask_ap_medium: float | None = None
    mask_ap_large: float | None = None
    box_ap: float | None = None
    ap_tau50: float | None = None
    ap_tau: float | None = None
    latency_ms: float | None = None
    latency_p90_ms: float | None = None
    others_cores: float | None = None
    predict_memory_mb: float | None = None
    train_memory_mb: float | None = None
    predict_gpu_memory_mb: float | None = None
    train_gpu_memory_mb: float | None = None
    parameters: int | None = None
    train_images_per_second: float | None = None
    steps: int | None = None
    best_step: int | None = None
    train_seconds: float | None = None
    batch: int | None = None
    imgsz: int | None = None
    precision: str = ""
    pareto: bool = False
    folder: str = ""
    per_class: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


MASK_AP = tuple(f"mask_{key}" for key in PRECISIONS)


def row(entry: Entry, folder: Path, trained: Outcome | None, judged: Outcome | None) -> Row:
    """Return the row of ``entry`` from its stages' outcomes; None: a stage has not ended, or is not needed."""
    values: dict[str, Any] = {"model": entry.name, "architecture": entry.architecture, "folder": str(folder)}
    known = {f.name for f in fields(Row)}
    for outcome in (trained, judged):
        if outcome is not None and outcome.result is not None:
            values |= {name: value for name, value in outcome.result.items() if name in known}
    if judged is not None and judged.result is not None:
        values["status"] = "done"
    errors = [o.error for o in (trained, judged) if o is not None and o.error]
    if errors:
        values |= {"status": "failed", "error": errors[0]}
    return Row(**values)


def pareto(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other is better than at the same latency or less, from the fastest to the best."""
    measured = [r for r in rows if r.mask_ap is not None and r.latency_ms is not None]
    line: list[Row] = []
    for candidate in sorted(measured, key=lambda r: (r.latency_ms or 0.0, -(r.mask_ap or 0.0))):
        if not line or (candidate.mask_ap or 0.0) > (line[-1].mask_ap or 0.0):
            line.append(candidate)
    return line


def write_json(path: Path, rows: Sequence[Row], conditions: Mapping[str, Any]) -> None:
    """Write ``benchmark.json``: the conditions and every row."""
    content = {"version": _VERSION, "conditions": conditions, "models": [asdict(r) for r in rows]}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write ``benchmark.csv``: every row, without scores per class; unknown values are left empty."""
    columns = [f.name for f in fields(Row) if f.name != "per_class"]
    with atomic(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(r) for r in rows)
