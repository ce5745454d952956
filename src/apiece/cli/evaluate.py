"""``apiece evaluate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece.cli._output import note, print_json, print_table, progress
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.core.instances import Instances
    from apiece.metrics import Evaluation

__all__ = ["evaluate", "print_scores"]

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


def evaluate(
    *,
    data: Path,
    predictions: Path | None = None,
    model: Path | None = None,
    split: str | None = None,
    images: Path | None = None,
    max_dets: tuple[int, ...] = (1, 10, 100),
    device: str = "auto",
    report: Path | None = None,
    json: bool = False,
) -> None:
    """How good a model, or predictions in a file, are: COCO mask and box AP as pycocotools gives them, and AP-tau.

    ```
    apiece evaluate --model runs/bolts --data data/val.json
    apiece evaluate --predictions predictions.json --data data/val.json --json
    apiece evaluate --model runs/bolts --data data/ --report report.html
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
    max_dets
        Most predictions counted per image and class by COCO's metrics.
    device
        "auto", "cpu", "cuda" or "mps", for --model.
    report
        Write a self-contained HTML report with curves and the best and the worst images.
    json
        One JSON object instead of tables.
    """
    from apiece.predict.evaluation import evaluate as judge
    from apiece.predict.evaluation import open_truth

    if (predictions is None) == (model is None):
        raise ConfigError("say what to evaluate: --predictions FILE or --model FOLDER (one of them)")
    truth = open_truth(data, split, images)
    source: Any = predictions
    if model is not None:
        from apiece.predict import load

        source = load(model, device=device)
    answers: list[Instances] = []
    with progress("evaluating", len(truth)) as step:
        result = judge(source, truth, max_dets=max_dets, answers=answers, step=step)
    if report is not None:
        from apiece.cli._report import write_evaluation_report

        facts = [("model" if model is not None else "predictions", str(model or predictions)), ("data", str(data))]
        write_evaluation_report(report, truth, answers, result, model, facts=facts)
        note(f"report: {report}")
    if json:
        print_json({**result, "per_class": result.per_class, "images": result.images, "notes": result.notes})
        return
    print_scores(result)


def print_scores(result: Evaluation) -> None:
    recalls = sorted(int(key[7:]) for key in result if re.fullmatch(r"mask_ar\d+", key))
    limits = [(f"AR, {n} per image", f"ar{n}") for n in recalls]
    rows = [(name, result[f"mask_{key}"], result[f"box_{key}"]) for name, key in (*_ROWS[:6], *limits, *_ROWS[6:])]
    print_table(f"{result.images:,} images", ("COCO", "mask", "box"), rows)
    taus = [(f"{t / 100:.2f}", result[f"ap_tau{t}"], result[f"ap_tau{t}_image"]) for t in (50, 60, 70, 75, 80, 90)]
    print_table("AP-tau = TP / (TP + FP + FN) of the final answer", ("IoU", "pooled", "mean over images"), taus)
    if len(result.per_class) > 1:
        keys = ("mask_ap", "mask_ap50", "box_ap")
        classes = [
            (name, *(scores.get(key, float("nan")) for key in keys)) for name, scores in result.per_class.items()
        ]
        print_table("", ("class", "mask AP", "mask AP50", "box AP"), classes)
