"""True masks on a coarse grid: how much of each cell they cover, inside their own boxes, as one flat array."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from apiece.core.masks import Masks
from apiece.models._layers.ragged import Pixels

__all__ = ["cell_targets", "pack_cells"]


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
