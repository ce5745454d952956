"""``apiece predict``."""

from __future__ import annotations

from pathlib import Path

from apiece.cli._output import note, print_json, print_table, progress

__all__ = ["predict"]


def predict(
    sources: tuple[str, ...],
    /,
    *,
    model: Path,
    out: Path = Path("predictions"),
    save: str = "coco",
    conf: float | None = None,
    iou: float | None = None,
    max_instances: int | None = None,
    batch: int = 1,
    device: str = "auto",
    skip_bad: bool = False,
    allow_lossy: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Find the objects in images, and save them.

    ```
    apiece predict --model runs/bolts photos/ --save coco,overlay
    apiece predict --model runs/bolts "line/*.png" --out today --conf 0.6 --skip-bad
    ```

    Parameters
    ----------
    sources
        Images: files, folders or patterns.
    model
        Model folder.
    out
        Folder for the results.
    save
        What to save, separated by commas: coco (predictions.json), labelmap, overlay, csv.
    conf
        Lowest score kept; by default the model folder's thresholds per class, from training or `apiece thresholds`.
    iou
        Overlap above which the lower-scoring of two instances of a class is a duplicate.
    max_instances
        Most instances per image; by default there is no limit.
    batch
        Images of one size that go through the network together.
    device
        "auto", "cpu", "cuda" or "cuda:1".
    skip_bad
        Leave out images that cannot be read, naming each; otherwise they end the run and nothing is written.
    allow_lossy
        Where masks overlap, write label maps with the smallest on top instead of refusing.
    overwrite
        Replace results that are in the folder already.
    json
        One JSON object with what was found and written.
    """
    from apiece.predict import load, predict_to

    names = tuple(part.strip() for part in save.split(",") if part.strip())
    with progress("predicting", None) as step:
        summary = predict_to(
            load(model, device=device),
            sources,
            out,
            names,
            skip_bad=skip_bad,
            allow_lossy=allow_lossy,
            overwrite=overwrite,
            batch=batch,
            conf=conf,
            iou=iou,
            max_instances=max_instances,
            progress=lambda done, total, name: step(done, total),
        )
    for line in summary.lost:  # images that were left out have been named on the way
        note(f"apiece: {line}")
    if json:
        print_json(
            {
                "images": summary.images,
                "instances": summary.instances,
                "per_class": summary.per_class,
                "bad": [error.message for error in summary.bad],
                "lost": summary.lost,
                "files": summary.files,
            }
        )
        return
    title = f"{summary.instances:,} instances on {summary.images:,} image{'s' * (summary.images != 1)}"
    print_table(title, ("class", "instances"), list(summary.per_class.items()))
    for path in summary.files:
        note(f"wrote {path}")
