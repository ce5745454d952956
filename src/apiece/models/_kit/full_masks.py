"""What a network learns of whole objects: full masks, and where nobody knows what lies behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece._arrays import Bool, Float32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.cell_targets import CellTruth, pack_cells
from apiece.models._kit.crops import crop_targets, learnable
from apiece.models.contract import Targets
from apiece.ops.overlap import intersections
from apiece.transforms.occlude import PASTED


def encode_full(instances: Instances, stride: int) -> Targets:
    """Return targets of one image, of the objects of `learnable`, in cells of ``stride`` pixels.

    ``full_boxes``, ``full_cells`` and ``full_layout`` are as `encode_cells` has them, of the full masks, or of the
    visible ones where there are none. ``full_reach`` (N, 4): the box that the whole object surely stays within.
    ``known`` bool (N,): objects whose full masks are the whole truth. ``teaches`` bool (N,): objects that say something
    about what is hidden, since they are known or something was pasted over them. ``unknown`` bool (h, w): cells where
    an object that was not pasted may hide more of another.
    """
    shown, _ = learnable(instances)
    full = shown.masks if shown.full is None else shown.full
    cells, layout = pack_cells(full, stride)
    known = np.array(shown.attributes.get(PASTED, np.full(len(shown), shown.full is not None)), bool)
    hiding = full[~known]
    height, width = (-(-n // stride) for n in instances.size)
    unknown = np.zeros((height * stride, width * stride), bool)
    unknown[: instances.size[0], : instances.size[1]] = hiding.union().to_label_map() > 0
    found = {
        "full_boxes": full.boxes.copy(),
        "full_reach": _reach(full, known),
        "known": known,
        "teaches": known | (full.area > shown.masks.area),
        "unknown": unknown.reshape(height, stride, width, stride).any((1, 3)),
    }
    return {"full_cells": cells, "full_layout": layout} | {k: torch.from_numpy(v) for k, v in found.items()}


def _reach(full: Masks, known: Bool) -> Float32:
    """Return the boxes that whole objects stay within: their own, with those of all that may hide more of them."""
    boxes = full.boxes.copy()
    own = boxes[~known]
    beside = intersections(
        Masks.from_boxes(own + np.array([-1, -1, 1, 1], np.float32), full.size), full[~known]
    ).tocoo()
    i, j = beside.coords
    reach = own.copy()
    np.minimum.at(reach[:, :2], i, own[j, :2])
    np.maximum.at(reach[:, 2:], i, own[j, 2:])
    boxes[~known] = reach
    return boxes


@dataclass(frozen=True)
class FullTruth:
    """The targets of `encode_full` of a batch's images."""

    cells: CellTruth  # of full masks
    reach: Tensor
    known: Tensor
    teaches: Tensor
    unknown: Tensor  # bool (B, h, w)

    @classmethod
    def join(cls, targets: Sequence[Targets], device: torch.device, stride: int) -> FullTruth:
        """Join the targets of a batch's images, on a device."""
        renamed = [t | {name: t[f"full_{name}"] for name in ("boxes", "cells", "layout")} for t in targets]
        wanted = ("boxes", "labels", "crowd", "cells", "layout")
        truth = CellTruth.join([{name: t[name] for name in wanted} for t in renamed], device, stride)
        reach, known, teaches = (
            torch.cat([t[k] for t in targets]).to(device) for k in ("full_reach", "known", "teaches")
        )
        return cls(truth, reach, known, teaches, torch.stack([t["unknown"] for t in targets]).to(device))

    def nearest_box(self, boxes: Tensor, index: Tensor) -> Tensor:
        """Return the box nearest to each of ``boxes`` (K, 4) that the whole object ``index`` may have."""
        own, reach = self.cells.boxes[index], self.reach[index]
        return boxes.detach().clamp(torch.minimum(own, reach), torch.maximum(own, reach))


# --- whole objects around boxes of visible ones, for two-stage models -------------------------------------------------


class FullHead(nn.Module):
    """Map features of boxes (K, C, n, n) to logits of whole objects (K, size, size) around them, see `widened`.

    Each answer sees the whole box, as how a shape goes on depends on all of it (as in DeepMask, Pinheiro et al. 2015).
    """

    def __init__(self, width: int, side: int, size: int, code: int = 256) -> None:
        super().__init__()
        self.size = size
        self.narrow = nn.Conv2d(width, 16, 1)
        self.code = nn.Linear(16 * side * side, code)
        self.draw = nn.Linear(code, size * size)

    def forward(self, features: Tensor) -> Tensor:
        code = self.code(functional.relu(self.narrow(features)).flatten(1))
        logits: Tensor = self.draw(functional.relu(code)).float()
        return logits.view(-1, self.size, self.size)


def widened(boxes: Tensor) -> Tensor:
    """Return boxes (K, 4) twice as wide and high, about the same centres."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return torch.cat([boxes[:, :2] - half, boxes[:, 2:] + half], 1)


def full_crop_loss(
    logits: Tensor, targets: Sequence[Targets], index: Sequence[Tensor], boxes: Sequence[Tensor]
) -> Tensor:
    """Return the cross-entropy of whole objects around ``boxes``, for those that teach something.

    ``logits`` (K, size, size) are of the boxes of all images, one after the other. For each image there are targets of
    `encode_full` in cells of one pixel, and the object ``index`` of each box.
    """
    size, wanted, heard = logits.shape[-1], [], []
    for target, i, box in zip(targets, index, boxes, strict=True):
        wide = widened(box)
        truth = crop_targets(target["full_cells"], target["full_layout"], i, wide, size)
        steps = (torch.arange(size, device=box.device) + 0.5) / size
        places = wide[:, :2, None] + (wide[:, 2:] - wide[:, :2])[..., None] * steps  # (K, xy, size)
        height, width = target["unknown"].shape
        x, y = places[:, 0].long().clamp(0, width - 1), places[:, 1].long().clamp(0, height - 1)
        covered = target["unknown"][y[:, :, None], x[:, None, :]] & ~target["known"][i, None, None]
        wanted.append(truth)
        heard.append(target["teaches"][i, None, None] & ~(covered & (truth == 0)))
    hears = torch.cat(heard).float()
    each = functional.binary_cross_entropy_with_logits(logits, torch.cat(wanted), reduction="none")
    return (each * hears).sum() / hears.sum().clamp(min=1.0)
