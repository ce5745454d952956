"""How masks lie to each other: the gap to the nearest one, which ones they touch, and how long the common border is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array
from apiece.measurements.contract import Measure, Property, Request
from apiece.ops.near import contacts, nearest

__all__ = ["MEASURE"]


def _compute(request: Request) -> Mapping[str, Array]:
    out: dict[str, Array] = {}
    if "nearest_gap" in request.wanted:
        every = np.arange(len(request.masks))
        gap = nearest(request.masks, every, every, request.scale)[1]
        out["nearest_gap"] = np.where(np.isfinite(gap), gap, np.nan)
    if request.wanted & {"contacts", "contact_length"}:
        touching, length = contacts(request.masks, request.scale)
        out["contacts"] = np.diff(touching.indptr).astype(np.int64)
        out["contact_length"] = np.asarray(length.sum(1), np.float64).reshape(-1)
    return out


MEASURE = Measure(
    summary="how masks of one image lie to each other",
    properties=(
        Property("nearest_gap", "length", "distance to the nearest other mask, outline to outline; 0 where they touch"),
        Property("contacts", "none", "number of masks that it touches at a pixel's side, or overlaps"),
        Property(
            "contact_length", "length", "length of the border with the masks that it touches and does not overlap"
        ),
    ),
    compute=_compute,
    together=True,
)
