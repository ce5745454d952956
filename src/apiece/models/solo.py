"""SOLO: each cell of a grid names its object's class; a column's and a row's map multiplied are the cell's mask.

Paper: X. Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020 (arXiv 1912.04488), with the decoupled head.
Written from the paper, on a timm encoder (Apache-2.0) and torchvision's feature pyramid (BSD-3-Clause). There are no
weights to load but timm's for the encoder (each with its own licence, named by timm).

What differs, and why:

- *Grids follow the pixels*, as in `apiece.models.solov2`: a cell has a fixed side, and every object has a cell.
- *Maps repeat.* The paper has a map for each column and each row of its grid, so a network trained on crops has too few
  for a larger image. Here column j answers with map ``j mod period``, and the mask of a cell is looked for in the
  window of ``period`` cells about it, where each map stands for one column. In place of x and y over the whole image
  the head sees waves of this period and its halves.
- *No object has a box*, as in the paper, and none is larger than its window: the coarsest grid's is ``16 * period``
  times the finest grid's cell.
- Each cell answers for its best class; Matrix NMS (SOLOv2) takes the place of the paper's NMS, on masks of stride 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork

from apiece.errors import ConfigError
from apiece.models._decode.solo import FINE, decode
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import STRIDES, norm_layer
from apiece.models._kit.crops import crop_targets
from apiece.models._kit.grid_heads import GRID_STRIDES, GridSettings, best_cells, grid_levels, shared_head
from apiece.models._kit.grid_targets import category_loss, cell_places, encode, join_targets
from apiece.models._kit.network import Network
from apiece.models._kit.ragged import few_of_each
from apiece.models.contract import Architecture, ModelInput, Targets

__all__ = ["ARCHITECTURE", "SOLO", "SOLOConfig"]

_WAVES = 3  # the period, its half and its quarter
_CHOSEN = 600  # cells of a batch whose masks are learned in one step, if each object has one


@dataclass(frozen=True)
class SOLOConfig(GridSettings):
    """Set up the architecture, beyond `GridSettings`.

    Attributes
    ----------
    period : columns, and rows, with a map of their own; a mask reaches at most half as many cells each way.
    """

    candidates: int = 1000
    period: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(8, "period")
        if self.period % 4:
            raise ConfigError(f"period must be a multiple of 4, got {self.period}")


class SOLO(Network):
    """Map images ``(B, C, H, W)`` to the best ``T`` cells of each, in a dictionary:

    ``scores`` (B, T), in the grids' order; ``labels`` (B, T); ``places`` (B, T, 3): see `cell_places`; ``left_out``
    (B,): best score of a cell that is not among the ``T``; ``maps0``, ``maps1`` and so on, (B, 2 * period, rows,
    columns), the maps of each grid, columns' first; ``sides`` (B, grids), sides of the cells of each.
    """

    config: SOLOConfig

    def __init__(self, config: SOLOConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        width = config.width
        self.encoder = build_backbone(config.backbone, input.channels, config.weights, config.norm, STRIDES[1:])
        self.pyramid = FeaturePyramidNetwork(
            list(self.encoder.channels), width, norm_layer=partial(norm_layer, config.norm)
        )
        self.shuffle = GRID_STRIDES[0] // config.cell  # cells along a pixel of the features
        # objects are rare: 1 cell in 100
        self.category = shared_head(config, width, torch.full((classes * self.shuffle**2,), -4.6))
        # both maps begin at one half
        self.maps = shared_head(config, width + 4 * _WAVES, torch.zeros(2 * config.period * FINE**2))

    def grids(self, images: Tensor) -> tuple[Tensor, list[Tensor], list[tuple[int, int]]]:
        """Return the class logits of all cells, level by level, row by row, (B, M, classes); the maps of each level,
        (B, 2 * period, rows, columns), columns' first; and each grid's rows and columns."""
        levels = grid_levels(self.pyramid({str(k): f for k, f in enumerate(self.encoder(images))}).values())
        classes, maps, shapes = [], [], []
        for k, (level, side) in enumerate(zip(levels, self.config.sides, strict=True)):
            cells = functional.pixel_shuffle(self.category(level).float(), self.shuffle)
            classes.append(cells.flatten(2).transpose(1, 2))
            shapes.append((cells.shape[2], cells.shape[3]))
            # maps come from features whose pixels are the grid's cells, or from the finest
            fine = max(0, k - int(math.log2(self.shuffle)))
            waves = _waves(levels[fine], self.config.period * side / GRID_STRIDES[fine])
            raw = self.maps(torch.cat([levels[fine], waves.expand(level.shape[0], -1, -1, -1)], 1)).float()
            maps.append(functional.pixel_shuffle(raw, FINE))
        return torch.cat(classes, 1), maps, shapes

    def windows(self, maps: Sequence[Tensor], shapes: Sequence[tuple[int, int]], image: Tensor, cell: Tensor) -> Tensor:
        """Return the mask probabilities of cells ``cell`` (K,) of images ``image`` (K,) in their windows: (K, P, P)."""
        period, side = self.config.period, FINE * self.config.period
        found = maps[0].new_zeros(len(cell), side, side)
        first = 0
        for k, (level, (rows, columns)) in enumerate(zip(maps, shapes, strict=True)):
            here = torch.nonzero((cell >= first) & (cell < first + rows * columns)).flatten()
            row, column = (cell[here] - first).div(columns, rounding_mode="floor"), (cell[here] - first) % columns
            first += rows * columns
            if not len(here):
                continue
            along = min(FINE, FINE * self.config.sides[k] // GRID_STRIDES[0])  # values along a cell
            margin = along * period // 2
            right, bottom = along * columns - level.shape[3], along * rows - level.shape[2]
            # beyond the image no map is on
            wide = functional.pad(level, [margin, margin + right, margin, margin + bottom], value=-20.0)
            step = torch.arange(side, device=cell.device)
            y, x = ((FINE * at[:, None] + step) * along // FINE for at in (row, column))
            y, x = y[:, :, None], x[:, None]
            of = image[here][:, None, None]
            across, down = ((at % period)[:, None, None] for at in (column, row))
            found = found.index_put((here,), wide[of, across, y, x].sigmoid() * wide[of, period + down, y, x].sigmoid())
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        category, maps, shapes = self.grids(images)
        best, index = best_cells(category, self.config.candidates)
        return best | {
            "places": cell_places(shapes, self.config.sides, images.device)[index],
            "sides": torch.tensor(self.config.sides, device=images.device).expand(images.shape[0], -1),
            **{f"maps{k}": level for k, level in enumerate(maps)},
        }


def _waves(level: Tensor, period: float) -> Tensor:
    """Return sines and cosines of x and y with this period in pixels of the level, its half and its quarter."""
    parts = []
    for axis in (2, 3):
        length = level.shape[axis]
        phase = (torch.arange(length, device=level.device, dtype=level.dtype) + 0.5) * (2 * math.pi / period)
        for k in range(_WAVES):
            for wave in (torch.sin(phase * 2**k), torch.cos(phase * 2**k)):
                shape = (1, 1, length, 1) if axis == 2 else (1, 1, 1, length)
                parts.append(wave.view(shape).expand(1, 1, *level.shape[2:]))
    return torch.cat(parts, 1)


# --- training ---------------------------------------------------------------------------------------------------------


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_focal`` and ``mask_dice``, each a scalar."""
    assert isinstance(module, SOLO)
    category, maps, shapes = module.grids(images)
    batch = join_targets(targets, shapes, images.device)
    focal = category_loss(category, batch, targets, shapes, module.class_weights)
    if not len(batch.labels):
        return {"class_focal": focal, "mask_dice": sum(level.sum() for level in maps) * images.new_zeros(())}
    chosen = few_of_each(batch.owner, min(module.config.cells, max(1, _CHOSEN // len(batch.labels))))
    owner, cell = batch.owner[chosen], batch.cell[chosen]
    found = module.windows(maps, shapes, batch.image[owner], cell)
    boxes = _window_boxes(cell_places(shapes, module.config.sides, images.device)[cell], module.config.period)
    wanted = crop_targets(batch.crops, batch.layout, owner, boxes, found.shape[1])
    # the paper's Dice, of squares
    both = (found * wanted).sum((1, 2))
    dice = 1 - (2 * both + 1) / ((found**2).sum((1, 2)) + (wanted**2).sum((1, 2)) + 1)
    share = module.class_weights[batch.labels] / len(batch.labels)
    share = (share / torch.bincount(owner, minlength=len(batch.labels)).clamp(min=1))[owner]
    return {"class_focal": focal, "mask_dice": 3.0 * (dice * share).sum()}


def _window_boxes(places: Tensor, period: int) -> Tensor:
    """Return the windows of cells as half-open boxes x0, y0, x1, y1 (K, 4), in pixels; see `SOLO.windows`."""
    corner = places[:, :2] - places[:, 2:] * (period / 2 + 0.5)
    return torch.cat([corner, corner + places[:, 2:] * period], 1)


ARCHITECTURE = Architecture(
    summary="single-stage without boxes: the map of a cell's column times the map of its row is its mask",
    kind="single-stage",
    config=SOLOConfig,
    build=SOLO,
    encode=encode,
    loss=loss,
    decode=decode,
    defaults={"lr": 2e-3, "weight_decay": 1e-2},
)
