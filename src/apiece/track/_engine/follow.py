"""Run a tracker over frames, or link all frames at once; gaps of a few frames are filled from both sides."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, Option
from apiece.ops import intersections
from apiece.track._kit.motion import moved
from apiece.track.contract import ROOM, State, Tracker, TrackerKind

__all__ = ["Linker", "follow", "linker", "start"]

Frame = TypeVar("Frame")

Linker = Callable[[Sequence[Instances]], list[Instances]]
"""Returns of the detections of all frames what a tracker would return frame by frame."""

FILLED = "filled"
"""Attribute of an instance that no detection shows: its mask is moved from the frames around."""

_COVERED = 0.5  # share of a filled mask under others from which on the object is taken for hidden


def start(tracker: str = "masks", settings: Mapping[str, object] | None = None, state: State | None = None) -> Tracker:
    """Return a tracker that has seen nothing, or goes on from a state.

    Parameters
    ----------
    tracker : its name, see `names`.
    settings : fields of its settings, by name; the others have their defaults.
    state : what `Tracker.state` of an earlier one returned.

    Raises
    ------
    UnknownNameError
        If there is no such tracker.
    ConfigError
        If a setting is unknown or out of its range.

    Examples
    --------
    >>> from apiece.track import start
    >>> tracker = start("masks", {"patience": 60})
    """
    kind, own = _settled(tracker, settings)
    return kind.start(own, state)


def linker(tracker: str = "cells", settings: Mapping[str, object] | None = None) -> Linker:
    """Return what links all frames of a file at once: it knows what comes later, and needs the end.

    Parameters
    ----------
    tracker, settings : as for `start`; the tracker is one that can, as ``cells``.

    Raises
    ------
    UnknownNameError
        If there is no such tracker.
    ConfigError
        If the tracker works frame by frame only, or a setting is unknown or out of its range.

    Examples
    --------
    >>> from apiece.track import linker
    >>> seen = apiece.Instances(apiece.Masks.from_boxes([[2, 2, 8, 8], [20, 5, 28, 12]], (20, 30)))
    >>> [found.ids.tolist() for found in linker()([seen, seen[:1], seen])]
    [[1, 2], [1], [1, 2]]
    """
    kind, own = _settled(tracker, settings)
    if kind.link is None:
        able = [name for name in ROOM.names() if ROOM.load(name).link is not None]
        raise ConfigError(
            f"the tracker {tracker!r} works frame by frame; " + Option("offline") + f" goes with {', '.join(able)}"
        )
    return partial(kind.link, own)


def _settled(tracker: str, settings: Mapping[str, object] | None) -> tuple[TrackerKind, Any]:
    """Return a tracker's kind and settings."""
    kind = ROOM.load(tracker)
    known = [field.name for field in dataclasses.fields(kind.settings)]
    given: dict[str, Any] = dict(settings or {})
    for name in given:
        if name not in known:
            raise ConfigError(f"the tracker {tracker!r} has no setting {name!r}; it has {', '.join(known)}")
    return kind, kind.settings(**given)


def follow(
    frames: Iterable[tuple[Frame, Instances]], tracker: Tracker | Linker, *, fill: int = 5
) -> Iterator[tuple[Frame, Instances]]:
    """Yield every frame with its tracked objects; where an object is missed for a few frames, it is filled in.

    What the last frames show of a track that only now counts is added to them.

    Parameters
    ----------
    frames : what each frame is (an `Image`, a reference, a number), and its detections, in order. An `Image`, or the
        ``image`` of what has one, is shown to the tracker.
    tracker : as `start` returns it; or as `linker` does, and all frames are taken before the first comes out.
    fill : longest gap in frames that is filled (default 5); frames come out so many frames late. An object that lies
        mostly under others in the gap is taken for hidden, and is not filled in. 0 fills nothing.

    Yields
    ------
    ``(frame, instances)`` with ids. Where ``fill`` is not 0, the attribute ``filled`` says which masks no detection
    shows; its score is the lower one of both sides.

    Raises
    ------
    ConfigError
        If ``fill`` is negative.

    Examples
    --------
    >>> from apiece.track import follow, start
    >>> seen = apiece.Instances(apiece.Masks.from_boxes([[2, 2, 8, 8]], (20, 30)))
    >>> frames = [(0, seen), (1, seen), (2, apiece.Instances.empty((20, 30))), (3, seen)]
    >>> [(k, found.ids.tolist(), found.attributes["filled"].tolist()) for k, found in follow(frames, start())]
    [(0, [1], [False]), (1, [1], [False]), (2, [1], [True]), (3, [1], [False])]
    """
    if fill < 0:
        raise ConfigError(Option("fill") + f" is 0 or more frames, got {fill}")
    if callable(tracker):
        frames = list(frames)
        tracker = _Linked(tracker([found for _, found in frames]))
    waiting: deque[tuple[Frame, Instances]] = deque()
    young: deque[Instances | None] = deque(maxlen=fill + 1)  # of the waiting frames
    for frame, detections in frames:
        shown = frame if isinstance(frame, Image) else getattr(frame, "image", None)
        found = tracker.update(detections, shown)
        if not fill:
            yield frame, found
            continue
        found = _marked(found)
        _count_young(waiting, young, found)
        _fill(waiting, found)
        waiting.append((frame, found))
        young.append(tracker.young)
        if len(waiting) > fill + 1:
            yield waiting.popleft()
    yield from waiting


class _Linked:
    """Gives what a linker found, frame by frame."""

    young: Instances | None = None

    def __init__(self, found: Sequence[Instances]) -> None:
        self.found = iter(found)

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        return next(self.found)

    def state(self) -> State:
        return {}


def _marked(found: Instances) -> Instances:
    return found.replace(attributes={**found.attributes, FILLED: np.zeros(len(found), bool)})


def _count_young(waiting: deque[tuple[Any, Instances]], young: deque[Instances | None], found: Instances) -> None:
    """Add to the waiting frames what they show of tracks that are sure by now."""
    for k, early in enumerate(young):
        if early is not None and len(early):
            frame, there = waiting[k]
            assert early.ids is not None
            assert found.ids is not None
            assert there.ids is not None
            some = np.isin(early.ids, found.ids) & ~np.isin(early.ids, there.ids)
            if some.any():
                waiting[k] = (frame, Instances.concatenate([there, _marked(early[some])]))


def _fill(waiting: deque[tuple[Any, Instances]], found: Instances) -> None:
    """Fill the gaps of objects that are seen now and were seen in one of the waiting frames, but not since."""
    assert found.ids is not None
    open_ = np.ones(len(found), bool)
    for back in range(1, len(waiting) + 1):
        before = waiting[-back][1]
        assert before.ids is not None
        both = np.flatnonzero(open_ & np.isin(found.ids, before.ids))
        open_[both] = False
        if back > 1 and len(both):
            earlier = before[_places(before, found.ids[both])]
            for step in range(1, back):
                index = len(waiting) - back + step
                frame, there = waiting[index]
                share = step / back
                aside = _aside(before, there, found, share)
                waiting[index] = (frame, _with(there, earlier, found[both], share, aside))


def _places(instances: Instances, ids: Int) -> Int:
    """Return where each id is; all are there."""
    assert instances.ids is not None
    order = np.argsort(instances.ids)
    found: Int = order[np.searchsorted(instances.ids, ids, sorter=order)]
    return found


def _aside(before: Instances, there: Instances, after: Instances, share: float) -> Float:
    """Return how far a frame's objects lie beside the straight way between two frames, as when a camera shakes."""
    assert before.ids is not None
    assert there.ids is not None
    assert after.ids is not None
    common = np.intersect1d(np.intersect1d(before.ids, there.ids), after.ids)
    if len(common) < 3:
        return np.zeros(2)
    first, middle, last = (one.masks.centroids[_places(one, common)] for one in (before, there, after))
    return np.asarray(np.median(middle - (first + share * (last - first)), axis=0))


def _with(there: Instances, before: Instances, after: Instances, share: float, aside: Float) -> Instances:
    """Return a frame with what lies between two sightings of objects, a ``share`` of the way."""
    nearer = before if share <= 0.5 else after
    way = after.masks.centroids - before.masks.centroids
    by = np.rint(way * (share if nearer is before else share - 1) + aside).astype(np.int64)
    moving = moved(nearer.masks, by)
    covered = np.asarray(intersections(moving, there.masks).sum(1)).reshape(-1)
    open_ = np.flatnonzero((covered < _COVERED * moving.area) & (moving.area > 0))
    if not len(open_):
        return there
    kept = nearer[open_]
    worse = None
    if before.scores is not None and after.scores is not None:
        worse = np.minimum(before.scores, after.scores)[open_]
    attributes = {**kept.attributes, FILLED: np.ones(len(kept), bool)}
    return Instances.concatenate(
        [there, kept.replace(masks=moving[open_], scores=worse, attributes=attributes, full=None)]
    )
