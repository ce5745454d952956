"""Colour of each mask in CIE L*a*b*: mean and spread. Images of three channels only, which count as sRGB under D65."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.measurements._kit.inside import statistics
from apiece.measurements.contract import Measure, Property, Request

__all__ = ["MEASURE"]

# IEC 61966-2-1: linear sRGB to X, Y, Z, here divided by those of white (D65)
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE_XYZ = (_XYZ / _XYZ.sum(1, keepdims=True)).astype(np.float32)


def _compute(request: Request) -> Mapping[str, Array]:
    if request.pixels is None:
        raise ConfigError("colours need an image; give one, or ask for properties of the shape only")
    flat = request.pixels.reshape(-1)
    linear = _linear(flat.dtype)

    def lab(index: Array) -> list[Array]:
        red, green, blue = (linear(flat[channel:].take(index)) for channel in range(3))
        x, y, z = (_root(r * red + g * green + b * blue) for r, g, b in _WHITE_XYZ)
        return [116 * y - 16, 500 * (x - y), 200 * (y - z)]

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
    values = np.clip(np.asarray(values, np.float32), 0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _root(values: Array) -> Array:
    """Return the function f of L*a*b*: a cube root, and a line below (6 / 29) ** 3."""
    return np.where(
        values > (6 / 29) ** 3, np.cbrt(values), values * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29)
    )


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
