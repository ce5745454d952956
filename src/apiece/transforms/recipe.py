"""The augmentation that training uses by default, with one dial: ``strength``."""

from __future__ import annotations

import numpy as np

from apiece.errors import ConfigError
from apiece.transforms._sample import Compose, Transform
from apiece.transforms._warp import Fill
from apiece.transforms.colour import Blur, ColourJitter, Invert, Noise
from apiece.transforms.crop import AffineCrop

__all__ = ["default_colour", "default_geometry", "default_transforms"]


def default_transforms(
    crop: tuple[int, int] = (256, 256),
    strength: float = 1.0,
    *,
    any_angle: bool = True,
    centred: float = 0.5,
    invert: float = 0.0,
    value_range: tuple[float, float] | None = None,
) -> Compose:
    """Return the geometric changes and the changes of colour that training uses by default.

    Parameters
    ----------
    crop : (height, width) of the result.
    strength : 0 only crops; 1 is right for most; 2 is strong.
    any_angle : objects have no upright, as under a microscope or from above; else rotation stays within 10 degrees
        and only left and right are mirrored.
    centred : share of crops laid around an instance.
    invert : share of images with black and white swapped (at any strength above 0).
    value_range : see `apiece.transforms.colour`.

    Examples
    --------
    >>> [type(t).__name__ for t in default_transforms((64, 64)).transforms]
    ['AffineCrop', 'ColourJitter', 'Blur', 'Noise']
    """
    geometry = default_geometry(crop, strength, any_angle=any_angle, centred=centred)
    return Compose((*geometry.transforms, *default_colour(strength, invert=invert, value_range=value_range).transforms))


def default_geometry(
    crop: tuple[int, int] = (256, 256),
    strength: float = 1.0,
    *,
    any_angle: bool = True,
    centred: float = 0.5,
    fill: Fill = "median",
) -> Compose:
    """Return the geometric half of `default_transforms`: one warp, whatever the strength; ``fill`` lies outside."""
    _check(strength)
    reach = min(180.0, 180.0 * strength) if any_angle else 10.0 * strength
    zoom = 1.0 + 0.4 * strength
    affine = AffineCrop(
        size=crop,
        degrees=(-reach, reach),
        scale=(1.0 / zoom, zoom),
        stretch=1.0 + 0.15 * strength,
        flip=strength > 0,
        centred=centred,
        fill=fill,
    )
    return Compose((affine,))


def default_colour(
    strength: float = 1.0, *, invert: float = 0.0, value_range: tuple[float, float] | None = None
) -> Compose:
    """Return the colour half of `default_transforms`."""
    _check(strength)
    if strength == 0:
        return Compose()
    steps: list[Transform] = [
        ColourJitter(
            brightness=0.1 * strength,
            contrast=0.25 * strength,
            gamma=0.5 * strength,
            saturation=0.3 * strength,
            cast=0.1 * strength,
            p=0.8,
            value_range=value_range,
        ),
        Blur(sigma=(0.3, 0.3 + 0.9 * strength), p=min(1.0, 0.2 * strength)),
        Noise(std=(0.0, 0.04 * strength), p=min(1.0, 0.3 * strength), value_range=value_range),
    ]
    if invert:
        steps.insert(0, Invert(invert, value_range))
    return Compose(tuple(steps))


def _check(strength: float) -> None:
    if not (np.isfinite(strength) and strength >= 0):
        raise ConfigError(f"strength must be 0 or more, got {strength}")
