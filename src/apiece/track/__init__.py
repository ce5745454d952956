"""Tracking: detections of frames become objects with ids that last.

A tracker is one file in this package (see ``contract.py``).

>>> import numpy as np, apiece
>>> from apiece.track import start
>>> tracker = start("masks")
>>> for x in (2, 4, 6):
...     found = apiece.Instances(apiece.Masks.from_boxes([[x, 2, x + 5, 7], [20 - x, 10, 26 - x, 15]], (20, 30)))
...     print(tracker.update(found).ids.tolist())
[1, 2]
[1, 2]
[1, 2]
"""

from __future__ import annotations

from apiece.track._engine.counting import Counter, Event, Line, Zone
from apiece.track._engine.follow import Linker, follow, linker, start
from apiece.track._engine.uncertain import Recall
from apiece.track.contract import ROOM, State, Tracker, TrackerKind

__all__ = [
    "Counter", "Event", "Line", "Linker", "Recall", "State", "Tracker", "TrackerKind", "Zone", "describe", "follow",
    "linker", "load", "names", "start",
]  # fmt: skip

names, load, describe = ROOM.names, ROOM.load, ROOM.describe
