"""``apiece track``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from apiece.cli._options import LIST, Device, Json, ModelName, Overwrite
from apiece.cli._output import note, print_json, print_table, progress
from apiece.errors import ConfigError, Option

if TYPE_CHECKING:
    from apiece.predict import Model
    from apiece.predict.tracks import Frame


def track(
    sources: tuple[str, ...] = (),
    /,
    *,
    model: ModelName | None = None,
    detections: Path | None = None,
    images: Path | None = None,
    format: str | None = None,
    tracker: str = "masks",
    sure: float | None = None,
    patience: int | None = None,
    fill: int = 5,
    device: Device = "auto",
    out: Path = Path("tracks"),
    save: Annotated[tuple[str, ...], LIST] = ("coco",),
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Follow objects from frame to frame: each keeps its id.

    Without `--model` and `--detections`, the model that comes with apiece finds objects of any kind.

    ```
    apiece track frames/ --save coco,overlay
    apiece track frames/ --model runs/pills --save coco,csv,overlay
    apiece track --detections predictions.json --save mots
    apiece evaluate --predictions tracks/tracks.json --data truth.json --metrics hota
    ```

    Parameters
    ----------
    sources
        Frames: folders, files or patterns, in natural order. A folder is a video.
    detections
        Predictions in a file of any format instead, as of another tool; no network runs.
    images
        Folder of the frames of `--detections`, for `--save overlay`.
    format
        Format of `--detections`. By default the files tell it.
    tracker
        `masks`: motion, camera and overlap of masks; `iou`: overlap with the last frame alone.
    sure
        Lowest score of a detection that begins a track. By default the lowest threshold of the model; of
        `--detections` the tracker decides (0.5).
    patience
        Frames that an object may be lost and found again. By default 30.
    fill
        Longest gap in frames that is filled, where an object is missed and seen again. 0 fills nothing.
    out
        Folder for the results.
    save
        What to save: `coco` (tracks.json; ids last), `csv`, `mots` (KITTI MOTS), `overlay` (frames with ids).
    """
    from apiece.predict.tracks import track_to
    from apiece.track import start

    if detections is None and not sources:
        raise ConfigError("give the frames, or " + Option("detections", ...))
    if detections is not None and (sources or model is not None):
        raise ConfigError(
            Option("detections")
            + " names its own frames and needs no model; give no sources and no "
            + Option("model")
            + " beside it"
        )
    if detections is None and model is None:
        note("model: default, which comes with apiece and finds objects of any kind, all of the class object")
    settings = {"sure": sure, "patience": patience}
    with progress("tracking", None) as step:
        if detections is None:
            from apiece.predict import load

            loaded = load(model or "default", device=device)
            classes = loaded.classes
            if sure is None and loaded.thresholds is not None:
                settings["sure"] = sure = min(loaded.thresholds)
            frames = _predicted(loaded, sources, 0.2 * (0.5 if sure is None else sure))
        else:
            from apiece import formats

            labels = formats.read(detections, format=format, images=images)
            classes = labels.classes
            frames = ((ref, None, found) for ref, found in labels)
        own = {name: value for name, value in settings.items() if value is not None}
        summary = track_to(
            frames, out, lambda: start(tracker, own), save, classes=classes, fill=fill, overwrite=overwrite, step=step
        )
    if json:
        print_json(summary)
        return
    videos = f"{summary.videos} video{'s' * (summary.videos != 1)}"
    title = f"{sum(summary.tracks.values()):,} tracks in {summary.frames:,} frames of {videos}"
    print_table(title, ("class", "tracks"), list(summary.tracks.items()))
    if summary.filled:
        note(f"{summary.filled:,} masks are filled in where a detection is missed (attribute filled)")
    for path in summary.files:
        note(f"wrote {path}")


def _predicted(model: Model, sources: tuple[str, ...], conf: float) -> Iterator[Frame]:
    """Yield frames with the model's detections, those too that can only continue a track."""
    from apiece.core.image import ImageRef
    from apiece.predict import find_sources

    for source in find_sources(list(sources)):
        image = source.read()
        ref = ImageRef(source.path or Path(source.name), source.name, image.size, page=source.page)
        yield ref, image, model.predict(image, conf=conf)
