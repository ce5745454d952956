"""What tracking metrics look at: objects, the tracks they are of, and who overlaps whom, frame by frame.

Sparse throughout: a row per object and frame, a row per overlapping pair, and a number for each pair of tracks that
ever meet. Nothing has the size of all truth times all predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int
from apiece.metrics._kit.overlaps import Pairs


@dataclass(frozen=True, eq=False)
class Rows:
    """Truth or predictions, one row per object and frame.

    Attributes
    ----------
    frame : int64 (N,), number of the frame, higher is later. Every group has frames of its own.
    track : int64 (N,), number of the track, from 0. Every group has tracks of its own, with one row per frame at most.
    group : int64 (N,), one number per sequence and class: groups have nothing to do with each other. Where counts are
        wanted of stretches of frames, a number per stretch, too: `track` and `frame` alone say what belongs together.
    """

    frame: Int
    track: Int
    group: Int

    @classmethod
    def of(cls, frame: npt.ArrayLike, ids: npt.ArrayLike, group: npt.ArrayLike = 0) -> Rows:
        """Return rows with ids of any value: equal ids of one group are one track.

        >>> Rows.of(frame=[0, 0, 1, 1], ids=[7, -1, 7, 300]).track.tolist()
        [1, 0, 1, 2]
        """
        frames, own = np.asarray(frame, np.int64), np.asarray(ids, np.int64)
        groups = np.broadcast_to(np.asarray(group, np.int64), own.shape)
        rank = np.unique(own, return_inverse=True)[1]
        track = np.unique(groups * (rank.max(initial=0) + 1) + rank, return_inverse=True)[1]
        return cls(frames, track, groups)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def lengths(self) -> Int:
        """Frames of each track: int64 (tracks,)."""
        return np.bincount(self.track)


@dataclass(frozen=True, eq=False)
class Tracks:
    """Truth and predictions of any number of sequences and classes.

    Attributes
    ----------
    truth, predicted : the two sides.
    pairs : the rows of both sides that overlap, all within one frame and group.
    sequence, label : int64 (groups,), which sequence and which class each group is of.
    """

    truth: Rows
    predicted: Rows
    pairs: Pairs
    sequence: Int = field(default_factory=lambda: np.zeros(1, np.int64))
    label: Int = field(default_factory=lambda: np.zeros(1, np.int64))

    def per_group(self, rows: Int, weights: Float | None = None) -> Float:
        """Return how many rows each group has, or the sum of their weights: float64 (groups,)."""
        return np.bincount(rows, weights, len(self.label)).astype(np.float64)


def meetings(tracks: Tracks, pairs: Pairs) -> tuple[Int, Int, Int]:
    """Return the tracks of truth and of predictions that meet, int64 (meetings,), and the meeting of each pair (P,)."""
    across = max(len(tracks.predicted.lengths), 1)
    key = tracks.truth.track[pairs.truth] * across + tracks.predicted.track[pairs.predicted]
    found, meeting = np.unique(key, return_inverse=True)
    return found // across, found % across, meeting


def summed(counts: Mapping[str, Float], place: Int, size: int) -> dict[str, Float]:
    """Return counts of groups, first axis, added up by ``place`` to a first axis of ``size``."""
    out = {name: np.zeros((size, *values.shape[1:])) for name, values in counts.items()}
    for name, values in counts.items():
        np.add.at(out[name], place, values)
    return out
