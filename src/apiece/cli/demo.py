"""``apiece demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apiece.cli._options import Json, Overwrite, Seed
from apiece.cli._output import note, print_json
from apiece.errors import ConfigError

_PIXEL_SIZE = "0.1 mm"
_TRAIN, _VAL = 500, 48
# what some three minutes on two cores can learn: three kinds of parts, most of them whole
_SCENES: dict[str, Any] = {
    "classes": ("washer", "pill", "screw"),
    "objects": (3, 9),
    "radius": (20.0, 40.0),
    "overlap": 0.15,
    "touching": 0.4,
    "backdrops": ("paper", "felt", "mat", "rubber"),
}
_SIDE = 128  # the network's input; masks come out at the scenes' own 256 pixels


def demo(
    *,
    model: str = "swift",
    max_time: str = "3m30s",
    seed: Seed = 0,
    out: Path = Path("demo"),
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show the whole road on a CPU, without network: make a data set, train, evaluate, predict, measure, report.

    ```
    apiece demo
    apiece demo --out /tmp/demo --model mask_rcnn --max-time 10m
    ```

    Parameters
    ----------
    model
        Architecture to train.
    max_time
        Time to train for.
    out
        Folder for data, model, predictions and report.html.
    """
    from apiece.cli.evaluate import print_scores
    from apiece.cli.measure import print_summary
    from apiece.datasets.dataset import open_data
    from apiece.datasets.synthetic import SceneConfig, write_dataset
    from apiece.evaluation import evaluate, join
    from apiece.evaluation.page import PAGE_METRICS, Seen, write_evaluation
    from apiece.formats import read
    from apiece.measurements import Table, measure_many
    from apiece.predict import load, predict_to, resolve_device
    from apiece.training import train

    if out.exists() and any(out.iterdir()) and not overwrite:
        raise ConfigError(f"{out} is not empty; choose another --out, or --overwrite")
    resolve_device()  # without torch this is the end, before anything is drawn
    data, run, results = out / "data", out / "model", out / "predictions"
    note("1/5 drawing scenes of small parts")
    write_dataset(data, train=_TRAIN, val=_VAL, config=SceneConfig(seed=seed, **_SCENES))
    note(f"2/5 training {model} for {max_time}")
    made = train(
        data=data, model=model, out=run, max_time=max_time, imgsz=_SIDE, crop=_SIDE, seed=seed, overwrite=overwrite,
    )  # fmt: skip
    note("3/5 evaluating on scenes it has not seen")
    trained, truth = load(run), open_data(data)["val"]
    joined, seen = join(trained, truth), Seen(truth.classes)
    scores = evaluate(joined, metrics=PAGE_METRICS, watch=seen.add)
    note("4/5 predicting and measuring")
    images = [str(ref.path) for ref in truth.refs]
    predict_to(trained, images, results, ("coco", "overlay", "csv"), overwrite=overwrite)
    tables = measure_many(read(results / "predictions.json"), pixel_size=_PIXEL_SIZE)
    measured = Table.concatenate(tables)
    measured.to_csv(out / "measurements.csv")
    note("5/5 writing the report")
    page = out / "report.html"
    facts = [
        ("model", f"{model}, {made.steps:,} steps in {made.seconds / 60:.1f} minutes"),
        ("data", f"{_TRAIN} synthetic scenes to learn from, {len(truth)} others to be judged by"),
        ("seed", str(seed)),
        ("pixel size", _PIXEL_SIZE),
    ]
    write_evaluation(page, joined, scores, seen, run, title="apiece demo", facts=facts, measured=measured)
    if json:
        print_json({**scores, "per_class": scores.per_class, "folder": out, "report": page})
        return
    print_scores(scores)
    print_summary(measured.summary(), f"measured, {_PIXEL_SIZE} per pixel: ")
    note(f"open {page}")
    note(f"next: apiece predict --model {run} YOUR_PHOTOS/ --save coco,overlay")
