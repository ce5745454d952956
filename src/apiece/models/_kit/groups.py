"""Several objects found once more as a single one: such a mask says nothing that its parts do not say better."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import Keys, union
from apiece.ops.overlap import overlapping

_INSIDE = 0.8  # of a part's pixels that lie in the group
_PART = 0.75  # of the group's area that one part has at most: more is the same object, drawn otherwise
_COVERED = 0.8  # of the group's area that its parts cover together
_SCORE = 0.8  # of the group's score that each part has at least


def groups(masks: Masks, scores: Float, labels: Int) -> Bool:
    """Return which masks are made of smaller masks of the same label that score about as well or better: bool (N,)."""
    whole, part, shared = overlapping(masks, masks)
    area = masks.area
    within = (shared >= _INSIDE * area[part]) & (area[part] <= _PART * area[whole])
    within &= (labels[part] == labels[whole]) & (scores[part] >= _SCORE * scores[whole])
    whole, parts = whole[within], masks.runs.take(part[within])
    owner, _, y0, y1 = union(Keys(*masks.size), whole[parts.owners], parts.x, parts.y0, parts.y1)
    covered = np.bincount(owner, y1 - y0, minlength=len(masks))
    return (covered >= _COVERED * area) & (area > 0)
