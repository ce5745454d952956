"""Non-maximum suppression on masks: of several detections of one object, the best-scored stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError
from apiece.ops.overlap import iou as mask_iou

__all__ = ["nms"]


def nms(masks: Masks, scores: npt.ArrayLike, labels: npt.ArrayLike | None = None, iou: float = 0.5) -> Int:
    """Indices of the masks kept, best score first; ties keep the earlier one.

    A mask goes if its mask IoU with a kept, better-scored one of the same label exceeds ``iou``. Only overlapping
    pairs are looked at.

    Parameters
    ----------
    scores : (N,) numbers.
    labels : (N,) integers; None treats all as one class.

    Raises
    ------
    InvalidInstancesError
        if there is not one score, or one label, per mask.
    """
    for name, column in (("scores", scores), ("labels", labels)):
        if column is not None and np.shape(column) != (len(masks),):
            raise InvalidInstancesError(f"{name} must have shape ({len(masks)},), one per mask; got {np.shape(column)}")
    rank = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    pairs = mask_iou(masks, masks).tocoo()
    place = np.empty(len(rank), np.int64)
    place[rank] = np.arange(len(rank))
    better, worse = place[pairs.row], place[pairs.col]
    clash = (pairs.data > iou) & (better < worse)
    if labels is not None:
        label = np.asarray(labels)
        clash &= label[pairs.row] == label[pairs.col]
    better, worse = better[clash], worse[clash]
    order = np.lexsort((worse, better))
    kept = np.ones(len(rank), bool)
    # greedy by definition: whether a mask suppresses depends on all better ones; only clashing pairs are walked
    for i, j in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if kept[i]:
            kept[j] = False
    chosen: Int = rank[kept]
    return chosen
