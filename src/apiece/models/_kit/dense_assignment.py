"""Which points of a dense detector learn which object: the few near its centre that already answer it best.

Task-aligned assignment (Feng et al., TOOD, ICCV 2021, arXiv 2108.07755) with the number of points per object of SimOTA
(Ge et al., YOLOX, arXiv 2107.08430). What differs: only points near an object's centre are compared (as in ATSS, Zhang
et al., CVPR 2020), so the tables have one row per object, not one entry per object and point of the image; and an
object that loses all its points to others gets its next best free one, or one of an object that has more, so that each
object is learned in a crowd too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apiece.models._kit.ragged import centres

_REACH = 2  # points on each side of the centre's, per level
_MOST = 10  # points per object, at most
_POWER = 6.0  # of the overlap in how well a point answers


@dataclass(frozen=True)
class Points:
    """Where the points of a dense detector lie: level by level, row by row; the first of a level at half its stride."""

    sizes: tuple[tuple[int, int], ...]  # rows and columns of each level
    strides: tuple[int, ...]  # pixels from point to point

    @property
    def count(self) -> int:
        """Points of one image."""
        return sum(h * w for h, w in self.sizes)

    def places(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return x and y in pixels of the input, float32[A, 2], and the stride of each point, float32[A]."""
        places = [centres(size, stride, device) for size, stride in zip(self.sizes, self.strides, strict=True)]
        strides = [p.new_full((p.shape[0],), float(s)) for p, s in zip(places, self.strides, strict=True)]
        return torch.cat(places), torch.cat(strides)

    def near(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points around each box's centre: index int64[G, K], and whether each may answer the box.

        A point may if it lies inside the box or is the nearest of its level.
        """
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        offsets = torch.arange(-_REACH, _REACH + 1, device=boxes.device)
        dy, dx = (d.flatten() for d in torch.meshgrid(offsets, offsets, indexing="ij"))
        index, allowed, first = [], [], 0
        for (rows, columns), stride in zip(self.sizes, self.strides, strict=True):
            x = (centre[:, :1] / stride).long().clamp(0, columns - 1) + dx
            y = (centre[:, 1:] / stride).long().clamp(0, rows - 1) + dy
            px, py = (x + 0.5) * stride, (y + 0.5) * stride
            inside = (px > boxes[:, :1]) & (px < boxes[:, 2:3]) & (py > boxes[:, 1:2]) & (py < boxes[:, 3:])
            inside |= (dx == 0) & (dy == 0)
            exists = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            index.append(torch.where(exists, first + y * columns + x, first))
            allowed.append(inside & exists)
            first += rows * columns
        return torch.cat(index, 1), torch.cat(allowed, 1)


@dataclass(frozen=True)
class Assigned:
    """The pairs of points and objects, ordered by object, its best point first."""

    point: Tensor  # int64[P]: index into the points of all images, one image after the other
    truth: Tensor  # int64[P]: the object
    target: Tensor  # float32[P] from 0 to 1: the score that the point should give
    rank: Tensor  # int64[P]: 0 for the best point of its object, and so on


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of intersection and union of boxes (..., 4), half-open xyxy, pair by pair."""
    both = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    first, second = ((x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (a, b))
    return both, first + second - both


@torch.no_grad()
def assign(points: Points, boxes: Tensor, logits: Tensor, truth: Tensor, labels: Tensor, image: Tensor) -> Assigned:
    """Give each object its points.

    Parameters
    ----------
    boxes : float32[B * A, 4], the box that each point of each image predicts.
    logits : float32[B * A, classes].
    truth : float32[G, 4], true boxes of all images; labels : int64[G]; image : int64[G], the image of each.
    """
    count = len(truth)
    near, allowed = points.near(truth)
    near = near + (image * points.count)[:, None]
    both, union = overlaps(boxes[near], truth[:, None])
    overlap = both / union.clamp(min=1e-6) * allowed
    score = logits[near, labels[:, None]].sigmoid()
    metric = torch.where(allowed, score * overlap**_POWER + 1e-12 * (1 + overlap), -1.0)
    wanted = overlap.topk(min(_MOST, overlap.shape[1]), 1).values.sum(1).long().clamp(1, _MOST)
    order = torch.argsort(metric, dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    claim = (place < wanted[:, None]) & allowed
    owner = _settle(near, metric, claim, torch.full((len(boxes),), -1, device=boxes.device))
    while True:  # ends: each round an object without a point gets one, and no object loses its last
        held, now = torch.bincount(owner[owner >= 0], minlength=count), owner[near]
        open_ = allowed & (held == 0)[:, None] & ((now < 0) | (held[now.clamp(min=0)] > 1))
        best = torch.where(open_, metric + 2.0 * (now < 0), -1.0).max(1)  # a free point before another's second
        row = (best.values >= 0).nonzero()[:, 0]
        if not len(row):
            break
        of = now[row, best.indices[row]]
        first = of.new_full((count + 1,), count).scatter_reduce(0, of + 1, row, "amin")
        row = row[(of < 0) | (row == first[of + 1])]  # from each owner one point at a time
        owner[near[row, best.indices[row]]] = -1
        claim = torch.zeros_like(open_)
        claim[row, best.indices[row]] = True
        owner = _settle(near, metric, claim, owner)
    return _pairs(owner, near, metric, overlap)


def _settle(near: Tensor, metric: Tensor, claim: Tensor, owner: Tensor) -> Tensor:
    """Give points that several objects claim to the object that they answer best; of equals, to the first."""
    truth, column = claim.nonzero(as_tuple=True)
    point, worth = near[truth, column], metric[truth, column]
    best = torch.full(owner.shape, -1.0, device=owner.device).scatter_reduce(0, point, worth, "amax")
    wins = worth == best[point]
    none = owner.new_full(owner.shape, torch.iinfo(torch.int64).max)
    first = none.scatter_reduce(0, point[wins], truth[wins], "amin")
    return torch.where((owner < 0) & (first < none), first, owner)


def _pairs(owner: Tensor, near: Tensor, metric: Tensor, overlap: Tensor) -> Assigned:
    mine = owner[near] == torch.arange(len(near), device=near.device)[:, None]
    mine &= metric >= 0
    worth = torch.where(mine, metric, -1.0)
    worth, column = torch.sort(worth, dim=1, descending=True, stable=True)
    truth, rank = (worth >= 0).nonzero(as_tuple=True)
    column = column[truth, rank]
    reached = torch.where(mine, overlap, 0.0).amax(1)
    target = worth[truth, rank] / worth[truth, 0] * reached[truth]
    return Assigned(near[truth, column], truth, target, rank)
