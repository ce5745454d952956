"""``apiece evaluate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from apiece.cli._options import (
    GROUP,
    Device,
    Html,
    Json,
    Judged,
    MaxDets,
    Metrics,
    ModelName,
    Reading,
    Seed,
    Split,
    metric_names,
)  # fmt: skip
from apiece.cli._output import check_writable, note, print_json, print_table, progress, shown
from apiece.cli._sets import report_bad
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.core.instances import Instances
    from apiece.evaluation.tables import Rows
    from apiece.metrics import Evaluation, Number

_CLASSES = 30  # in the terminal
_ON_PAGE = ("confusion", "calibration", "errors", "track_errors")
"""Metrics that a page needs: the terminal leaves them out unless they were asked for."""


def evaluate(
    data: Judged,
    *,
    model: ModelName | None = None,
    predictions: Path | None = None,
    predictions_format: str | None = None,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    metrics: Annotated[Metrics | None, Parameter(show_default=lambda _: "coco,ap_tau")] = None,
    view: Literal["instances", "boxes", "panoptic", "semantic", "presence"] = "instances",
    remain: float = 0.0,
    max_dets: MaxDets = (1, 10, 100),
    bootstrap: int = 200,
    seed: Seed = 0,
    device: Device = "auto",
    html: Annotated[Html, Parameter(name=["--html", "--report"])] = None,
    json: Json = False,
) -> None:
    """Judge a model, or predictions in a file, by labelled images: mask and box AP as pycocotools computes them.

    The page shows curves, errors by kind, confusion, reliability and the worst images; of tracks, where they fail.

    ```
    apiece evaluate data/val.json --model runs/bolts
    apiece evaluate data/val.json --predictions predictions.json --json
    apiece evaluate data/ --model runs/bolts --html evaluation.html
    apiece evaluate data/ --model default
    apiece evaluate data/val.json --predictions predictions.json --metrics all
    apiece evaluate data/val.json --predictions predictions.json --view semantic
    ```

    Parameters
    ----------
    predictions
        Label file or folder with scores, such as Cityscapes' lists of results, or COCO results: a list, or one a line.
    predictions_format
        Format of the predictions, such as `class_map`. By default their content tells it.
    view
        As what predictions are judged: `instances`, their `boxes`, `panoptic` (without overlap, with stuff),
        `semantic` (the class of each pixel) or `presence` (the classes that an image shows).
    remain
        With `--view panoptic` or `semantic`: share of its pixels, 0 to 1, that an object must keep beside those of
        better score. One that keeps less is left out.
    bootstrap
        Half-samples of the images, at most, for 95% intervals; 0 gives none.
    """
    from apiece.evaluation import VIEWS, join
    from apiece.evaluation import evaluate as judge

    if (predictions is None) == (model is None):
        raise ConfigError("say what to evaluate: --predictions FILE, or --model FOLDER or default (one of them)")
    check_writable(html)
    named = VIEWS[view] if metrics is None else metrics
    wanted: Any = metric_names(named)
    bad = reading.bad()
    truth = reading.judged(data, split, bad, images=model is not None)
    if html is not None:
        from apiece.evaluation.page import PAGE_METRICS, TRACK_METRICS, Seen, write_evaluation

        if wanted != "all":
            tracks = () if set(TRACK_METRICS).isdisjoint(wanted) else ("track_errors",)
            wanted = tuple(dict.fromkeys((*wanted, *tracks, *PAGE_METRICS)))
    judged: Any = predictions
    if model is not None:
        from apiece.predict import load

        judged = load(model, device)  # nothing else will do: a folder of labels is no model
    joined = join(judged, truth, on_bad=bad, format=predictions_format)
    if html is not None:
        seen = Seen(joined.truth.classes)
    with progress("evaluating", len(truth)) as step:

        def watch(there: Instances, answer: Instances) -> None:
            if html is not None:
                seen.add(there, answer)
            step()

        result = judge(
            joined,
            metrics=wanted,
            view=view,
            remain=remain,
            max_dets=max_dets,
            bootstrap=bootstrap,
            seed=seed,
            watch=watch,
        )
    if html is not None:
        facts = [("model" if model is not None else "predictions", str(model or predictions)), ("data", str(data))]
        write_evaluation(html, joined, result, seen, None if model is None else Path(model), facts=facts)
        note(f"wrote {html}")
    left_out = report_bad(bad, json)
    if json:
        told = {"per_class": result.per_class, "images": result.images, "notes": result.notes}
        print_json({**result, **told, **left_out})
        return
    print_scores(result, without=[name for name in _ON_PAGE if wanted != "all" and name not in named])


def print_scores(result: Evaluation, without: Sequence[str] = ()) -> None:
    """Print the tables of an evaluation, without the groups of numbers ``without``."""
    from apiece.evaluation.tables import coco_rows, further_rows

    title = f"{result.images:,} images"
    kinds, rows = coco_rows(result)
    if kinds:
        _print_numbers(title, "COCO", kinds, rows)
        title = ""
    if "ap_tau50" in result:
        levels = [
            (f"{t / 100:.2f}", [result.number(f"ap_tau{t}"), result.number(f"ap_tau{t}_image")])
            for t in (50, 60, 70, 75, 80, 90)
        ]
        heading = "AP-tau = TP / (TP + FP + FN) of the final answer"
        _print_numbers(heading, "IoU", ["pooled", "mean over images"], levels)
    others = further_rows(result, ("mask", "box", "ap_tau", "f1_tau", *without))
    if others:
        _print_numbers(title, "further metrics", ["value"], others)
    if len(result.per_class) > 1 and kinds:
        _print_classes(result)


def _print_numbers(title: str, what: str, columns: Sequence[str], rows: Rows) -> None:
    """Print a row per number, with its interval where there is one."""
    from apiece.evaluation.tables import with_intervals

    def cell(number: Number) -> float:
        return int(number.value) if number.unit == "count" and math.isfinite(number.value) else number.value

    heads, cells = with_intervals(columns, rows, cell, shown, "95%", "-")
    print_table(title, (what, *heads), cells)


def _print_classes(result: Evaluation) -> None:
    """Print AP of each class; of very many classes the ten best and the worst."""
    from apiece.evaluation.tables import class_rows

    columns, rows = class_rows(result, {"mask_ap": "mask AP", "mask_ap50": "mask AP50", "box_ap": "box AP"})
    title = ""
    if len(rows) > _CLASSES:
        known = sorted((row for row in rows if math.isfinite(row[1][0].value)), key=lambda row: -row[1][0].value)
        title = f"{_CLASSES} of {len(rows)} classes, the ten best and the {_CLASSES - 10} worst; --json has all"
        rows = [*known[:10], *known[10:][-(_CLASSES - 10) :]]
    print_table(title, ("class", *columns), [(name, *(n.value for n in numbers)) for name, numbers in rows])
