"""Labels on transparent ground: the alpha channel says that there is nothing to be seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece.check.contract import Finding, Kind, Labelled, Settings
from apiece.ops.ground import masks_on

_LEAST = 0.1  # share of an object on transparent ground: less is the width of a soft border


def on_transparent_ground(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    """Find the objects of one image that lie on transparent ground."""
    if labelled.data is None:
        return
    masks = labelled.instances.masks
    area = masks.area
    share = 1 - masks_on(masks, labelled.data).area / np.maximum(area, 1)
    for i in np.flatnonzero((area > 0) & ~labelled.instances.crowd & (share >= _LEAST)).tolist():
        message = f"{labelled.name(i)}: {share[i]:.0%} of {area[i]:,} pixels lie on transparent ground"
        yield Finding("transparent", message, float(share[i]), labelled.place(i))


TRANSPARENT = Kind(
    "transparent",
    "warning",
    "An object of which a tenth or more lies on transparent ground, which training and prediction pass over.",
    "Delete it, or draw what can be seen of it; if alpha is a channel like others, save it as one.",
)
