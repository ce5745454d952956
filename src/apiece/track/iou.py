"""Track by overlap with the last frame alone: the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Array
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import ConfigError
from apiece.ops import iou
from apiece.track._kit.assignment import assigned
from apiece.track.contract import State, TrackerKind

__all__ = ["TRACKER", "IouTracker", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Set up the tracker.

    Attributes
    ----------
    iou : lowest IoU of an object's masks in two frames (default 0.3).
    sure : lowest score of a detection that is looked at (default 0.5).
    """

    iou: float = 0.3
    sure: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.iou <= 1 and 0 <= self.sure <= 1):
            raise ConfigError(f"an iou from 0 to 1 and a sure from 0 to 1 are needed; got {self.iou} and {self.sure}")


class IouTracker:
    """Match the masks of two frames that follow each other."""

    young: Instances | None = None  # every track is sure at once

    def __init__(self, settings: Settings, state: State | None = None) -> None:
        self.settings, self.next_id = settings, 1
        self.last: Instances | None = None
        if state is not None and len(state["size"]):
            height, width, self.next_id = (int(value) for value in state["size"])
            masks = Masks((height, width), *(state[name] for name in Runs._fields))
            self.last = Instances(masks, ids=state["ids"])

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return the frame's sure detections with ids; see `Tracker.update`."""
        here = instances if instances.scores is None else instances[instances.scores >= self.settings.sure]
        ids = np.zeros(len(here), np.int64)
        if self.last is not None:
            pairs = iou(self.last, here).tocoo()
            some = pairs.data >= self.settings.iou
            before, now = assigned(
                pairs.row[some].astype(np.int64), pairs.col[some].astype(np.int64), 1 - pairs.data[some], pairs.shape
            )
            assert self.last.ids is not None
            ids[now] = self.last.ids[before]
        fresh = ids == 0
        ids[fresh] = np.arange(self.next_id, self.next_id + fresh.sum())
        self.next_id += int(fresh.sum())
        self.last = here.replace(ids=ids)
        return self.last

    def state(self) -> State:
        """Return the masks of the last frame, and their ids."""
        if self.last is None or self.last.ids is None:
            return {"size": np.zeros(0, np.int64)}
        runs: dict[str, Array] = dict(zip(Runs._fields, self.last.masks.runs, strict=True))
        return {**runs, "size": np.array([*self.last.size, self.next_id]), "ids": self.last.ids}


TRACKER = TrackerKind(
    summary="masks that overlap those of the last frame keep their ids; no motion, nothing lost is found again",
    settings=Settings,
    start=IouTracker,
)
