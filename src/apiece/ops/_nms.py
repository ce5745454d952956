"""Non-maximum suppression on masks: of several detections of one object, the detection of the highest score stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError
from apiece.ops.overlap import overlapping

__all__ = ["nms"]


def nms(masks: Masks, scores: npt.ArrayLike, labels: npt.ArrayLike | None = None, iou: float = 0.5) -> Int:
    """Return the indices of the masks that greedy suppression keeps, by descending score; ties keep the earlier mask.

    A mask goes if its IoU with a kept mask of the same label and a higher score exceeds ``iou``.

    Parameters
    ----------
    scores : (N,) numbers.
    labels : (N,) integers; None treats all as one class.

    Raises
    ------
    InvalidInstancesError
        If there is not one score, or one label, per mask.

    Examples
    --------
    >>> from apiece.ops import nms
    >>> masks = apiece.Masks.from_boxes([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 8, 8]], (8, 8))
    >>> nms(masks, scores=[0.6, 0.9, 0.5]).tolist()
    [1, 2]
    """
    for name, column in (("scores", scores), ("labels", labels)):
        if column is not None and np.shape(column) != (len(masks),):
            raise InvalidInstancesError(f"{name} must have shape ({len(masks)},), one per mask; got {np.shape(column)}")
    rank = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    one, other, shared = overlapping(masks, masks)
    place = np.empty(len(rank), np.int64)
    place[rank] = np.arange(len(rank))
    better, worse = place[one], place[other]
    clash = (shared / (masks.area[one] + masks.area[other] - shared) > iou) & (better < worse)
    if labels is not None:
        label = np.asarray(labels)
        clash &= label[one] == label[other]
    better, worse = better[clash], worse[clash]
    order = np.lexsort((worse, better))
    kept = np.ones(len(rank), bool)
    # greedy by definition: whether a mask suppresses depends on all better ones; only clashing pairs are walked
    for i, j in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if kept[i]:
            kept[j] = False
    chosen: Int = rank[kept]
    return chosen
