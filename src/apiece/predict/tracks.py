"""Tracks as files: the objects of each video followed from frame to frame, with ids that last. No torch here."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece import formats
from apiece._ahead import ahead
from apiece._atomic import staged, take_place
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.errors import DataError, ImageError, Message
from apiece.ops import flattened
from apiece.predict.counts import COUNTS, Counts, Tracked
from apiece.predict.track_files import TRACKS, Output, in_place, save_picture
from apiece.predict.writing import targets_in
from apiece.track import Linker, Tracker, follow

__all__ = ["TRACKS", "Frame", "TrackSummary", "track_to"]

Frame = tuple[ImageRef, Image | None, Instances]
_PAUSE = 10.0  # seconds between two writings of the outputs that are whole files
_SELDOM = 20.0  # and so many times as long as a writing takes
_NEXT = "next.json"
_AHEAD = 4  # frames tracked before they are drawn and written


@dataclass(frozen=True)
class TrackSummary:
    """Hold what a run of `track_to` did.

    Attributes
    ----------
    videos, frames : how many there were; a folder of frames is a video.
    tracks : objects followed, of each class.
    filled : masks that no detection shows.
    files : files and folders written.
    stopped : whether the person stopped it (Ctrl-C).
    """

    videos: int
    frames: int
    tracks: Mapping[str, int]
    filled: int
    files: tuple[Path, ...]
    stopped: bool = False


def track_to(
    frames: Iterable[Frame],
    out: Path | str,
    start: Callable[[], Tracker],
    save: Sequence[str] = ("coco",),
    *,
    classes: Sequence[str],
    fill: int = 5,
    counts: Counts | None = None,
    overwrite: bool = False,
    link: Linker | None = None,
    again: Callable[[], Iterable[tuple[str, Image]]] | None = None,
    step: Callable[[], None] = lambda: None,
) -> TrackSummary:
    """Follow objects through videos, and save their tracks under ``out``.

    ``csv``, ``jsonl`` and ``video`` grow with each frame and are valid at any moment, even if the program is killed.
    ``coco``, ``mots`` and ``ctc`` are written whole every 10 seconds, more seldom as they grow; pictures at the end.
    Where a video ends in an error, all of them hold what came before it. Ctrl-C ends the last video as if it were over.

    Parameters
    ----------
    frames : reference, pixels (or None) and detections of each frame, in order; frames of one folder are one video.
    out : folder, made if needed.
    start : gives a new tracker, for each video.
    save : any of ``coco`` (a COCO set whose ids last), ``csv``, ``jsonl`` (a line for each frame, with masks), ``mots``
        (KITTI MOTS; of masks that overlap the best score lies on top), ``ctc`` (Cell Tracking Challenge, with parents),
        ``overlay`` (each frame with its objects,
        colored by id), ``video`` (the same as a video, at the same times).
    classes : all class names.
    fill : as for `apiece.track.follow`.
    counts : lines and zones to count at; the counts are written beside the tracks, and drawn into pictures and videos.
    overwrite : replace results of an earlier run; otherwise they are an error.
    link : links all frames of a video in place of a tracker, see `apiece.track.linker`. The first frame is written
        after the last one is read; pixels are not held meanwhile.
    again : gives names and pixels of all frames once more, in order, for ``link`` with ``overlay`` or ``video``.
        Without it pixels are read from the files that the references name.
    step : called after each frame.

    Raises
    ------
    DataError, ConfigError, UnknownNameError
        If results exist already, there is no frame, a frame comes twice, or an output is unknown.
    ImageError
        If a video is damaged, after what came before has been written.
    """
    out = Path(out)
    targets = targets_in(out, save, TRACKS, overwrite, () if counts is None else COUNTS)
    if {"overlay", "video"}.isdisjoint(save):
        again = None
    run = _Run(tuple(classes), start, link, again, fill, step)
    with staged(out, "apiece") as stage:
        _write(run, frames, stage, out, save, counts)
        if run.broken is not None and not run.frames:
            raise run.broken
        if not run.frames:
            raise DataError("there are no frames to track in")
        for target in targets:
            if (stage / target.name).exists():
                take_place(stage / target.name, target, stage)
    if run.broken is not None:
        error = run.broken
        before = f"; the {run.frames:,} frames before it are tracked and written to {out}"
        raise ImageError(error.path, Message(error.reason, before))
    tracks = {name: len(run.ids[k]) for k, name in enumerate(run.classes)}
    return TrackSummary(run.videos, run.frames, tracks, run.filled, tuple(targets), run.stopped)


class _Run:
    """Runs a tracker over each video, and counts."""

    def __init__(
        self,
        classes: tuple[str, ...],
        start: Callable[[], Tracker],
        link: Linker | None,
        again: Callable[[], Iterable[tuple[str, Image]]] | None,
        fill: int,
        step: Callable[[], None],
    ) -> None:
        self.classes, self.start, self.link, self.fill, self.step = classes, start, link, fill, step
        self.pixels = None if again is None else _lazily(again)
        self.videos = self.frames = self.filled = 0
        self.ids: list[set[tuple[int, int]]] = [set() for _ in classes]
        self.parents: dict[str, dict[int, int]] = {}
        self.broken: ImageError | None = None
        self.stopped = False

    def results(self, frames: Iterable[Frame]) -> Iterator[Tracked]:
        """Yield the tracked frames, which a thread makes ahead; a damaged video and Ctrl-C end them."""
        made = self._tracked(frames)
        with closing(ahead(made, _AHEAD) if self.link is None else made) as tracked:
            try:
                for one in tracked:
                    found = one.found
                    self.videos, self.frames = one.video, self.frames + 1
                    assert found.ids is not None
                    for k, ids in enumerate(self.ids):
                        ids.update((one.video, i) for i in found.ids[found.labels == k].tolist())
                    self.filled += int(np.sum(found.attributes.get("filled", 0)))
                    self._note_parents(one)
                    yield one
                    if self.link is None:
                        self.step()
            except KeyboardInterrupt:
                self.stopped = True

    def _note_parents(self, tracked: Tracked) -> None:
        """Keep the mother of each object that has one, by sequence as the Cell Tracking Challenge names it."""
        found, name = tracked.found, tracked.ref.name.partition("/")[0]
        own = found.attributes.get("parent")
        if own is None or not own.any() or found.ids is None:
            return
        sequence = name if re.fullmatch(r"\d\d", name) else f"{tracked.video:02d}"
        born = own > 0
        parents = self.parents.setdefault(sequence, {})
        parents.update(zip(found.ids[born].tolist(), own[born].tolist(), strict=True))

    def _tracked(self, frames: Iterable[Frame]) -> Generator[Tracked]:
        seen: set[str] = set()
        videos = itertools.groupby(self._until_broken(frames), lambda frame: _video(frame[0]))
        for number, (video, group) in enumerate(videos, 1):
            if video in seen:
                raise DataError(f"frames of the video {video or '.'} are not together; sort the frames")
            seen.add(video)
            pairs = _of_one_size(group)
            tracked = (
                follow(pairs, self.start(), fill=self.fill)
                if self.link is None
                else follow(self._held(pairs), self.link, fill=self.fill)
            )
            for k, (shown, found) in enumerate(tracked):
                ref = shown.ref
                seconds = ref.attributes.get("seconds")
                image = shown.image if self.pixels is None else self._pixels_of(ref.name)
                yield Tracked(ref, number, k if ref.page is None else ref.page, seconds, image, found)

    def _held(self, pairs: Iterable[tuple[_Shown, Instances]]) -> list[tuple[_Shown, Instances]]:
        """Return all frames of a video without their pixels; Ctrl-C ends it."""
        held = []
        try:
            for shown, found in pairs:
                held.append((_Shown(shown.ref, None), found))
                self.step()
        except KeyboardInterrupt:
            self.stopped = True
        return held

    def _pixels_of(self, name: str) -> Image | None:
        """Return the pixels of a frame, read once more; frames that were left out are passed over."""
        assert self.pixels is not None
        return next((image for own, image in self.pixels if own == name), None)

    def _until_broken(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield frames; where one cannot be read, keep the error and end."""
        try:
            yield from frames
        except ImageError as error:
            self.broken = error


@dataclass(frozen=True, eq=False)
class _Shown:
    """A frame on its way through `follow`."""

    ref: ImageRef
    image: Image | None


def _of_one_size(frames: Iterable[Frame]) -> Iterator[tuple[_Shown, Instances]]:
    """Yield the frames of a video; one of another size than the first is refused by its name."""
    first: tuple[str, tuple[int, int]] | None = None
    for ref, image, found in frames:
        name, size = first = first or (ref.name, found.size)
        if found.size != size:
            raise DataError(
                f"{ref.name} is of {found.size[0]} x {found.size[1]} pixels, and {name} of {size[0]} x {size[1]}: the "
                "frames of a video have one size; put the others into a folder of their own"
            )
        yield _Shown(ref, image), found


def _lazily(make: Callable[[], Iterable[tuple[str, Image]]]) -> Iterator[tuple[str, Image]]:
    """Yield what ``make`` gives, and call it only when the first is asked for."""
    yield from make()


def _video(ref: ImageRef) -> str:
    """Return the video that a frame is of, as metrics see it: its attribute ``video_id``, else its folder."""
    own = ref.attributes.get("video_id")
    return str(own) if own is not None else ref.name.rpartition("/")[0]


def _write(
    run: _Run, frames: Iterable[Frame], stage: Path, out: Path, save: Sequence[str], counts: Counts | None
) -> None:
    """Drive the frames through every writer, one at a time."""
    with ExitStack() as stack:
        outputs: list[Output] = []

        def records() -> Iterator[tuple[ImageRef, Instances]]:
            for tracked in run.results(frames):
                if not outputs:  # a run without frames leaves no empty file
                    outputs.extend(stack.enter_context(closing(each)) for each in in_place(out, save, counts))
                for output in outputs:
                    output.add(tracked)
                if "overlay" in save:
                    save_picture(stage / TRACKS["overlay"], tracked, counts)
                yield tracked.ref, tracked.found

        if {"coco", "ctc", "mots"}.isdisjoint(save):
            for _ in records():
                pass
        else:
            _write_whole(run, records(), stage, out, save)


def _write_whole(
    run: _Run, records: Iterator[tuple[ImageRef, Instances]], stage: Path, out: Path, save: Sequence[str]
) -> None:
    """Write the outputs that are whole files, now and then and at the end, each time all that there is."""
    held, pause = (out if "coco" in save else stage) / TRACKS["coco"], _PAUSE
    known: Iterable[tuple[ImageRef, Instances]] = ()
    first = next(records, None)
    while first is not None:
        piece = itertools.chain(known, [first], _for_a_while(records, pause))
        formats.write(piece, stage / _NEXT, format="coco", classes=run.classes)
        began = time.monotonic()
        take_place(stage / _NEXT, held, stage)
        for name, format, metadata in (("mots", "kitti_mots", {}), ("ctc", "ctc", {"ctc": run.parents})):
            if name in save:
                labels = formats.read(held, format="coco")
                bare = ((ref, flattened(found).replace(scores=None, attributes={}, full=None)) for ref, found in labels)
                formats.write(bare, stage / TRACKS[name], format=format, classes=labels.classes, metadata=metadata)
                take_place(stage / TRACKS[name], out / TRACKS[name], stage)
        first = next(records, None)
        if first is not None:
            known = formats.read(held, format="coco")
        pause = max(_PAUSE, _SELDOM * (time.monotonic() - began))


def _for_a_while(records: Iterator[tuple[ImageRef, Instances]], seconds: float) -> Iterator[tuple[ImageRef, Instances]]:
    end = time.monotonic() + seconds
    while time.monotonic() < end and (record := next(records, None)) is not None:
        yield record
