"""How large the whole object is, and how much of it others hide: from visible and full masks."""

from __future__ import annotations

from collections.abc import Mapping

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.measurements.contract import Measure, Property, Request

__all__ = ["MEASURE"]


def _compute(request: Request) -> Mapping[str, Array]:
    if request.full is None:
        raise ConfigError("the whole object is measured on full masks, which these instances do not have")
    width, height = request.scale
    whole = request.full.area
    return {"full_area": whole * (width * height), "occlusion": (whole - request.masks.area) / whole.clip(min=1)}


MEASURE = Measure(
    summary="full masks: the whole object with what others hide of it",
    properties=(
        Property("full_area", "area", "area of the whole object, its hidden part included"),
        Property("occlusion", "none", "share of the whole object that others hide, 0 to 1"),
    ),
    compute=_compute,
    needs_full=True,
)
