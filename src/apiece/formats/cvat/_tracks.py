"""Tracks of a CVAT video as the shapes on each frame: key frames, and what lies between them."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.image import Shape as NoMask
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, number, skip_bad, whole
from apiece.formats.contract import OnBad, refuse
from apiece.formats.cvat._model import NO_AREA, Document, Shape, Track, no_mask

_FRAMES = 1 << 20  # ten hours of video; a header that claims more is damaged
_NUMBERS = {"box": ("xtl", "ytl", "xbr", "ybr", "rotation"), "ellipse": ("cx", "cy", "rx", "ry", "rotation")}
_POINTS = ("polygon", "polyline", "points")
_ABSENT = {"rotation": "0"}


@dataclass(frozen=True)
class Timeline:
    """All tracks of a video."""

    frames: tuple[int, ...]
    """Frame numbers, ascending."""
    tracks: tuple[Track, ...]
    """Their shapes ordered by frame."""
    keys: tuple[list[int], ...]
    """Frames of each track's shapes."""
    first: Int
    """First frame of each track."""
    last: Int
    """Frame from which each track is outside for good."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return what CVAT calls the images of the frames."""
        return tuple(f"frame_{frame:06d}.png" for frame in self.frames)

    def no_masks(self) -> list[tuple[NoMask, ...]]:
        """Return the shapes without area of each frame."""
        found: dict[int, list[NoMask]] = {frame: [] for frame in self.frames}
        for k, track in enumerate(self.tracks):
            if not any(shape.kind in NO_AREA for shape in track.shapes):
                continue
            for frame in self.frames:
                shape = _shape_at(track, self.keys[k], frame) if self.first[k] <= frame < self.last[k] else None
                if shape is not None and shape.kind in NO_AREA:
                    found[frame].append(no_mask(shape, track))
        return [tuple(shapes) for shapes in found.values()]

    def at(self, index: int) -> list[tuple[Track, Shape]]:
        """Return the tracks that are seen on a frame, with their shapes there."""
        frame, found = self.frames[index], []
        for k in np.flatnonzero((self.first <= frame) & (frame < self.last)).tolist():
            shape = _shape_at(self.tracks[k], self.keys[k], frame)
            if shape is not None:
                found.append((self.tracks[k], shape))
        return found


def _shape_at(track: Track, keys: list[int], frame: int) -> Shape | None:
    place = bisect_right(keys, frame) - 1
    before = track.shapes[place]
    if before.attributes.get("outside") == "1":
        return None
    if keys[place] == frame or place + 1 == len(keys):
        return before
    after = track.shapes[place + 1]
    share = (frame - keys[place]) / (keys[place + 1] - keys[place])
    return _between(before, after, share)


def _between(before: Shape, after: Shape, share: float) -> Shape | None:
    """Return the shape a ``share`` of the way from one key frame to the next; masks, cuboids, skeletons do not move.

    None where a key frame's numbers cannot be read: they are reported when the key frame itself is drawn.
    """
    if before.kind != after.kind or before.kind not in (*_NUMBERS, *_POINTS):
        return before
    given = dict(before.attributes)
    try:
        if before.kind in _POINTS:
            a, b = _points(before), _points(after)
            if len(a) != len(b):
                return before  # `after` is outside, or `timeline` reported it
            with np.errstate(over="ignore"):  # points that are not finite are refused when drawn
                between = a + (b - a) * share
            given["points"] = ";".join(f"{x!r},{y!r}" for x, y in between.tolist())
        for name in _NUMBERS.get(before.kind, ()):
            low, high = (number(shape.attributes.get(name, _ABSENT.get(name)), name) for shape in (before, after))
            # a turn takes the shorter way round
            way = (high - low + 180) % 360 - 180 if name == "rotation" else high - low
            given[name] = repr(low + way * share)
    except (BadEntryError, ValueError):
        return None
    return replace(before, attributes=given)


def _points(shape: Shape) -> Float:
    points = np.array([p.split(",") for p in shape.attributes.get("points", "").split(";") if p], np.float64)
    if not np.isfinite(points).all():
        raise ValueError("is not finite")
    return points


def timeline(document: Document, path: Path, on_bad: OnBad) -> Timeline:
    """Order and check the tracks, and find the frames of the video."""
    tracks, keys, seen = [], [], set()
    for track in document.tracks:
        with skip_bad(on_bad, path, f"line {track.line}: <track>"):
            if track.id in seen:
                raise BadEntryError(f"id {track.id} is another track's already")
            if track.shapes:
                keys.append(_order(track))
                tracks.append(track)
            seen.add(track.id)
    frames = _frames(document, path, max((k[-1] for k in keys), default=-1))
    stride = frames[1] - frames[0] if len(frames) > 1 else 1
    for track, places in zip(tracks, keys, strict=True):
        _close_gaps(track, places, stride, path, on_bad)
    gone = [track.shapes[-1].attributes.get("outside") == "1" for track in tracks]
    last = [k[-1] if out else 2**62 for k, out in zip(keys, gone, strict=True)]
    first = np.array([k[0] for k in keys], np.int64)
    return Timeline(frames, tuple(tracks), tuple(keys), first, np.array(last, np.int64))


def _order(track: Track) -> list[int]:
    """Sort the shapes of a track by frame; return their frames."""
    placed = []
    for shape in track.shapes:
        frame = whole(shape.attributes.get("frame"), "frame")
        if not 0 <= frame < 2**31:
            raise BadEntryError(f"frame {frame} is no frame of a video")
        placed.append((frame, shape))
    placed.sort(key=lambda item: item[0])
    frames = [frame for frame, _ in placed]
    twice = next((a for a, b in pairwise(frames) if a == b), None)
    if twice is not None:
        raise BadEntryError(f"has two shapes on frame {twice}")
    track.shapes = [shape for _, shape in placed]
    return frames


def _close_gaps(track: Track, places: list[int], stride: int, path: Path, on_bad: OnBad) -> None:
    """Report two key frames between which no shape can be made, and let the track be outside there."""
    for k in range(len(places) - 1, 0, -1):
        a, b = track.shapes[k - 1 : k + 1]
        if places[k] - places[k - 1] <= stride or a.attributes.get("outside") == "1":
            continue
        kinds = a.kind if a.kind == b.kind else f"{a.kind} to {b.kind}"
        if a.kind == b.kind != "polygon" or b.attributes.get("outside") == "1":
            continue
        counts = [s.attributes.get("points", "").count(",") for s in (a, b)]
        if a.kind == b.kind and counts[0] == counts[1]:
            continue
        reason = f"{kinds} of {counts[0]} points, then {counts[1]}, cannot be interpolated"
        where = f"line {b.line}: track {track.id}, frames {places[k - 1]} to {places[k]}"
        refuse(FormatError(path, f"{where}: {reason}; export from CVAT, which writes every frame"), on_bad)
        track.shapes.insert(k, Shape(a.kind, {"outside": "1"}, a.line))
        places.insert(k, places[k - 1] + 1)


def _frames(document: Document, path: Path, last: int) -> tuple[int, ...]:
    """Return the frame numbers of the task, or up to the last one with a shape."""
    try:
        start = whole(document.task.get("start_frame") or "0", "start_frame")
        step = re.fullmatch(r"step=(\d{1,9})", document.task.get("frame_filter", ""))
        stride = max(int(step[1]), 1) if step else 1
        stated = document.task.get("size")
        count = (last - start) // stride + 1 if stated is None else whole(stated, "size")
    except BadEntryError as error:
        raise FormatError(path, f"meta: {error}") from None
    count = max(count, (last - start) // stride + 1, 0)
    if count > _FRAMES:
        raise FormatError(path, f"meta: a video of {count} frames; up to {_FRAMES} are read")
    return tuple(range(start, start + stride * count, stride))
