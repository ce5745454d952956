"""The parts of a two-stage network that are graphs of their own when it is exported; see `two_stage_boxes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from apiece.models._kit.two_stage_boxes import STRIDES
from apiece.models.contract import Part

if TYPE_CHECKING:
    from apiece.models._kit.stuff import SemanticBranch
    from apiece.models.mask_rcnn import MaskRCNN


def detection_parts(module: MaskRCNN, branch: SemanticBranch | None) -> dict[str, Part]:
    """Return ``model``, from images to features and raw proposals, and ``boxes`` and ``masks``, which pool them."""
    free = {"features": {2: "rows", 3: "columns"}, "boxes": {0: "count"}}
    parts = {"model": Part(_First(module, branch), {}, {})}
    for name, make in (("boxes", _Boxes), ("masks", _Masks)):
        labels = name == "masks"
        examples = [_example(module, size, count, labels) for size, count in (((9, 13), 5), ((12, 8), 3))]
        also = {"labels": {0: "count"}} if labels else {}
        parts[name] = Part(make(module), {**free, **also}, *examples)
    return parts


def _example(module: MaskRCNN, size: tuple[int, int], count: int, labels: bool) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(count)
    corner = torch.rand(count, 2, generator=draw) * 4
    boxes = torch.cat([corner, corner + 1 + 3 * torch.rand(count, 2, generator=draw)], 1)
    found = {"features": torch.rand(1, module.config.width, *size, generator=draw), "boxes": boxes}
    return found | ({"labels": torch.arange(count) % module.classes} if labels else {})


class _First(nn.Module):
    """From images to the pyramid, and chances and moves of anchors on each level."""

    def __init__(self, module: MaskRCNN, branch: SemanticBranch | None) -> None:
        super().__init__()
        self.detector, self.branch = module, branch

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels = list(self.detector.features(images).values())
        objectness, moves = self.detector.proposer.head(levels)
        found = {f"features{k}": level for k, level in enumerate(levels[: len(STRIDES)])}
        for name, values in (("objectness", objectness), ("moves", moves)):
            found |= {f"{name}{k}": value.float() for k, value in enumerate(values)}
        return found if self.branch is None else found | self.branch.answer(levels[: len(STRIDES)])


class _Pooled(nn.Module):
    """What a head says of boxes on the grid of one level."""

    def __init__(self, module: MaskRCNN) -> None:
        super().__init__()
        self.detector = module

    def pooled(self, features: Tensor, boxes: Tensor, pool: Any) -> Tensor:
        """Return what torchvision's `MultiScaleRoIAlign` ``pool`` reads of the level that is given."""
        found: Tensor = roi_align(features, [boxes], pool.output_size, 1.0, pool.sampling_ratio)
        return found


class _Boxes(_Pooled):
    def forward(self, features: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        regions = self.detector.regions
        pooled = self.pooled(features, boxes, regions.box_roi_pool)
        logits, moves = regions.box_predictor(regions.box_head(pooled))
        return {"logits": logits.float(), "moves": moves.float()}


class _Masks(_Pooled):
    def forward(self, features: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self.detector.mask_logits(self.pooled(features, boxes, self.detector.mask_pool), labels)
