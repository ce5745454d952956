"""Colour of each mask in CIE L*a*b*: mean and spread. Images of three channels only, which count as sRGB under D65."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.measurements._kit.inside import statistics
from apiece.measurements.contract import Measure, Property, Request
from apiece.ops.colour import lab_of_light, linear_light

__all__ = ["MEASURE"]


def _compute(request: Request) -> Mapping[str, Array]:
    if request.pixels is None:
        raise ConfigError("colours need an image; give one, or ask for properties of the shape only")
    flat = request.pixels.reshape(-1)
    linear = _linear(flat.dtype)

    def lab(index: Array) -> list[Array]:
        return lab_of_light(*(linear(flat[channel:].take(index)) for channel in range(3)))

    mean, _, _, std = statistics(request.masks, 3, lab, 3, spread="lab_std" in request.wanted)
    return {"lab_mean": mean, "lab_std": std}


def _linear(dtype: np.dtype[Any]) -> Callable[[Array], Array]:
    """Return what turns stored values into linear light, 0 to 1; floats are taken to be 0 to 1."""
    if dtype.kind == "f":
        return _light
    most = 1 if dtype == np.bool_ else np.iinfo(dtype).max
    if dtype.itemsize == 1 and dtype.kind in "bu":
        table = _light(np.arange(256) / most)
        return lambda values: table[values.view(np.uint8)]
    return lambda values: _light(values / most)


def _light(values: Array) -> Array:
    return linear_light(np.clip(np.asarray(values, np.float32), 0, 1)).astype(np.float32)


MEASURE = Measure(
    summary="colour of each mask in CIE L*a*b*",
    properties=(
        Property("lab_mean", "none", "mean L* (0 to 100), a* and b* of the pixels, taken as sRGB", ("L", "a", "b")),
        Property("lab_std", "none", "standard deviation of L*, a* and b* (population)", ("L", "a", "b")),
    ),
    compute=_compute,
    needs_image=True,
    needs_colour=True,
)
