"""Track cells: they move little, touch, vanish for a frame, and divide; by linear assignment.

In the line of Jaqaman et al. 2008 (doi 10.1038/nmeth.1237), on masks in place of points and frame by frame, so that it
works on a stream. Each frame:

0. The stage may have moved: the tracker takes the move under which the new masks cover most of the last ones, and
   undoes it.
1. Objects are linked to the last frame's by overlap of masks and nearness of centres, all at once at the least cost.
2. What is left is linked to a mother: two detections where one was, of like sizes and together about as large as she.
   Her id ends, both daughters get ids of their own, and the attribute ``parent`` names her.
3. What is left still is linked to objects that were lost for a few frames (gaps).
4. The rest begins tracks. Where two objects become one, the one that fits better goes on, the other ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import ConfigError, DataError
from apiece.track._kit.assignment import assigned
from apiece.track._kit.motion import drift, moved
from apiece.track._kit.pairs import candidates
from apiece.track.contract import State, TrackerKind

__all__ = ["TRACKER", "CellTracker", "Settings"]

PARENT = "parent"
_TOGETHER = (0.6, 1.5)  # area of both daughters, in areas of the mother
_ALIKE = 0.4  # area of the smaller daughter, in areas of the larger one, at least
_SMALLER = 0.9  # area of the larger daughter, in areas of the mother, at most
_COVERED = 0.2  # share of the mother's mask under both daughters, at least


@dataclass(frozen=True)
class Settings:
    """Set up the tracker.

    Attributes
    ----------
    sure : lowest score of a detection that is looked at (default 0.5).
    reach : farthest way of a cell in a frame, in square roots of its area (default 0.75).
    patience : frames that a cell may be lost and found again (default 3).
    divide : look for divisions (default True).
    camera : find out from the cells how the stage or the camera moved (default True).
    """

    sure: float = 0.5
    reach: float = 0.75
    patience: int = 3
    divide: bool = True
    camera: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.sure <= 1 and self.reach > 0 and self.patience >= 0):
            raise ConfigError(
                f"sure is from 0 to 1, reach above 0 and patience 0 or more; "
                f"got {self.sure}, {self.reach} and {self.patience}"
            )


class CellTracker:
    """Link cells from frame to frame; see the module."""

    young: Instances | None = None  # every track is sure at once

    def __init__(self, settings: Settings, state: State | None = None) -> None:
        self.settings, self.next_id = settings, 1
        self.masks: Masks | None = None
        self.ids, self.parent, self.missed, self.age = (np.zeros(0, np.int64) for _ in range(4))
        self.drift = np.zeros(2, np.int64)
        if state is not None and len(state["size"]):
            height, width, self.next_id = (int(value) for value in state["size"])
            self.drift = state["drift"].copy()
            self.masks = Masks((height, width), *(state[name] for name in Runs._fields))
            for name in _COLUMNS:
                setattr(self, name, state[name].copy())

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return the frame's sure detections with ids and the attribute ``parent`` (0: none); see `Tracker.update`."""
        sure = np.ones(len(instances), bool) if instances.scores is None else instances.scores >= self.settings.sure
        here = instances[sure & (instances.masks.area > 0) & ~instances.crowd]
        if self.masks is None:
            self.masks = Masks.empty(here.size)
        if here.size != self.masks.size:
            raise DataError(f"a frame of {here.size} follows frames of {self.masks.size}; begin a new tracker")
        if self.settings.camera:
            self._shift(here.masks)
        track, found, cost, shared = self._pairs(here.masks)
        of = np.full(len(here), -1)
        lost = self.missed[track] > 0
        self._link(of, track, found, cost, ~lost)
        parent = np.zeros(len(here), np.int64)
        if self.settings.divide:
            self._divide(of, parent, here.masks, track, found, shared)
        self._link(of, track, found, cost, lost & (parent[found] == 0))
        return self._go_on(here, of, parent)

    def _shift(self, masks: Masks) -> None:
        """Move the last frame's masks as the stage has moved; what leaves the image by that is no track any more."""
        assert self.masks is not None
        recent = np.flatnonzero(self.missed == 0)
        if not len(recent) or not len(masks):
            return
        reach, grain = max(masks.size) / 8, 2 + 0.3 * float(np.sqrt(np.median(self.masks.area[recent])))
        self.drift = drift(self.masks[recent], masks, self.drift, reach, grain)
        if self.drift.any():
            there = moved(self.masks, np.tile(self.drift, (len(self.masks), 1)))
            inside = there.area > 0
            self.masks = there[inside]
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[inside])

    def _pairs(self, masks: Masks) -> tuple[Int, Int, Float, Float]:
        """Return tracks and detections that may be one, the cost of each pair, and the pixels that both cover."""
        none = np.zeros(0, np.int64)
        if not len(self.ids) or not len(masks):
            return none, none, np.zeros(0), np.zeros(0)
        assert self.masks is not None
        area, size = masks.area.astype(float), np.sqrt(self.masks.area)
        reach = self.settings.reach * size * np.sqrt(self.missed + 1)
        centre, before = masks.centroids, self.masks.centroids
        i, j, both = candidates(self.masks, masks, before, centre, reach)
        overlap = both / (self.masks.area[i] + area[j] - both)
        away = np.linalg.norm(before[i] - centre[j], axis=1) / reach[i]
        alike = np.minimum(self.masks.area[i], area[j]) / np.maximum(self.masks.area[i], area[j])
        cost = 1 - (0.5 * overlap + 0.35 * np.exp(-2 * away**2) + 0.15 * alike)
        cost[(away > 1) & (overlap < 0.1)] = 1
        return i, j, cost, both

    def _link(self, of: Int, track: Int, found: Int, cost: Float, may: Bool) -> None:
        """Match tracks and detections that are free; ``of`` becomes the track of each detection."""
        taken = np.zeros(len(self.ids), bool)
        taken[of[of >= 0]] = True
        may = may & ~taken[track] & (of[found] < 0)
        i, j = assigned(track[may], found[may], cost[may], (len(self.ids), len(of)))
        of[j] = i

    def _divide(self, of: Int, parent: Int, masks: Masks, track: Int, found: Int, shared: Float) -> None:
        """Turn a cell's track and a free detection beside it into two daughters, where sizes and places fit."""
        assert self.masks is not None
        first = np.full(len(self.ids), -1)  # the detection that goes on as each track
        first[of[of >= 0]] = np.flatnonzero(of >= 0)
        may = (of[found] < 0) & (first[track] >= 0) & (self.age[track] >= 2) & (shared > 0)
        i, j = track[may], found[may]
        area, mother = masks.area.astype(float), self.masks.area[i].astype(float)
        small, large = np.minimum(area[j], area[first[i]]), np.maximum(area[j], area[first[i]])
        together = (small + large) / mother
        key = track * len(of) + found
        order = np.argsort(key)
        at = np.searchsorted(key[order], i * len(of) + first[i])
        covered = np.minimum(shared[may], shared[order[at]]) / mother
        fits = (together >= _TOGETHER[0]) & (together <= _TOGETHER[1]) & (small >= _ALIKE * large)
        fits &= (large <= _SMALLER * mother) & (covered >= _COVERED)
        price = 0.5 * np.abs(np.log(np.maximum(together, 1e-9))) + 0.5 * (1 - small / large)
        i, j = assigned(i[fits], j[fits], np.minimum(price[fits], 0.99), (len(self.ids), len(of)))
        for daughter in (j, first[i]):
            parent[daughter] = self.ids[i]
            of[daughter] = -1
        self.missed[i] = self.settings.patience + 1  # her track ends here

    def _go_on(self, here: Instances, of: Int, parent: Int) -> Instances:
        """Take in the frame, and return it with ids."""
        assert self.masks is not None
        fresh = np.flatnonzero(of < 0)
        ids = np.zeros(len(here), np.int64)
        old = of >= 0
        ids[old], ids[fresh] = self.ids[of[old]], np.arange(self.next_id, self.next_id + len(fresh))
        self.next_id += len(fresh)
        age = np.ones(len(here), np.int64)
        age[old], parent[old] = self.age[of[old]] + 1, self.parent[of[old]]
        self.missed += 1
        lost = self.missed <= self.settings.patience
        lost[of[old]] = False
        self.masks = Masks.concatenate([self.masks[np.flatnonzero(lost)], here.masks])
        self.ids = np.concatenate([self.ids[lost], ids])
        self.parent = np.concatenate([self.parent[lost], parent])
        self.missed = np.concatenate([self.missed[lost], np.zeros(len(here), np.int64)])
        self.age = np.concatenate([self.age[lost], age])
        return here.replace(ids=ids, attributes={**here.attributes, PARENT: parent})

    def state(self) -> State:
        """Return the masks that may go on, and what is known of them."""
        if self.masks is None:
            return {"size": np.zeros(0, np.int64)}
        own = {name: getattr(self, name) for name in _COLUMNS}
        runs = dict(zip(Runs._fields, self.masks.runs, strict=True))
        return own | runs | {"size": np.array([*self.masks.size, self.next_id]), "drift": self.drift}


_COLUMNS = ("ids", "parent", "missed", "age")

TRACKER = TrackerKind(
    summary="cells that move little and divide: masks linked by assignment; daughters know their mother; short gaps",
    settings=Settings,
    start=CellTracker,
)
