"""UPSNet: Mask R-CNN and a semantic head, joined by a head without parameters that may also say "unknown".

Paper: Y. Xiong et al., "UPSNet: A Unified Panoptic Segmentation Network", CVPR 2019 (arXiv 1901.03784). The half for
things is `mask_rcnn` here, of torchvision's parts (BSD-3-Clause) on a timm encoder (Apache-2.0); the rest is written
from the paper, on torchvision's deformable convolution. There are no weights to load but timm's for the encoder (each
with its own licence, named by timm).

As in the paper: one sub-network of deformable convolutions reads every level of the pyramid; the levels, joined at
stride 4, give the logits of every class, things and stuff, at each cell. In the panoptic head a thing's logit is the
sum of its mask's and of its class's inside its box. Each class of stuff has its own. Unknown has what the classes of
things say beyond the things that were found. The head's softmax is learned with true boxes, of which some are left out,
so that their cells become unknown. Cells that are unknown in prediction belong to nothing.

What differs: "no label" is one more class of the semantic head, so images with unlabelled ground, and data without
stuff, can be learned. The head is computed over one flat list of the cells inside of boxes. Outside of its box a thing
is no candidate, where the paper's has the logit 0. The semantic head has no further loss on regions. A pixel goes to
its thing where that has more than stuff and unknown; among things, the better score wins, and a thing that keeps too
little is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import DeformConv2d, batched_nms

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models import mask_rcnn
from apiece.models._decode.mask_rcnn import decode_boxes
from apiece.models._kit import class_map, losses
from apiece.models._kit.blocks import STRIDES, norm_layer
from apiece.models._kit.network import input_size, on_cpu, on_device, per_image
from apiece.models._kit.ragged import Pixels, owners, window_pixels
from apiece.models._kit.stuff import encode_stuff, things_among, visible_things
from apiece.models._kit.stuff_segments import with_stuff
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput, Targets
from apiece.models.mask_rcnn import MaskRCNN, MaskRCNNConfig, levels_of
from apiece.ops.flatten import without_overlap

__all__ = ["ARCHITECTURE", "UPSNet", "UPSNetConfig"]

_CELL = STRIDES[0]  # input pixels along a cell of the semantic head


@dataclass(frozen=True)
class UPSNetConfig(MaskRCNNConfig):
    """Set up the semantic and the panoptic head, beyond `MaskRCNNConfig`.

    Attributes
    ----------
    semantic_layers : deformable convolutions of the semantic head.
    panoptic_weight : weight of the panoptic head's loss.
    unknown : share of the true things that a training step leaves out, to be unknown.
    remain : share of its pixels that a thing needs to keep beside those with higher scores, or it is dropped.
    """

    semantic_layers: int = 2
    panoptic_weight: float = 0.5
    unknown: float = 0.3
    remain: float = 0.5
    smallest: int = field(default=256)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "semantic_layers")
        self._at_least(0, "panoptic_weight")
        for name in ("unknown", "remain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")


class DeformableLayer(nn.Module):
    """A 3 x 3 convolution that looks where it has learned to, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(inputs, 18, 3, 1, 1)
        self.conv = DeformConv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = norm_layer(norm, outputs)
        nn.init.zeros_(self.offsets.weight)
        assert self.offsets.bias is not None
        nn.init.zeros_(self.offsets.bias)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = functional.relu(self.norm(self.conv(x, self.offsets(x))))
        return found


class SemanticHead(nn.Module):
    """Turn the pyramid, stride 4 first, into logits ``(B, 1 + classes, H / 4, W / 4)``, "no label" first."""

    def __init__(self, config: UPSNetConfig, outputs: int) -> None:
        super().__init__()
        width, norm = config.semantic_width, "group" if config.norm == "frozen" else config.norm
        self.layers = nn.Sequential(
            *(DeformableLayer(config.width if k == 0 else width, width, norm) for k in range(config.semantic_layers))
        )
        self.drop = nn.Dropout2d(config.dropout)
        self.last = nn.Conv2d(width * len(STRIDES), outputs, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        size = pyramid[0].shape[-2:]
        levels = [functional.interpolate(self.layers(x), size=size, mode="bilinear") for x in pyramid]
        logits: Tensor = self.last(self.drop(torch.cat(levels, 1))).float()
        return logits


class UPSNet(nn.Module):
    """Map images ``(B, C, H, W)`` to what `MaskRCNN` gives for things, ``labels`` among all classes, and

    ``semantic`` (B, 1 + classes, H / 4, W / 4), logits, "no label" first; ``is_stuff`` bool (B, 1 + classes), the first
    False; on the CPU ``remain`` float64 and ``smallest`` int64 (B,).
    """

    def __init__(self, config: UPSNetConfig, input: ModelInput, classes: int) -> None:
        super().__init__()
        self.config = config
        things = things_among(classes, config.stuff)
        weights = losses.class_weights(config.class_weights, classes)
        self.thing_classes: Tensor
        self.semantic_weights: Tensor
        self.is_stuff: Tensor
        self.register_buffer("thing_classes", torch.tensor(things), persistent=False)
        self.register_buffer("semantic_weights", torch.cat([torch.ones(1), weights]), persistent=False)
        stuff = torch.tensor([False, *(c in config.stuff for c in range(classes))])
        self.register_buffer("is_stuff", stuff, persistent=False)
        own_weights = tuple(config.class_weights[c] for c in things if config.class_weights)
        self.things = MaskRCNN(replace(config, stuff=(), class_weights=own_weights), input, len(things))
        self.head = SemanticHead(config, 1 + classes)

    def forward(self, images: Tensor) -> dict[str, list[Tensor] | Tensor]:
        features, count = self.things.features(images), len(images)
        found: dict[str, list[Tensor] | Tensor] = dict(self.things.detect(features, input_size(images)))
        found["labels"] = [self.thing_classes[label] for label in found["labels"]]
        found["semantic"] = self.head(levels_of(features))
        found["is_stuff"] = self.is_stuff.expand(count, -1)
        # not on the images' device: some cannot hold such
        found["remain"] = torch.full((count,), self.config.remain, dtype=torch.float64)
        found["smallest"] = torch.full((count,), self.config.smallest)
        return found


# --- the panoptic head ------------------------------------------------------------------------------------------------


def cells_of(boxes: Tensor, shape: Sequence[int]) -> Pixels:
    """Return the cells of a grid (rows, columns) whose centres lie in boxes (K, 4), half-open xyxy in pixels."""
    low, high = ((boxes[:, k : k + 2] / _CELL - 0.5).ceil().long() for k in (0, 2))
    limit = low.new_tensor([shape[1], shape[0]])
    return window_pixels(torch.cat([low.clamp(min=0), torch.minimum(high, limit)], 1))


def values_at(maps: Tensor, index: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return maps (M, h, w) at places: map ``index`` (P,), column ``x`` and row ``y`` (P,) from the centre of the first
    cell on; bilinear, edges repeated."""
    height, width = maps.shape[1:]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor().long(), y.detach().floor().long()
    fx, fy, flat = x - left, y - top, maps.flatten()

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat[(index * height + row.clamp(max=height - 1)) * width + column.clamp(max=width - 1)]

    upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx
    lower = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx
    return upper * (1 - fy) + lower * fy


def unknown_logits(semantic: Tensor, is_stuff: Tensor, labels: Tensor, near: Pixels) -> tuple[Tensor, Tensor]:
    """Return the logits of "unknown" (h, w), and each candidate's logit (P,) of its own class.

    ``semantic`` (1 + C, h, w) and ``is_stuff`` (1 + C,) are of one image, ``near`` the cells of candidates ``labels``
    (K,). Unknown is what the likeliest class of things has beyond the candidates that lie there.
    """
    width = semantic.shape[2]
    own = semantic[1 + labels[near.window], near.y, near.x]
    things = semantic[1:][~is_stuff[1:]].amax(0)
    found = torch.zeros_like(things).flatten().scatter_reduce(0, near.y * width + near.x, own, "amax")
    return things - found.view_as(things), own


def panoptic_loss(semantic: Tensor, is_stuff: Tensor, masks: Tensor, kept: Tensor, target: Targets) -> Tensor:
    """Return the cross-entropy of the panoptic head, summed over the cells of one image.

    Parameters
    ----------
    semantic : (1 + C, h, w) logits; ``is_stuff`` (1 + C,).
    masks : (K, m, m) logits of the true things, drawn in their boxes.
    kept : bool (K,): the things that are candidates; the others are to be unknown.
    target : ``boxes``, ``classes``, ``owner`` and ``cells``, see `encode`.
    """
    height, width = semantic.shape[1:]
    index, boxes = torch.nonzero(kept).flatten(), target["boxes"][kept]
    near = cells_of(boxes, (height, width))
    unknown, own = unknown_logits(semantic, is_stuff, target["classes"][index], near)
    side = (boxes[:, 2:] - boxes[:, :2])[near.window]
    place = torch.stack([near.x, near.y], 1) * _CELL + _CELL / 2 - boxes[near.window, :2]
    x, y = (place / side * masks.shape[1] - 0.5).T
    logits = own + values_at(masks, index[near.window], x, y)

    plain = torch.cat([semantic[:1], semantic[is_stuff], unknown[None]]).flatten(1)
    cell = near.y * width + near.x
    highest = plain.detach().amax(0).scatter_reduce(0, cell, logits.detach(), "amax")
    total = (plain - highest).exp().sum(0).index_add(0, cell, (logits - highest[cell]).exp())
    owner, shown = target["owner"][:height, :width].flatten(), target["cells"][:height, :width].flatten()
    # the row of `plain` that each class has
    row = torch.cat([is_stuff.new_zeros(1, dtype=torch.int64), is_stuff[1:].cumsum(0)])
    hidden = (owner > 0) & ~torch.cat([kept.new_zeros(1), kept])[owner]
    wanted = torch.where(hidden, len(plain) - 1, row[shown.clamp(min=0)])
    right = plain.gather(0, wanted[None])[0]
    mine = torch.nonzero(owner[cell] == index[near.window] + 1).flatten()
    right = right.index_copy(0, cell[mine], logits[mine])
    # a thing's cell outside of its own candidate's cells has no row: its class is of things
    lost = (owner > 0) & ~hidden & ~torch.zeros_like(hidden).index_fill(0, cell[mine], True)
    return ((highest + total.log() - right) * ((shown >= 0) & ~lost)).sum()


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: UPSNetConfig) -> Targets:
    """Return the training targets of one image: those of `mask_rcnn.encode` of what shows of things, and

    ``classes`` int64 (N,), theirs among all classes; ``semantic`` of all classes, see `encode_stuff`; at the centres of
    the head's cells ``owner`` int64 (h, w), 1 + thing or 0, and ``cells``, the class as in ``semantic``.
    """
    visible = visible_things(instances, config.stuff)
    targets = mask_rcnn.encode(visible, replace(config, stuff=()))
    semantic = encode_stuff(instances, range(len(instances.classes)))["semantic"]
    things = things_among(max(len(instances.classes), 1), config.stuff)
    single = visible.masks[~visible.crowd]
    owner = torch.from_numpy(single.to_label_map(dtype=np.int32).astype(np.int64))
    middle = slice(_CELL // 2, None, _CELL)
    return {
        **targets, "semantic": semantic, "classes": torch.tensor(things)[targets["labels"]],
        "owner": owner[middle, middle], "cells": semantic[middle, middle].long(),
    }  # fmt: skip


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the five losses of `mask_rcnn.loss`, ``class_semantic`` and ``class_panoptic``."""
    assert isinstance(module, UPSNet)
    config, size = module.config, input_size(images)
    features = module.things.features(images)
    found = mask_rcnn.detection_losses(module.things, features, size, targets)
    moved = on_device(targets, images.device)
    logits = module.head(levels_of(features))
    pixels = functional.interpolate(logits, size=size, mode="bilinear")
    target = class_map.stack_maps([t["semantic"] for t in targets], size, images.device)
    semantic = class_map.cross_entropy(pixels, target, module.semantic_weights)

    labels = torch.cat([t["labels"] for t in moved])
    masks = module.things.masks(features, [t["boxes"] for t in moved], labels, size)["masks"]
    image = owners([len(t["labels"]) for t in moved], images.device)
    kept = torch.rand(len(labels), device=images.device) >= config.unknown
    grid = (logits.shape[2], logits.shape[3])
    panoptic = logits.sum() * 0.0
    for k, one in enumerate(moved):
        maps = {name: _padded(one[name], grid) for name in ("owner", "cells")}
        own = image == k
        panoptic = panoptic + panoptic_loss(logits[k], module.is_stuff, masks[own], kept[own], one | maps)
    return found | {
        "class_semantic": config.semantic_weight * semantic,
        "class_panoptic": config.panoptic_weight * panoptic / (len(images) * grid[0] * grid[1]),
    }


def _padded(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    return functional.pad(cells, (0, grid[1] - cells.shape[1], 0, grid[0] - cells.shape[0]))


# --- prediction -------------------------------------------------------------------------------------------------------


@per_image
def decode(out: dict[str, Tensor], frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return things without overlap, and one segment per class of stuff; what is unknown belongs to nothing."""
    is_stuff, out = out["is_stuff"].cpu(), on_cpu(out)
    scores, labels = out["scores"], out["labels"].long()
    keep = torch.from_numpy(np.flatnonzero(scores.double().numpy() >= options.threshold(labels.numpy())))
    keep = keep[batched_nms(out["boxes"][keep], scores[keep], labels[keep], options.iou)]
    names = ("boxes", "scores", "labels", "masks", "full")
    kept: dict[str, Tensor] = {name: out[name][keep] for name in names if name in out}
    boxes, labels, semantic = kept["boxes"], labels[keep], out["semantic"]
    unknown, _ = unknown_logits(semantic, is_stuff, labels, cells_of(boxes, semantic.shape[1:]))
    plain = torch.cat([torch.maximum(semantic[:1], unknown[None]), semantic[is_stuff]])

    kept["masks"] = kept["masks"] + _beyond(semantic, plain.amax(0), boxes, labels, kept["masks"].shape[-1])
    found = decode_boxes({name: values.numpy() for name, values in kept.items()}, frame, classes, options)
    visible, index = without_overlap(found.masks, float(out["remain"]))
    things = found[index].replace(masks=visible)
    stuff = torch.nonzero(is_stuff).flatten() - 1
    told = {"semantic": plain, "stuff": stuff, "smallest": out["smallest"]} if len(stuff) else {}
    return with_stuff(things, told, frame, options, alone=True)


def _beyond(semantic: Tensor, rest: Tensor, boxes: Tensor, labels: Tensor, side: int) -> Tensor:
    """Return by how much each thing's class exceeds ``rest`` (h, w) on a grid in its box: (K, side, side)."""
    share = (torch.arange(side) + 0.5) / side
    extent = boxes[:, 2:] - boxes[:, :2]
    x, y = ((boxes[:, k, None] + share * extent[:, k, None]) / _CELL - 0.5 for k in (0, 1))
    x, y = x[:, None].expand(-1, side, -1).flatten(), y[:, :, None].expand(-1, -1, side).flatten()
    own = values_at(semantic, (1 + labels).repeat_interleave(side * side), x, y)
    return (own - values_at(rest[None], torch.zeros_like(x, dtype=torch.int64), x, y)).view(-1, side, side)


ARCHITECTURE = Architecture(
    summary="two-stage: Mask R-CNN and a deformable semantic head, joined pixel by pixel; no overlap, may say unknown",
    kind="two-stage",
    config=UPSNetConfig,
    build=UPSNet,
    encode=encode,
    loss=loss,
    decode=decode,
    overlap=False,
    defaults=mask_rcnn.ARCHITECTURE.defaults,
)
