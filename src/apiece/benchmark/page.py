"""``benchmark.html``: the plot, the tables, the conditions; one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apiece.benchmark.rows import Row, pareto
from apiece.draw.report import Chart, Dot, Facts, PageTable, ReportData, Scatter, Section, write_report
from apiece.evaluation.page import log_lines

__all__ = ["disturbance", "table_of_scores", "table_of_sizes", "words_of_time", "write_page"]

_CURVES = 8  # as many as there are colours
_DISTURBED = 0.25  # cores in use by other programs
_NOTE = (
    "Latency: from the image file to instances at the image's own size, one image at a time, median and 90th "
    "percentile. Memory: most resident memory beyond that of the loaded libraries, in MB (10⁶ bytes). AP-tau: "
    "TP / (TP + FP + FN) of the final answer at IoU 0.50, over all images. A dash: not measured."
)
_SIZES_NOTE = (
    "Mask AP by COCO's rule: small is below 32 x 32 pixels, large above 96 x 96. A dash: nothing of that size is there."
)


def write_page(path: Path, rows: Sequence[Row], conditions: Mapping[str, Any]) -> None:
    """Write the page about ``rows``, best first."""
    measured = [r for r in rows if r.mask_ap is not None and r.latency_ms is not None]
    comparison: list[Scatter | PageTable] = [_plot(measured)] if measured else []
    comparison += [
        PageTable("Models", *table_of_scores(rows), note=_NOTE),
        PageTable("Mask AP by size, and of boxes", *table_of_sizes(rows), note=_SIZES_NOTE),
    ]
    notes = [f"{r.model} failed: {r.error}" for r in rows if r.error]
    if disturbed := disturbance({row.model: row.others_cores for row in rows}):
        notes.append(disturbed)
    if waiting := [r.model for r in rows if r.status == "waiting"]:
        notes.append(f"Not measured yet: {', '.join(waiting)}.")
    if conditions["training"] is None:
        notes.append("The models were trained before, each in its own way: compare them as they are.")
    data = ReportData(
        title="apiece benchmark",
        subtitle=_subtitle(rows, conditions),
        headline=_headline(measured),
        sections=[
            Section("comparison", "Side by side", comparison),
            Section("run", "What was run", [Facts(_facts(conditions))]),
            Section("curves", "Curves", _curves(rows)),
            Section("notes", "Notes", notes),
        ],
    )
    write_report(path, data)


def disturbance(rows: Mapping[str, float | None]) -> str:
    """Return a warning if other programs kept cores busy while the latency of each was measured; empty if not."""
    busy = {name: cores for name, cores in rows.items() if cores is not None and cores > _DISTURBED}
    if not busy:
        return ""
    told = ", ".join(f"{name} ({cores:.1f})" for name, cores in busy.items())
    return f"Other programs were at work while latency was measured, so that it is too long (cores in use): {told}."


def table_of_scores(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Return (columns, rows) of accuracy, speed and memory."""
    on_gpu = any(r.predict_gpu_memory_mb or r.train_gpu_memory_mb for r in rows)
    lines: list[dict[str, Any]] = []
    for r in rows:
        gpu = {"GPU MB": _round(r.predict_gpu_memory_mb, 0), "train GPU MB": _round(r.train_gpu_memory_mb, 0)}
        lines.append({
            "model": r.model, "mask AP": _score(r.mask_ap), "AP50": _score(r.mask_ap50), "AP-tau": _score(r.ap_tau50),
            "ms": _latency(r.latency_ms), "p90 ms": _latency(r.latency_p90_ms),
            "M params": _round(r.parameters, 2, 1e6),
            "MB": _round(r.predict_memory_mb, 0), "train MB": _round(r.train_memory_mb, 0), **(gpu if on_gpu else {}),
            "train images/s": _round(r.train_images_per_second, 1), "steps": r.steps,
            "input px": r.imgsz if r.imgsz is not None else "native" if r.status == "done" else None,
            "Pareto": r.status if r.status != "done" else "yes" if r.pareto else "",
        })  # fmt: skip
    return list(lines[0]) if lines else [], [list(line.values()) for line in lines]


def table_of_sizes(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Return (columns, rows) of further accuracy."""
    columns = ["model", "small", "medium", "large", "AP75", "AP-tau, mean", "box AP"]
    cells = [
        [r.model, *map(_score, (r.mask_ap_small, r.mask_ap_medium, r.mask_ap_large, r.mask_ap75, r.ap_tau, r.box_ap))]
        for r in rows
    ]
    return columns, cells


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _round(value: float | None, digits: int, unit: float = 1) -> float | None:
    return None if value is None else round(value / unit, digits or None)


def _latency(milliseconds: float | None) -> float | None:
    return _round(milliseconds, 1 if (milliseconds or 0.0) < 100 else 0)


def _plot(rows: Sequence[Row]) -> Scatter:
    dots = []
    for r in rows:
        ap, milliseconds, millions = r.mask_ap or 0.0, r.latency_ms or 0.0, (r.parameters or 0) / 1e6
        words = f"mask AP {ap:.3f}, {milliseconds:,.1f} ms, {millions:.2f} M parameters"
        dots.append(Dot(r.model, milliseconds, ap, millions, words, r.pareto))
    largest = max(d.area for d in dots)
    steps = [m * 10.0**p for p in range(-3, 5) for m in (1, 2, 5)]
    round_one = max([s for s in steps if s <= largest], default=largest)
    areas = [(f"{a:g} M", a) for a in (round_one / 10, round_one)]
    return Scatter(
        "Speed and accuracy",
        "latency from file to instances in ms, logarithmic",
        "mask AP",
        dots,
        line="Pareto line: nothing else is both faster and better",
        area_label="parameters:",
        areas=areas,
    )


def _headline(measured: Sequence[Row]) -> list[tuple[str, str]]:
    if not measured:
        return []
    line = pareto(measured)
    best, fastest = line[-1], line[0]
    return [
        (f"{best.mask_ap:.3f}", f"mask AP of {best.model}, the best"),
        (f"{fastest.latency_ms:,.0f} ms", f"latency of {fastest.model}, the fastest"),
        (str(len(measured)), "models compared"),
    ]


def _subtitle(rows: Sequence[Row], conditions: Mapping[str, Any]) -> str:
    data, training = conditions["data"], conditions["training"]
    given = sum(r.train_seconds is None and not r.error for r in rows)
    told = [f"Judged on the same {data['val_images']:,} images of {data['name']}"]
    if training is not None:
        told.append(f"trained on {data['train_images']:,} for {words_of_time(training['budget_seconds'])} each")
        if given and given < len(rows):
            told.append("but for those given as trained models")
    return ", ".join(told) + "."


def words_of_time(seconds: float) -> str:
    """Return seconds as ``1 h 20 min``, ``20 min`` or ``45 s``."""
    if seconds < 90:
        return f"{seconds:g} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours and rest else f"{hours} h" if hours else f"{minutes} min"


def _facts(conditions: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, training, prediction = conditions["data"], conditions["training"], conditions["prediction"]
    machine = conditions["machine"]
    facts = [("data", f"{data['name']}, {len(data['classes'])} classes: {', '.join(data['classes'])[:200]}")]
    if training is not None:
        facts += [
            ("training", f"{words_of_time(training['budget_seconds'])} each, {training['jobs']} at a time"),
            ("seed", str(training["seed"])),
            ("threads in training", f"{training['threads']}, and {training['workers']} data-loader processes"),
            ("precision in training", f"{training['precision']} on {training['device']}"),
            ("training data", data["train_fingerprint"][:16]),
        ]
    facts += [
        ("validation data", data["val_fingerprint"][:16]),
        ("threads in prediction", str(prediction["threads"])),
        ("precision in prediction", f"{prediction['precision']} on {prediction['device']}"),
        ("latency measured on", f"{prediction['images_timed']:,} images"),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
    ]
    facts += [("GPU", machine["gpu"])] if machine["gpu"] else []
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())))
    return facts


def _curves(rows: Sequence[Row]) -> list[Chart]:
    """Return validation mask AP over time of the best models that were trained here."""
    trained = [r for r in rows if r.train_seconds is not None]
    lines = [
        line for r in trained[:_CURVES] for line in log_lines(Path(r.folder) / "log.csv", {"val_mask_ap": r.model})
    ]
    few = f", the best {_CURVES}" if len(trained) > _CURVES else ""
    return [Chart(f"Validation while training{few}", "minutes", "mask AP", lines)] if lines else []
