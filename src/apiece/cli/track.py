"""``apiece track``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from apiece._limits import parse_time
from apiece.cli._options import GROUP, LIST, Device, Json, ModelName, Overwrite
from apiece.cli._output import DEFAULT_MODEL, note, print_json, print_table, progress
from apiece.errors import ConfigError, DataError, ImageError, Option

if TYPE_CHECKING:
    from apiece.core.image import Image
    from apiece.images import VideoOptions
    from apiece.predict import Model
    from apiece.predict.counts import Counts
    from apiece.predict.tracks import Frame, TrackSummary


@dataclass(frozen=True)
class Filming:
    """Which frames are taken, and how a video or stream is read."""

    every: Annotated[int, Parameter(help="Take one of so many frames.")] = 1
    duration: Annotated[
        str | None,
        Parameter(name="--for", help="End after so long, such as `90s`, `15m` or `8h`. By default at the end."),
    ] = None
    fps: Annotated[float, Parameter(help="Frames a second of folders and stacks, which state no times.")] = 25.0
    latest: Annotated[
        bool, Parameter(help="Of a camera or stream take always the newest frame, and drop what came meanwhile.")
    ] = False
    timeout: Annotated[float, Parameter(help="Seconds after which a stream that sends nothing is opened again.")] = 10.0
    reconnect: Annotated[
        str | None,
        Parameter(help="How long to try a lost stream again; 0 ends with it. By default for as long as it takes."),
    ] = None
    skip_bad: Annotated[
        bool, Parameter(help="Leave out and list frames that are damaged. By default the first one ends the run.")
    ] = False

    def options(self) -> VideoOptions:
        """Return what `open_video` takes."""
        from apiece.images import VideoOptions

        reconnect = math.inf if self.reconnect is None else _seconds("reconnect", self.reconnect)
        duration = None if self.duration is None else _seconds("for", self.duration)
        return VideoOptions(self.every, self.latest, self.timeout, reconnect, duration)


def track(
    sources: tuple[str, ...] = (),
    /,
    *,
    model: ModelName | None = None,
    detections: Path | None = None,
    images: Path | None = None,
    format: str | None = None,
    filming: Annotated[Filming, GROUP] = Filming(),
    line: tuple[str, ...] = (),
    zone: Path | None = None,
    recall: str | None = None,
    tracker: str | None = None,
    offline: bool = False,
    sure: float | None = None,
    patience: int | None = None,
    fill: int = 5,
    state: Path | None = None,
    device: Device = "auto",
    out: Path = Path("tracks"),
    save: Annotated[tuple[str, ...], LIST] = ("coco",),
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Follow objects from frame to frame: each keeps its id.

    Without `--model` and `--detections`, the model that comes with apiece finds objects of any kind.

    ```
    apiece track line.mp4 --save coco,video --out line
    apiece track line.mp4 --line "exit: 100,400 900,400" --save csv,video --out exit
    apiece track frames/ --model runs/pills --save coco,csv,overlay
    apiece track rtsp://10.0.0.7/live --model runs/cars --save csv --for 8h
    apiece track cells/ --model runs/cells --tracker cells --save ctc
    apiece track stack.tif --model runs/cells --offline --save ctc,csv --out lineages
    apiece track rtsp://10.0.0.7/live --save csv --state live.npz --out monday
    apiece track --detections predictions.json --save mots
    apiece evaluate --predictions tracks/tracks.json --data truth.json --metrics hota
    ```

    Parameters
    ----------
    sources
        Videos: files, folders or patterns of frames in natural order, stacks, `rtsp://...`, `udp://...`, `camera:0`.
        A folder of frames is a video.
    detections
        Predictions in a file of any format instead, as of another tool; no network runs.
    images
        Folder of the frames of `--detections`, for `--save overlay` and `--save video`.
    format
        Format of `--detections`. By default the files tell it.
    line
        Count what crosses a line, given as a name and two points in pixels: `"exit: 100,400 900,400"`; may be repeated.
        `counts.csv` has each crossing, `counts.json` the totals.
    zone
        Count what enters and leaves zones, and how long it stays: a GeoJSON file of polygons in pixels.
    recall
        Share of what passes that is counted, as known from a count by eye: `47/50`, or `0.94`. `counts.json` then says
        from how many to how many there were, with 95%.
    tracker
        `masks`: motion, camera and overlap of masks; `cells`: cells that divide; `iou`: overlap with the last frame
        alone. By default `masks`; `cells` with `--offline`.
    offline
        Link all frames at once, after the last one was seen: what comes later says whether a cell was lost, divided, or
        hidden in another. For files; goes with `cells`.
    sure
        Lowest score of a detection that begins a track. By default the lowest threshold of the model; of
        `--detections` the tracker decides (0.5).
    patience
        Frames that an object may be lost and found again. By default 30; 3 for `cells`.
    fill
        Longest gap in frames that is filled, where an object is missed and seen again. 0 changes no earlier frame.
    state
        File in which the tracker keeps what it knows, of one video or stream. A run that finds the file goes on with
        its ids; a new run needs another `--out`.
    out
        Folder for the results.
    save
        What to save: `coco` (tracks.json; ids last), `csv`, `jsonl` (a line for each frame, with masks), `mots` (KITTI
        MOTS), `ctc` (Cell Tracking Challenge, with parents), `overlay` (frames with ids), `video` (the same as a video,
        at the same times). `csv`, `jsonl` and `video` grow with each frame, and are valid whenever the run ends.
        `coco`, `mots` and `ctc` are written every 10 seconds, more seldom as they grow, and at the end.
    """
    from apiece.predict.track_state import KeptTracker
    from apiece.predict.tracks import track_to
    from apiece.track import Tracker, linker, start

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
        note(DEFAULT_MODEL)
    if offline:
        _has_an_end(sources, filming, state)
    tracker = tracker or ("cells" if offline else "masks")
    counts = _counts(line, zone, filming.fps, recall)
    settings = {"sure": sure, "patience": patience}
    left_out, again = _LeftOut(), None
    with progress("tracking", None) as step:
        if detections is None:
            from apiece.predict import load

            loaded = load(model or "default", device=device)
            classes = loaded.classes
            if sure is None and loaded.thresholds is not None:
                settings["sure"] = sure = min(loaded.thresholds)
            frames = _predicted(loaded, sources, 0.2 * (0.5 if sure is None else sure), filming, out, left_out)
            again = partial(_read_again, sources, filming, out)
        else:
            from apiece import formats

            labels = formats.read(detections, format=format, images=images)
            classes = labels.classes
            frames = ((ref, None, found) for ref, found in labels)
        own = {name: value for name, value in settings.items() if value is not None}
        with ExitStack() as stack:
            begin: Callable[[], Tracker] = partial(start, tracker, own)
            link = linker(tracker, own) if offline else None
            if state is not None:
                begin = stack.enter_context(KeptTracker(state, tracker, own, classes=classes)).begin
            summary = track_to(
                frames, out, begin, save, classes=classes, fill=fill, counts=counts, overwrite=overwrite,
                link=link, again=again if offline else None, step=step,
            )  # fmt: skip
    _tell(summary, left_out, counts, json)


def _has_an_end(sources: tuple[str, ...], filming: Filming, state: Path | None) -> None:
    """Refuse to link all frames of what goes on."""
    from apiece.images import is_stream

    if state is not None:
        raise ConfigError(
            Option("state", state) + " is for what goes on; it does not go with " + Option("offline", True)
        )
    endless = [source for source in sources if is_stream(source)]
    if endless and filming.duration is None:
        raise ConfigError(
            Option("offline", True)
            + f" waits for the last frame, and {endless[0]} has none; say how long with "
            + Option("for", ...)
        )


@dataclass
class _LeftOut:
    """Counts what was left out of a video."""

    bad: int = 0
    dropped: int = 0

    def skip(self, error: ImageError | DataError) -> None:
        self.bad += 1
        note(f"left out: {error.message}")

    def drop(self, count: int) -> None:
        self.dropped = count


def _counts(lines: tuple[str, ...], zone: Path | None, fps: float, recall: str | None) -> Counts | None:
    """Return what counts at the lines and zones that were named."""
    from apiece.predict.counts import Counts, read_zones
    from apiece.track import Line, Recall

    known = None if recall is None else Recall.parse(recall)
    if not lines and zone is None:
        if known is not None:
            raise ConfigError(
                Option("recall", recall) + " says how sure counts are, and goes with " + Option("line", ...)
            )
        return None
    found = [Line.parse(text, f"line {k}") for k, text in enumerate(lines, 1)]
    return Counts(found, [] if zone is None else read_zones(zone), fps, known)


def _tell(summary: TrackSummary, left_out: _LeftOut, counts: Counts | None, json: bool) -> None:
    """Print what a run did."""
    from dataclasses import asdict

    if json:
        told = {"left_out": left_out.bad, "dropped": left_out.dropped}
        print_json(asdict(summary) | told | ({} if counts is None else {"counts": counts.summaries}))
        return
    if summary.stopped:
        note("stopped; what was tracked so far is written")
    videos = f"{summary.videos} video{'s' * (summary.videos != 1)}"
    title = f"{sum(summary.tracks.values()):,} tracks in {summary.frames:,} frames of {videos}"
    print_table(title, ("class", "tracks"), list(summary.tracks.items()))
    for video in counts.summaries if counts is not None else ():
        rows = [(name, *(_counted(own, kind) for kind in ("right", "left"))) for name, own in video["lines"].items()]
        if rows:
            print_table("", ("line", "to the right", "to the left"), rows)
        zones = [
            (name, _counted(own, "enter"), _counted(own, "leave"), own["inside"], own["dwell"]["mean"] or "-")
            for name, own in video["zones"].items()
        ]
        if zones:
            print_table("", ("zone", "entered", "left", "inside", "mean stay, s"), zones)
    if left_out.bad:
        note(f"{left_out.bad:,} damaged frames are left out")
    if left_out.dropped:
        note(f"{left_out.dropped:,} frames were dropped to keep up")
    if summary.filled:
        note(f"{summary.filled:,} masks are filled in where a detection is missed (attribute filled)")
    for path in summary.files:
        note(f"wrote {path}")


def _counted(own: Mapping[str, Any], kind: str) -> int | str:
    """Return a count, with its interval where there is one."""
    if "interval" not in own:
        return int(own[kind])
    low, high = own["interval"][kind]
    return f"{own[kind]} ({low} to {high})"


def _predicted(
    model: Model, sources: tuple[str, ...], conf: float, filming: Filming, out: Path, left_out: _LeftOut
) -> Iterator[Frame]:
    """Yield frames with the model's detections, those too that can only continue a track."""
    from apiece._ahead import ahead
    from apiece.images import MAX_PIXELS
    from apiece.predict.footage import footage, ref_of

    bad = left_out.skip if filming.skip_bad else None
    read = footage(list(sources), filming.options(), fps=filming.fps, exclude=[out], on_bad=bad, dropped=left_out.drop)
    for source, image, found in ahead(model.results(read, 1, model.options(conf), MAX_PIXELS, bad, beside=True), 2):
        yield ref_of(source, image.size), image, found


def _read_again(sources: tuple[str, ...], filming: Filming, out: Path) -> Iterator[tuple[str, Image]]:
    """Yield the names and pixels of the frames once more; damaged ones are passed over."""
    from apiece.predict.footage import footage

    for source in footage(list(sources), filming.options(), fps=filming.fps, exclude=[out], on_bad=lambda error: None):
        try:
            yield source.name, source.read()
        except (ImageError, DataError):
            continue


def _seconds(option: str, text: str) -> float:
    """Return a length of time in seconds."""
    try:
        return parse_time(text, zero=True)
    except ConfigError:
        raise ConfigError(Option(option, text) + " is no length of time; write it as 90s, 15m or 8h") from None
