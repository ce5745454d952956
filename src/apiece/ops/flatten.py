"""One owner for each pixel: what a class map, a panoptic map or a label map shows of objects that overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_values
from apiece.errors import ConfigError, Option
from apiece.ops.overlap import overlapping

__all__ = ["flattened", "without_overlap"]


def flattened(instances: Instances, remain: float = 0.0, stuff: Sequence[str] = ()) -> Instances:
    """Return the instances without overlap: the best score on top, or the smallest mask where there are no scores.

    Parameters
    ----------
    instances : N instances; the order of those that stay is kept.
    remain : share of its pixels, 0 to 1, that a mask must keep; one that keeps less, or nothing, is left out and hides
        nothing.
    stuff : classes that lie below all others, whatever their score. What objects leave is theirs, however little.

    Raises
    ------
    ConfigError
        If ``remain`` is no share.

    References
    ----------
    The rule for things and stuff: Kirillov et al., Panoptic Segmentation, CVPR 2019, arXiv 1801.00868, section 4.2.

    Examples
    --------
    >>> found = apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 1], [2, 0, 6, 1]], (1, 6)), scores=[0.5, 0.9])
    >>> apiece.ops.flattened(found).boxes.tolist()
    [[0.0, 0.0, 2.0, 1.0], [2.0, 0.0, 6.0, 1.0]]
    """
    if not 0 <= remain <= 1:
        raise ConfigError(Option("remain", remain) + " must be from 0 to 1")
    keys = instances.masks.area if instances.scores is None else -instances.scores
    below = np.isin(np.array(instances.classes)[instances.labels], stuff)
    order = np.lexsort((keys, below))
    visible, place = without_overlap(instances.masks[order], np.where(below, 0.0, remain)[order])
    back = np.argsort(order[place])
    return instances[order[place][back]].replace(masks=visible[back])


def without_overlap(masks: Masks, remain: float | Float) -> tuple[Masks, Int]:
    """Take from each mask the pixels of the masks before it; drop a mask that keeps less than ``remain`` of itself,
    one share or one per mask.

    A mask that is dropped takes nothing. The result is that of going through the masks one by one, but reached in a few
    rounds, each of which bounds what every open mask keeps. It keeps at least what is left if all open masks before it
    stay: where that is enough, it stays. It keeps at most what is left by the masks that stay for certain: where that
    is too little, it is dropped. For the first open mask both are the same, so each round decides some.

    The disjoint masks are returned, none empty, and their indices in ``masks``, ascending.
    """
    area = masks.area
    enough = np.maximum(np.ceil(remain * area), 1)
    stay = area > 0
    undecided = stay.copy()
    while undecided.any():
        visible, index = _first_on_top(masks, np.flatnonzero(stay))
        left = np.zeros(len(masks), np.int64)
        left[index] = visible.area
        undecided &= left < enough
        taken, by = _first_on_top(masks, np.flatnonzero(stay & ~undecided))
        index = np.flatnonzero(undecided)
        one, other, shared = overlapping(masks[index], taken)
        before = by[other] < index[one]
        covered = np.bincount(one[before], shared[before], minlength=len(index))
        dropped = index[area[index] - covered < enough[index]]
        stay[dropped] = undecided[dropped] = False
    return _first_on_top(masks, np.flatnonzero(stay))


def _first_on_top(masks: Masks, index: Int) -> tuple[Masks, Int]:
    """Return the visible parts of the masks ``index``, earlier ones on top, and the indices of those that show."""
    label_map = masks[index].to_label_map(index + 1, np.int32, overlap="first")
    return Masks.from_label_map(label_map), label_map_values(label_map).astype(np.int64) - 1
