"""The holes of each mask."""

from __future__ import annotations

import numpy as np

from apiece.core.masks import Masks
from apiece.core.runs import Runs, sums
from apiece.core.topology import run_parts

__all__ = ["holes_of"]


def holes_of(masks: Masks) -> Masks:
    """Return the holes of each mask: the background in its box that does not reach a side of the box."""
    some = np.where(masks.holes > 0, 1, 0)
    boxes = masks.boxes * some[:, None]
    around = Masks.from_boxes(boxes, masks.size).runs
    inner = masks[np.flatnonzero(some)].runs
    inside = inner._replace(offsets=sums(np.diff(masks.offsets) * some))
    rest = around.without(inside, masks.size)
    part = run_parts(rest, masks.size, corners=True)[1]
    x0, y0, x1, y1 = boxes.astype(np.int64)[rest.owners].T
    outer = (rest.x == x0) | (rest.x == x1 - 1) | (rest.y0 == y0) | (rest.y1 == y1)
    closed = ~np.isin(part, part[outer])
    kept = Runs.ordered(rest.owners[closed], rest.x[closed], rest.y0[closed], rest.y1[closed], rest.number)
    return Masks.of_runs(masks.size, kept)
