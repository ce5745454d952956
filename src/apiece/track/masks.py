"""Track by masks: where each object moves, which detection its mask fits there, and what it looked like.

In the line of SORT (Bewley et al. 2016) and ByteTrack (Zhang et al. 2022), on masks in place of boxes. Each frame:

1. How the camera moved is voted on by all objects; every track goes on at its own speed (a Kalman filter).
2. Sure detections are matched to the tracks' moved masks, by overlap of masks, nearness of centres and likeness of
   areas; the cheapest matching of all at once. Then detections of low score are matched to the tracks that are left.
3. Tracks that are lost are found again where they may be by now; by their colours, if there is an image.
4. A sure detection that is left begins a track, which counts from its second frame on.

Cost grows with pairs that are near each other, so thousands of objects a frame are no matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.core.set_operations import replaced
from apiece.errors import ConfigError, DataError
from apiece.track._kit.assignment import assigned
from apiece.track._kit.colours import colours, likeness
from apiece.track._kit.motion import Motion, camera_shift, moved
from apiece.track._kit.pairs import candidates
from apiece.track.contract import State, TrackerKind

__all__ = ["TRACKER", "MaskTracker", "Settings"]

_NEAR = 3.0  # standard deviations within which an object may be
_WHOLE = 0.7  # share of its usual area below which an object is taken for half hidden
_EDGE = 3  # frames that a track at the edge of the image is kept
_UNLIKE = 0.5  # likeness of colours below which a lost track is another object


@dataclass(frozen=True)
class Settings:
    """Set up the tracker.

    Attributes
    ----------
    sure : lowest score of a detection that begins a track (default 0.5).
    low : lowest score of a detection that may continue a track, as a share of ``sure`` (default 0.2).
    patience : frames that a track may be lost and found again (default 30).
    confirm : frames in which an object must be seen before it counts, after the first frame (default 2).
    same_class : match detections with tracks of their own class only (default True).
    camera : let the objects vote on how the camera moved (default True).
    """

    sure: float = 0.5
    low: float = 0.2
    patience: int = 30
    confirm: int = 2
    same_class: bool = True
    camera: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.low <= 1 and 0 <= self.sure <= 1):
            raise ConfigError(f"sure and low must be from 0 to 1, got {self.sure} and {self.low}")
        if self.patience < 0 or self.confirm < 1:
            raise ConfigError(f"patience is 0 or more and confirm 1 or more; got {self.patience} and {self.confirm}")


class MaskTracker:
    """Follow the objects of a video by their masks; see the module."""

    def __init__(self, settings: Settings, state: State | None = None) -> None:
        self.settings = settings
        self.frame, self.next_id = 0, 1
        self.masks: Masks | None = None
        self.motion = Motion(np.zeros((0, 2, 2)), np.zeros((0, 2, 2, 2)))
        self.ids, self.labels, self.hits, self.missed = (np.zeros(0, np.int64) for _ in range(4))
        self.area, self.colours = np.zeros(0), np.zeros((0, 0))
        self.seen_at = np.zeros((0, 2))  # centre of the mask that is kept
        self.young: Instances | None = None
        if state is not None:
            self._restore(state)

    # --- one frame ----------------------------------------------------------------------------------------------------

    def update(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return what the frame shows of the tracked objects, with ids; see `Tracker.update`."""
        if self.masks is None:
            self.masks = Masks.empty(instances.size)
        if instances.size != self.masks.size:
            raise DataError(f"a frame of {instances.size} follows frames of {self.masks.size}; begin a new tracker")
        settings = self.settings
        scores = np.ones(len(instances)) if instances.scores is None else instances.scores
        here = instances[(scores >= settings.low * settings.sure) & (instances.masks.area > 0) & ~instances.crowd]
        sure = np.ones(len(here), bool) if here.scores is None else here.scores >= settings.sure
        centre, area = here.masks.centroids, here.masks.area.astype(np.float64)
        look = colours(image, here.masks) if image is not None else np.zeros((len(here), self.colours.shape[1]))
        if self.colours.shape[1] != look.shape[1]:  # the first frame with an image
            self.colours = np.zeros((len(self.ids), look.shape[1]))
        self._go_on(centre[sure])
        track, found = self._matches(here, centre, area, look, sure)
        self._learn(track, found, here.masks, centre, area, look)
        fresh = np.setdiff1d(np.flatnonzero(sure), found)
        born = self._begin(here, fresh, centre, area, look)
        of = np.full(len(here), -1)
        of[found], of[fresh] = track, born
        self.missed += 1
        seen = np.flatnonzero(of >= 0)
        sure = self._counts(of[seen])
        result, self.young = (here[some].replace(ids=self.ids[of[some]]) for some in (seen[sure], seen[~sure]))
        self._drop_old()
        self.frame += 1
        return result

    def _go_on(self, centre: Float) -> None:
        """Move every track to where it should be now."""
        size = np.sqrt(self.area)
        self.motion.step(size)
        recent = self.missed == 0
        if self.settings.camera and recent.any():
            assert self.masks is not None
            reach, grain = max(self.masks.size) / 8, 2 + 0.15 * float(np.median(size[recent]))
            self.motion.shift(camera_shift(self.motion.mean[recent, :, 0], centre, reach, grain))

    def _matches(self, here: Instances, centre: Float, area: Float, look: Float, sure: Bool) -> tuple[Int, Int]:
        """Return which track is which detection: sure ones, then unsure ones, then tracks that were lost."""
        track, found, cost, overlap = self._pairs(here, centre, area)
        active = self.missed <= 1
        taken_tracks, taken = np.zeros(len(self.ids), bool), np.zeros(len(here), bool)
        matches = []
        looks_alike = np.ones(len(track))
        if look.shape[1]:
            looks_alike = likeness(self.colours[track], look[found])
        rounds = (
            (sure[found] & active[track], cost),
            (~sure[found] & active[track] & (overlap > 0.3), cost),
            (sure[found] & ~active[track] & (looks_alike > _UNLIKE), cost + 0.3 * (1 - looks_alike)),
        )
        for may, price in rounds:
            may &= ~taken_tracks[track] & ~taken[found]
            i, j = assigned(track[may], found[may], price[may], (len(self.ids), len(here)))
            taken_tracks[i], taken[j] = True, True
            matches.append((i, j))
        first, second = (np.concatenate([pair[k] for pair in matches]) for k in range(2))
        return first, second

    def _pairs(self, here: Instances, centre: Float, area: Float) -> tuple[Int, Int, Float, Float]:
        """Return tracks and detections that may be one, what each pair costs (0 to 1), and their overlap."""
        none = np.zeros(0, np.int64)
        if not len(self.ids) or not len(here):
            return none, none, np.zeros(0), np.zeros(0)
        assert self.masks is not None
        foreseen = self.motion.mean[..., 0]
        there = moved(self.masks, np.rint(foreseen - self.seen_at).astype(np.int64))
        reach = _NEAR * self.motion.spread() + 0.5 * np.sqrt(self.area)
        i, j, pixels = candidates(there, here.masks, foreseen, centre, reach)
        if self.settings.same_class:
            same = self.labels[i] == here.labels[j]
            i, j, pixels = i[same], j[same], pixels[same]
        overlap = pixels / np.maximum(there.area[i] + area[j] - pixels, 1)
        away = np.linalg.norm(foreseen[i] - centre[j], axis=1) / np.maximum(reach[i], 1e-9)
        alike = np.minimum(self.area[i], area[j]) / np.maximum(np.maximum(self.area[i], area[j]), 1)
        cost = 1 - (0.6 * overlap + 0.25 * np.exp(-2 * away**2) + 0.15 * alike)
        cost[(away > 1) & (overlap < 0.1)] = 1
        return i, j, cost, overlap

    # --- what a frame teaches -----------------------------------------------------------------------------------------

    def _learn(self, track: Int, found: Int, masks: Masks, centre: Float, area: Float, look: Float) -> None:
        """Correct the matched tracks by what was seen of them."""
        share = area[found] / np.maximum(self.area[track], 1)
        size = np.sqrt(self.area[track])
        hidden = share < _WHOLE
        # of a half-hidden object the centre that is seen is not the centre that it has
        noise = np.where(hidden, 0.5 * size * (1 - share), 0.03 * size + 0.5)
        box = masks.runs.boxes[found]
        height, width = masks.size
        cut = (box[:, :2] <= 0).any(1) | (box[:, 2] >= width) | (box[:, 3] >= height)
        noise[cut] = np.maximum(noise[cut], 0.2 * size[cut])
        self.motion.see(track, centre[found], noise)
        self.hits[track] += 1
        self.missed[track] = -1  # 0 after this frame
        whole = ~hidden | (self.hits[track] <= 2)
        self._remember(track[whole], found[whole], masks, centre)
        self.area[track] = np.where(hidden, 0.95, 0.7) * self.area[track] + np.where(hidden, 0.05, 0.3) * area[found]
        if look.shape[1]:
            seen = track[whole]
            self.colours[seen] = 0.9 * self.colours[seen] + 0.1 * look[found[whole]]

    def _remember(self, track: Int, found: Int, masks: Masks, centre: Float) -> None:
        """Keep the masks that were seen, in place of older ones."""
        assert self.masks is not None
        self.masks = replaced(self.masks, track, masks[found])
        self.seen_at[track] = centre[found]

    def _begin(self, here: Instances, fresh: Int, centre: Float, area: Float, look: Float) -> Int:
        """Begin a track for each detection; return their numbers."""
        assert self.masks is not None
        born = np.arange(len(self.ids), len(self.ids) + len(fresh))
        self.masks = Masks.concatenate([self.masks, here.masks[fresh]])
        self.motion = Motion.join(self.motion, Motion.begin(centre[fresh], np.sqrt(area[fresh])))
        self.ids = np.concatenate([self.ids, np.arange(self.next_id, self.next_id + len(fresh))])
        self.next_id += len(fresh)
        self.labels = np.concatenate([self.labels, here.labels[fresh]])
        self.hits = np.concatenate([self.hits, np.full(len(fresh), self.settings.confirm if self.frame == 0 else 1)])
        self.missed = np.concatenate([self.missed, np.full(len(fresh), -1)])
        self.area = np.concatenate([self.area, area[fresh]])
        self.seen_at = np.concatenate([self.seen_at, centre[fresh]])
        self.colours = np.concatenate([self.colours, look[fresh]])
        return born

    def _counts(self, track: Int) -> Bool:
        return self.hits[track] >= self.settings.confirm

    def _drop_old(self) -> None:
        """Let go of tracks that are lost too long, of young ones at once."""
        assert self.masks is not None
        sure = self._counts(np.arange(len(self.ids)))
        height, width = self.masks.size
        beyond = np.maximum(-self.motion.mean[..., 0], self.motion.mean[..., 0] - [width, height]).max(1)
        size = np.sqrt(self.area)
        # what has left comes back if the camera shook, not if another comes in later at the same place
        out = (beyond > size) | ((beyond > -0.5 * size) & (self.missed > _EDGE))
        kept = np.flatnonzero((self.missed <= np.where(sure, self.settings.patience, 0)) & ~(out & (self.missed > 0)))
        if len(kept) < len(self.ids):
            self.masks, self.motion = self.masks[kept], self.motion.take(kept)
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[kept])

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return all that the tracker knows."""
        masks = Masks.empty((1, 1)) if self.masks is None else self.masks
        own = {name: getattr(self, name) for name in _COLUMNS}
        runs = dict(zip(Runs._fields, masks.runs, strict=True))
        numbers = np.array([self.frame, self.next_id, *masks.size])
        return own | runs | {"numbers": numbers, "mean": self.motion.mean, "doubt": self.motion.doubt}

    def _restore(self, state: State) -> None:
        self.frame, self.next_id, height, width = (int(value) for value in state["numbers"])
        self.masks = Masks((height, width), *(state[name] for name in Runs._fields)) if self.frame else None
        self.motion = Motion(state["mean"].copy(), state["doubt"].copy())
        for name in _COLUMNS:
            setattr(self, name, state[name].copy())


_COLUMNS = ("ids", "labels", "hits", "missed", "area", "seen_at", "colours")


TRACKER = TrackerKind(
    summary="masks moved on by each object's speed and the camera's, the cheapest matching, lost objects found again",
    settings=Settings,
    start=MaskTracker,
)
