"""Cells linked frame by frame, so that it works on a stream."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import DataError
from apiece.track._kit.assignment import assigned
from apiece.track._kit.motion import moved
from apiece.track.cells._links import PARENT, Settings, division, stage_move
from apiece.track.contract import State


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
        here = self.settings.cells(instances)
        if self.masks is None:
            self.masks = Masks.empty(here.size)
        if here.size != self.masks.size:
            raise DataError(f"a frame of {here.size} follows frames of {self.masks.size}; begin a new tracker")
        self._shift(here.masks)
        track, found, cost, shared = self.settings.pairs(self.masks, here.masks, self.missed)
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
        recent = self.masks[np.flatnonzero(self.missed == 0)]
        if not self.settings.camera or not len(recent) or not len(masks):
            return
        self.drift = stage_move(recent, masks, self.drift)
        if self.drift.any():
            there = moved(self.masks, np.tile(self.drift, (len(self.masks), 1)))
            inside = there.area > 0
            self.masks = there[inside]
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[inside])

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
        key = track * len(of) + found
        order = np.argsort(key)
        at = order[np.searchsorted(key[order], i * len(of) + first[i])]
        area = masks.area.astype(float)
        price = division(self.masks.area[i].astype(float), (area[j], area[first[i]]), (shared[may], shared[at]))
        i, j = assigned(i, j, price, (len(self.ids), len(of)))
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
