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

from apiece.models._kit.crops import read_crops
from apiece.models._kit.queries import assign
from apiece.models._kit.set_loss import answers_at
from apiece.models.contract import Targets


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
    """Which masks hold which points.

    Parameters
    ----------
    crops, layout : N masks, see `pack_crops`.
    points : (S, 2), x and y in pixels.

    Returns
    -------
    float32 (N, S): 1 where the pixel that a point lies in belongs to the mask, else 0.
    """
    x, y = points.floor().long().T
    return read_crops(crops, layout.T[:, :, None], x, y).float()


def crowded(targets: Targets, points: Tensor) -> Tensor:
    """Which of the points (S, 2), x and y in pixels, lie in a crowd: bool (S,)."""
    if not len(targets["crowd_layout"]):
        return torch.zeros(len(points), dtype=torch.bool, device=points.device)
    return at_points(targets["crowd_crops"], targets["crowd_layout"], points).amax(0) > 0


def draw_points(size: tuple[int, int], boxes: Tensor, most: int) -> Tensor:
    """Pixel centres at which masks are compared.

    All of them, in reading order, if they are at most ``most``; else half anywhere and half in the boxes of objects
    drawn with equal odds, so that small ones are seen too (torch's generator).

    Parameters
    ----------
    size : (height, width). boxes : float32 (N, 4), half-open xyxy in pixels.

    Returns
    -------
    float32 (S, 2), x and y in pixels.
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
    """Values of maps (C, h, w) that span an input of ``size`` (height, width) at points (S, 2): (C, S), bilinear with
    repeated edges, as masks are read in prediction."""
    return answers_at(maps.float()[None], (points / points.new_tensor([size[1], size[0]]))[None])[0]


def near_points(boxes: Tensor, points: Tensor, margin: float) -> Tensor:
    """Which points (S, 2), x and y in pixels, lie in or near each box (N, 4), half-open xyxy: bool (N, S).

    Near is within a quarter of the box's longer side and ``margin`` pixels.
    """
    reach = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 4 + margin
    low, high = (boxes[:, :2] - reach)[:, None], (boxes[:, 2:] + reach)[:, None]
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
