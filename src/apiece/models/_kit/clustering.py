"""Pixels vote, seeds collect: from dense embeddings to a label map, for thousands of objects at once.

Each pixel votes for a point of the image, and each seed owns an ellipse around its own vote. A pixel belongs to the
seed nearest to its vote, measured in the seed's bandwidths, if the pixel's own reach exceeds the squared distance.
Votes are looked up through a grid of cells, so the cost grows with the pixels of objects and not with pixels times
seeds, and an object may be of any size and shape. Coordinates are continuous: pixel (row i, column j) has its centre at
(j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Bool, Float32, Int, Int32
from apiece.core.runs import expand

_MOST_CELLS = 4_000_000
_BLOCK = 1024  # seeds compared with each other at once


@dataclass(frozen=True)
class Seeds:
    """Candidate objects, float32[S] each."""

    x: Float32  # where each seed's own vote lies
    y: Float32
    sx: Float32  # its bandwidths in pixels
    sy: Float32
    reach: Float32  # the seed pixel's own reach

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Int | Bool) -> Seeds:
        return Seeds(self.x[index], self.y[index], self.sx[index], self.sy[index], self.reach[index])


def local_maxima(score: Float32, threshold: float, size: int = 3) -> Int:
    """Return flat indices of pixels of ``score`` (H, W) above ``threshold`` that no neighbour exceeds, best first.

    Neighbours lie in a square of ``size`` x ``size``; ties are in reading order.
    """
    peak = cv2.dilate(score, np.ones((size, size), np.uint8))
    flat = np.flatnonzero((score >= peak) & (score > threshold))
    return flat[np.argsort(-score.ravel()[flat], kind="stable")]


class SeedIndex:
    """Which seeds' ellipses may hold a vote: cells of the plane, each with its list of seeds.

    ``reach`` is the largest reach that any pixel has; an ellipse has half axes ``sqrt(reach) * bandwidth``.
    """

    def __init__(self, seeds: Seeds, reach: float) -> None:
        self.seeds = seeds
        rx, ry = np.sqrt(reach) * seeds.sx, np.sqrt(reach) * seeds.sy
        sides = [seeds.x - rx, seeds.y - ry, seeds.x + rx, seeds.y + ry]
        self.left, self.top = (float(s.min(initial=0.0)) for s in sides[:2])
        self.cell = 2.0
        while True:  # a few seeds with huge bandwidths must not cost memory: larger cells only cost a little time
            x0, y0, x1, y1 = (
                ((s - o) / self.cell).astype(np.int64) for s, o in zip(sides, [self.left, self.top] * 2, strict=True)
            )
            counts = (x1 - x0 + 1) * (y1 - y0 + 1)
            if counts.sum() <= max(_MOST_CELLS, 4 * len(seeds)):
                break
            self.cell *= 2
        self.columns, self.rows = int(x1.max(initial=0)) + 1, int(y1.max(initial=0)) + 1
        seed, place = np.repeat(np.arange(len(seeds)), counts), expand(np.zeros_like(counts), counts)
        width = (x1 - x0 + 1)[seed]
        row = place // width
        cell = (y0[seed] + row) * self.columns + x0[seed] + place - row * width
        self.order = seed[np.argsort(cell, kind="stable")].astype(np.int32)
        self.ends = np.cumsum(np.bincount(cell, minlength=self.rows * self.columns))

    def _lists(self, x: Float32, y: Float32) -> tuple[Int, Int]:
        """Return start and length of each vote's list of seeds."""
        column = np.floor((x - self.left) / self.cell)
        row = np.floor((y - self.top) / self.cell)
        inside = (column >= 0) & (row >= 0) & (column < self.columns) & (row < self.rows)
        cell = np.where(inside, row * self.columns + column, 0).astype(np.int64)
        start = np.where(cell > 0, self.ends[cell - 1], 0)
        return start, np.where(inside, self.ends[cell] - start, 0)

    def _distance(self, x: Float32, y: Float32, seed: Int32) -> Float32:
        s = self.seeds
        near: Float32 = ((x - s.x[seed]) / s.sx[seed]) ** 2 + ((y - s.y[seed]) / s.sy[seed]) ** 2
        return near

    def assign(self, x: Float32, y: Float32, reach: Float32) -> Int32:
        """Return the seed that each vote ``x``, ``y`` (P,) falls to, -1 for none: int32[P].

        A pixel joins a seed at a squared distance in bandwidths below ``reach`` (P,).
        """
        best = np.full(len(x), -1, np.int32)
        nearest = np.array(reach, np.float32)
        start, count = self._lists(x, y)
        votes = np.flatnonzero(count)
        k = 0
        while len(votes):  # over the k-th candidate of every vote; a cell lists few
            seed = self.order[start[votes] + k]
            distance = self._distance(x[votes], y[votes], seed)
            closer = distance < nearest[votes]
            won = votes[closer]
            nearest[won], best[won] = distance[closer], seed[closer]
            k += 1
            votes = votes[count[votes] > k]
        return best

    def pairs(self, x: Float32, y: Float32, reach: Float32) -> tuple[Int, Int]:
        """Return all (vote, seed) pairs where the vote lies within its reach of the seed, not only the nearest."""
        start, count = self._lists(x, y)
        vote = np.repeat(np.arange(len(x)), count)
        seed = self.order[expand(start, count)]
        held = self._distance(x[vote], y[vote], seed) < reach[vote]
        return vote[held], seed[held].astype(np.int64)


def suppress(loser: Int, winner: Int, count: int) -> Bool:
    """Return which of ``count`` candidates, best first, stay in greedy non-maximum suppression on a sparse graph.

    ``loser[i]`` goes if ``winner[i]``, which must come before it, stays. Exact, in as many rounds as the longest chain.
    """
    state = np.zeros(count, np.int8)  # 0 open, 1 stays, -1 goes
    while True:
        open_ = state == 0
        if not open_.any():
            return state == 1
        active = (state[winner] >= 0) & open_[loser]
        loser, winner = loser[active], winner[active]
        waits = np.zeros(count, np.bool_)
        waits[loser] = True
        state[open_ & ~waits] = 1
        state[loser[state[winner] == 1]] = -1


def distinct(seeds: Seeds, reach: float) -> Bool:
    """Return which seeds (best first) stay as objects: a seed whose vote falls to a better one is a part of it.

    Greedy and exact, block by block: the seeds that stay take their parts out of all later blocks. A network that has
    not learned yet has peaks everywhere and wide ellipses, so memory must not grow with the pairs of seeds. ``reach``
    is the largest reach that any pixel has.
    """
    stays = np.zeros(len(seeds), np.bool_)
    rest = np.arange(len(seeds))
    while len(rest):
        block, rest = rest[:_BLOCK], rest[_BLOCK:]
        some = seeds[block]
        loser, winner = SeedIndex(some, reach).pairs(some.x, some.y, some.reach)
        worse = loser > winner
        kept = block[suppress(loser[worse], winner[worse], len(block))]
        stays[kept] = True
        if len(rest):
            later = seeds[rest]
            rest = rest[SeedIndex(seeds[kept], reach).assign(later.x, later.y, later.reach) < 0]
    return stays
