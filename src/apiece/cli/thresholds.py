"""``apiece thresholds``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from apiece._arrays import Float
from apiece.cli._options import GROUP, Device, Json, Judged, ModelFolder, Reading, Split
from apiece.cli._output import note, print_json, print_table, progress, shown
from apiece.cli._sets import report_bad
from apiece.errors import ConfigError

if TYPE_CHECKING:
    from apiece.core.instances import Instances
    from apiece.datasets import Dataset
    from apiece.measurements import EdgeFit
    from apiece.metrics import Matches, Price, Thresholds
    from apiece.predict import Model

_EVERYTHING = 2**31


def thresholds(
    data: Judged,
    *,
    model: ModelFolder,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    by: Literal["f1", "cost"] | None = None,
    miss: float | None = None,
    false_alarm: float | None = None,
    device: Device = "auto",
    dry_run: bool = False,
    json: Json = False,
) -> None:
    """Fit the score threshold of each class on labelled images, and store it in the model folder.

    It also measures there how far the model's outlines are off, for the intervals of `apiece measure` and `inspect`.

    `apiece predict` uses the stored thresholds. Training stores the thresholds that are best by F1 on its validation
    images. Take images that the model has not learned from.

    ```
    apiece thresholds data/ --model runs/bolts
    apiece thresholds line-camera.json --model runs/bolts --miss 10 --false-alarm 1
    ```

    Parameters
    ----------
    by
        `f1` fits the highest F1 at mask IoU 0.5; `cost` the lowest cost of misses and false alarms. By default `cost`
        where a price is given, else `f1`.
    miss
        Price of an object that is not found; 1 if only the other price is given. Only the ratio of the prices counts.
    false_alarm
        Price of a prediction where there is no such object; 1 if only the other price is given.
    dry_run
        Show the thresholds and store nothing.
    """
    from apiece.core.conf import thresholds as by_class
    from apiece.datasets import fingerprint
    from apiece.evaluation import LOWEST, told_apart
    from apiece.measurements import EdgeFit
    from apiece.metrics import evaluate, fit_thresholds
    from apiece.models import save_thresholds
    from apiece.models.contract import is_name
    from apiece.predict import load

    price = _price(by, miss, false_alarm)
    if is_name(model):
        raise ConfigError(f"thresholds are stored in a model folder; make one: apiece models fetch {model} --out ...")
    loaded = load(model, device=device)
    bad = reading.bad()
    truth = reading.judged(data, split, bad, images=True)
    outlines = EdgeFit()
    with progress("predicting", len(truth)) as step:
        pairs = _pairs(loaded, told_apart(truth, loaded.classes), data, outlines, step)
        matches = evaluate(pairs, loaded.classes, kinds=["mask"], max_dets=[_EVERYTHING]).matches
    fitted = fit_thresholds(matches, price)
    lowest = [
        f"{name}: the best threshold may lie below {LOWEST}, the lowest score that is looked at"
        for name, value in zip(fitted.classes, fitted.values, strict=True)
        if value < LOWEST + 0.01
    ]
    if not dry_run:
        goal = {"by": "f1"} if price is None else {"by": "cost", "miss": price.miss, "false_alarm": price.false_alarm}
        origin = goal | {"data": data.name, "data_fingerprint": fingerprint(truth), "images": len(truth)}
        save_thresholds(model, fitted.values.tolist(), origin, outlines.factors)
    rows = _rows(matches, by_class(loaded.options().conf, loaded.classes), fitted, price)
    notes = (*fitted.notes, *lowest)
    left_out = report_bad(bad, json)
    if json:
        stored = None if dry_run else model / "model.json"
        told = {"images": len(truth), "price": price, "classes": rows, "notes": notes, "stored": stored}
        print_json(told | left_out)
        return
    for line in notes:
        note(line)
    _print_rows(f"{len(truth):,} images: before → after", rows, price)
    note("nothing stored" if dry_run else f"stored in {model / 'model.json'}")


def _price(by: str | None, miss: float | None, false_alarm: float | None) -> Price | None:
    from apiece.metrics import Price

    given = miss is not None or false_alarm is not None
    if by == "f1" and given:
        raise ConfigError("--by f1 takes no prices; leave out --miss and --false-alarm, or say --by cost")
    if by == "cost" and not given:
        raise ConfigError("--by cost needs prices: --miss, --false-alarm, or both (the other is 1)")
    if not given:
        return None
    return Price(1.0 if miss is None else miss, 1.0 if false_alarm is None else false_alarm)


def _pairs(
    model: Model, truth: Dataset, data: Path, outlines: EdgeFit, step: Callable[[], None]
) -> Iterator[tuple[Instances, Instances]]:
    """Yield the ground truth, and everything that the model can rank; add both to ``outlines``."""
    from apiece.evaluation import LOWEST, check_known

    options = replace(model.options(LOWEST), edges=(1.0, 1.0))
    for image, wanted in truth:
        check_known(wanted, model, data)
        (ranked,) = model.predict_batch([image], options)
        if "edge" in ranked.attributes:
            outlines.add(wanted, ranked)
        yield wanted, ranked
        step()


def _rows(matches: Matches, before: Float, fitted: Thresholds, price: Price | None) -> dict[str, dict[str, Any]]:
    """Return what the thresholds give before and after, by class."""
    from apiece.metrics import cost, f1, precision, recall

    sides = {}
    for side, values in (("before", before), ("after", fitted.values)):
        counts = matches.counts(values).sum(0)
        sides[side] = {"threshold": values, "precision": precision(counts), "recall": recall(counts), "f1": f1(counts)}
        if price is not None:
            sides[side]["cost"] = cost(counts, price)
    return {
        name: {
            "objects": int(fitted.truths[k]),
            "pooled": bool(fitted.pooled[k]),
            **{side: {key: float(column[k]) for key, column in found.items()} for side, found in sides.items()},
        }
        for k, name in enumerate(fitted.classes)
    }


def _print_rows(title: str, rows: dict[str, dict[str, Any]], price: Price | None) -> None:
    keys = ("threshold", "precision", "recall", "f1" if price is None else "cost")
    table = [
        (name, row["objects"], *(f"{shown(row['before'][key])} → {shown(row['after'][key])}" for key in keys))
        for name, row in rows.items()
    ]
    print_table(title, ("class", "objects", *("F1" if key == "f1" else key for key in keys)), table)
