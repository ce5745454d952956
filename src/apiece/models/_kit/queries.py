"""What models with a fixed set of queries share in training: targets, room for objects, one-to-one matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models._kit.crops import learnable, pack_crops
from apiece.models.contract import Targets

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
