"""What links cells, frame by frame and over a whole file: settings, pairs and their costs, divisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.track._kit.motion import drift
from apiece.track._kit.pairs import candidates

PARENT = "parent"
"""Attribute of an instance: the id of its mother, 0 for none."""

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

    def cells(self, instances: Instances) -> Instances:
        """Return the detections of a frame that are looked at."""
        sure = np.ones(len(instances), bool) if instances.scores is None else instances.scores >= self.sure
        return instances[sure & (instances.masks.area > 0) & ~instances.crowd]

    def pairs(self, before: Masks, masks: Masks, missed: Int | int = 0) -> tuple[Int, Int, Float, Float]:
        """Return cells of two frames that may be one, the cost of each pair, and the pixels that both cover.

        ``missed`` are the frames that lie between.
        """
        none = np.zeros(0, np.int64)
        if not len(before) or not len(masks):
            return none, none, np.zeros(0), np.zeros(0)
        reach = self.reach * np.sqrt(before.area) * np.sqrt(np.add(missed, 1))
        centre, there = masks.centroids, before.centroids
        i, j, both = candidates(before, masks, there, centre, reach)
        overlap = both / (before.area[i] + masks.area[j] - both)
        away = np.linalg.norm(there[i] - centre[j], axis=1) / reach[i]
        alike = np.minimum(before.area[i], masks.area[j]) / np.maximum(before.area[i], masks.area[j])
        cost = 1 - (0.5 * overlap + 0.35 * np.exp(-2 * away**2) + 0.15 * alike)
        cost[(away > 1) & (overlap < 0.1)] = 1
        return i, j, cost, both


def stage_move(before: Masks, here: Masks, last: Int) -> Int:
    """Return how the stage moved between two frames that show cells, in whole pixels; ``last`` is the move before."""
    reach, grain = max(here.size) / 8, 2 + 0.3 * float(np.sqrt(np.median(before.area)))
    return drift(before, here, last, reach, grain)


def division(mother: Float, areas: tuple[Float, Float], covered: tuple[Float, Float]) -> Float:
    """Return the price of each division, 1 where sizes and places do not fit.

    ``mother`` (K,) is her area, ``areas`` those of the daughters, ``covered`` the pixels that each shares with her.
    """
    small, large, together = np.minimum(*areas), np.maximum(*areas), (areas[0] + areas[1]) / mother
    fits = (together >= _TOGETHER[0]) & (together <= _TOGETHER[1]) & (small >= _ALIKE * large)
    fits &= (large <= _SMALLER * mother) & (np.minimum(*covered) >= _COVERED * mother)
    price = 0.5 * np.abs(np.log(np.maximum(together, 1e-9))) + 0.5 * (1 - small / large)
    return np.where(fits, np.minimum(price, 0.99), 1.0)
