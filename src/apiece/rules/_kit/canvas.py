"""One wide canvas for the masks of several pictures: what compares masks compares those of all pictures in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apiece.core.masks import Masks
from apiece.core.runs import Runs

__all__ = ["canvas"]


def canvas(sets: Sequence[Masks], gap: int = 0) -> Masks:
    """Return the masks of pictures of one size, in order, on pictures side by side, ``gap`` pixels apart.

    >>> apart = canvas([Masks.from_boxes([[1, 0, 3, 2]], (4, 5)), Masks.from_boxes([[0, 2, 1, 4]], (4, 5))], gap=2)
    >>> apart.size, apart.boxes.tolist()
    ((4, 14), [[1.0, 0.0, 3.0, 2.0], [7.0, 2.0, 8.0, 4.0]])
    """
    if len(sets) == 1:
        return sets[0]
    height, width = sets[0].size
    runs, pitch = Runs.concatenate([masks.runs for masks in sets]), width + gap
    left = np.repeat(pitch * np.arange(len(sets)), [len(masks.x) for masks in sets])
    return Masks.of_runs((height, pitch * len(sets)), runs._replace(x=runs.x + left))
