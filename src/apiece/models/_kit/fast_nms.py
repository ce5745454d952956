"""Fast NMS: duplicates go in one comparison of all boxes with all better ones (Bolya et al., ICCV 2019, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

_ROUND = 500  # boxes compared with each other at once
_PAIRS = 250_000  # pairs of boxes held at once


def fast_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Return indices of the boxes that stay, best first; of equal scores the first is the better.

    A box goes if it overlaps a better one of its class by more than ``iou``, even if that one goes itself; all boxes of
    a round are compared in one matrix. A round takes the 500 best boxes that are left; boxes that overlap those it
    keeps do not reach the next round. So time grows with boxes times kept boxes, and memory does not grow with pairs.
    """
    left = torch.argsort(scores, descending=True, stable=True)
    kept = [left[:0]]
    while len(left):
        now, left = left[:_ROUND], left[_ROUND:]
        stays = now[_largest_overlap(boxes, labels, now, now, better=True) <= iou]
        kept.append(stays)
        left = left[_largest_overlap(boxes, labels, stays, left) <= iou]
    return torch.cat(kept)


def _largest_overlap(boxes: Tensor, labels: Tensor, rivals: Tensor, some: Tensor, better: bool = False) -> Tensor:
    """Return the largest IoU of each of ``some`` with a rival of its class; ``better``: with one before it."""
    found = boxes.new_zeros(len(some))
    step = max(1, _PAIRS // max(1, len(rivals)))
    for start in range(0, len(some) if len(rivals) else 0, step):
        part = some[start : start + step]
        overlap = box_iou(boxes[rivals], boxes[part]) * (labels[rivals][:, None] == labels[part])
        found[start : start + step] = (overlap.triu(1 - start) if better else overlap).amax(0)
    return found
