"""The files of tracks. Tables, lines and videos grow in place, frame by frame; the others are whole at the end."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from apiece._arrays import UInt8
from apiece.draw import overlay
from apiece.errors import DataError, ImageError, Message, Option
from apiece.images import VideoWriter, read_image, write_image
from apiece.predict.counts import Counts, Tracked

__all__ = ["TRACKS", "Output", "in_place", "picture", "save_picture"]

TRACKS: Mapping[str, str] = {
    "coco": "tracks.json",
    "csv": "tracks.csv",
    "jsonl": "tracks.jsonl",
    "mots": "mots",
    "ctc": "ctc",
    "overlay": "overlays",
    "video": "videos",
}
"""What can be saved, and the file or folder it becomes."""

_COLUMNS = (
    *("video", "frame", "seconds", "image", "id", "class", "score", "x0", "y0", "x1", "y1", "area", "x", "y", "filled"),
)


class Output(Protocol):
    """A file that grows frame by frame, and is valid after each."""

    def add(self, tracked: Tracked) -> None:
        """Write a frame."""

    def close(self) -> None:
        """End the file."""


class _Csv:
    """A row for each object in each frame."""

    def __init__(self, path: Path) -> None:
        self.file: IO[str] = path.open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        self.rows.writerow(_COLUMNS)

    def add(self, tracked: Tracked) -> None:
        found, masks = tracked.found, tracked.found.masks
        filled = found.attributes.get("filled", np.zeros(len(found), bool))
        scores = np.full(len(found), np.nan) if found.scores is None else found.scores
        seconds = "" if tracked.seconds is None else f"{tracked.seconds:.6g}"
        assert found.ids is not None
        columns = (found.ids, found.labels, scores, masks.runs.boxes, masks.area, masks.centroids, filled)
        for own, label, score, box, area, (x, y), gap in zip(*(column.tolist() for column in columns), strict=True):
            place = (*box, area, f"{x:.2f}", f"{y:.2f}")
            first = tracked.video, tracked.number, seconds, tracked.ref.name
            self.rows.writerow((*first, own, found.classes[label], f"{score:.6g}", *place, int(gap)))
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class _Jsonl:
    """A line of JSON for each frame, masks in COCO's run-lengths."""

    def __init__(self, path: Path) -> None:
        self.file: IO[str] = path.open("w", encoding="utf-8")

    def add(self, tracked: Tracked) -> None:
        found = tracked.found
        assert found.ids is not None
        height, width = found.size
        filled = found.attributes.get("filled", np.zeros(len(found), bool)).tolist()
        scores: list[Any] = [None] * len(found) if found.scores is None else found.scores.tolist()
        columns = zip(found.ids.tolist(), found.names, scores, found.masks.to_coco(), filled, strict=True)
        objects = [
            {"id": own, "class": name, "score": score, "segmentation": mask, "filled": gap}
            for own, name, score, mask, gap in columns
        ]
        line = {
            "video": tracked.video, "frame": tracked.number, "seconds": tracked.seconds, "image": tracked.ref.name,
            "height": height, "width": width, "objects": objects,
        }  # fmt: skip
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class _Videos:
    """A video for each video, with what was found drawn in, at the same times."""

    def __init__(self, folder: Path, counts: Counts | None) -> None:
        self.folder, self.counts = folder, counts
        self.video = 0
        self.writer: VideoWriter | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, tracked: Tracked) -> None:
        if self.writer is None or tracked.video != self.video:
            self.close()
            self.video = tracked.video
            name = Path(tracked.ref.name).parent.name or "frames"
            self.writer = VideoWriter(self.folder / f"{tracked.video:02d}-{Path(name).stem}.mp4")
        seconds = tracked.number / 25 if tracked.seconds is None else tracked.seconds
        self.writer.write(picture(tracked, self.counts), seconds)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def in_place(out: Path, save: Sequence[str], counts: Counts | None) -> Iterator[Output]:
    """Yield the outputs among ``save`` that grow in place; an older file of that name is replaced."""
    makers: dict[str, Callable[[Path], Output]] = {
        "csv": _Csv,
        "jsonl": _Jsonl,
        "video": lambda path: _Videos(path, counts),
    }
    if counts is not None:  # first, so that a frame shows what has been counted in it
        out.mkdir(parents=True, exist_ok=True)
        counts.open(out)
        yield counts
    for name, make in makers.items():
        if name in save:
            out.mkdir(parents=True, exist_ok=True)
            yield make(out / TRACKS[name])


def picture(tracked: Tracked, counts: Counts | None = None) -> UInt8:
    """Return a frame with its objects drawn in, colored by id, and what was counted: uint8 RGB."""
    image = tracked.image
    if image is None:
        try:
            image = read_image(tracked.ref.path, page=tracked.ref.page)
        except ImageError as error:
            where = "; the folder of the frames is given with "
            raise ImageError(error.path, Message(error.reason, where, Option("images", ...))) from None
    drawn = overlay(image, tracked.found, names=len(tracked.found.classes) > 1, ids=True)
    if counts is not None:
        counts.draw(drawn)
    return drawn


def save_picture(folder: Path, tracked: Tracked, counts: Counts | None) -> None:
    """Write a frame with its objects as PNG below ``folder``; a name that leads out of it is refused."""
    name = tracked.ref.name
    path = (folder / name).with_suffix(".png")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"the frame name {name!r} leads out of the folder; frames are named by a relative path below it"
        )
    os.makedirs(path.parent, exist_ok=True)
    write_image(path, picture(tracked, counts))
