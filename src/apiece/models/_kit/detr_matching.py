"""What models of the DETR family share: costs by which queries are matched to objects, losses of matched pairs, and
masks compared at points of the image.

Boxes are (centre x, centre y, width, height) as shares of the network input unless said otherwise, points (S, 2) are x
and y in pixels. No function builds an array of objects times pixels: masks are compared at points, which all queries of
an image share.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert, generalized_box_iou

from apiece.models._kit.crops import in_crowd, read_crops
from apiece.models._kit.dense_assignment import overlaps
from apiece.models._kit.queries import assign
from apiece.models._kit.set_loss import answers_at
from apiece.models.contract import Targets


def relative_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return half-open xyxy in pixels, (N, 4), as shares of an input of ``size`` (height, width)."""
    scale = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return box_convert(boxes / scale, "xyxy", "cxcywh")


def box_cost(boxes: Tensor, truth: Tensor, distance: float = 5.0, overlap: float = 2.0) -> Tensor:
    """Return (Q, N): ``distance`` times L1 less ``overlap`` times generalised IoU (Rezatofighi et al., CVPR 2019)."""
    giou = generalized_box_iou(box_convert(boxes, "cxcywh", "xyxy"), box_convert(truth, "cxcywh", "xyxy"))
    return distance * torch.cdist(boxes, truth, p=1) - overlap * giou


def box_loss(boxes: Tensor, truth: Tensor, distance: float = 5.0, overlap: float = 2.0) -> Tensor:
    """Return the same for pairs, (K,), 0 where both boxes are equal; no table of all against all."""
    a, b = box_convert(boxes, "cxcywh", "xyxy"), box_convert(truth, "cxcywh", "xyxy")
    both, union = overlaps(a, b)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    giou = both / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
    return distance * (boxes - truth).abs().sum(1) + overlap * (1 - giou)


def at_points(crops: Tensor, layout: Tensor, points: Tensor) -> Tensor:
    """Return which masks (see `pack_crops`) hold the pixels that points lie in: float32 (N, S), 0 or 1."""
    x, y = points.floor().long().T
    return read_crops(crops, layout.T[:, :, None], x, y).float()


def crowded(targets: Targets, points: Tensor) -> Tensor:
    """Return which of the points lie in a crowd: bool (S,)."""
    return in_crowd(targets, *points.floor().long().unbind(-1))


def draw_points(size: tuple[int, int], boxes: Tensor, most: int) -> Tensor:
    """Return pixel centres at which masks are compared: float32 (S, 2).

    All of them, in reading order, if they are at most ``most``; else half anywhere and half in the boxes (N, 4),
    half-open xyxy in pixels, of objects drawn with equal odds, so that small ones are seen too (torch's generator).
    """
    height, width = size
    device = boxes.device
    if height * width <= most:
        flat = torch.arange(height * width, device=device)
        return torch.stack([flat % width + 0.5, flat // width + 0.5], 1)
    whole = boxes.new_tensor([width, height])
    points = torch.rand(most, 2, device=device) * whole
    if len(boxes):
        chosen = boxes[torch.randint(len(boxes), (most // 2,), device=device)]
        share = torch.rand(most // 2, 2, device=device)
        points = torch.cat([points[most // 2 :], chosen[:, :2] + share * (chosen[:, 2:] - chosen[:, :2])])
    return torch.minimum(points.floor().clamp(min=0), whole - 1) + 0.5


def sample(maps: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Return values (C, S) of maps (C, h, w) that span an input of ``size`` at points: bilinear with repeated edges,
    as masks are read in prediction."""
    return answers_at(maps.float()[None], (points / points.new_tensor([size[1], size[0]]))[None])[0]


def near_points(boxes: Tensor, points: Tensor, margin: float) -> Tensor:
    """Return which points lie in or near each box (N, 4), half-open xyxy in pixels: bool (N, S).

    Near is within a quarter of the box's longer side and ``margin`` pixels.
    """
    reach = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 4 + margin
    low, high = (boxes[:, :2] - reach)[:, None], (boxes[:, 2:] + reach)[:, None]
    return ((points >= low) & (points < high)).all(-1)


def mask_cost(logits: Tensor, target: Tensor) -> Tensor:
    """Return (Q, N): mean cross-entropy plus Dice of masks (Q, S) against (N, S) at the same points."""
    points = max(1, logits.shape[1])
    crossed = functional.softplus(logits).sum(1)[:, None] - logits @ target.T
    p = logits.sigmoid()
    dice = 1 - (2 * p @ target.T + 1) / (p.sum(1)[:, None] + target.sum(1) + 1)
    return crossed / points + dice


def mask_loss(logits: Tensor, target: Tensor, near: Tensor, seen: Tensor) -> Tensor:
    """Return (K,): cross-entropy plus Dice of pairs of masks (K, S) at points.

    Points ``near`` the object, bool (K, S), weigh together as much as all others, however small the object is. Nothing
    is learned where ``seen``, float32 (S,), is 0.
    """
    inner, outer = near * seen, ~near * seen
    weight = inner / inner.sum(1, keepdim=True).clamp(min=1) + outer / outer.sum(1, keepdim=True).clamp(min=1)
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid() * seen
    both, total = (p * target).sum(1), (p + target * seen).sum(1)
    return (weight * loss).sum(1) / 2 + 1 - (2 * both + 1) / (total + 1)


def focal_cost(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (Q, N): focal loss of naming the object's class less that of not naming it."""
    p = logits.sigmoid()
    yes = 0.25 * (1 - p) ** 2 * functional.softplus(-logits)
    no = 0.75 * p**2 * functional.softplus(logits)
    return (yes - no)[:, labels]


def assign_groups(cost: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Match each group of queries to the objects on its own."""
    size = len(cost) // groups
    pairs = [assign(cost[g * size : (g + 1) * size]) for g in range(groups)]
    return torch.cat([q + g * size for g, (q, _) in enumerate(pairs)]), torch.cat([t for _, t in pairs])


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of boxes pair by pair, (K,)."""
    both, union = overlaps(box_convert(a, "cxcywh", "xyxy"), box_convert(b, "cxcywh", "xyxy"))
    return both / union.clamp(min=1e-9)


def refine(boxes: Tensor, moves: Tensor) -> Tensor:
    """Return boxes (..., 4), their centres moved by shares of their sides, their sides scaled by exponentials."""
    moves = moves.float()
    return torch.cat([moves[..., :2] * boxes[..., 2:] + boxes[..., :2], moves[..., 2:].exp() * boxes[..., 2:]], -1)
