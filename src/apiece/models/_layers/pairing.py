"""What models of the DETR family share: the costs by which queries are matched to objects, losses of matched
pairs, and masks compared at points of the image.

Boxes are (centre x, centre y, width, height) as shares of the network input unless said otherwise. No function builds
an array of objects times pixels: masks are compared at points, which all queries of an image share.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert, generalized_box_iou

from apiece.models._base import Targets
from apiece.models._layers.queries import assign

__all__ = [
    "assign_groups",
    "at_points",
    "box_cost",
    "box_loss",
    "crowded",
    "draw_cells",
    "focal_cost",
    "mask_cost",
    "mask_loss",
    "near_points",
    "paired_iou",
    "refine",
    "relative_boxes",
]


def relative_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Half-open xyxy in pixels, (N, 4), as shares of an input of ``size`` (height, width)."""
    scale = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return box_convert(boxes / scale, "xyxy", "cxcywh")


def box_cost(boxes: Tensor, truth: Tensor, distance: float = 5.0, overlap: float = 2.0) -> Tensor:
    """(Q, N): L1 distance times ``distance`` less generalised IoU (Rezatofighi et al., CVPR 2019) times ``overlap``."""
    giou = generalized_box_iou(box_convert(boxes, "cxcywh", "xyxy"), box_convert(truth, "cxcywh", "xyxy"))
    return distance * torch.cdist(boxes, truth, p=1) - overlap * giou


def box_loss(boxes: Tensor, truth: Tensor, distance: float = 5.0, overlap: float = 2.0) -> Tensor:
    """(K,): the same for pairs (K, 4), 0 where both are equal; no table of all against all."""
    a, b = box_convert(boxes, "cxcywh", "xyxy"), box_convert(truth, "cxcywh", "xyxy")
    both = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    giou = both / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
    return distance * (boxes - truth).abs().sum(1) + overlap * (1 - giou)


def at_points(crops: Tensor, layout: Tensor, points: Tensor) -> Tensor:
    """Share of each mask in the 2 x 2 pixels around each point.

    Parameters
    ----------
    crops, layout : N masks, see `pack_crops`.
    points : (S, 2), x and y in pixels.

    Returns
    -------
    float32 (N, S) in [0, 1]; at a corner of four pixels this is bilinear interpolation.
    """
    start, left, top, width, height = layout.T[:, :, None]
    total = points.new_zeros(len(layout), len(points))
    for dx in (-0.5, 0.5):
        x = (points[:, 0] + dx).floor().long() - left
        for dy in (-0.5, 0.5):
            y = (points[:, 1] + dy).floor().long() - top
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            place = torch.where(inside, start + x * height + y, 0)
            total += 0.25 * torch.where(inside, crops[place].float(), 0.0) if len(crops) else 0.0
    return total


def crowded(targets: Targets, points: Tensor) -> Tensor:
    """Which of the points (S, 2), x and y in pixels, lie in a crowd: bool (S,)."""
    if not len(targets["crowd_layout"]):
        return torch.zeros(len(points), dtype=torch.bool, device=points.device)
    return at_points(targets["crowd_crops"], targets["crowd_layout"], points).amax(0) >= 0.5


def draw_cells(grid: tuple[int, int], cell: float, boxes: Tensor, most: int) -> Tensor:
    """Cells of a grid at which masks are compared.

    All cells, in reading order, if they are at most ``most``; else about half anywhere and half in the boxes of objects
    drawn with equal odds, so that small ones are seen too (torch's generator).

    Parameters
    ----------
    grid : rows and columns. cell : pixels along a side of each.
    boxes : float32 (N, 4), half-open xyxy in pixels.

    Returns
    -------
    int64 (S,), flat indices.
    """
    rows, columns = grid
    device = boxes.device
    if rows * columns <= most:
        return torch.arange(rows * columns, device=device)
    anywhere = torch.randint(rows * columns, (most if not len(boxes) else most // 2,), device=device)
    if not len(boxes):
        return anywhere
    count = most - len(anywhere)
    box = boxes[torch.randint(len(boxes), (count,), device=device)]
    point = (box[:, :2] + torch.rand(count, 2, device=device) * (box[:, 2:] - box[:, :2])) / cell
    x, y = point[:, 0].long().clamp(0, columns - 1), point[:, 1].long().clamp(0, rows - 1)
    return torch.cat([anywhere, y * columns + x])


def near_points(boxes: Tensor, points: Tensor, cell: float) -> Tensor:
    """Which points (S, 2), x and y in pixels, lie in or near each box (N, 4), half-open xyxy: bool (N, S).

    Near is within a quarter of the box's longer side and ``cell`` pixels.
    """
    margin = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 4 + cell
    low, high = (boxes[:, :2] - margin)[:, None], (boxes[:, 2:] + margin)[:, None]
    return ((points >= low) & (points < high)).all(-1)


def mask_cost(logits: Tensor, target: Tensor) -> Tensor:
    """(Q, N): mean cross-entropy and Dice of masks (Q, S) against (N, S) at the same points, each weighing 1."""
    points = max(1, logits.shape[1])
    crossed = functional.softplus(logits).sum(1)[:, None] - logits @ target.T
    p = logits.sigmoid()
    dice = 1 - (2 * p @ target.T + 1) / (p.sum(1)[:, None] + target.sum(1) + 1)
    return crossed / points + dice


def mask_loss(logits: Tensor, target: Tensor, near: Tensor, seen: Tensor) -> Tensor:
    """(K,): cross-entropy and Dice of pairs of masks at points, each weighing 1.

    Parameters
    ----------
    logits, target : (K, S).
    near : bool (K, S), points near the object. They weigh together as much as all others, however small it is.
    seen : float32 (S,), 0 where nothing is learned.
    """
    inner, outer = near * seen, ~near * seen
    weight = inner / inner.sum(1, keepdim=True).clamp(min=1) + outer / outer.sum(1, keepdim=True).clamp(min=1)
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid() * seen
    both, total = (p * target).sum(1), (p + target * seen).sum(1)
    return (weight * loss).sum(1) / 2 + 1 - (2 * both + 1) / (total + 1)


def focal_cost(logits: Tensor, labels: Tensor) -> Tensor:
    """(Q, N): focal loss of saying the object's class less that of not saying it."""
    p = logits.sigmoid()
    yes = 0.25 * (1 - p) ** 2 * functional.softplus(-logits)
    no = 0.75 * p**2 * functional.softplus(logits)
    return (yes - no)[:, labels]


def assign_groups(cost: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Each group of queries is matched to the objects on its own."""
    size = len(cost) // groups
    pairs = [assign(cost[g * size : (g + 1) * size]) for g in range(groups)]
    return torch.cat([q + g * size for g, (q, _) in enumerate(pairs)]), torch.cat([t for _, t in pairs])


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes pair by pair, (K,)."""
    a, b = box_convert(a, "cxcywh", "xyxy"), box_convert(b, "cxcywh", "xyxy")
    both = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return both / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both).clamp(min=1e-9)


def refine(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (..., 4) whose centres move by shares of their sides and whose sides change by a factor's logarithm."""
    moves = moves.float()
    return torch.cat([moves[..., :2] * boxes[..., 2:] + boxes[..., :2], moves[..., 2:].exp() * boxes[..., 2:]], -1)
