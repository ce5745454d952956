"""What a two-stage detector needs beyond torchvision: matching whose memory stays small.

torchvision compares all anchors with all true boxes in one dense table, which takes gigabytes with thousands of
instances. Here matching goes through the anchors in parts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

CROWD_SHARE = 0.5
"""A box with more than this share of its area in boxes of crowds is neither object nor background."""
_PART = 4_000_000  # entries of the table of overlaps held at once


def match_boxes(
    truth: Tensor, crowd: Tensor, boxes: Tensor, low: float, high: float, rescue: bool
) -> tuple[Tensor, Tensor]:
    """Return the true box of each box, int64[A], 0 where none, and its state: 1 object, 0 background, -1 neither.

    Parameters
    ----------
    truth, crowd, boxes : float32[N, 4], [K, 4] and [A, 4]: true boxes, boxes of crowds, and those to be matched.
    low, high : IoU below which a box is background, and from which on it is an object.
    rescue : give each true box the boxes that overlap it best, even below ``high``.
    """
    index = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    state = torch.zeros_like(index)
    step = max(1, _PART // max(1, len(truth)))
    parts = range(0, len(boxes), step)
    if len(truth):
        best_of_truth = torch.zeros(len(truth), device=boxes.device)
        for a in parts:
            overlap = box_iou(truth, boxes[a : a + step])
            best, index[a : a + step] = overlap.max(0)
            state[a : a + step] = (best >= high).long() - ((best >= low) & (best < high)).long()
            best_of_truth = torch.maximum(best_of_truth, overlap.amax(1))
        for a in parts if rescue else ():
            if len(parts) > 1:  # else it is still there
                overlap = box_iou(truth, boxes[a : a + step])
            saved = ((overlap == best_of_truth[:, None]) & (overlap > 0)).any(0)
            state[a : a + step][saved] = 1
    if len(crowd):
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1e-6)
        within = torch.zeros_like(area)
        for box in crowd:
            side = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])
            within += side.clamp(min=0).prod(1)
        state[(within > CROWD_SHARE * area) & (state != 1)] = -1
    return index, state


class Proposer(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's region proposal network with `match_boxes`; losses are asked for, not a matter of mode."""

    def forward(
        self,
        features: list[Tensor],
        size: tuple[int, int],
        targets: list[dict[str, Tensor]] | None = None,
        sizes: list[tuple[int, int]] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return proposals of each image (best first, float32[K, 4]) and, with targets, the two losses.

        Proposals are cut at the border of their image: all are of ``size`` (height, width), or each of its own in
        ``sizes``, where padding lies beyond.
        """
        objectness, deltas = self.head(features)
        count = len(objectness[0])
        per_level = [o[0].numel() for o in objectness]
        # every level: (B, A * k, H, W) to (B, H * W * A, k), the order of the anchors
        flat = torch.cat([_flatten(o.float(), 1) for o in objectness], 1)
        moves = torch.cat([_flatten(d.float(), 4) for d in deltas], 1)
        anchors = self._anchors(features, size)
        decoded = self.box_coder.decode(moves.detach().reshape(-1, 4), [anchors] * count).view(count, -1, 4)
        proposals, _ = self.filter_proposals(decoded, flat.reshape(-1, 1), sizes or [size] * count, per_level)
        if targets is None:
            return proposals, {}
        index, state = zip(
            *(match_boxes(t["boxes"], t["crowd"], anchors, 0.3, 0.6, rescue=True) for t in targets), strict=True
        )
        nothing = anchors.new_zeros(1, 4)
        matched = [t["boxes"][i] if len(t["boxes"]) else nothing[i] for t, i in zip(targets, index, strict=True)]
        wanted = self.box_coder.encode(matched, [anchors] * count)
        if not any((s >= 0).any() for s in state):  # nothing but crowd
            return proposals, {"class_objectness": flat.sum() * 0.0, "box_proposal": moves.sum() * 0.0}
        loss = self.compute_loss(flat.reshape(-1, 1), moves.reshape(-1, 4), [s.float() for s in state], list(wanted))
        return proposals, {"class_objectness": loss[0], "box_proposal": loss[1]}

    def _anchors(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        generator, device = self.anchor_generator, features[0].device
        generator.set_cell_anchors(torch.float32, device)
        grids = [list(f.shape[-2:]) for f in features]
        strides = [[s // g for s, g in zip(size, grid, strict=True)] for grid in grids]
        return torch.cat(generator.grid_anchors(grids, strides))


def _flatten(level: Tensor, values: int) -> Tensor:
    batch, _, height, width = level.shape
    return level.view(batch, -1, values, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, values)


class Regions(RoIHeads):  # type: ignore[misc]
    """torchvision's second stage with `match_boxes`; the masks are the model's own business."""

    crowds: list[Tensor]

    def choose(self, proposals: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], ...]:
        """Return proposals to learn from: boxes, index of the true box, label (0 for background), box targets."""
        self.crowds = [t["crowd"] for t in targets]
        named = [{"boxes": t["boxes"], "labels": t["labels"] + 1, "masks": t["crops"]} for t in targets]
        chosen: tuple[list[Tensor], ...] = self.select_training_samples(proposals, named)
        return chosen

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match as torchvision, which calls it, does, in bounded memory and with crowds left out."""
        indices, labels = [], []
        for boxes, truth, names, crowd in zip(proposals, gt_boxes, gt_labels, self.crowds, strict=True):
            index, state = match_boxes(truth, crowd, boxes, 0.5, 0.5, rescue=False)
            label = names[index] if len(names) else torch.zeros_like(index)
            indices.append(index)
            labels.append(torch.where(state == 1, label, state))
        return indices, labels
