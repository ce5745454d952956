"""``apiece predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from apiece.cli._options import LIST, Device, Json, ModelName, Overwrite
from apiece.cli._output import DEFAULT_MODEL, note, print_json, print_table, progress


def predict(
    sources: tuple[str, ...],
    /,
    *,
    model: ModelName = "default",
    conf: float | None = None,
    iou: float | None = None,
    max_instances: int | None = None,
    edges: bool = False,
    page: int | None = None,
    batch: int = 1,
    tile: int | None = None,
    halo: int | Literal["auto"] = "auto",
    resume: bool = False,
    pixel_size: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    device: Device = "auto",
    skip_bad: bool = False,
    out: Path = Path("predictions"),
    save: Annotated[tuple[str, ...], LIST] = ("coco",),
    remain: float = 0.0,
    allow_lossy: bool = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find the objects in images, and save them.

    Without `--model`, the model that comes with apiece finds objects of any kind, all of the class `object`.

    ```
    apiece predict photo.jpg --save coco,overlay
    apiece predict photos/ --model runs/bolts --save coco,overlay
    apiece predict photos/ --model runs/bolts --save semantic,panoptic,boxes
    apiece predict "line/*.png" --model runs/bolts --out today --conf 0.6 --skip-bad
    apiece predict slide.svs --model runs/cells --save geojson,labelmap,csv --tile 1024 --resume
    ```

    Parameters
    ----------
    sources
        Images: files, folders or patterns.
    conf
        Lowest score of an object. By default each class has its threshold, from training or `apiece thresholds`.
    iou
        Mask IoU above which the lower-scoring of two objects of a class is a duplicate. By default the model decides.
    max_instances
        Most objects on an image. By default there is no limit.
    edges
        Tell in COCO and GeoJSON how far each outline may be off (95%), for `apiece measure --uncertainty` and `apiece
        inspect`. Of images that are cut into tiles it is not known.
    page
        Page to read of files with several pages, from 0.
    batch
        Images of one size that go through the network at once.
    tile
        Cut images into tiles of so many pixels a side, and join what is found: nothing is doubled, cut or merged. By
        default images of 67 million pixels or more are cut, into tiles of 1024.
    halo
        Least distance from what a tile answers for to its border. `auto` takes it from the sizes of the objects that
        the model learned, or else an eighth of the tile.
    resume
        Go on with the tiles of a run that was cut short.
    pixel_size
        Predict at the scale that the model learned. `auto`: at the pixel size that each image states; or the images'
        pixel size, such as `0.25um`. By default images are taken as they are.
    workers
        Processes that predict on images and tiles, each with one thread; 1 is this process. Any number writes the same
        bytes. By default this process predicts, with all threads.
    ray
        Address of a Ray cluster that predicts, such as `auto` or `ray://host:10001`; `local` starts one here. By
        default it has a worker for each CPU of the cluster, or as many as `--workers` says.
    skip_bad
        Leave out and list images that cannot be read. By default the first one ends the run, and nothing is written.
    out
        Folder for the results.
    save
        What to save: `coco` (predictions.json), `labelmap`, `labels` (OME-Zarr), `overlay`, `csv`, `geojson` (QuPath
        opens it), `semantic` (maps of classes), `panoptic`, `boxes` (COCO results without masks).
    remain
        In `semantic` and `panoptic` maps: share of its pixels, 0 to 1, that an object must keep beside those of better
        score. One that keeps less is left out.
    allow_lossy
        Write label maps where masks overlap, the smallest mask on top. By default an overlap is an error.
    """
    from apiece.predict import load, predict_to

    opened = load(model, device=device)
    if model == "default":
        note(DEFAULT_MODEL)
        if opened.runtime.name == "opencv":
            note("OpenCV computes it; ONNX Runtime takes half the time: pip install 'apiece[onnx]'")
    with progress("predicting", None) as step:
        summary = predict_to(
            opened,
            sources,
            out,
            save,
            skip_bad=skip_bad,
            remain=remain,
            allow_lossy=allow_lossy,
            overwrite=overwrite,
            page=page,
            batch=batch,
            conf=conf,
            iou=iou,
            max_instances=max_instances,
            edges=edges,
            tile=tile,
            halo=None if halo == "auto" else halo,
            resume=resume,
            pixel_size=pixel_size,
            workers=workers,
            ray=ray,
            progress=lambda done, total, name: step(done, total),
        )
    for line in summary.lost:  # images that were left out have been named on the way
        note(f"apiece: {line}")
    if json:
        print_json(summary)
        return
    title = f"{summary.instances:,} instances on {summary.images:,} image{'s' * (summary.images != 1)}"
    print_table(title, ("class", "instances"), list(summary.per_class.items()))
    if summary.images and not summary.instances and conf is None:
        note("no object reaches the threshold of its class; --conf 0.1 shows what is less sure")
    for path in summary.files:
        note(f"wrote {path}")
    if "coco" in save and len(sources) == 1 and Path(sources[0]).is_dir():
        note(f"next: apiece measure {out / 'predictions.json'} --images {sources[0]}")
