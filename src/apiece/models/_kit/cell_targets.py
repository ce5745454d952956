"""True masks on a coarse grid: how much of each cell they cover, inside their own boxes, as one flat array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apiece.core import runs
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.crops import crowd_boxes, join_crops, learnable, read_crops
from apiece.models._kit.network import on_device
from apiece.models._kit.ragged import Pixels, owners, window_pixels
from apiece.models.contract import Targets


def pack_cells(masks: Masks, stride: int) -> tuple[Tensor, Tensor]:
    """Return the share of each cell of ``stride`` x ``stride`` pixels that each mask covers, in the mask's own box.

    The array, uint8[P], holds the covered pixels of each cell (``stride`` at most 15), mask after mask, column by
    column. The layout, int64[N, 5], gives each mask's start in it, then x, y, width and height in cells.
    """
    boxes = masks.boxes.astype(np.int64)
    filled = masks.area > 0
    low = boxes[:, :2] // stride
    extent = np.where(filled[:, None], -(-boxes[:, 2:] // stride) - low, 0)
    lines = extent[:, 1] + 2  # a column of cells, and room in which what a run adds is taken away again
    size = extent[:, 0] * lines
    start = np.cumsum(size) - size
    owner = runs.owners(masks.offsets)
    line = start[owner] + (masks.x // stride - low[owner, 0]) * lines[owner] - low[owner, 1]
    total = int(size.sum())
    change = np.zeros(total, np.float64)
    for edge, sign in ((masks.y0, 1), (masks.y1, -1)):
        # below an edge a cell is full from there on, and the cell that it cuts in part
        cell, cut = edge // stride, edge % stride
        change += sign * np.bincount(line + cell, stride - cut, total)
        change += sign * np.bincount(line + cell + 1, cut, total)
    covered = np.cumsum(np.rint(change)).astype(np.uint8)
    k = np.arange(total)
    of = np.repeat(np.arange(len(masks)), size)
    kept = (k - start[of]) % lines[of] < extent[of, 1]
    area = extent.prod(axis=1)
    layout = np.concatenate([(np.cumsum(area) - area)[:, None], low, extent], 1)
    return torch.from_numpy(covered[kept]), torch.from_numpy(layout)


def cell_targets(cells: Tensor, layout: Tensor, index: Tensor, near: Pixels, stride: int) -> Tensor:
    """Return the share of each cell of ``near`` that the masks ``index`` of its windows cover: float32[P], 0 to 1."""
    return read_crops(cells, layout[index[near.window]].T, near.x, near.y).float() / stride**2


def encode_cells(instances: Instances, stride: int) -> Targets:
    """Return targets of one image: ``boxes`` and ``labels``, see `learnable`; ``cells`` and ``layout`` as
    `pack_cells` gives them; ``crowd``, see `crowd_boxes`."""
    shown, targets = learnable(instances)
    cells, layout = pack_cells(shown.masks, stride)
    return {**targets, "cells": cells, "layout": layout, "crowd": crowd_boxes(instances)}


@dataclass(frozen=True)
class CellTruth:
    """The targets of `encode_cells` of a batch's images, one after the other."""

    stride: int  # pixels per cell
    boxes: Tensor
    labels: Tensor
    cells: Tensor
    layout: Tensor
    image: Tensor  # int64: the image of each object
    crowd: Tensor
    crowd_image: Tensor  # int64: the image of each crowd

    @classmethod
    def join(cls, targets: Sequence[Targets], device: torch.device, stride: int) -> CellTruth:
        """Join the targets of a batch's images, on a device."""
        moved = on_device(targets, device)
        joined = {name: torch.cat([t[name] for t in moved]) for name in ("boxes", "labels", "crowd")}
        joined["cells"], joined["layout"] = join_crops([t["cells"] for t in moved], [t["layout"] for t in moved])
        image, crowd_image = (owners([len(t[name]) for t in moved], device) for name in ("labels", "crowd"))
        return cls(stride, image=image, crowd_image=crowd_image, **joined)

    def share(self, index: Tensor, near: Pixels) -> Tensor:
        """Return `cell_targets` of the objects ``index``."""
        return cell_targets(self.cells, self.layout, index, near, self.stride)


def region_losses(logits: Tensor, truth: CellTruth) -> Tensor:
    """Return the mean cross-entropy of each class (classes,) over which classes lie where, outside of crowds.

    ``logits`` is (B, classes, h, w). A cell that several objects of a class share counts once.
    """
    count, classes, height, width = logits.shape
    low, side = truth.layout[:, 1:3], truth.layout[:, 3:]
    cells = window_pixels(torch.cat([low, low + side], 1))
    share = truth.share(torch.arange(len(truth.labels), device=logits.device), cells)
    image, label = truth.image[cells.window], truth.labels[cells.window]
    flat = ((image * classes + label) * height + cells.y) * width + cells.x
    target = torch.zeros(logits.numel(), device=logits.device).scatter_reduce(0, flat, share, "amax").view_as(logits)
    corners = (truth.crowd[:, :2] / truth.stride).floor(), (truth.crowd[:, 2:] / truth.stride).ceil()
    crowd = window_pixels(torch.cat(corners, 1).long())
    heard = torch.ones(count * height * width, device=logits.device)
    heard[(truth.crowd_image[crowd.window] * height + crowd.y) * width + crowd.x] = 0.0
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * torch.maximum(heard.view(count, 1, height, width), (target > 0).float())).mean((0, 2, 3))
