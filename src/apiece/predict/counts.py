"""Counts as files: events as they happen, totals now and then and at the end; and as pictures."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from apiece._arrays import UInt8
from apiece._atomic import write_text
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.draw import mark_line, mark_zone
from apiece.errors import DataError
from apiece.track import Counter, Line, Recall, Zone

__all__ = ["COUNTS", "Counts", "Tracked", "read_zones"]

COUNTS = ("counts.csv", "counts.json")
_COLUMNS = ("video", "frame", "seconds", "where", "what", "id", "class", "dwell")
_PAUSE = 10.0  # seconds between two writings of the totals


@dataclass(frozen=True, eq=False)
class Tracked:
    """Hold what a frame shows.

    Attributes
    ----------
    ref : the frame; its ``page`` is its number where it is of a video or a stack.
    video : number of the video, from 1.
    number : number of the frame in the video, from 0.
    seconds : when it is shown, if known.
    image : its pixels, if they are known already.
    found : the objects, with ids.
    """

    ref: ImageRef
    video: int
    number: int
    seconds: float | None
    image: Image | None
    found: Instances


def read_zones(path: Path | str) -> list[Zone]:
    """Read zones, polygons in pixels, from a GeoJSON file.

    Raises
    ------
    DataError
        If it is no GeoJSON, or holds no polygon; names the file.
    """
    try:
        return Zone.from_geojson(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as GeoJSON: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


class Counts:
    """Count on lines and in zones while videos are tracked; each video from 0."""

    def __init__(
        self, lines: Sequence[Line], zones: Sequence[Zone], fps: float = 25.0, recall: Recall | None = None
    ) -> None:
        self.lines, self.zones, self.fps, self.recall = tuple(lines), tuple(zones), fps, recall
        self.counter = Counter(self.lines, self.zones, recall=recall)
        self.video = 0
        self.summaries: list[dict[str, Any]] = []
        self.file: IO[str] | None = None
        self.folder = Path()
        self.written = 0.0

    def open(self, out: Path) -> None:
        """Begin the files below ``out``."""
        self.folder = out
        self.file = (out / COUNTS[0]).open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        self.rows.writerow(_COLUMNS)

    def add(self, tracked: Tracked) -> None:
        """Take in a frame, and write what happened in it."""
        if tracked.video != self.video:
            self._sum_up()
            self.video = tracked.video
            self.counter = Counter(self.lines, self.zones, recall=self.recall)
            self.summaries.append({"video": tracked.ref.name.rpartition("/")[0]})
        seconds = tracked.number / self.fps if tracked.seconds is None else tracked.seconds
        assert self.file is not None
        for event in self.counter.update(tracked.found, seconds, tracked.number):
            dwell = "" if event.dwell is None else f"{event.dwell:.6g}"
            what = event.where, event.what, event.id, event.label, dwell
            self.rows.writerow((tracked.video, event.frame, f"{event.seconds:.6g}", *what))
        self.file.flush()
        if time.monotonic() - self.written > _PAUSE:
            self._write()

    def _sum_up(self) -> None:
        if self.summaries:
            self.summaries[-1] |= self.counter.summary()

    def _write(self) -> None:
        self._sum_up()
        write_text(self.folder / COUNTS[1], json.dumps({"videos": self.summaries}, indent=2, ensure_ascii=False) + "\n")
        self.written = time.monotonic()

    def close(self) -> None:
        """End the files."""
        if self.file is not None:
            self.file.close()
            self._write()

    def draw(self, canvas: UInt8) -> None:
        """Draw lines and zones with their counts."""
        inside = self.counter.inside()
        for zone in self.zones:
            mark_zone(canvas, zone.rings, f"{zone.name}: {inside[zone.name]}")
        for line in self.lines:
            counts = self.counter.totals[line.name].counts
            mark_line(canvas, line.start, line.end, f"{line.name}: {counts.get('right', 0)} | {counts.get('left', 0)}")
