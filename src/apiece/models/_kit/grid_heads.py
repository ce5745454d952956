"""What SOLO and SOLOv2 have in common: grids over the image, heads that all levels share, the best cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece.errors import ConfigError
from apiece.models._kit.blocks import ConvNorm
from apiece.models._kit.settings import BackboneSettings

GRID_STRIDES = (8, 16, 32, 64, 128)
"""Strides of the features that the grids are answered from."""

_CELLS = (2, 4, 8)


@dataclass(frozen=True)
class GridSettings(BackboneSettings):
    """Set up grids of cells, beyond `BackboneSettings`.

    The heads, shared by all levels, have group norm always, as in the papers.

    Attributes
    ----------
    width : channels of the feature pyramid and of the heads.
    depth : convolutions in each head before the last.
    cell : side in pixels of the finest grid's cells, 2, 4 or 8; each further grid's are twice as large. A cell holds
        one object.
    cells : cells of each object, drawn at random in each step, whose masks are learned.
    candidates : cells with the best scores that prediction looks at, per image; it says so when that leaves some out.
    """

    width: int = 96
    depth: int = 2
    cell: int = 4
    cells: int = 3
    candidates: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("cell", _CELLS)
        self._at_least(8, "width")
        self._at_least(1, "depth", "cells", "candidates")
        if self.width % 8:
            raise ConfigError(f"width must be a multiple of 8, got {self.width}")

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of the cells of each grid, finest first, in pixels."""
        return tuple(self.cell * s // GRID_STRIDES[0] for s in GRID_STRIDES)


def shared_head(config: GridSettings, inputs: int, bias: Tensor) -> nn.Sequential:
    """Return convolutions that all levels share; ``bias`` is what the outputs begin with."""
    width = config.width
    tower = [ConvNorm(inputs if k == 0 else width, width, norm="group") for k in range(config.depth)]
    last = nn.Conv2d(width, len(bias), 3, padding=1)
    nn.init.normal_(last.weight, std=0.01)
    last.bias = nn.Parameter(bias)
    return nn.Sequential(*tower, nn.Dropout2d(config.dropout), last)


def grid_levels(pyramid: Iterable[Tensor]) -> list[Tensor]:
    """Return the features of `GRID_STRIDES`: the pyramid from stride 8 on, and its last level halved where it ends."""
    levels = list(pyramid)
    while len(levels) < len(GRID_STRIDES):
        levels.append(functional.max_pool2d(levels[-1], 1, 2))
    return levels


def best_cells(category: Tensor, candidates: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return ``scores`` and ``labels`` (B, T) of the best cells, ``left_out`` (B,), and which cells they are (B, T).

    ``category`` (B, M, classes) are logits. ``left_out`` is the best score of a cell that is not among them. They come
    in the grids' order: among equal scores, an order by score would depend on what computes it.
    """
    scores, labels = category.sigmoid().max(2)
    count = torch.sym_min(candidates, scores.shape[1])  # in a graph for images of any size as well
    best, index = functional.pad(scores, (0, 1), value=-1.0).topk(count + 1, dim=1)
    index = index[:, :-1].sort(1).values
    found = {name: values.gather(1, index) for name, values in (("scores", scores), ("labels", labels))}
    return found | {"left_out": best[:, -1].clamp(min=0.0)}, index
