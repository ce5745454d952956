"""Which tracks and detections may be one: those that lie near each other, and those whose masks touch."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from apiece._arrays import Float, Int
from apiece.core.masks import Masks
from apiece.ops import intersections


def candidates(before: Masks, here: Masks, foreseen: Float, centre: Float, reach: Float) -> tuple[Int, Int, Float]:
    """Return tracks, detections, and the pixels that both cover, of each pair once.

    Parameters
    ----------
    before, here : M and N masks, at least one of each.
    foreseen, centre : (M, 2) and (N, 2) x, y of their centres.
    reach : (M,) pixels from ``foreseen`` within which a detection is near.

    Examples
    --------
    >>> left, right = Masks.from_boxes([[0, 0, 2, 2]], (4, 9)), Masks.from_boxes([[7, 0, 9, 2]], (4, 9))
    >>> candidates(left, right, left.centroids, right.centroids, np.array([3.0]))
    (array([], dtype=int64), array([], dtype=int64), array([], dtype=float64))
    """
    shared = intersections(before, here).tocoo()
    near = cKDTree(centre).query_ball_point(foreseen, reach)
    i = np.concatenate([shared.row, np.repeat(np.arange(len(near)), [len(each) for each in near])]).astype(np.int64)
    j = np.concatenate([shared.col, *near]).astype(np.int64)
    pair, first = np.unique(i * len(here) + j, return_index=True)  # the first of equals: touching ones come first
    pixels = np.append(shared.data, np.zeros(len(i) - shared.nnz))[first]
    return *np.divmod(pair, len(here)), pixels
