"""One stable colour per object, distinct from its neighbours in number and readable on light and dark.

Hues step by the golden ratio, so that any run of consecutive ids spreads evenly over the circle; lightness and
chroma step by another irrational, so that equal hues come back at another lightness. Colours are laid out in OKLCH
(Ottosson 2020, "A perceptual color space for image processing"), where equal steps look equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, UInt8

__all__ = ["colours", "from_oklch", "shades"]

# floor(2**64 / golden ratio), and the same of the plastic number: multiplication modulo 2**64 is the exact
# fractional part for every integer, negative and huge ones too
_GOLDEN = np.uint64(11400714819323198485)
_PLASTIC = np.uint64(13925305203486898176)


_CONES = np.array([
    [1.0, 1.0, 1.0],
    [0.3963377774, -0.1055613458, -0.0894841775],
    [0.2158037573, -0.0638541728, -1.2914855480],
])  # fmt: skip
_LINEAR = np.array([
    [4.0767416621, -1.2684380046, -0.0041960863],
    [-3.3077115913, 2.6097574011, -0.7034186147],
    [0.2309699292, -0.3413193965, 1.7076147010],
])  # fmt: skip


def from_oklch(lightness: Float, chroma: Float, hue: Float) -> UInt8:
    """Return OKLCH (lightness 0..1, chroma, hue in turns) as sRGB, uint8 (N, 3); what is too vivid is dulled."""
    a, b = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
    linear = np.zeros((len(lightness), 3))
    done = np.zeros(len(lightness), bool)
    for dull in (1.0, 0.85, 0.7, 0.55, 0.4, 0.2, 0.0):
        trial = (np.stack([lightness, chroma * dull * a, chroma * dull * b], 1) @ _CONES) ** 3 @ _LINEAR
        fits = ~done & (trial >= -1e-4).all(axis=1) & (trial <= 1 + 1e-4).all(axis=1)
        linear[fits] = trial[fits]
        done |= fits
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(shown * 255), np.uint8)


def _turns(keys: npt.ArrayLike, step: np.uint64) -> Float:
    """Return the fractional part of each key times an irrational."""
    key = np.atleast_1d(np.asarray(keys)).astype(np.int64).view(np.uint64)
    # wrapping is the point; the first 53 bits are all that a float holds
    return np.asarray(((key * step) >> np.uint64(11)) / 2.0**53)


def colours(keys: npt.ArrayLike) -> UInt8:
    """Return RGB of each key (an id, a label, an index): uint8 (N, 3). One key always has the same colour."""
    level = _turns(keys, _PLASTIC)
    return from_oklch(0.62 + 0.20 * level, 0.21 - 0.05 * level, _turns(keys, _GOLDEN) + 0.02)


def shades(labels: npt.ArrayLike, keys: npt.ArrayLike) -> UInt8:
    """Return RGB of each instance, uint8 (N, 3): the hue of its label, at a lightness that its key decides."""
    level = _turns(keys, _PLASTIC)
    return from_oklch(0.50 + 0.35 * level, 0.20 - 0.04 * level, _turns(labels, _GOLDEN) + 0.02)
