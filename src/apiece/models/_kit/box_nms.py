"""Non-maximum suppression on boxes, round by round, so that memory does not grow with pairs: greedy, and Fast NMS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.models._kit.clustering import suppress

_ROUND = 500  # boxes compared with each other at once
_PAIRS = 250_000  # pairs of boxes held at once


def greedy_nms(boxes: Float32, scores: Float, labels: Int, iou: float) -> Int:
    """Return indices of the boxes that stay, best first: those that no better box that stays overlaps too much.

    Parameters
    ----------
    boxes : (N, 4) xyxy.
    scores, labels : (N,); of equal scores the first is the better, and boxes of different classes never meet.
    iou : overlap above which the worse box goes.
    """

    def stays(overlap: Float32) -> Int:
        winner, loser = np.nonzero(np.triu(overlap, 1) > iou)
        return np.flatnonzero(suppress(loser, winner, len(overlap)))

    return _rounds(boxes, scores, labels, iou, stays)


def fast_nms(boxes: Float32, scores: Float, labels: Int, iou: float) -> Int:
    """Return indices of the boxes that stay, best first, as `greedy_nms` does, by Fast NMS (Bolya et al., ICCV 2019,
    section 4): within a round a box goes even if the better box goes itself."""

    def stays(overlap: Float32) -> Int:
        return np.flatnonzero(np.triu(overlap, 1).max(0, initial=0) <= iou)

    return _rounds(boxes, scores, labels, iou, stays)


def _rounds(boxes: Float32, scores: Float, labels: Int, iou: float, stays: Callable[[Float32], Int]) -> Int:
    """Take the best boxes that are left; those that overlap what stays of them do not reach the next round.

    So time grows with boxes times kept boxes.
    """
    left = np.argsort(-scores, kind="stable")
    kept = [left[:0]]
    while len(left):
        now, left = left[:_ROUND], left[_ROUND:]
        kept.append(now[stays(_overlaps(boxes, labels, now, now))])
        step = max(1, _PAIRS // max(1, len(kept[-1])))
        parts = [left[start : start + step] for start in range(0, len(left), step)]
        free = [part[_overlaps(boxes, labels, kept[-1], part).max(0, initial=0) <= iou] for part in parts]
        left = np.concatenate([left[:0], *free])
    return np.concatenate(kept)


def _overlaps(boxes: Float32, labels: Int, some: Int, others: Int) -> Float32:
    """Return the IoU of boxes of one class, and 0 of two classes: float32 (K, L)."""
    a, b = boxes[some].T[:, :, None], boxes[others].T[:, None]
    wide, tall = (np.maximum(np.minimum(a[k + 2], b[k + 2]) - np.maximum(a[k], b[k]), 0) for k in (0, 1))
    both = wide * tall
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    either = area[some, None] + area[None, others] - both
    share: Float32 = np.where(labels[some, None] == labels[None, others], both / np.maximum(either, 1e-12), 0)
    return share
