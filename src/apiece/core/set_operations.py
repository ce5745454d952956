"""Operations on two sets of masks, mask by mask; and some masks of a set in place of others."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Int
from apiece.core.masks import Masks

__all__ = ["pairwise_difference", "pairwise_union", "replaced"]


def pairwise_union(a: Masks, b: Masks) -> Masks:
    """Return for each i the union of mask i of ``a`` and mask i of ``b``.

    >>> left, right = (Masks.from_boxes([[x, 0, x + 2, 1]], (1, 4)) for x in (0, 1))
    >>> pairwise_union(left, right).to_dense().astype(int).tolist()
    [[[1, 1, 1, 0]]]
    """
    return Masks.concatenate([a, b]).merge(np.tile(np.arange(len(a)), 2), len(a))


def pairwise_difference(a: Masks, b: Masks) -> Masks:
    """Return for each i mask i of ``a`` without the pixels of mask i of ``b``.

    >>> left, right = (Masks.from_boxes([[x, 0, x + 2, 1]], (1, 4)) for x in (0, 1))
    >>> pairwise_difference(left, right).to_dense().astype(int).tolist()
    [[[1, 0, 0, 0]]]
    """
    return Masks.of_runs(a.size, pairwise_union(a, b).runs.without(b.runs, a.size))


def replaced(masks: Masks, some: Int, others: Masks) -> Masks:
    """Return the masks with ``others[k]`` in place of mask ``some[k]``."""
    if len(some) == len(masks):
        return others[np.argsort(some)]
    place = np.arange(len(masks))
    place[some] = len(masks) + np.arange(len(some))
    return Masks.concatenate([masks, others])[place]
