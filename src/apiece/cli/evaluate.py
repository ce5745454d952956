"""``apiece evaluate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from apiece.cli._output import check_writable, note, print_json, print_table, progress, shown
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.core.instances import Instances
    from apiece.evaluation.tables import Rows
    from apiece.metrics import Evaluation, Number

__all__ = ["evaluate", "metric_names", "print_scores"]

_CLASSES = 30  # in the terminal
_ON_PAGE = ("confusion", "calibration", "errors")
"""Metrics that a page needs: the terminal leaves them out unless they were asked for."""


def evaluate(
    *,
    data: Path,
    predictions: Path | None = None,
    model: Path | None = None,
    split: str | None = None,
    images: Path | None = None,
    metrics: str = "coco,ap_tau",
    max_dets: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (1, 10, 100),
    bootstrap: int = 200,
    seed: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
    html: Annotated[Path | None, Parameter(name=["--html", "--report"])] = None,
    json: bool = False,
) -> None:
    """How good a model, or predictions in a file, are: COCO mask and box AP as pycocotools gives them, and AP-tau.

    ```
    apiece evaluate --model runs/bolts --data data/val.json
    apiece evaluate --predictions predictions.json --data data/val.json --json
    apiece evaluate --model runs/bolts --data data/ --html evaluation.html
    apiece evaluate --predictions predictions.json --data data/val.json --metrics all
    ```

    Parameters
    ----------
    data
        Labelled images: a label file, or a folder, of which val is taken (else test, else its only split).
    predictions
        Label file with scores, or a bare list of COCO results.
    model
        Model folder; predicts the images of the data.
    split
        Which split of a data folder, if not by that rule.
    images
        Folder that image names are relative to; found beside the labels if left out.
    metrics
        Metrics, separated by commas, or "all" for every one that applies.
    max_dets
        Most predictions counted per image and class by COCO's metrics.
    bootstrap
        Draws of the images for 95% intervals; 0 for none.
    seed
        Seed of the draws.
    device
        "auto", "cpu", "cuda" or "mps", for --model.
    skip_bad
        Leave out and list entries that break their format, and images that cannot be read; otherwise they end the run.
    html
        Write a self-contained page: curves, errors by kind, confusion, reliability, the worst images.
    json
        One JSON object instead of tables.
    """
    from apiece.cli._sets import report_bad
    from apiece.datasets.dataset import BadEntries, readable
    from apiece.evaluation import evaluate as judge
    from apiece.evaluation import join, open_truth

    if (predictions is None) == (model is None):
        raise ConfigError("say what to evaluate: --predictions FILE or --model FOLDER (one of them)")
    check_writable(html)
    wanted: Any = metric_names(metrics)
    asked = wanted
    bad = BadEntries() if skip_bad else None
    truth = open_truth(data, split, images, bad)
    if bad is not None and model is not None:
        truth = readable(truth, bad)
    if html is not None:
        from apiece.evaluation.page import PAGE_METRICS, Seen, write_evaluation

        seen = Seen(truth.classes)
        wanted = wanted if wanted == "all" else tuple(dict.fromkeys((*wanted, *PAGE_METRICS)))
    judged: Any = predictions
    if model is not None:
        from apiece.predict import load

        judged = load(model, device)  # nothing else will do: a folder of labels is no model
    joined = join(judged, truth, on_bad=bad)
    with progress("evaluating", len(truth)) as step:

        def watch(there: Instances, answer: Instances) -> None:
            if html is not None:
                seen.add(there, answer)
            step()

        result = judge(joined, metrics=wanted, max_dets=max_dets, bootstrap=bootstrap, seed=seed, watch=watch)
    if html is not None:
        facts = [("model" if model is not None else "predictions", str(model or predictions)), ("data", str(data))]
        write_evaluation(html, joined, result, seen, model, facts=facts)
        note(f"page: {html}")
    left_out = report_bad(bad, json)
    if json:
        shown = {**result, "per_class": result.per_class, "images": result.images, "notes": result.notes}
        print_json(shown | ({"bad": left_out} if skip_bad else {}))
        return
    print_scores(result, without=[name for name in _ON_PAGE if wanted != "all" and name not in asked])


def metric_names(text: str) -> Sequence[str] | Literal["all"]:
    """Names separated by commas, or ``"all"``.

    Raises
    ------
    ConfigError
        if there is none.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ConfigError('say which metrics, separated by commas, or "all"')
    return "all" if names == ("all",) else names


def print_scores(result: Evaluation, without: Sequence[str] = ()) -> None:
    """The tables of an evaluation on standard output; ``without``: groups of numbers that are left out."""
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
    """One row per number, each with its interval where there is one."""
    from apiece.evaluation.tables import with_intervals

    def cell(number: Number) -> float:
        return int(number.value) if number.unit == "count" and math.isfinite(number.value) else number.value

    heads, cells = with_intervals(columns, rows, cell, shown, "95%", "-")
    print_table(title, (what, *heads), cells)


def _print_classes(result: Evaluation) -> None:
    """AP of each class; of very many the ten best and the worst."""
    from apiece.evaluation.tables import class_rows

    columns, rows = class_rows(result, {"mask_ap": "mask AP", "mask_ap50": "mask AP50", "box_ap": "box AP"})
    title = ""
    if len(rows) > _CLASSES:
        known = sorted((row for row in rows if math.isfinite(row[1][0].value)), key=lambda row: -row[1][0].value)
        title = f"{_CLASSES} of {len(rows)} classes, the ten best and the {_CLASSES - 10} worst; --json has all"
        rows = [*known[:10], *known[10:][-(_CLASSES - 10) :]]
    print_table(title, ("class", *columns), [(name, *(n.value for n in numbers)) for name, numbers in rows])
