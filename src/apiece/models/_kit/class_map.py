"""One class per pixel: targets and losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from apiece.core.instances import Instances


def paint_classes(instances: Instances, values: npt.ArrayLike) -> Tensor:
    """Return what each pixel shows: int16 (H, W), ``values[i]`` (0 or more) where instance i is, 0 on background.

    Where instances overlap, the smallest is seen. -1 where only a crowd lies: not to be learned from.
    """
    single = ~instances.crowd
    # one more than its value, so that an instance of value 0 still covers what lies below it
    painted = instances.masks[single].to_label_map(np.asarray(values)[single] + 1, np.int16, overlap="smallest")
    seen = np.maximum(painted - 1, 0)
    if instances.crowd.any():
        crowd = instances.masks[instances.crowd].union().to_label_map()
        seen[(painted == 0) & (crowd > 0)] = -1
    return torch.from_numpy(seen)


def stack_maps(maps: Sequence[Tensor], size: tuple[int, int], device: torch.device) -> Tensor:
    """Return maps (H, W) of several images as one int64 (B, height, width), padded with background."""
    padded = [functional.pad(m.to(device).long(), (0, size[1] - m.shape[1], 0, size[0] - m.shape[0])) for m in maps]
    return torch.stack(padded)


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels whose ``target`` (B, H, W) is not -1; 0 where there are none.

    ``logits`` is (B, C, H, W), ``weights`` (C,) multiplies the loss of the pixels of each class.
    """
    total = functional.cross_entropy(logits, target, weights, ignore_index=-1, reduction="sum")
    return total / (target >= 0).sum().clamp(min=1)


def class_dice(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the soft Dice loss (Milletari et al., 3DV 2016), a mean over the classes that occur, without
    background.

    Shapes as for `cross_entropy`. Sums run over all images, so that a class missing in one image does no harm.
    """
    classes = logits.shape[1]
    p = logits.softmax(1) * (target >= 0)[:, None]
    guessed = p.sum((0, 2, 3))
    index = target.clamp(min=0)
    hit = torch.gather(p, 1, index[:, None])[:, 0]
    both = hit.new_zeros(classes).index_add(0, index.flatten(), hit.flatten())
    size = torch.bincount(target[target >= 0], minlength=classes)
    loss = 1 - (2 * both + 1) / (guessed + size + 1)
    share = (weights * (size > 0))[1:]
    return (loss[1:] * share).sum() / (size[1:] > 0).sum().clamp(min=1)
