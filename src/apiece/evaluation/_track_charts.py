"""Errors of tracking on a page: how many of each kind, what they cost, and pictures of the frames where they happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw import overlay
from apiece.draw.page import scaled
from apiece.draw.report import Entry, PageTable, Shot, Shots
from apiece.evaluation._pairing import Joined
from apiece.metrics import Evaluation
from apiece.metrics.track_errors import KINDS, Event

__all__ = ["track_entries"]

_SHOWN, _SIDE, _LISTED = 3, 480, 40  # of each kind; longer side of a picture in pixels; events in the table
_MEANING = {
    "switches": "a true track goes on under another id",
    "swaps": "among them: two tracks take each other's id",
    "gaps": "a track is lost for some frames, and found again",
    "cuts": "a track is found late, or lost before it ends",
    "missed": "a track is never found",
    "false": "a track follows nothing",
    "strays": "a track leaves its object for some frames",
}
_AT_FAULT, _OTHER = (255, 50, 140), (120, 140, 160)


def track_entries(joined: Joined, result: Evaluation) -> list[Entry]:
    """Return what the page shows of the metric ``track_errors``; nothing where it was not asked for."""
    if "track_errors" not in result.extras:
        return []
    rows = [(kind, result[f"track_{kind}"], _part(result, f"track_{kind}_frames"), _part(result, f"hota_{kind}"),
             meaning) for kind, meaning in _MEANING.items()]  # fmt: skip
    events: Sequence[Event] = result.extras["track_errors"]["events"]
    note = "HOTA gained were all errors of the kind mended and no others; gains do not add up."
    names = [ref.name for ref in joined.truth.refs]
    listed = [
        (e.kind, names[e.image], names[e.end], _told(e.truth), _told(e.before), _told(e.after))
        for e in events[:_LISTED]
    ]
    more = f"The first {_LISTED} of {len(events):,}." if len(events) > _LISTED else ""
    return [
        PageTable("Errors of tracks", ("kind", "errors", "objects in frames", "costs HOTA", "what it is"), rows, note),
        Shots([(kind, _shots(joined, names, some)) for kind in ("swaps", *KINDS) if (some := _some(events, kind))]),
        PageTable("Where", ("kind", "first frame", "last", "true id", "id before", "after"), listed, more),
    ]


def _part(result: Evaluation, key: str) -> float | None:
    return round(result[key], 3) if key in result and np.isfinite(result[key]) else None


def _told(own: int | None) -> str:
    return "–" if own is None else str(own)


def _some(events: Sequence[Event], kind: str) -> list[Event]:
    """Return the events that are shown: the longest, and no two of one frame."""
    found = {event.image: event for event in reversed(events) if event.kind == kind}
    return sorted(found.values(), key=lambda event: event.image - event.end)[:_SHOWN]


def _shots(joined: Joined, names: Sequence[str], events: Sequence[Event]) -> list[Shot]:
    """Return two pictures of each event: the frame before it begins, and its first frame."""
    shots = []
    for event in events:
        folder = names[event.image].rpartition("/")[0]
        before = event.image - 1
        if before < 0 or names[before].rpartition("/")[0] != folder:
            before = event.image
        for image in dict.fromkeys((before, event.image)):
            pixels, truth = joined.truth[image]
            answer = joined.answer(image)
            shots.append(_shot(names[image], pixels, truth, answer, event))
    return shots


def _shot(name: str, image: Image, truth: Instances, answer: Instances, event: Event) -> Shot:
    """Draw what was found, with ids; where nothing is at fault among it, the true object itself."""
    ids = np.zeros(0, np.int64) if answer.ids is None else answer.ids
    at_fault = np.isin(ids, [own for own in (event.before, event.after) if own is not None])
    shown, drawn, words = image, answer, "found"
    if event.truth is not None and not at_fault.any() and truth.ids is not None:
        drawn, words = truth, "truth"
        at_fault = truth.ids == event.truth
    shown, grown = scaled(image, drawn, _SIDE / max(image.size))
    colours = np.where(at_fault[:, None], np.array(_AT_FAULT), np.array(_OTHER)).astype(np.uint8)
    picture = overlay(shown, grown, colours=colours, names=False, ids=True, alpha=0.3, thickness=2)
    count = Counter(at_fault.tolist())
    return Shot(f"{name}, {words}", f"{count[True]} at fault of {len(drawn)}", picture)
