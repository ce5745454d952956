"""SOLOv2: each cell of a grid names its object's class and the 1 x 1 kernel that draws its mask; no boxes.

Paper: X. Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", NeurIPS 2020 (arXiv 2003.10152). Written from
the paper, on a timm encoder (Apache-2.0) and torchvision's feature pyramid (BSD-3-Clause). There are no weights to load
but timm's for the encoder (each with its own licence, named by timm).

What differs, and why:

- *Grids follow the pixels.* The paper lays 40, 36, 24, 16 and 12 cells along any image, so 1,600 cells at most on the
  finest. Here a cell has a fixed side (4, 8, 16, 32, 64 pixels): a crop of 256 pixels has room for thousands of small
  objects, and a crop and a whole image of any size are the same to the weights. Each level runs on features of twice
  its cells' side, and its last convolutions answer for the four cells in each of their pixels.
- *Coordinates are the cell's own.* The paper feeds x and y over the whole image to kernel and mask branch; a network
  trained on crops would find other coordinates on a larger image. Here the coordinates come as the last channels of the
  unified mask feature (1, x, y, x squared, y squared, x y) and a kernel weighs them in the frame of its cell, concave,
  so that a mask begins as a blob at its cell. It is still one 1 x 1 convolution of one map for all objects.
- *No object is lost.* Of two that want one cell, the paper leaves one out; see `assign_cells`.
- *Masks are learned at sampled pixels* of stride 2 (interpolated, as prediction does) in a window about the object, by
  Dice; at these and some elsewhere, among them other objects' centres, by cross-entropy, where the mask must be off.
- Each cell answers for its best class; the heads are narrow; Matrix NMS runs on bit-packed masks of stride 4. A mask
  that then still overlaps a better one of its class by more than the asked IoU leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork

from apiece.errors import ConfigError
from apiece.models._decode.solov2 import decode
from apiece.models._kit import losses
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import STRIDES, ConvNorm, norm_layer
from apiece.models._kit.grid_heads import GRID_STRIDES, GridSettings, best_cells, grid_levels, shared_head
from apiece.models._kit.grid_targets import CellBatch, category_loss, cell_places, covered_share, encode, join_targets
from apiece.models._kit.kernel_masks import COORDINATES
from apiece.models._kit.network import Network
from apiece.models._kit.pyramid import climb, climbs
from apiece.models._kit.ragged import few_of_each, rows_at, window_pixels
from apiece.models.contract import Architecture, ModelInput, Targets

__all__ = ["ARCHITECTURE", "SOLOv2", "SOLOv2Config"]

_CHOSEN = 3000  # cells of a batch whose masks are learned in one step, if each object has one


@dataclass(frozen=True)
class SOLOv2Config(GridSettings):
    """Set up the architecture, beyond `GridSettings`.

    Attributes
    ----------
    mask_width : channels of the mask branch.
    features : channels of the unified mask feature, coordinates not counted.
    samples : pixels of stride 2 in one object's window that its mask learns from; larger windows get a sparser grid.
    outside : pixels anywhere else that it learns from; half of them other objects' centres.
    """

    mask_width: int = 64
    features: int = 32
    samples: int = 324
    outside: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(8, "mask_width", "features")
        self._at_least(1, "outside")
        self._at_least(16, "samples")
        if self.mask_width % 8:
            raise ConfigError(f"mask_width must be a multiple of 8, got {self.mask_width}")


class MaskBranch(nn.Module):
    """The unified mask feature: pyramid levels at strides 4 to 32, finest first, to (B, features, H / 4, W / 4).

    As in the paper: each level climbs to stride 4 (see `climb`), and a 1 x 1 convolution follows.
    """

    def __init__(self, inputs: int, width: int, outputs: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.levels = climbs(inputs, width, norm)
        self.drop = nn.Dropout2d(dropout)
        self.last = ConvNorm(width, outputs, kernel=1, norm=norm)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.last(self.drop(climb(self.levels, pyramid)))
        return out


class SOLOv2(Network):
    """Map images ``(B, C, H, W)`` to the best ``T`` cells of each, in a dictionary:

    ``scores`` (B, T), in the grids' order; ``labels`` (B, T); ``kernels`` (B, T, E + 6): weights of the mask feature's
    channels and of the coordinates, see `kernel_logits`; ``places`` (B, T, 3): see `cell_places`; ``features``
    (B, E, H / 4, W / 4); ``left_out`` (B,): best score of a cell that is not among the ``T``.
    """

    config: SOLOv2Config

    def __init__(self, config: SOLOv2Config, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        width = config.width
        self.encoder = build_backbone(config.backbone, input.channels, config.weights, config.norm, STRIDES)
        self.pyramid = FeaturePyramidNetwork(
            list(self.encoder.channels), width, norm_layer=partial(norm_layer, config.norm)
        )
        self.mask_branch = MaskBranch(width, config.mask_width, config.features, config.norm, config.dropout)
        self.shuffle = GRID_STRIDES[0] // config.cell
        self.category = self._head(torch.full((classes,), -4.6))  # objects are rare: 1 cell in 100
        blob = torch.zeros(config.features + COORDINATES)
        blob[config.features] = 1.5  # a mask begins as a disc three cells wide
        self.kernel = self._head(blob)

    def _head(self, bias: Tensor) -> nn.Sequential:
        """Build convolutions that all levels share; ``bias`` is what each cell's outputs begin with."""
        return shared_head(self.config, self.config.width, bias.repeat_interleave(self.shuffle**2))

    def grids(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, int]]]:
        """Return all cells, level by level, row by row: class logits (B, M, classes), kernels (B, M, E + 6), the
        mask feature, and each grid's rows and columns."""
        pyramid = list(self.pyramid({str(k): f for k, f in enumerate(self.encoder(images))}).values())
        features = self.mask_branch(pyramid).float()
        answers: list[list[Tensor]] = [[], []]
        shapes = []
        for level in grid_levels(pyramid[1:]):
            for head, answer in zip((self.category, self.kernel), answers, strict=True):
                cells = functional.pixel_shuffle(head(level).float(), self.shuffle)
                answer.append(cells.flatten(2).transpose(1, 2))
            shapes.append((cells.shape[2], cells.shape[3]))
        return torch.cat(answers[0], 1), _concave(torch.cat(answers[1], 1)), features, shapes

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        category, kernels, features, shapes = self.grids(images)
        best, index = best_cells(category, self.config.candidates)
        return best | {
            "kernels": kernels.gather(1, index[..., None].expand(-1, -1, kernels.shape[2])),
            "places": cell_places(shapes, self.config.sides, images.device)[index],
            "features": features,
        }


def _concave(raw: Tensor) -> Tensor:
    """Return kernels (..., E + 6) whose quadratic part falls off in every direction, so that a mask ends somewhere."""
    weights, squares, mixed = raw[..., :-3], functional.softplus(raw[..., -3:-1]) + 1e-4, raw[..., -1:]
    bound = 1.8 * squares.prod(-1, keepdim=True).sqrt()
    return torch.cat([weights, squares, bound * mixed.tanh()], -1)


# --- training ---------------------------------------------------------------------------------------------------------


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_focal``, ``mask_dice`` and ``mask_bce``, each a scalar."""
    assert isinstance(module, SOLOv2)
    category, kernels, features, shapes = module.grids(images)
    batch = join_targets(targets, shapes, images.device)
    focal = category_loss(category, batch, targets, shapes, module.class_weights)
    if not len(batch.labels):
        return {"class_focal": focal, "mask_dice": kernels.sum() * 0.0, "mask_bce": features.sum() * 0.0}
    chosen = few_of_each(batch.owner, min(module.config.cells, max(1, _CHOSEN // len(batch.labels))))
    owner, cell = batch.owner[chosen], batch.cell[chosen]
    kernel, place = kernels[batch.image[owner], cell], cell_places(shapes, module.config.sides, images.device)[cell]
    dice, bce = _mask_losses(features, kernel, place, owner, batch, module.config)
    share = module.class_weights[batch.labels] / len(batch.labels)
    share = (share / torch.bincount(owner, minlength=len(batch.labels)).clamp(min=1))[owner]
    return {"class_focal": focal, "mask_dice": 3.0 * (dice * share).sum(), "mask_bce": (bce * share).sum()}


def _mask_losses(
    features: Tensor, kernel: Tensor, place: Tensor, owner: Tensor, batch: CellBatch, config: SOLOv2Config
) -> tuple[Tensor, Tensor]:
    """Return Dice and cross-entropy of each chosen cell's mask (K,), at pixels of stride 2."""
    count, device = len(owner), features.device
    fine = functional.interpolate(features, scale_factor=2, mode="bilinear")
    height, width = fine.shape[2:]
    boxes = batch.boxes[owner]
    margin = 4 + (boxes[:, 2:] - boxes[:, :2]) / 4
    corners = torch.cat([(boxes[:, :2] - margin) / 2, (boxes[:, 2:] + margin) / 2 + 1], 1).long()
    limits = torch.tensor([width, height] * 2, device=device)
    near = window_pixels(torch.minimum(corners.clamp(min=0), limits), config.samples)
    # elsewhere: anywhere in the image, and where another object of it lies, which may look the same
    size = torch.bincount(batch.image)
    other = (torch.rand(count, config.outside // 2, device=device) * size[batch.image[owner]][:, None]).long()
    other = batch.centres[other + (size.cumsum(0) - size)[batch.image[owner]][:, None]] / 2
    free = torch.rand(count, config.outside - other.shape[1], 2, device=device) * limits[:2]
    far = torch.minimum(torch.cat([other, free], 1).view(-1, 2).long(), limits[:2] - 1)
    segment = torch.cat([near.window, torch.arange(count, device=device).repeat_interleave(config.outside)])
    x, y = torch.cat([near.x, far[:, 0]]), torch.cat([near.y, far[:, 1]])

    values = rows_at(fine, batch.image[owner][segment], x, y)
    weights = kernel[segment]
    u, v = ((2 * torch.stack([x, y]) + 1 - place[segment, :2].T) / place[segment, 2]).unbind()
    shape = torch.stack([torch.ones_like(u), u, v, -u * u, -v * v, -u * v], 1)
    logits = (torch.cat([values, shape], 1) * weights).sum(1)
    target = covered_share(batch, owner[segment], x, y)
    inner = len(near.window)
    dice = losses.dice(logits[:inner], target[:inner], near.window, count)
    return dice, losses.bce(logits, target, segment, count)


ARCHITECTURE = Architecture(
    summary="single-stage without boxes: grid cells predict classes and mask kernels; fast, overlaps allowed",
    kind="single-stage",
    config=SOLOv2Config,
    build=SOLOv2,
    encode=encode,
    loss=loss,
    decode=decode,
    defaults={"lr": 2e-3, "weight_decay": 1e-2},
)
