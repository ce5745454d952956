"""Every object, without classes: masks of a grid of points, of which the sure and stable ones stay, once each.

As in SAM's automatic mask generation (A. Kirillov et al., "Segment Anything", arXiv 2304.02643, section 5), without
its crops. What differs: duplicates are told by the IoU of their masks, not of their boxes, so that a ring and what it
surrounds both stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, Option
from apiece.ops import nms
from apiece.prompts.contract import Embedding, Proposer

__all__ = ["Everything", "everything"]


@dataclass(frozen=True)
class Everything:
    """Set up the search for every object.

    Attributes
    ----------
    grid : points along the longer side of the image.
    conf : lowest IoU that the backend guesses for a mask.
    stability : least share of a mask that stays when its threshold moves.
    iou : mask IoU above which the worse of two masks is a duplicate.
    min_area : least pixels of a mask.
    """

    grid: int = 32
    conf: float = 0.88
    stability: float = 0.92
    iou: float = 0.7
    min_area: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.grid <= 512:
            raise ConfigError(Option("grid") + f" must be from 1 to 512 points along the longer side, got {self.grid}")
        for name in ("conf", "stability", "iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(Option(name) + f" must be from 0 to 1, got {getattr(self, name)}")

    def points(self, size: tuple[int, int]) -> Float:
        """Return the points for an image of ``size`` (height, width): float64 (P, 2), evenly spread."""
        height, width = size
        step = max(height, width) / self.grid
        columns, rows = max(round(width / step), 1), max(round(height / step), 1)
        x, y = np.meshgrid((np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows)
        return np.stack([x.ravel(), y.ravel()], axis=1)


def everything(
    proposer: Proposer,
    embedding: Embedding,
    settings: Everything,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Instances:
    """Return every object that the points of the grid bring up, best first, each once.

    Memory is bounded by the masks that stay: those of some points at a time are compared with them.
    """
    points = settings.points(embedding.size)
    masks, scores, done = Masks.empty(embedding.size), np.zeros(0), 0
    for found in proposer.propose(embedding, points, settings.conf):
        good = (found.stability >= settings.stability) & (found.masks.area >= settings.min_area)
        masks = Masks.concatenate([masks, found.masks[good]])
        scores = np.concatenate([scores, found.scores[good]])
        kept = nms(masks, scores, iou=settings.iou)
        masks, scores = masks[kept], scores[kept]
        done += found.points
        progress(done, len(points))
    return Instances(masks, scores=scores)
