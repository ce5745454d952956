"""Ids of objects followed through video: they jump, vanish for frames, change class, or are on two objects at once.

Which images are frames of one sequence is known from the image's attributes (``sequence`` or ``video`` and ``frame``),
or from names as the Cell Tracking Challenge, KITTI MOTS and CVAT give them (``01/t000.tif``, ``0002/000052.png``,
``frame_000052.png``). An instance's attribute ``track_id`` goes before its id.

Ids may be no more than annotation numbers. They are taken for tracks only where they behave so: of the ids that two
frames in a row share, nine in ten have hardly moved. All else is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.core.image import ImageRef
from apiece.core.runs import sums

__all__ = ["CHECK"]


STEADY = 0.9
"""Least share of the ids shared by frames in a row that stay near, if they are tracks."""
JUMP = 2.0
"""Distance in diameters from which a move between two frames may be a jump."""
UNUSUAL = 6.0
"""Robust standard deviations above the sequence's usual move from which it is one."""
SHORT = 3
"""Frames in a row that an id may be missing by an oversight; objects that are hidden stay away longer."""

_NAMES = (
    re.compile(r"(?P<sequence>\d\d)/t(?P<frame>\d{3,9})\.\w+", re.ASCII),
    re.compile(r"(?:.*/)?(?P<sequence>\d{4}|MOTS\d\d-\d\d)/(?:img1/)?(?P<frame>\d{6})\.\w+", re.ASCII),
    re.compile(r"(?P<sequence>(?:.*/)?)frame_(?P<frame>\d{6})\.\w+", re.ASCII),
)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What is kept of a frame."""

    place: Place
    sequence: str
    frame: int
    ids: Int
    labels: Int
    boxes: Float32
    middles: Float32
    areas: Float32


@dataclass(frozen=True, eq=False)
class _Sequence:
    """All instances of a sequence, ordered by id and frame, in flat arrays."""

    frames: Sequence[_Frame]
    time: Int
    """Position of the frame in the sequence."""
    row: Int
    """Position of the instance in its frame."""
    id: Int
    label: Int
    middle: Float
    diameter: Float

    def place(self, k: int) -> Place:
        """Where instance ``k`` is."""
        frame, row = self.frames[int(self.time[k])], int(self.row[k])
        place, box = frame.place, tuple(float(v) for v in frame.boxes[row])
        return Place(place.split, place.image, place.index, (row,), box)

    def name(self, k: int) -> str:
        """Name of the image of instance ``k``."""
        return str(self.frames[int(self.time[k])].place.image)


def _remember(labelled: Labelled, settings: Settings) -> _Frame | None:
    instances, where = labelled.instances, _frame_of(labelled.ref)
    ids: Any = instances.attributes.get("track_id", instances.ids)
    if where is None or ids is None or np.asarray(ids).dtype.kind not in "iu":
        return None
    own = ~instances.crowd & (instances.masks.area > 0)
    # crowds and empty masks keep their rows, so that positions stay those of the labels; their id says nothing
    return _Frame(
        labelled.place(),
        *where,
        np.where(own, ids, -1).astype(np.int64),
        instances.labels,
        instances.boxes,
        instances.masks.centroids.astype(np.float32),
        instances.masks.area.astype(np.float32),
    )


def _frame_of(ref: ImageRef) -> tuple[str, int] | None:
    """Sequence and frame number of an image, or None."""
    said: Mapping[str, Any] = ref.attributes
    sequence = next((said[k] for k in ("sequence", "video", "video_id") if k in said), None)
    frame = next((said[k] for k in ("frame", "frame_id", "frame_index") if k in said), None)
    if frame is not None and isinstance(frame, int) and not isinstance(frame, bool):
        return str(sequence or ""), frame
    name = ref.name.replace("\\", "/")
    match = next((found for pattern in _NAMES if (found := pattern.fullmatch(name)) is not None), None)
    return None if match is None else (match["sequence"], int(match["frame"]))


def _conclude(remembered: Sequence[_Frame], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    sequences: dict[tuple[str, str], list[_Frame]] = {}
    for frame in remembered:
        sequences.setdefault((frame.place.split, frame.sequence), []).append(frame)
    for frames in sequences.values():
        numbers = [f.frame for f in frames]
        if len(frames) < 2 or len(set(numbers)) < len(numbers):
            continue  # two images of one frame: these are no numbers of frames
        yield from _judge(_ordered(sorted(frames, key=lambda f: f.frame)), facts.classes)


def _ordered(frames: Sequence[_Frame]) -> _Sequence:
    counts = [len(f.ids) for f in frames]
    time = np.repeat(np.arange(len(frames)), counts)
    row = np.concatenate([np.arange(n) for n in counts]).astype(np.int64)
    ids, labels, areas = (np.concatenate([getattr(f, name) for f in frames]) for name in ("ids", "labels", "areas"))
    middle = np.concatenate([f.middles for f in frames]).astype(np.float64)
    order = np.lexsort((row, time, ids))
    order = order[ids[order] >= 0]
    diameter = np.sqrt(areas[order].astype(np.float64) * (4 / np.pi))
    return _Sequence(frames, time[order], row[order], ids[order], labels[order], middle[order], diameter)


def _judge(sequence: _Sequence, classes: Sequence[str]) -> Iterator[Finding]:
    """Findings of one sequence; none where its ids are no tracks."""
    same = np.flatnonzero(np.diff(sequence.id) == 0)
    if not len(same):
        return
    lapse = sequence.time[same + 1] - sequence.time[same]
    twice = np.zeros(len(sequence.id), bool)
    twice[same[lapse == 0]] = twice[same[lapse == 0] + 1] = True
    # from an id that is on two objects, nothing can be followed
    next_frame = same[(lapse == 1) & ~twice[same] & ~twice[same + 1]]
    moved = _moved(sequence, next_frame)
    if len(next_frame) < 2 or (moved <= JUMP).mean() < STEADY or twice.mean() > 1 - STEADY:
        return
    yield from _twice(sequence, same[lapse == 0])
    yield from _jumps(sequence, next_frame, moved)
    yield from _gaps(sequence, same[lapse > 1], lapse[lapse > 1])
    yield from _classes(sequence, classes)


def _moved(sequence: _Sequence, at: Int) -> Float:
    """How far each id goes from its place in one frame to that in the next, in diameters.

    The least of the plain distance and of what is left of it once the object goes on as in the frame before, or as in
    the one after: what moves fast but evenly does not jump.
    """
    step = np.full((len(sequence.id) + 1, 2), np.nan)  # row k + 1: from instance k to instance k + 1
    step[at + 1] = sequence.middle[at + 1] - sequence.middle[at]
    size = (sequence.diameter[at] + sequence.diameter[at + 1]) / 2
    own = step[at + 1]
    # NaN where there is no such step of this id
    ways = np.stack([np.hypot(*v.T) for v in (own, own - step[at], own - step[at + 2])])
    return np.asarray(np.nanmin(ways, axis=0) / size)


def _jumps(sequence: _Sequence, at: Int, moved: Float) -> Iterator[Finding]:
    middle = np.median(moved)
    spread = 1.4826 * np.median(np.abs(moved - middle))
    limit = max(JUMP, middle + UNUSUAL * spread)
    for k in np.flatnonzero(moved > limit).tolist():
        i = int(at[k])
        yield Finding(
            "id_jump",
            f"id {sequence.id[i]} moves by {moved[k]:.1f} of its diameters from {sequence.name(i)} to "
            f"{sequence.name(i + 1)}; {middle:.1f} is usual here",
            1 - limit / float(moved[k]) / 2,
            sequence.place(i + 1),
            (sequence.place(i),),
        )


def _gaps(sequence: _Sequence, at: Int, lapse: Int) -> Iterator[Finding]:
    distance = np.hypot(*(sequence.middle[at + 1] - sequence.middle[at]).T)
    moved = distance / np.maximum((sequence.diameter[at] + sequence.diameter[at + 1]) / 2, 1e-9)
    for i, away, far in zip(at.tolist(), (lapse - 1).tolist(), moved.tolist(), strict=True):
        if away > SHORT:
            continue
        frames = "1 frame" if away == 1 else f"{away} frames"
        gone = sequence.frames[int(sequence.time[i]) + 1].place
        box = sequence.place(i).box
        yield Finding(
            "id_gap",
            f"id {sequence.id[i]} is missing for {frames}, between {sequence.name(i)} and {sequence.name(i + 1)}",
            # one frame left out, and the object where it was: most likely forgotten
            1 / (away + max(far - 0.5, 0.0)) * 0.9,
            Place(gone.split, gone.image, gone.index, (), box),
            (sequence.place(i), sequence.place(i + 1)),
        )


def _twice(sequence: _Sequence, at: Int) -> Iterator[Finding]:
    for i in at.tolist():
        yield Finding(
            "id_twice",
            f"id {sequence.id[i]} is on two objects of {sequence.name(i)}",
            1.0,
            sequence.place(i + 1),
            (sequence.place(i),),
        )


def _classes(sequence: _Sequence, classes: Sequence[str]) -> Iterator[Finding]:
    """One finding for each id and class that is not the one it has most often."""
    pairs, head, inverse, count = np.unique(
        np.stack([sequence.id, sequence.label], 1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((-count, pairs[:, 0]))
    usual = np.append(True, np.diff(pairs[order, 0]) != 0)
    owner = order[np.maximum.accumulate(np.where(usual, np.arange(len(order)), 0))]
    begin = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    total = np.repeat(np.add.reduceat(count, begin), np.diff(np.append(begin, len(pairs))))
    # the rows of each pair, one pair after the other
    by_pair, cuts = np.argsort(inverse.reshape(-1), kind="stable"), sums(count)
    for k, main in zip(order[~usual].tolist(), owner[~usual].tolist(), strict=True):
        all_of = int(total[k])
        rows = by_pair[cuts[k] : cuts[k + 1]]
        yield Finding(
            "id_class",
            f"id {pairs[k, 0]} is {classes[pairs[k, 1]]} in {count[k]} of {all_of} frames, such as "
            f"{sequence.name(int(head[k]))}, and {classes[pairs[main, 1]]} in {count[main]}",
            1 - float(count[k]) / all_of / 2,
            sequence.place(int(rows[0])),
            (*(sequence.place(int(r)) for r in rows[1:].tolist()), sequence.place(int(head[main]))),
        )


CHECK = Check(
    summary="Ids over the frames of a video: jumps, gaps, changes of class, one id on two objects.",
    kinds=(
        Kind(
            "id_twice",
            "error",
            "Two instances of one frame with the same id, in a sequence whose ids are tracks.",
            "Give one of them an id of its own.",
        ),
        Kind(
            "id_class",
            "error",
            "An id whose class is not the same in all frames.",
            "Give all its instances the right class, or two objects two ids.",
        ),
        Kind(
            "id_jump",
            "warning",
            f"An id that moves by more than {JUMP:g} diameters between two frames, far more than is usual in the "
            "sequence and than its own speed explains: exchanged ids, or one id for two objects.",
            "Follow the object through the frames on either side, and correct the id.",
        ),
        Kind(
            "id_gap",
            "warning",
            f"An id that is missing in up to {SHORT} frames, and then comes back.",
            "Label it in the frames between, unless it is hidden there.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
