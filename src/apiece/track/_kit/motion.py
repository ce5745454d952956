"""Constant velocity with a Kalman filter, for all tracks at once; and how the camera moved, seen by the objects."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from apiece._arrays import Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.ops import intersections

_START = 0.25  # of an object's size: the doubt about the velocity of a new track, in a frame
_VOTERS = 500  # objects that vote, at most
_ALIKE = 0.7  # of the most votes: a displacement with so many is as good
_FEW = 8  # masks of which every way is tried
_SHARE = 0.4  # of the tracks that must agree on how the camera moved


class Motion:
    """Where N objects are and how they move: position and velocity of their centres, each axis a filter of its own.

    Attributes
    ----------
    mean : float64 (N, 2, 2): x and y, each position and velocity per frame.
    doubt : float64 (N, 2, 2, 2): covariance of each.
    """

    def __init__(self, mean: Float, doubt: Float) -> None:
        self.mean, self.doubt = mean, doubt

    @classmethod
    def begin(cls, centre: Float, size: Float) -> Motion:
        """Return objects that were seen once: centres (N, 2), and sizes in pixels (N,)."""
        mean = np.stack([centre, np.zeros_like(centre)], -1)
        doubt = np.zeros((len(centre), 2, 2, 2))
        doubt[..., 0, 0] = (0.05 * size[:, None]) ** 2 + 1
        doubt[..., 1, 1] = (_START * size[:, None]) ** 2 + 1
        return cls(mean, doubt)

    def take(self, index: Int) -> Motion:
        return Motion(self.mean[index], self.doubt[index])

    @staticmethod
    def join(first: Motion, second: Motion) -> Motion:
        return Motion(np.concatenate([first.mean, second.mean]), np.concatenate([first.doubt, second.doubt]))

    def step(self, size: Float) -> None:
        """Go on by one frame; speed changes by about a fiftieth of an object's size."""
        forward = np.array([[1.0, 1.0], [0.0, 1.0]])
        self.mean = self.mean @ forward.T
        self.doubt = forward @ self.doubt @ forward.T
        noise = (0.02 * size[:, None]) ** 2 + 0.05
        self.doubt[..., 0, 0] += noise / 4
        self.doubt[..., 0, 1] += noise / 2
        self.doubt[..., 1, 0] += noise / 2
        self.doubt[..., 1, 1] += noise

    def spread(self) -> Float:
        """Return the standard deviation of each centre, in pixels: (N,)."""
        found: Float = np.sqrt(self.doubt[..., 0, 0].mean(1))
        return found

    def see(self, index: Int, centre: Float, noise: Float) -> None:
        """Correct objects ``index`` by the centres where they were seen, with a standard deviation of ``noise``."""
        doubt = self.doubt[index]
        total = doubt[..., 0, 0] + noise[:, None] ** 2
        gain = doubt[..., :, 0] / total[..., None]
        self.mean[index] += gain * (centre - self.mean[index][..., 0])[..., None]
        self.doubt[index] = doubt - gain[..., :, None] * doubt[..., 0:1, :]

    def shift(self, by: Float) -> None:
        """Move everything, as a camera does that turns."""
        self.mean[..., 0] += by


def camera_shift(before: Float, now: Float, reach: float, grain: float) -> Float:
    """Return by how much most objects moved together, x and y in pixels; 0 where they do not agree.

    Each pair of an old and a new centre votes for its displacement; the displacement with most votes wins if four
    tenths of the objects are for it.

    Parameters
    ----------
    before, now : (N, 2) and (M, 2) centres.
    reach : largest displacement looked for, in pixels.
    grain : displacements that differ by less agree.
    """
    still = np.zeros(2)
    if min(len(before), len(now)) < 4:
        return still
    before = before[:: -(-len(before) // _VOTERS)]
    near = cKDTree(before).sparse_distance_matrix(cKDTree(now), reach, output_type="ndarray")
    if not len(near):
        return still
    displaced = now[near["j"]] - before[near["i"]]
    # votes of a cell and of the cells around it
    cell = np.floor((displaced + reach) / grain).astype(np.int64) + 1
    wide = int(2 * reach / grain) + 3
    votes = np.bincount(cell[:, 1] * wide + cell[:, 0], minlength=wide * wide).reshape(wide, wide)
    around = np.zeros_like(votes)
    for x in (-1, 0, 1):
        for y in (-1, 0, 1):
            around += np.roll(votes, (y, x), (0, 1))
    # of places with about as many votes the nearest: a row of like parts also fits if moved by one part
    rows, columns = np.nonzero(around >= _ALIKE * around.max())
    rest = (reach / grain) + 1
    nearest = int(np.hypot(rows + 0.5 - rest, columns + 0.5 - rest).argmin())
    row, column = int(rows[nearest]), int(columns[nearest])
    agrees = (abs(cell - [column, row]) <= 1).all(1)
    if agrees.sum() < _SHARE * min(len(before), len(now)):
        return still
    # the most crowded place within these cells, not their middle
    middle = np.median(displaced[agrees], axis=0)
    close = np.linalg.norm(displaced - middle, axis=1) <= grain
    return np.asarray(np.median(displaced[close], axis=0)) if close.any() else middle


def moved(masks: Masks, by: Int) -> Masks:
    """Return each mask moved by its own whole pixels, x and y int64 (N, 2), cut at the image."""
    owner, x, y0, y1 = masks.runs.loose
    height, width = masks.size
    x, y0, y1 = x + by[owner, 0], np.clip(y0 + by[owner, 1], 0, height), np.clip(y1 + by[owner, 1], 0, height)
    inside = (x >= 0) & (x < width) & (y1 > y0)
    return Masks.of_runs(masks.size, Runs.ordered(owner[inside], x[inside], y0[inside], y1[inside], len(masks)))


def drift(before: Masks, now: Masks, last: Int, reach: float, grain: float) -> Int:
    """Return the move, x and y in whole pixels, under which the masks ``before`` are covered most by those of ``now``.

    Tried are no move, the ``last`` one, the way of the middle of all, and what `camera_shift` says or, of few masks,
    the way from each to each. A move counts if it covers a tenth more than none does, and at least half of two masks:
    one that runs is no drift.
    """
    old, new = before.centroids, now.centroids
    ways = camera_shift(old, new, reach, grain)[None]
    if max(len(before), len(now)) <= _FEW:
        ways = (new - old[:, None]).reshape(-1, 2)
    middle = np.average(new, axis=0, weights=now.area) - np.average(old, axis=0, weights=before.area)
    ways = np.concatenate([np.zeros((1, 2)), last[None], middle[None], ways])
    moves = np.rint(ways[np.hypot(*ways.T) <= reach]).astype(np.int64)
    best, most = moves[0], 0.0
    for move in np.unique(moves, axis=0):
        covered = intersections(moved(before, np.tile(move, (len(before), 1))), now).sum(axis=1)
        weight = covered.sum() * (1.1 if not move.any() else (2 * covered >= before.area).sum() > 1)
        if weight > most:
            best, most = move, weight
    return best
