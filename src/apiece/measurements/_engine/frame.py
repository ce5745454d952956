"""An unbiased counting frame: which objects count for a number per area."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool
from apiece.core.masks import Masks
from apiece.errors import ConfigError

__all__ = ["counting_frame"]


def counting_frame(masks: Masks, guard: int) -> tuple[Bool, int]:
    """Return which masks count in a frame ``guard`` pixels inside of the image, and the frame's area in pixels.

    An object counts if its centroid lies in the frame (Miles 1978: the associated point). Large objects are not counted
    more often than small ones, as they are if every object that the image shows counts, nor less often, as they are if
    those that the border cuts are left out. The number of those that count, divided by the area, is a density.

    Parameters
    ----------
    guard : at least the greatest distance of an object's outline from its centroid.

    Returns
    -------
    bool (N,), and the area.

    Raises
    ------
    ConfigError
        If the guard leaves no frame, or is too narrow: if an object counts that the border of the image cuts.

    Examples
    --------
    >>> from apiece.measurements import counting_frame
    >>> masks = apiece.Masks.from_boxes([[0, 0, 4, 4], [8, 8, 12, 12]], (20, 20))
    >>> counting_frame(masks, 5)
    (array([False,  True]), 100)
    """
    height, width = masks.size
    if guard < 0 or 2 * guard >= min(height, width):
        raise ConfigError(f"guard must leave a frame in {height} x {width} pixels, got {guard}")
    box, there = masks.boxes, masks.area > 0
    place = np.where(there[:, None], masks.centroids, -1.0)
    inside = (place >= guard) & (place < np.array([width - guard, height - guard]))
    counts = there & inside.all(axis=1)
    cut = (box[:, :2] == 0).any(axis=1) | (box[:, 2] == width) | (box[:, 3] == height)
    if (counts & cut).any():
        which = int(np.flatnonzero(counts & cut)[0])
        raise ConfigError(
            f"object {which} reaches from the frame to the border of the image, so the frame misses others like it; "
            f"guard must be more than {guard}"
        )
    return counts, (width - 2 * guard) * (height - 2 * guard)
