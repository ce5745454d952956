"""Tracks as files: the objects of each video followed from frame to frame, with ids that last. No torch here."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece import formats
from apiece._atomic import staged, take_place
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.draw import overlay
from apiece.errors import ConfigError, DataError, Option, UnknownNameError
from apiece.images import read_image, write_image
from apiece.ops import flattened
from apiece.track import Tracker, follow

__all__ = ["TRACKS", "TrackSummary", "track_to"]

TRACKS: Mapping[str, str] = {"coco": "tracks.json", "csv": "tracks.csv", "mots": "mots", "overlay": "overlays"}
"""What can be saved, and the file or folder it becomes."""

_COLUMNS = ("video", "frame", "image", "id", "class", "score", "x0", "y0", "x1", "y1", "area", "x", "y", "filled")
Frame = tuple[ImageRef, Image | None, Instances]


@dataclass(frozen=True)
class TrackSummary:
    """Hold what a run of `track_to` did.

    Attributes
    ----------
    videos, frames : how many there were; a folder of frames is a video.
    tracks : objects followed, of each class.
    filled : masks that no detection shows.
    files : files and folders written.
    """

    videos: int
    frames: int
    tracks: Mapping[str, int]
    filled: int
    files: tuple[Path, ...]


def track_to(
    frames: Iterable[Frame],
    out: Path | str,
    start: Callable[[], Tracker],
    save: Sequence[str] = ("coco",),
    *,
    classes: Sequence[str],
    fill: int = 5,
    overwrite: bool = False,
    step: Callable[[], None] = lambda: None,
) -> TrackSummary:
    """Follow objects through videos, and save their tracks under ``out``: all at once at the end, or nothing.

    Parameters
    ----------
    frames : reference, pixels (or None) and detections of each frame, in order; frames of one folder are one video.
    out : folder, made if needed.
    start : gives a new tracker, for each video.
    save : any of ``coco`` (a COCO set whose ids last), ``csv``, ``mots`` (KITTI MOTS; of masks that overlap the best
        score lies on top), ``overlay`` (each frame with its objects, colored by id).
    classes : all class names.
    fill : as for `apiece.track.follow`.
    overwrite : replace results of an earlier run; otherwise they are an error.
    step : called after each frame.

    Raises
    ------
    DataError, ConfigError, UnknownNameError
        If results exist already, there is no frame, a frame comes twice, or an output is unknown.
    """
    out = Path(out)
    for name in save:
        if name not in TRACKS:
            raise UnknownNameError("output", name, TRACKS)
    if not save:
        raise ConfigError(Option("save") + f" takes a list of outputs ({', '.join(TRACKS)})")
    targets = [out / TRACKS[name] for name in TRACKS if name in save]
    there = [target.name for target in targets if target.exists()]
    if there and not overwrite:
        raise DataError(
            f"{out} holds results already ({', '.join(there)}); name another folder, or " + Option("overwrite", True)
        )
    run = _Run(tuple(classes), start, fill, step)
    with staged(out, "apiece") as stage:
        _write(run.records(frames), stage, save, run.classes)
        if not run.frames:
            raise DataError("there are no frames to track in")
        for target in targets:
            take_place(stage / target.name, target, stage)
    counts = {name: len(run.ids[k]) for k, name in enumerate(run.classes)}
    return TrackSummary(run.videos, run.frames, counts, run.filled, tuple(targets))


class _Run:
    """Runs a tracker over each video, and counts."""

    def __init__(
        self, classes: tuple[str, ...], start: Callable[[], Tracker], fill: int, step: Callable[[], None]
    ) -> None:
        self.classes, self.start, self.fill, self.step = classes, start, fill, step
        self.videos = self.frames = self.filled = 0
        self.ids: list[set[tuple[int, int]]] = [set() for _ in classes]

    def records(self, frames: Iterable[Frame]) -> Iterator[tuple[ImageRef, int, int, Image | None, Instances]]:
        """Yield reference, video, number in the video, pixels and tracked objects of each frame."""
        seen: set[str] = set()
        for video, group in itertools.groupby(frames, lambda frame: _video(frame[0])):
            if video in seen:
                raise DataError(f"frames of the video {video or '.'} are not together; sort the frames")
            seen.add(video)
            self.videos += 1
            pairs = ((_Shown(ref, image), found) for ref, image, found in group)
            for number, (shown, found) in enumerate(follow(pairs, self.start(), fill=self.fill)):
                self.frames += 1
                assert found.ids is not None
                for k, ids in enumerate(self.ids):
                    ids.update((self.videos, i) for i in found.ids[found.labels == k].tolist())
                self.filled += int(np.sum(found.attributes.get("filled", 0)))
                self.step()
                yield shown.ref, self.videos, number, shown.image, found


@dataclass(frozen=True, eq=False)
class _Shown:
    """A frame on its way through `follow`."""

    ref: ImageRef
    image: Image | None


def _video(ref: ImageRef) -> str:
    """Return the video that a frame is of, as metrics see it: its attribute ``video_id``, else its folder."""
    own = ref.attributes.get("video_id")
    return str(own) if own is not None else ref.name.rpartition("/")[0]


def _write(
    results: Iterator[tuple[ImageRef, int, int, Image | None, Instances]],
    stage: Path,
    save: Sequence[str],
    classes: tuple[str, ...],
) -> None:
    """Drive the frames through every writer, one at a time."""
    with ExitStack() as stack:
        rows = None
        if "csv" in save:
            file = stack.enter_context((stage / TRACKS["csv"]).open("w", newline="", encoding="utf-8"))
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)

        def records() -> Iterator[tuple[ImageRef, Instances]]:
            for ref, video, number, image, found in results:
                if rows is not None:
                    rows.writerows(_rows(ref, video, number, found))
                if "overlay" in save:
                    shown = read_image(ref.path, page=ref.page) if image is None else image
                    path = _below(stage / TRACKS["overlay"], ref.name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_image(path, overlay(shown, found, names=False, ids=True))
                yield ref, found

        formats.write(records(), stage / TRACKS["coco"], format="coco", classes=classes)
    if "mots" in save:
        labels = formats.read(stage / TRACKS["coco"], format="coco")
        bare = ((ref, _flat(found)) for ref, found in labels)
        formats.write(bare, stage / TRACKS["mots"], format="kitti_mots", classes=labels.classes)
    if "coco" not in save:
        (stage / TRACKS["coco"]).unlink()


def _below(folder: Path, name: str) -> Path:
    """Return where the picture of a frame goes; a name that leads out of the folder is refused."""
    path = (folder / name).with_suffix(".png")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"the frame name {name!r} leads out of the folder; frames are named by a relative path below it"
        )
    return path


def _flat(found: Instances) -> Instances:
    return flattened(found).replace(scores=None, attributes={}, full=None)


def _rows(ref: ImageRef, video: int, number: int, found: Instances) -> Iterator[tuple[object, ...]]:
    filled = found.attributes.get("filled", np.zeros(len(found), bool))
    scores = np.full(len(found), np.nan) if found.scores is None else found.scores
    assert found.ids is not None
    masks = found.masks
    columns = (found.ids, found.labels, scores, masks.runs.boxes, masks.area, masks.centroids, filled)
    for own, label, score, box, area, (x, y), gap in zip(*(column.tolist() for column in columns), strict=True):
        place = (*box, area, f"{x:.2f}", f"{y:.2f}")
        yield video, number, ref.name, own, found.classes[label], f"{score:.6g}", *place, int(gap)
