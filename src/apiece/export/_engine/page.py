"""The page of an exported model: how its answers differ from the original's."""

from __future__ import annotations

from pathlib import Path

from apiece.draw.report import Facts, PageTable, ReportData, Section, write_report
from apiece.export._engine.parity import Limits, Parity
from apiece.models import Graph
from apiece.predict import Model

_SHOWN = 20  # images, those that differ most first


def write_parity(path: Path, parity: Parity, original: Model, graph: Graph, limits: Limits) -> None:
    """Write ``parity.html``."""
    excess = parity.excess(limits)
    verdict = f"Not equal enough: {excess}." if excess else "Equal enough, as the limits say."
    headline = [(f"{parity.iou:.4f}", "mean mask IoU"), (f"{parity.alone:.2%}", "of objects found by one only")]
    if parity.mask_ap is not None:
        headline.append((f"{parity.mask_ap[1] - parity.mask_ap[0]:+.4f}", "mask AP"))
    before, after = parity.milliseconds
    headline.append((f"{before / max(after, 1e-9):.1f} x", "the original's speed"))
    facts = [
        ("architecture", original.loaded.name),
        ("runtime", f"{graph.runtime}, in {graph.precision}, against torch in float32 on {original.device}"),
        ("size of images", "any" if graph.size is None else f"{graph.size[0]} x {graph.size[1]}, padded"),
        ("limits", f"IoU {limits.iou}, found by one only {limits.alone:.0%}, loss of mask AP {limits.drop}"),
        ("time of an image, from file to masks", f"{before:.1f} ms before, {after:.1f} ms after (medians)"),
        ("mask AP", _words_of_ap(parity)),
    ]
    write_report(
        path,
        ReportData(
            f"{original.loaded.name} for {graph.runtime}",
            verdict,
            headline,
            (
                Section("facts", "What was compared", (Facts(facts), _outputs(parity))),
                Section("images", "Images", (_images(parity),)),
            ),
        ),
    )


def _words_of_ap(parity: Parity) -> str:
    if parity.mask_ap is None:
        return "not measured: the images have no labels"
    a, b = parity.mask_ap
    low_high = parity.mask_ap_interval
    interval = "" if low_high is None else f", 95% interval {low_high[0]:+.4f} to {low_high[1]:+.4f}"
    return f"{a:.4f} before, {b:.4f} after: {b - a:+.4f}{interval}"


def _outputs(parity: Parity) -> PageTable:
    rows = [(name, f"{value:.1e}") for name, value in parity.outputs.items()]
    note = "Largest difference on the first image, as a share of the output's largest value."
    return PageTable("Raw outputs", ("output", "difference"), rows, note)


def _images(parity: Parity) -> PageTable:
    worst = sorted(parity.images, key=lambda one: (-one.alone, one.iou))[:_SHOWN]
    rows = [
        (one.name, one.original, one.exported, one.matched, one.alone, f"{one.iou:.4f}", one.box, f"{one.score:.4f}")
        for one in worst
    ]
    columns = ("image", "original", "exported", "both", "one only", "mask IoU", "box, px", "score")
    note = f"Of {len(parity.images)} images those that differ most; parity.json has all. Box and score: the largest "
    return PageTable("Objects", columns, rows, note + "difference. One only: without objects at their threshold.")
