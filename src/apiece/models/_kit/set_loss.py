"""The loss of models that answer with a set of masks: one query per object, compared at sampled points.

Papers: N. Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020 (matching, "no object" class);
A. Kirillov et al., "PointRend", CVPR 2020 (uncertain points); B. Cheng et al., CVPR 2022 (arXiv 2112.01527), section
3.3, which puts both together.

What differs: true masks are read from crops at the pixel that a point lies in, so nothing of the size objects x image
is made. A share of the points is drawn around objects, as of points drawn evenly a small object would get few or none.
Crowds are neither object nor background: their points count only where the matched object itself lies, and a query
that no object takes and that lies on a crowd for the most part is not told that it is none. Points lie in the unit
square, x first; all is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apiece.models._kit.crops import in_crowd, join_crops, read_crops
from apiece.models._kit.queries import assign
from apiece.models.contract import Targets

_CANDIDATES = 3  # points looked at for each that is kept as uncertain, as in PointRend
_UNCERTAIN, _NEAR = 0.5, 0.25  # shares of the points of a pair; the rest lies anywhere
_SKIP = -100  # the class of a query that learns no class
_ALPHA = 0.25  # weight of the inside in the focal loss


@dataclass(frozen=True)
class SetLoss:
    """What is minimised: weights of the three terms, in the matching and in the loss, and how masks are compared."""

    classes: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    none: float = 0.1  # weight of "no object" among the classes
    points: int = 1024  # at which a mask is compared with a true one
    focal: bool = False  # the mask term is a focal loss (Lin et al., ICCV 2017) in place of binary cross-entropy


def set_losses(
    answers: Sequence[tuple[Tensor, Tensor]],
    targets: Sequence[Targets],
    size: tuple[int, int],
    class_weights: Tensor,
    rule: SetLoss,
) -> dict[str, Tensor]:
    """Return ``class_query``, ``mask_point`` and ``mask_dice``: each a scalar, summed over all layers that answer.

    Every layer is matched by itself; points of an image's matching are drawn once for all layers.

    Parameters
    ----------
    answers : of each layer, class logits (B, Q, C + 1), the last for "no object", and mask logits (B, Q, h, w).
    targets : of each image, from `encode_masks`, on the device of the answers.
    size : (height, width) of the network input in pixels.
    class_weights : (C,), see `losses.class_weights`.
    """
    layers = [(logits.float(), maps.float()) for logits, maps in answers]
    with torch.autocast(layers[0][0].device.type, enabled=False):
        matched = _match(layers, targets, size, rule)
        weights = torch.cat([class_weights, class_weights.new_tensor([rule.none])])
        total = sum(len(t["labels"]) for t in targets)
        terms = []
        for (logits, maps), (wanted, image, query, target) in zip(layers, matched, strict=True):
            named = _class_loss(logits, wanted, weights)
            point, dice = _mask_losses(maps[image, query], targets, image, target, size, rule)
            terms.append(torch.stack([named, point / max(total, 1), dice / max(total, 1)]))
        named, point, dice = torch.stack(terms).sum(0)
    return {"class_query": rule.classes * named, "mask_point": rule.mask * point, "mask_dice": rule.dice * dice}


# --- who answers for which object -------------------------------------------------------------------------------------


@torch.no_grad()
def _match(
    layers: list[tuple[Tensor, Tensor]], targets: Sequence[Targets], size: tuple[int, int], rule: SetLoss
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return for each layer the class each query should name, int64 (B, Q), and pairs: image, query, object."""
    batch, queries, nothing = layers[0][0].shape
    device = layers[0][0].device
    wanted = torch.full((len(layers), batch, queries), nothing - 1, device=device)
    pairs: list[list[Tensor]] = [[] for _ in layers]
    for i, t in enumerate(targets):
        count = len(t["labels"])
        if not count and not len(t["crowd_layout"]):
            continue
        points = _matching_points(t, size, rule.points)
        crowd = in_crowd(t, *_pixels(points, size))
        every = torch.arange(count, device=device)
        truth = masks_at(t["crops"], t["layout"], every, points[None].expand(count, -1, -1), size)
        for k, (logits, maps) in enumerate(layers):
            found = answers_at(maps[i][None], points[None])[0]  # (Q, P)
            if crowd.any():
                chance = found.sigmoid()
                wanted[k, i, (chance * crowd).sum(1) > 0.5 * chance.sum(1)] = _SKIP
            outside = ~crowd
            cost = rule.classes * -logits[i].softmax(-1)[:, t["labels"]] + pair_costs(
                found[:, outside], truth[:, outside], rule
            )
            query, target = assign(cost)
            wanted[k, i, query] = t["labels"][target]
            pairs[k].append(torch.stack([torch.full_like(query, i), query, target]))
    none = torch.zeros(3, 0, dtype=torch.int64, device=device)
    joined = [torch.cat([none, *p], 1) for p in pairs]
    return [(wanted[k], *joined[k]) for k in range(len(layers))]


def pair_costs(found: Tensor, truth: Tensor, rule: SetLoss) -> Tensor:
    """Return the cost (Q, N) of a query taking an object, by their masks: logits ``found`` (Q, P) of the queries at
    points, and ``truth`` (N, P) in [0, 1]."""
    inside, outside = _both_terms(found, rule.focal)
    point = (outside.sum(1)[:, None] + (inside - outside) @ truth.T) / max(found.shape[1], 1)
    chance = found.sigmoid()
    dice = 1 - (2 * chance @ truth.T + 1) / (chance.sum(1)[:, None] + truth.sum(1) + 1)
    return rule.mask * point + rule.dice * dice


def _matching_points(t: Targets, size: tuple[int, int], count: int) -> Tensor:
    """Return (P, 2): half of them around objects, each object as often as any other, the rest anywhere."""
    points = torch.rand(count, 2, device=t["layout"].device)
    if len(t["layout"]):
        near = torch.randint(len(t["layout"]), (count // 2,), device=points.device)
        points[: count // 2] = _near(t["layout"][near], points[: count // 2, None], size)[:, 0]
    return points


# --- what it then learns ----------------------------------------------------------------------------------------------


def _class_loss(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy over the queries of all images, divided by the weights' sum."""
    asked = wanted != _SKIP
    label = wanted.clamp(min=0)
    weight = weights[label] * asked
    loss = functional.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none").view_as(weight)
    return (loss * weight).sum() / weight.sum().clamp(min=1e-6)


def _mask_losses(
    maps: Tensor, targets: Sequence[Targets], image: Tensor, target: Tensor, size: tuple[int, int], rule: SetLoss
) -> tuple[Tensor, Tensor]:
    """Return both mask terms, summed over pairs of ``maps`` (K, h, w) and objects ``target`` of ``image``, (K,)."""
    if not len(maps):
        return maps.sum() * 0.0, maps.sum() * 0.0
    crops, layout = join_crops([t["crops"] for t in targets], [t["layout"] for t in targets])
    counts = torch.tensor([len(t["layout"]) for t in targets], device=layout.device)
    index = (counts.cumsum(0) - counts)[image] + target
    points = _pair_points(maps.detach(), layout[index], size, rule.points)
    truth = masks_at(crops, layout, index, points, size)
    weight = torch.ones_like(truth)
    if any(len(t["crowd_layout"]) for t in targets):
        for i, t in enumerate(targets):
            own = image == i
            weight[own] -= (in_crowd(t, *_pixels(points[own], size)) & (truth[own] < 0.5)).float()
    point, dice = pair_losses(answers_at(maps[:, None], points)[:, 0], truth, weight, rule.focal)
    return point.sum(), dice.sum()


def pair_losses(found: Tensor, truth: Tensor, weight: Tensor, focal: bool) -> tuple[Tensor, Tensor]:
    """Return mean point loss and Dice loss of each pair, (K,) each, from logits, truth and weights (K, P)."""
    inside, outside = _both_terms(found, focal)
    point = ((outside + (inside - outside) * truth) * weight).sum(1) / weight.sum(1).clamp(min=1)
    chance = found.sigmoid() * weight
    dice = 1 - (2 * (chance * truth).sum(1) + 1) / (chance.sum(1) + (truth * weight).sum(1) + 1)
    return point, dice


def _both_terms(logits: Tensor, focal: bool) -> tuple[Tensor, Tensor]:
    """Return the loss of each logit if the point lies inside the object, and if outside."""
    inside, outside = functional.softplus(-logits), functional.softplus(logits)
    if not focal:
        return inside, outside
    chance = logits.sigmoid()
    return _ALPHA * (1 - chance) ** 2 * inside, (1 - _ALPHA) * chance**2 * outside


@torch.no_grad()
def _pair_points(maps: Tensor, layout: Tensor, size: tuple[int, int], count: int) -> Tensor:
    """Return (K, P, 2): where the logits are nearest to 0 among random points, around the object, and anywhere."""
    uncertain, near = int(_UNCERTAIN * count), int(_NEAR * count)
    tried = torch.rand(len(maps), _CANDIDATES * count, 2, device=maps.device)
    chosen = answers_at(maps[:, None], tried)[:, 0].abs().topk(uncertain, dim=1, largest=False, sorted=False)[1]
    points = torch.rand(len(maps), count, 2, device=maps.device)
    points[:, :uncertain] = tried.gather(1, chosen[..., None].expand(-1, -1, 2))
    points[:, uncertain : uncertain + near] = _near(layout, points[:, uncertain : uncertain + near], size)
    return points


# --- reading masks at points ------------------------------------------------------------------------------------------


def answers_at(maps: Tensor, points: Tensor) -> Tensor:
    """Return maps (K, C, h, w) at points (K, P, 2), bilinear between centres of cells, edges repeated: (K, C, P)."""
    grid = (2 * points - 1)[:, :, None]
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[..., 0]


def masks_at(crops: Tensor, layout: Tensor, index: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Return whether the pixel that each point (K, P, 2) lies in is inside the mask ``index`` int64 (K,) of its row:
    float32 (K, P). ``size`` is (height, width) in pixels."""
    return read_crops(crops, layout[index].T[:, :, None], *_pixels(points, size)).float()


def _pixels(points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return column and row of the pixels that points (..., 2) lie in, int64 each."""
    x, y = ((points[..., k] * size[1 - k]).long().clamp(max=size[1 - k] - 1) for k in (0, 1))
    return x, y


def _near(layout: Tensor, share: Tensor, size: tuple[int, int]) -> Tensor:
    """Return points at ``share`` (K, P, 2) of the objects' boxes, each side half as long again and 4 pixels more."""
    side = layout[:, None, 3:5].float()
    corner = layout[:, None, 1:3] - 0.25 * side - 2
    limit = torch.tensor([size[1], size[0]], device=layout.device)
    return ((corner + share * (1.5 * side + 4)) / limit).clamp(0, 1)
