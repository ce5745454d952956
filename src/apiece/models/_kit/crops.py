"""True masks as crops: each mask inside its own box, all of them in one flat array, read at any pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models.contract import Targets


def learnable(instances: Instances) -> tuple[Instances, Targets]:
    """Return the instances that can be learned, neither crowds nor empty, and targets that all models need.

    The targets are ``boxes`` float32 (N, 4), half-open xyxy in pixels, and ``labels`` int64 (N,).
    """
    shown = instances[~instances.crowd & (instances.masks.area > 0)]
    return shown, {"boxes": torch.from_numpy(shown.boxes.copy()), "labels": torch.from_numpy(shown.labels.copy())}


def crowd_boxes(instances: Instances) -> Tensor:
    """Return the boxes of crowds, where nothing is learned: float32 (K, 4)."""
    return torch.from_numpy(instances[instances.crowd].boxes.copy())


def pack_crops(masks: Masks) -> tuple[Tensor, Tensor]:
    """Return all masks, each inside its own box, as one flat array, uint8[P], and its layout, int64[N, 5].

    The array holds crop after crop, column by column, 1 inside the mask. The layout gives each crop's start in the
    array, x, y, width and height.
    """
    boxes = torch.from_numpy(masks.boxes.copy()).long()
    side = boxes[:, 2:] - boxes[:, :2]
    area = side.prod(1)
    layout = torch.cat([(area.cumsum(0) - area)[:, None], boxes[:, :2], side], 1)
    offsets = torch.from_numpy(masks.offsets.copy())
    owner = torch.repeat_interleave(torch.arange(len(masks)), offsets.diff())
    start, x, y, _, height = layout[owner].T
    column = start + (torch.from_numpy(masks.x.copy()) - x) * height - y
    change = torch.zeros(int(area.sum()) + 1, dtype=torch.int8)
    one = torch.ones(len(owner), dtype=torch.int8)
    # a run may begin where another, one column earlier, ends: both add up to no change
    change.index_add_(0, column + torch.from_numpy(masks.y0.copy()), one)
    change.index_add_(0, column + torch.from_numpy(masks.y1.copy()), -one)
    return change.cumsum(0)[:-1].to(torch.uint8), layout


def join_crops(crops: Sequence[Tensor], layouts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Join the crops of several images, as `pack_crops` gives them, to one flat array with one layout."""
    starts = accumulate((len(c) for c in crops), initial=0)
    shifted = [layout + layout.new_tensor([start, 0, 0, 0, 0]) for layout, start in zip(layouts, starts, strict=False)]
    return torch.cat(list(crops)), torch.cat(shifted)


def read_crops(crops: Tensor, layout: Tensor | Sequence[Tensor | int], x: Tensor, y: Tensor) -> Tensor:
    """Return the crops' values at pixels, in the type of the crops; 0 outside of a crop's own box.

    ``layout`` is the five columns of `pack_crops`' layout. ``x`` and ``y`` (int64, column and row) broadcast with them.
    """
    start, left, top, width, height = layout
    x, y = x - left, y - top
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not len(crops):
        return inside.to(crops.dtype)
    return torch.where(inside, crops[torch.where(inside, start + x * height + y, 0)], 0)


def in_crowd(targets: Targets, x: Tensor, y: Tensor) -> Tensor:
    """Return whether pixels lie in the crowd of an image, see `encode_masks`: bool, of the shape of ``x`` and ``y``."""
    if not len(targets["crowd_layout"]):
        return torch.zeros_like(x, dtype=torch.bool)
    return read_crops(targets["crowd_crops"], targets["crowd_layout"][0], x, y) > 0


def crop_targets(crops: Tensor, layout: Tensor, index: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Return what a mask head should answer: the masks ``index`` int64[K] seen through ``boxes`` float32[K, 4].

    float32[K, size, size] in [0, 1]: bilinear between pixel centres, 0 outside of the mask's own box.
    """
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size
    grid = boxes[:, None, :2] + steps[:, None] * (boxes[:, 2:] - boxes[:, :2])[:, None]  # (K, size, xy)
    start, left, top, width, height = layout[index].T[:, :, None, None]
    local = grid - torch.cat([left, top], 2) - 0.5
    floor = local.floor()
    share = local - floor
    total = boxes.new_zeros(len(boxes), size, size)
    for dx in (0, 1):
        x = (floor[..., 0].long() + dx)[:, None, :]
        wx = (share[..., 0] if dx else 1 - share[..., 0])[:, None, :]
        for dy in (0, 1):
            y = (floor[..., 1].long() + dy)[:, :, None]
            wy = (share[..., 1] if dy else 1 - share[..., 1])[:, :, None]
            total += read_crops(crops, (start, 0, 0, width, height), x, y).float() * wx * wy
    return total
