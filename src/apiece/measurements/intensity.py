"""Intensity of the image inside each mask: mean, min, max and standard deviation of every channel, as stored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.measurements._kit.inside import statistics
from apiece.measurements.contract import Measure, Property, Request

__all__ = ["MEASURE"]


def _compute(request: Request) -> Mapping[str, Array]:
    if request.pixels is None:
        raise ConfigError("intensities need an image; give one, or ask for properties of the shape only")
    channels = request.pixels.shape[2]
    flat = request.pixels.reshape(-1)
    if flat.dtype == np.bool_:
        flat = flat.view(np.uint8)
    spread = "intensity_std" in request.wanted
    out = statistics(
        request.masks, channels, lambda index: [flat[c:].take(index) for c in range(channels)], channels, spread
    )
    names = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    return dict(zip(names, out, strict=True))


MEASURE = Measure(
    summary="intensity of each channel of the image inside each mask",
    properties=(
        Property("intensity_mean", "none", "mean of the pixels, in the image's own values"),
        Property("intensity_min", "none", "smallest pixel"),
        Property("intensity_max", "none", "largest pixel"),
        Property("intensity_std", "none", "standard deviation of the pixels (population: divided by their number)"),
    ),
    compute=_compute,
    needs_image=True,
)
