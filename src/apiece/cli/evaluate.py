"""``apiece evaluate``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from apiece.cli._output import check_writable, note, print_json, print_table, progress, shown
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.core.instances import Instances
    from apiece.metrics import Evaluation

__all__ = ["evaluate", "metric_names", "print_scores"]

_ROWS = (
    ("AP", "ap"),
    ("AP, IoU 0.50", "ap50"),
    ("AP, IoU 0.75", "ap75"),
    ("AP, small", "ap_small"),
    ("AP, medium", "ap_medium"),
    ("AP, large", "ap_large"),
    ("AR, small", "ar_small"),
    ("AR, medium", "ar_medium"),
    ("AR, large", "ar_large"),
)
_CLASSES = 30  # in the terminal
_ON_PAGE = {
    "confusion": ("confusion_",),
    "calibration": ("calibration_", "overconfidence"),
    "errors": ("dap", "errors"),
}
"""Metrics that a page needs, and how their keys begin: the terminal leaves them out unless they were asked for."""


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
    unasked = [name for name in _ON_PAGE if wanted != "all" and name not in asked]
    print_scores(result, without=tuple(start for name in unasked for start in _ON_PAGE[name]))


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


def print_scores(result: Evaluation, without: tuple[str, ...] = ()) -> None:
    """The tables of an evaluation on standard output; ``without``: how keys begin that are left out."""
    title = f"{result.images:,} images"
    kinds = [kind for kind in ("mask", "box") if f"{kind}_ap" in result]
    if kinds:
        recalls = sorted(int(key[7:]) for key in result if re.fullmatch(r"mask_ar\d+", key))
        limits = [(f"AR, {n} per image", f"ar{n}") for n in recalls]
        keys = [(name, [f"{kind}_{key}" for kind in kinds]) for name, key in (*_ROWS[:6], *limits, *_ROWS[6:])]
        _print_numbers(title, "COCO", kinds, keys, result)
        title = ""
    if "ap_tau50" in result:
        levels = [(f"{t / 100:.2f}", [f"ap_tau{t}", f"ap_tau{t}_image"]) for t in (50, 60, 70, 75, 80, 90)]
        heading = "AP-tau = TP / (TP + FP + FN) of the final answer"
        _print_numbers(heading, "IoU", ["pooled", "mean over images"], levels, result)
    others = _others(result, without)
    if others:
        _print_numbers(title, "further metrics", ["value"], [(key, [key]) for key in others], result)
    if len(result.per_class) > 1 and kinds:
        _print_classes(result)


def _others(result: Evaluation, without: tuple[str, ...]) -> list[str]:
    """Keys that have no table of their own, and are defined."""
    from apiece.metrics import defined

    left = ("mask_", "box_", "ap_tau", "f1_tau", *without)
    keys = (key for key in result if not key.startswith(left) and not key.endswith(("_low", "_high")))
    return [key for key in keys if math.isfinite(defined(key, result[key]))]


def _print_numbers(
    title: str, what: str, columns: Sequence[str], keys: Sequence[tuple[str, Sequence[str]]], result: Evaluation
) -> None:
    """One row per number, each with its interval where there is one."""
    from apiece.metrics import defined

    drawn = any(f"{key}_low" in result for _, row in keys for key in row)
    heads = [head for column in columns for head in (column, "95%")[: 1 + drawn]]
    rows = []
    for name, row in keys:
        cells: list[Any] = []
        for key in row:
            value = defined(key, result[key])
            cells.append(int(value) if key.startswith("errors") else value)
            if drawn:
                low, high = (result.numbers.get(f"{key}_{end}", float("nan")) for end in ("low", "high"))
                cells.append("-" if low != low else f"{shown(low)} to {shown(high)}")
        rows.append((name, *cells))
    print_table(title, (what, *heads), rows)


def _print_classes(result: Evaluation) -> None:
    """Mask AP of each class; of very many the ten best and the worst."""
    from apiece.metrics import defined

    keys = ("mask_ap", "mask_ap50", "box_ap")
    rows = [(name, [defined(k, scores.get(k, math.nan)) for k in keys]) for name, scores in result.per_class.items()]
    title = ""
    if len(rows) > _CLASSES:
        known = sorted((row for row in rows if math.isfinite(row[1][0])), key=lambda row: -row[1][0])
        title = f"{_CLASSES} of {len(rows)} classes, the ten best and the {_CLASSES - 10} worst; --json has all"
        rows = [*known[:10], *known[10:][-(_CLASSES - 10) :]]
    print_table(title, ("class", "mask AP", "mask AP50", "box AP"), [(name, *values) for name, values in rows])
