"""Colours as people name them: sRGB to CIE L*a*b*, and the nearest of a dozen names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Float, Int

__all__ = ["COLOURS", "colour_names", "colour_of", "lab"]

# IEC 61966-2-1: linear sRGB to X, Y, Z, here divided by those of white (D65)
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE_XYZ = (_XYZ / _XYZ.sum(1, keepdims=True)).tolist()
_GREY = 12.0  # chroma below which people see no hue
_BLACK, _LIGHT = 22.0, 82.0  # lightness L* up to which grey is black, and from which it is white

COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType({
    "red": (200, 30, 40), "orange": (240, 130, 30), "yellow": (240, 215, 40), "green": (50, 150, 60),
    "cyan": (50, 190, 200), "blue": (40, 80, 200), "purple": (125, 50, 160), "pink": (240, 140, 180),
    "brown": (120, 75, 40), "black": (15, 15, 15), "grey": (128, 128, 128), "white": (245, 245, 245),
})  # fmt: skip
"""The names, and a typical sRGB colour of each, 0 to 255."""


def lab(rgb: npt.ArrayLike) -> Float:
    """Return sRGB values from 0 to 1, shape (..., 3), as CIE L*a*b* (D65): float64 of the same shape.

    Examples
    --------
    >>> from apiece.ops import lab
    >>> lab([1.0, 0.0, 0.0]).round().tolist()
    [53.0, 80.0, 67.0]
    """
    light = linear_light(np.asarray(rgb, np.float64))
    return np.stack(lab_of_light(light[..., 0], light[..., 1], light[..., 2]), -1)


def linear_light(values: Array) -> Array:
    """Return sRGB values, floats from 0 to 1, as amounts of light; of the same dtype."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab_of_light(red: Array, green: Array, blue: Array) -> list[Array]:
    """Return L*, a* and b* of amounts of light, floats from 0 to 1; of the same dtype."""
    x, y, z = (_root(r * red + g * green + b * blue) for r, g, b in _WHITE_XYZ)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def _root(values: Array) -> Array:
    """Return the function f of L*a*b*: a cube root, and a line below (6 / 29) ** 3."""
    return np.where(values > (6 / 29) ** 3, np.cbrt(values), values * ((29 / 6) ** 2 / 3) + 4 / 29)


_HUED = [name for name in COLOURS if name not in ("black", "grey", "white")]
_PLACES = lab(np.array([COLOURS[name] for name in _HUED]) / 255)


def colour_names(colours: Float) -> list[str]:
    """Return the name, a key of `COLOURS`, of each L*a*b* colour, shape (N, 3); of NaN an empty name.

    Examples
    --------
    >>> from apiece.ops import colour_names, lab
    >>> colour_names(lab([[0.8, 0.1, 0.1], [0.5, 0.5, 0.5]]))
    ['red', 'grey']
    """
    chroma = np.hypot(colours[:, 1], colours[:, 2])
    hue = np.arctan2(colours[:, 2], colours[:, 1])
    names = np.arctan2(_PLACES[:, 2], _PLACES[:, 1])
    turn = np.abs((hue[:, None] - names + np.pi) % (2 * np.pi) - np.pi)
    lighter = np.abs(colours[:, :1] - _PLACES[:, 0])
    nearest: Int = np.argmin(np.degrees(turn) + 0.25 * lighter, 1) if len(colours) else np.zeros(0, np.int64)
    grey = np.where(colours[:, 0] < _BLACK, "black", np.where(colours[:, 0] > _LIGHT, "white", "grey"))
    named: Array = np.where(chroma < _GREY, grey, np.array(_HUED)[nearest])
    dark = (colours[:, 0] < _BLACK / 2) & (chroma < 2 * _GREY)
    return np.where(np.isnan(chroma), "", np.where(dark, "black", named)).tolist()


def colour_of(text: str) -> tuple[float, float, float] | None:
    """Return the L*a*b* colour of a name, a key of `COLOURS`, or of ``"#c81e28"``; None of any other text.

    Examples
    --------
    >>> from apiece.ops import colour_of
    >>> [round(value) for value in colour_of("#ffffff")]
    [100, 0, 0]
    """
    if text in COLOURS:
        rgb = COLOURS[text]
    elif len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdef" for c in text[1:].lower()):
        rgb = (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))
    else:
        return None
    first, second, third = lab(np.array(rgb) / 255).tolist()
    return first, second, third
