"""What the cells of SOLO's grids learn from: places, targets joined, masks read at pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apiece.core.instances import Instances
from apiece.models._kit import losses
from apiece.models._kit.crops import join_crops, learnable, pack_crops, read_crops
from apiece.models._kit.grid_heads import GridSettings
from apiece.models._kit.grids import assign_cells
from apiece.models._kit.network import on_device
from apiece.models._kit.ragged import centres, owners
from apiece.models.contract import Targets


def cell_places(shapes: Sequence[tuple[int, int]], sides: Sequence[int], device: torch.device) -> Tensor:
    """Return centre x, y and side in pixels of every cell of grids with these rows and columns: float32 (M, 3)."""
    grids = zip(shapes, sides, strict=True)
    return torch.cat([functional.pad(centres(shape, side, device), (0, 1), value=float(side)) for shape, side in grids])


@dataclass(frozen=True)
class CellBatch:
    """Targets of a batch, flat: objects numbered through, cells numbered through within each image."""

    boxes: Tensor
    centres: Tensor
    labels: Tensor
    crops: Tensor
    layout: Tensor
    image: Tensor  # int64[N]: image of each object
    cell: Tensor  # int64[K]: cell within its image's grids
    owner: Tensor  # int64[K]: object that it stands for


def join_targets(targets: Sequence[Targets], shapes: Sequence[tuple[int, int]], device: torch.device) -> CellBatch:
    """Join the targets of a batch's images, with cells numbered through grids of these rows and columns."""
    moved = on_device(targets, device)
    shape = torch.tensor(shapes, device=device)
    starts = shape.prod(1).cumsum(0) - shape.prod(1)
    level, row, column = torch.cat([t["cells"] for t in moved]).T
    counts = [len(t["labels"]) for t in moved]
    crops, layout = join_crops([t["crops"] for t in moved], [t["layout"] for t in moved])
    return CellBatch(
        **{k: torch.cat([t[k] for t in moved]) for k in ("boxes", "centres", "labels")},
        crops=crops,
        layout=layout,
        image=owners(counts, device),
        cell=starts[level] + row * shape[level, 1] + column,
        owner=torch.cat([t["owner"] + first for t, first in zip(moved, accumulate(counts, initial=0), strict=False)]),
    )


def encode(instances: Instances, config: GridSettings) -> Targets:
    """Return targets of one image for the grids of ``config``.

    ``boxes`` and ``labels``, see `learnable`; ``centres`` float32 (N, 2), centres of mass; ``crops`` and ``layout`` as
    `pack_crops` gives them; ``cells`` int64 (K, 3) and ``owner`` int64 (K,) as `assign_cells` gives them; ``crowd``
    float32, a map of the finest grid: 1 where a crowd lies and nothing is learned.
    """
    shown, targets = learnable(instances)
    boxes, centres, cell = shown.boxes.astype(np.float64), shown.masks.centroids, config.sides[0]
    cells, owner = assign_cells(boxes, centres, config.sides, instances.size)
    rows, columns = (-(-n // cell) for n in instances.size)
    crowd = np.zeros((rows, columns), np.float32)
    if instances.crowd.any():
        covered = np.zeros((rows * cell, columns * cell), bool)
        covered[: instances.size[0], : instances.size[1]] = instances[instances.crowd].masks.union().to_dense()[0]
        crowd[:] = covered.reshape(rows, cell, columns, cell).any((1, 3))
    crops, layout = pack_crops(shown.masks)
    return {
        **targets,
        "centres": torch.from_numpy(centres.astype(np.float32)),
        "crops": crops,
        "layout": layout,
        "cells": torch.from_numpy(cells),
        "owner": torch.from_numpy(owner),
        "crowd": torch.from_numpy(crowd),
    }


def category_loss(
    category: Tensor, batch: CellBatch, targets: Sequence[Targets], shapes: Sequence[tuple[int, int]], weights: Tensor
) -> Tensor:
    """Return the focal loss over all cells, but where only a crowd lies, per cell that stands for an object.

    ``category`` (B, M, classes) are logits, ``shapes`` rows and columns of the grids, ``weights`` (classes,).
    """
    image, label = batch.image[batch.owner], batch.labels[batch.owner]
    target = torch.zeros_like(category)
    target[image, batch.cell, label] = 1.0
    weight = 1 - torch.stack([crowd_cells(t["crowd"].to(category.device), shapes) for t in targets])
    weight[image, batch.cell] = weights[label]
    balance = 0.75 - 0.5 * target
    each = losses.focal(category, target) * balance * weight[..., None]
    return each.sum() / max(1, len(batch.cell))


def crowd_cells(crowd: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Return whether a crowd lies in each cell of all grids: float32 (M,)."""
    parts = []
    for rows, columns in shapes:
        parts.append(functional.pad(crowd, (0, columns - crowd.shape[1], 0, rows - crowd.shape[0])).flatten())
        crowd = functional.max_pool2d(crowd[None], 2, ceil_mode=True)[0]
    return torch.cat(parts)


def covered_share(batch: CellBatch, index: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the share of pixel (x, y) of stride 2, of 4 image pixels, that each mask ``index`` covers."""
    total = torch.zeros(len(x), device=x.device)
    for dx in (0, 1):
        for dy in (0, 1):
            total += read_crops(batch.crops, batch.layout[index].T, 2 * x + dx, 2 * y + dy)
    return total / 4
