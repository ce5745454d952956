"""What cells of grids learn from: places, targets joined, cells drawn, masks read at pixels or packed by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apiece.core.masks import Masks
from apiece.models._base import Targets
from apiece.models._layers.ragged import Pixels

__all__ = [
    "CellBatch",
    "cell_places",
    "cell_targets",
    "covered_share",
    "crowd_cells",
    "draw_cells",
    "join_targets",
    "pack_cells",
]


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
    order = (owner + torch.rand(len(owner), dtype=torch.float64, device=owner.device)).argsort()
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


def pack_cells(masks: Masks, stride: int) -> tuple[Tensor, Tensor]:
    """The share of each cell of ``stride`` x ``stride`` pixels that each mask covers, inside the mask's own box.

    Returns
    -------
    uint8[P]: covered pixels of each cell (``stride`` at most 15), mask after mask, column by column; and int64[N, 5]:
    start in that array, then x, y, width and height in cells. An empty mask has no cells.
    """
    boxes = masks.boxes.astype(np.int64)
    filled = masks.area > 0
    low = boxes[:, :2] // stride
    extent = np.where(filled[:, None], -(-boxes[:, 2:] // stride) - low, 0)
    lines = extent[:, 1] + 2  # a column of cells, and room in which what a run adds is taken away again
    size = extent[:, 0] * lines
    start = np.cumsum(size) - size
    owner = np.repeat(np.arange(len(masks)), np.diff(masks.offsets))
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
    """What share of each cell of ``near`` the masks cover: float32[P] from 0 to 1.

    Parameters
    ----------
    cells, layout : see `pack_cells`.
    index : int64[K], the mask that each window of ``near`` looks at.
    """
    start, x0, y0, width, height = layout[index[near.window]].unbind(1)
    x, y = near.x - x0, near.y - y0
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = torch.where(inside, start + x * height + y, 0)
    if not len(cells):
        return torch.zeros(len(place), device=place.device)
    return torch.where(inside, cells[place].float() / stride**2, 0.0)
