"""What the cells of SOLO's grids learn from: places, targets joined, cells drawn, masks read at pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apiece.models.contract import Targets


def cell_places(shapes: Sequence[tuple[int, int]], sides: Sequence[int], device: torch.device) -> Tensor:
    """Centre x, y and side in pixels of every cell of grids with these rows and columns: float32 (M, 3)."""
    parts = []
    for side, (rows, columns) in zip(sides, shapes, strict=True):
        y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
        centre = (torch.stack([x, y], -1).view(-1, 2) + 0.5) * side
        parts.append(functional.pad(centre, (0, 1), value=float(side)))
    return torch.cat(parts)


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
    """Targets of a batch's images, with cells numbered through grids of these rows and columns."""
    moved = [{k: v.to(device) for k, v in t.items()} for t in targets]
    shape = torch.tensor(shapes, device=device)
    starts = shape.prod(1).cumsum(0) - shape.prod(1)
    counts = torch.tensor([len(t["labels"]) for t in moved], device=device)
    values = torch.tensor([len(t["crops"]) for t in moved], device=device)
    level, row, column = torch.cat([t["cells"] for t in moved]).T
    shift = torch.zeros(len(moved), 5, dtype=torch.int64, device=device)
    shift[:, 0] = values.cumsum(0) - values
    first = counts.cumsum(0) - counts
    return CellBatch(
        **{k: torch.cat([t[k] for t in moved]) for k in ("boxes", "centres", "labels", "crops")},
        layout=torch.cat([t["layout"] + s for t, s in zip(moved, shift, strict=True)]),
        image=torch.repeat_interleave(torch.arange(len(moved), device=device), counts),
        cell=starts[level] + row * shape[level, 1] + column,
        owner=torch.cat([t["owner"] + f for t, f in zip(moved, first, strict=True)]),
    )


def crowd_cells(crowd: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Whether a crowd lies in each cell of all grids: float32 (M,)."""
    parts = []
    for rows, columns in shapes:
        parts.append(functional.pad(crowd, (0, columns - crowd.shape[1], 0, rows - crowd.shape[0])).flatten())
        crowd = functional.max_pool2d(crowd[None], 2, ceil_mode=True)[0]
    return torch.cat(parts)


def draw_cells(owner: Tensor, most: int) -> Tensor:
    """Indices of at most ``most`` cells of each object, drawn at random, in the order of their objects."""
    shuffled = torch.randperm(len(owner), device=owner.device)
    order = shuffled[owner[shuffled].argsort(stable=True)]
    count = torch.bincount(owner)
    rank = torch.arange(len(owner), device=owner.device) - (count.cumsum(0) - count)[owner[order]]
    return order[rank < most]


def covered_share(batch: CellBatch, index: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Share of the pixel (x, y) of stride 2 that each mask ``index`` covers: float32, of 4 image pixels."""
    start, left, top, width, height = batch.layout[index].T
    total = torch.zeros(len(x), device=x.device)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = 2 * x + dx - left, 2 * y + dy - top
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            total += batch.crops[torch.where(inside, start + column * height + row, 0)] * inside
    return total / 4
