"""What models with a fixed set of queries share: targets, room for objects, one-to-one matching, and the way from a
map of mask logits per query to instances.

A query answers with chances of each class and a grid of mask logits over the whole network input. On the way to masks
each grid is looked at only where it is above the threshold, so a query costs what its object covers. It is placed on
the image by exact scaling: no part of the padding is stretched onto it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from apiece._arrays import Bool, Float32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._kit.clustering import suppress
from apiece.models._kit.crops import learnable, pack_crops
from apiece.models.contract import DecodeOptions, Frame, Targets

_VALUES = 1 << 20  # grid values compared at once
_FAR = 1e9  # the cost of a pair that is no number: matched only where nothing else is left


def encode_masks(instances: Instances, config: object = None) -> Targets:
    """Return targets of one image on the network's grid; memory grows with the objects' boxes, not with the image.

    ``boxes`` and ``labels``, see `learnable`; ``crops`` and ``layout`` of the N masks, see `pack_crops`;
    ``crowd_crops`` and ``crowd_layout`` of the union of all crowds (one mask, or none).
    """
    shown, targets = learnable(instances)
    crowd = instances.masks[instances.crowd & (instances.masks.area > 0)]
    crops, layout = pack_crops(shown.masks)
    crowd_crops, crowd_layout = pack_crops(crowd.union() if len(crowd) else crowd)
    more = {"crops": crops, "layout": layout, "crowd_crops": crowd_crops, "crowd_layout": crowd_layout}
    return {**targets, **more}


def check_room(targets: Sequence[Targets], queries: int, setting: str = "queries") -> None:
    """Refuse an image with more objects than queries: some would be left out of training unseen."""
    most = max((len(t["labels"]) for t in targets), default=0)
    if most > queries:
        raise ConfigError(
            f"an image has {most} objects, but {setting} is {queries}: each object needs a query of its own; "
            f"raise {setting} to {most} or more, or train on smaller crops"
        )


def assign(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Match queries to objects one to one at the least cost (Kuhn 1955); return both, int64 (N,) each.

    ``cost`` (Q, N) is that of a query taking an object, N at most Q.
    """
    table = np.nan_to_num(cost.detach().float().cpu().numpy(), nan=_FAR, posinf=_FAR, neginf=-_FAR)
    query, target = linear_sum_assignment(table)
    return torch.from_numpy(query).to(cost.device), torch.from_numpy(target).to(cost.device)


def chosen_classes(logits: Tensor, none: bool = True) -> Tensor:
    """Return chances of each class, (..., C): a softmax whose last class, "no object", is left out; with
    ``none=False`` a sigmoid of each class."""
    return logits.float().softmax(-1)[..., :-1] if none else logits.float().sigmoid()


def decode_queries(
    chances: Tensor,
    maps: Tensor,
    frame: Frame,
    classes: tuple[str, ...],
    options: DecodeOptions,
    *,
    cell: float | tuple[float, float],
    filled: bool = True,
) -> Instances:
    """Return the answers of one image's queries as instances at the image's size, best first.

    Each query stands for its likeliest class. Of two of one class whose masks overlap by more than ``options.iou`` (on
    the grid), the better one stays.

    Parameters
    ----------
    chances : (Q, C) in [0, 1], see `chosen_classes`.
    maps : (Q, h, w) mask logits; the grid begins at the upper left corner of the network input.
    cell : network pixels along a cell of the grid: one number, or (vertical, horizontal).
    filled : multiply a score by the mean chance of the mask's own cells, so that a vague mask counts less.
    """
    high, wide = (float(c) for c in (cell if isinstance(cell, tuple) else (cell, cell)))
    rows, columns = -int(-frame.input_size[0] // high), -int(-frame.input_size[1] // wide)
    # few numbers, in double precision, which not every device has; the maps stay where they are
    best, label = chances.detach().cpu().double().max(1)
    least = torch.from_numpy(np.array(options.threshold(label.numpy())))
    likely = torch.nonzero(best >= least).flatten()  # the mask can only lower a score
    grids = maps.detach()[likely.to(maps.device), :rows, :columns].float()  # beyond lies padding
    inside = grids > 0
    count = inside.sum((1, 2)).cpu()
    score = best[likely]
    if filled:
        score = score * (grids.sigmoid() * inside).sum((1, 2)).cpu() / count.clamp(min=1)
    kept = torch.nonzero((count > 0) & (score >= least[likely])).flatten()
    kept = kept[torch.argsort(score[kept], descending=True, stable=True)]
    label = label[likely[kept]]
    stays = _distinct(inside[kept.to(maps.device)].flatten(1), label, options.iou)
    kept, label = kept[stays], label[stays]
    masks = grid_masks(grids[kept.to(maps.device)].cpu().numpy(), frame, (high, wide))
    found = Instances(masks, label.numpy(), classes, score[kept].numpy())
    return found[masks.area > 0]


def _distinct(inside: Tensor, label: Tensor, iou: float) -> Tensor:
    """Return which of the masks (bool (K, cells), best first) of classes ``label`` stay, as bool (K,), on the CPU."""
    both = torch.zeros(len(inside), len(inside), device=inside.device)
    step = max(1, _VALUES // max(1, len(inside)))
    with torch.autocast(inside.device.type, enabled=False):  # cells are counted exactly, even inside of training
        for a in range(0, inside.shape[1], step):
            part = inside[:, a : a + step].float()
            both += part @ part.T
    both = both.cpu()
    area = both.diagonal()
    clash = (both > iou * (area[:, None] + area - both)) & (label[:, None] == label)
    winner, loser = (i.numpy() for i in torch.nonzero(clash.triu(1), as_tuple=True))
    return torch.from_numpy(suppress(loser, winner, len(inside)))


def grid_masks(maps: Float32, frame: Frame, cell: tuple[float, float]) -> Masks:
    """Return masks at the image's size where the upsampled maps exceed 0.

    ``maps`` is (N, h, w) over the network input from its upper left corner, ``cell`` (vertical, horizontal) the network
    pixels along a cell; the grid may reach beyond the image.
    """
    span = (frame.input_size[0] / cell[0], frame.input_size[1] / cell[1])
    boxes = np.zeros((len(maps), 4))
    for axis in (0, 1):  # over rows: which columns; over columns: which rows
        some: Bool = np.any(maps > 0, axis=axis + 1)
        scale = frame.size[1 - axis] / span[1 - axis]
        # a cell reaches half a cell beyond itself in what is interpolated
        boxes[:, axis] = (some.argmax(1) - 0.5) * scale
        boxes[:, axis + 2] = (some.shape[1] - some[:, ::-1].argmax(1) + 0.5) * scale
    return Masks.from_logits(maps, boxes, frame.size, whole=True, span=span)
