"""Losses on flat lists of logits: a segment is one instance, and segments may differ in length.

``logits`` and ``target`` have shape (P,), ``segment`` is int64[P] with values below ``count``. Each loss of masks gives
one value per segment, so that a small object weighs as much as a large one when they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from apiece.errors import ConfigError
from apiece.models._kit.ragged import segment_sum


def bce(logits: Tensor, target: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the mean binary cross-entropy of each segment, (count,); 0 for an empty one."""
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    size = segment_sum(torch.ones_like(logits), segment, count)
    return segment_sum(loss, segment, count) / size.clamp(min=1)


def boxes_apart(boxes: Tensor, others: Tensor) -> Tensor:
    """Return 1 - generalised IoU (Rezatofighi et al., CVPR 2019) of each box and the other of its row, (N,)."""
    from torchvision.ops import generalized_box_iou_loss  # predicting needs no torchvision, which imports slowly

    apart: Tensor = generalized_box_iou_loss(boxes, others, reduction="none")
    return apart


def dice(logits: Tensor, target: Tensor, segment: Tensor, count: int, smooth: float = 1.0) -> Tensor:
    """Return the soft Dice loss of each segment (Milletari et al., 3DV 2016), (count,).

    ``1 - (2 |p t| + smooth) / (|p| + |t| + smooth)`` with ``p`` the sigmoid of the logits.
    """
    p = logits.sigmoid()
    both = segment_sum(p * target, segment, count)
    total = segment_sum(p + target, segment, count)
    return 1 - (2 * both + smooth) / (total + smooth)


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the quality focal loss (Li et al., NeurIPS 2020), element by element, shape as given.

    Cross-entropy with a soft target in [0, 1], weighted by ``|target - p| ** gamma``; with targets 0 and 1 and without
    the balance factor it is the focal loss of Lin et al., ICCV 2017.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return loss * (target - logits.sigmoid()).abs().pow(gamma)


def class_weights(weights: Sequence[float], classes: int) -> Tensor:
    """Return one weight per class, float32 (classes,); all 1 where none are given. Any other number is refused."""
    if weights and (len(weights) != classes or min(weights) < 0):
        raise ConfigError(f"class_weights needs {classes} values of 0 or more, one per class, got {tuple(weights)}")
    return torch.tensor(weights or [1.0] * classes, dtype=torch.float32)
