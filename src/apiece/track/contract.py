"""The contract of a tracker: one file in this package that defines ``TRACKER = TrackerKind(...)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apiece._arrays import Array
from apiece._plugins import Room
from apiece.core.image import Image
from apiece.core.instances import Instances

__all__ = ["ROOM", "State", "Tracker", "TrackerKind"]

State = Mapping[str, Array]
"""All that a tracker knows, as arrays: what goes on with the same ids after a restart."""


class Tracker(Protocol):
    """Follow objects from frame to frame."""

    young: Instances | None
    """Detections of the last frame whose track is not sure yet, with its id: they count once it is. None if all are."""

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return what the next frame shows of the tracked objects: a part of ``instances``, with ``ids``.

        An id is 1 or more, and belongs to one object. Detections that belong to no track, or to a track that is not
        sure yet, are left out.

        Parameters
        ----------
        instances : the detections of the frame; frames of one size.
        image : the frame's pixels, for trackers that look at them.
        """

    def state(self) -> State:
        """Return all that the tracker knows."""


@dataclass(frozen=True)
class TrackerKind:
    """A way to track."""

    summary: str
    """One line: how it works, and what it is good for."""
    settings: type[Any]
    """Its settings, a frozen dataclass."""
    start: Callable[[Any, State | None], Tracker]
    """Return from ``(settings, state)`` a tracker that has seen nothing, or goes on from a state."""
    link: Callable[[Any, Sequence[Instances]], list[Instances]] | None = None
    """Return from ``(settings, frames)`` what `Tracker.update` would of each frame, with all frames known."""


ROOM: Room[TrackerKind] = Room("apiece.track", "TRACKER", TrackerKind)
"""The trackers."""
