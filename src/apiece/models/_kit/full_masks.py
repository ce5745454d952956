"""What a network learns of whole objects: full masks, and where nobody knows what lies behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from apiece.core.instances import Instances
from apiece.models._kit.cell_targets import CellTruth, pack_cells
from apiece.models._kit.crops import learnable
from apiece.models.contract import Targets
from apiece.transforms.occlude import PASTED


def encode_full(instances: Instances, stride: int) -> Targets:
    """Return targets of one image, of the objects of `learnable`, in cells of ``stride`` pixels.

    ``full_boxes``, ``full_cells`` and ``full_layout`` are as `encode_cells` has them, of the full masks, or of the
    visible ones where there are none. ``unknown`` bool (h, w): cells where a visible object may hide more of another,
    since it was not pasted and the labels know no full masks.
    """
    shown, _ = learnable(instances)
    full = shown.masks if shown.full is None else shown.full
    cells, layout = pack_cells(full, stride)
    pasted = shown.attributes.get(PASTED, np.full(len(shown), shown.full is not None))
    hiding = shown.masks[~np.asarray(pasted, bool)]
    height, width = (-(-n // stride) for n in instances.size)
    unknown = np.zeros((height * stride, width * stride), bool)
    unknown[: instances.size[0], : instances.size[1]] = hiding.union().to_label_map() > 0
    boxes = torch.from_numpy(full.boxes.copy())
    covered = torch.from_numpy(unknown.reshape(height, stride, width, stride).any((1, 3)))
    return {"full_boxes": boxes, "full_cells": cells, "full_layout": layout, "unknown": covered}


def full_truth(targets: Sequence[Targets], device: torch.device, stride: int) -> tuple[CellTruth, Tensor]:
    """Return the full masks of a batch's objects, and ``unknown`` bool (B, h, w)."""
    renamed = [{**t, "boxes": t["full_boxes"], "cells": t["full_cells"], "layout": t["full_layout"]} for t in targets]
    wanted = ("boxes", "labels", "crowd", "cells", "layout")
    truth = CellTruth.join([{name: t[name] for name in wanted} for t in renamed], device, stride)
    return truth, torch.stack([t["unknown"] for t in targets]).to(device)
