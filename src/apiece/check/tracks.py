"""Ids of objects in a video: they swap, jump, vanish for frames, change class, or belong to two objects at once.

An image's attributes (``sequence`` or ``video``, and ``frame``) say which frame of which sequence it is; or else its
name does, in the spelling of the Cell Tracking Challenge (``01/t000.tif``), KITTI MOTS (``0002/000052.png``) or CVAT
(``frame_000052.png``). An instance's attribute ``track_id`` goes before its id.

Ids may be mere annotation numbers. They count as tracks only where they behave like tracks: of the ids that two
successive frames share, nine in ten have hardly moved. Other sequences are not judged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from apiece._arrays import Float, Int
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Place, Rows, SetFacts, Settings
from apiece.core.image import ImageRef
from apiece.core.runs import sums

__all__ = ["CHECK"]

STEADY = 0.9  # least share of the ids shared by successive frames that stay near, if they are tracks
JUMP = 2.0  # distance in diameters from which a move between two frames may be a jump
SWAP = 0.5  # distance in diameters from where it was expected, from which an object may have another's id
EXCHANGED = 0.3  # share of this distance that is left if two ids are exchanged, at most
UNUSUAL = 6.0  # robust standard deviations above the sequence's usual move from which it is one
SHORT = 3  # frames that an id may be missing by an oversight; hidden objects stay away longer

_NAMES = (
    re.compile(r"(?P<sequence>\d\d)/t(?P<frame>\d{3,9})\.\w+", re.ASCII),
    re.compile(r"(?:.*/)?(?P<sequence>\d{4}|MOTS\d\d-\d\d)/(?:img1/)?(?P<frame>\d{6})\.\w+", re.ASCII),
    re.compile(r"(?P<sequence>(?:.*/)?)frame_(?P<frame>\d{6})\.\w+", re.ASCII),
)


_Frame = tuple[str, int, Rows]  # sequence, number of the frame, its instances


@dataclass(frozen=True, eq=False)
class _Sequence:
    """All instances of a sequence, ordered by id and frame, in flat arrays."""

    rows: JoinedRows
    row: Int
    time: Int  # position of the frame in the sequence
    id: Int
    label: Int
    middle: Float
    diameter: Float

    def place(self, k: int) -> Place:
        """Return where instance ``k`` is."""
        return self.rows.place(int(self.row[k]))

    def name(self, k: int) -> str:
        """Return the name of the image of instance ``k``."""
        return str(self.place(k).image)


def _remember(labelled: Labelled, settings: Settings) -> _Frame | None:
    instances, where = labelled.instances, _frame_of(labelled.ref)
    ids: Any = instances.attributes.get("track_id", instances.ids)
    if where is None or ids is None or np.asarray(ids).dtype.kind not in "iu":
        return None
    masks = instances.masks
    at = np.flatnonzero(~instances.crowd & (masks.area > 0) & (np.asarray(ids) >= 0))
    middle, area = masks.centroids[at].astype(np.float32), masks.area[at].astype(np.float32)
    return *where, labelled.rows(at, id=np.asarray(ids, np.int64)[at], middle=middle, area=area)


def _frame_of(ref: ImageRef) -> tuple[str, int] | None:
    """Return (sequence, frame number) of an image, or None."""
    sequence, frame = (
        next((ref.attributes[key] for key in keys if key in ref.attributes), None)
        for keys in (("sequence", "video", "video_id"), ("frame", "frame_id", "frame_index"))
    )
    if isinstance(frame, int) and not isinstance(frame, bool):
        return str(sequence or ""), frame
    name = ref.name.replace("\\", "/")
    match = next((found for pattern in _NAMES if (found := pattern.fullmatch(name)) is not None), None)
    return None if match is None else (match["sequence"], int(match["frame"]))


def _conclude(remembered: Sequence[_Frame], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    sequences = defaultdict[tuple[str, str], list[_Frame]](list)
    for frame in remembered:
        sequences[frame[2].image.split, frame[0]].append(frame)
    for frames in sequences.values():
        numbers = [number for _, number, _ in frames]
        if len(set(numbers)) == len(numbers) > 1:  # else two images of one frame: these numbers are no frame numbers
            yield from _judge(_ordered([frames[k][2] for k in np.argsort(numbers).tolist()]), facts.classes)


def _ordered(frames: Sequence[Rows]) -> _Sequence:
    rows = JoinedRows(frames)
    order = np.lexsort((rows.image, rows["id"]))
    id_, label, middle, area = (rows[name][order] for name in ("id", "label", "middle", "area"))
    diameter = np.sqrt(area.astype(np.float64) * (4 / np.pi))
    return _Sequence(rows, order, rows.image[order], id_, label, middle.astype(np.float64), diameter)


def _judge(sequence: _Sequence, classes: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings of one sequence; none if its ids are no tracks."""
    same = np.flatnonzero(np.diff(sequence.id) == 0)
    if not len(same):
        return
    lapse = sequence.time[same + 1] - sequence.time[same]
    twice = np.zeros(len(sequence.id), bool)
    twice[same[lapse == 0]] = twice[same[lapse == 0] + 1] = True
    # an id on two objects cannot be followed
    next_frame = same[(lapse == 1) & ~twice[same] & ~twice[same + 1]]
    moved = _moved(sequence, next_frame)
    if len(next_frame) < 2 or (moved <= JUMP).mean() < STEADY or twice.mean() > 1 - STEADY:
        return
    yield from _twice(sequence, same[lapse == 0])
    swapped = _swaps(sequence, next_frame, moved)
    yield from (_swap(sequence, int(next_frame[a]), int(next_frame[b])) for a, b in swapped)
    alone = np.setdiff1d(np.arange(len(next_frame)), swapped)
    yield from _jumps(sequence, next_frame[alone], moved[alone], _unusual(moved))
    yield from _gaps(sequence, same[lapse > 1], lapse[lapse > 1])
    yield from _classes(sequence, classes)


def _moved(sequence: _Sequence, at: Int) -> Float:
    """Return how far each id moves from one frame to the next, in diameters.

    It is the least of the plain distance and of the distances to where the steps before and after would have led: an
    object that moves fast but evenly does not jump.
    """
    step = np.full((len(sequence.id) + 1, 2), np.nan)  # row k + 1: from instance k to instance k + 1
    step[at + 1] = sequence.middle[at + 1] - sequence.middle[at]
    size = (sequence.diameter[at] + sequence.diameter[at + 1]) / 2
    own = step[at + 1]
    # NaN where there is no such step of this id
    ways = np.stack([np.hypot(*v.T) for v in (own, own - step[at], own - step[at + 2])])
    return np.asarray(np.nanmin(ways, axis=0) / size)


def _unusual(moved: Float) -> tuple[float, float]:
    """Return the usual move of a sequence, and the move from which one is unusual."""
    median = float(np.median(moved))
    return median, median + UNUSUAL * 1.4826 * float(np.median(np.abs(moved - median)))


def _swaps(sequence: _Sequence, at: Int, moved: Float) -> Int:
    """Return pairs of steps (P, 2), indices of ``at``, in which each object lands where the other was expected."""
    far = np.flatnonzero(moved > max(SWAP, _unusual(moved)[1]))
    order = far[np.lexsort((-moved[far], sequence.time[at[far]]))]
    frame, label = sequence.time[at[order]], sequence.label[at[order]]
    first, second = np.nonzero(np.triu((frame[:, None] == frame) & (label[:, None] == label), 1))
    a, b = order[first], order[second]
    there, back = _landed(sequence, at[a], at[b]), _landed(sequence, at[b], at[a])
    good = (there <= EXCHANGED * moved[a]) & (back <= EXCHANGED * moved[b])
    pairs, taken = [], set[int]()
    for one, other in np.stack([a, b], 1)[good].tolist():
        if taken.isdisjoint((one, other)):
            taken |= {one, other}
            pairs.append((one, other))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _landed(sequence: _Sequence, one: Int, other: Int) -> Float:
    """Return how far from where ``one`` was expected ``other`` lies in the next frame, in diameters of ``one``."""
    here, then = sequence.middle[one], sequence.middle[other + 1]
    known = (one > 0) & (sequence.id[one - 1] == sequence.id[one]) & (sequence.time[one - 1] == sequence.time[one] - 1)
    step = np.where(known[:, None], here - sequence.middle[one - 1], 0)
    found: Float = np.minimum(np.hypot(*(then - here).T), np.hypot(*(then - here - step).T)) / sequence.diameter[one]
    return found


def _swap(sequence: _Sequence, i: int, j: int) -> Finding:
    message = (
        f"ids {sequence.id[i]} and {sequence.id[j]} swap from {sequence.name(i)} to {sequence.name(i + 1)}: "
        "each is where the other was expected"
    )
    places = sequence.place(j + 1), sequence.place(i), sequence.place(j)
    return Finding("id_swap", message, 0.9, sequence.place(i + 1), places)


def _jumps(sequence: _Sequence, at: Int, moved: Float, usual: tuple[float, float]) -> Iterator[Finding]:
    median, limit = usual[0], max(JUMP, usual[1])
    for k in np.flatnonzero(moved > limit).tolist():
        i = int(at[k])
        message = (
            f"id {sequence.id[i]} moves by {moved[k]:.1f} of its diameters from {sequence.name(i)} to "
            f"{sequence.name(i + 1)}; {median:.1f} is usual here"
        )
        sure = 1 - limit / float(moved[k]) / 2
        yield Finding("id_jump", message, sure, sequence.place(i + 1), (sequence.place(i),))


def _gaps(sequence: _Sequence, at: Int, lapse: Int) -> Iterator[Finding]:
    distance = np.hypot(*(sequence.middle[at + 1] - sequence.middle[at]).T)
    moved = distance / np.maximum((sequence.diameter[at] + sequence.diameter[at + 1]) / 2, 1e-9)
    for i, away, far in zip(at.tolist(), (lapse - 1).tolist(), moved.tolist(), strict=True):
        if away > SHORT:
            continue
        frames = "1 frame" if away == 1 else f"{away} frames"
        message = f"id {sequence.id[i]} is missing for {frames}, between {sequence.name(i)} and {sequence.name(i + 1)}"
        # if one frame lacks the object, and it has not moved since, somebody most likely forgot it
        sure = 1 / (away + max(far - 0.5, 0.0)) * 0.9
        gone = replace(sequence.rows.rows[int(sequence.time[i]) + 1].image, box=sequence.place(i).box)
        yield Finding("id_gap", message, sure, gone, (sequence.place(i), sequence.place(i + 1)))


def _twice(sequence: _Sequence, at: Int) -> Iterator[Finding]:
    for i in at.tolist():
        message = f"id {sequence.id[i]} is on two objects of {sequence.name(i)}"
        yield Finding("id_twice", message, 1.0, sequence.place(i + 1), (sequence.place(i),))


def _classes(sequence: _Sequence, classes: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each id and class that is not the class the id has most often."""
    pairs, head, inverse, count = np.unique(
        np.stack([sequence.id, sequence.label], 1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((-count, pairs[:, 0]))
    usual = np.append(True, np.diff(pairs[order, 0]) != 0)
    owner = order[np.maximum.accumulate(np.where(usual, np.arange(len(order)), 0))]
    total = np.bincount(np.searchsorted(pairs[:, 0], pairs[:, 0]), count).astype(np.int64)
    # the rows of each pair, one pair after the other
    by_pair, cuts = np.argsort(inverse.reshape(-1), kind="stable"), sums(count)
    for k, main in zip(order[~usual].tolist(), owner[~usual].tolist(), strict=True):
        frames = int(total[np.searchsorted(pairs[:, 0], pairs[k, 0])])
        first, *others = (sequence.place(int(row)) for row in by_pair[cuts[k] : cuts[k + 1]].tolist())
        message = (
            f"id {pairs[k, 0]} is {classes[pairs[k, 1]]} in {count[k]} of {frames} frames, such as "
            f"{sequence.name(int(head[k]))}, and {classes[pairs[main, 1]]} in {count[main]}"
        )
        usually = sequence.place(int(head[main]))
        yield Finding("id_class", message, 1 - float(count[k]) / frames / 2, first, (*others, usually))


CHECK = Check(
    "Ids over the frames of a video: swaps, jumps, gaps, changes of class, one id on two objects.",
    (
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
            "id_swap",
            "warning",
            "Two ids of a class of which, from one frame to the next, each is where the other was expected from its "
            "speed.",
            "Exchange the two ids from this frame on.",
        ),
        Kind(
            "id_jump",
            "warning",
            f"An id that moves by more than {JUMP:g} diameters between two frames, far more than is usual in the "
            "sequence and more than its speed explains: one id for two objects.",
            "Follow the object through the frames on either side, and correct the id.",
        ),
        Kind(
            "id_gap",
            "warning",
            f"An id that is missing in at most {SHORT} frames, and then comes back.",
            "Label it in the frames between, unless it is hidden there.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
