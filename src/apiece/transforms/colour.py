"""Change light and sharpness; the instances stay as they are.

All transforms work on any dtype and any number of channels and keep both. Strengths are relative to ``value_range``,
the values that count as black and white; None takes each image's own lowest and highest value, which suits 12-bit data
in a 16-bit file as well as floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.transforms._sample import Sample, check_range, check_share, in_float

__all__ = ["Blur", "ColourJitter", "Invert", "Noise"]

ValueRange = tuple[float, float] | None
Change = Callable[[Array], Array]


class _Pixels:
    """A change of pixels alone, made with probability ``p``."""

    p: float

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p or not sample.image.size:
            return sample
        return Sample(in_float(sample.image, self._change(sample.image, rng)), sample.instances)

    def _change(self, image: Array, rng: np.random.Generator) -> Change:
        """Draw what is random, and return the change of the image's values."""
        raise NotImplementedError


@dataclass(frozen=True)
class ColourJitter(_Pixels):
    """Change gamma, contrast, brightness, colour cast and saturation, in this order.

    Attributes
    ----------
    brightness : added, up to plus or minus this share of the value range.
    contrast : differences from the mean are multiplied by between ``1 / (1 + contrast)`` and ``1 + contrast``.
    gamma : values, taken as 0 to 1, are raised to between ``1 / (1 + gamma)`` and ``1 + gamma``.
    saturation : differences between the channels are multiplied, as for ``contrast``. No effect on one channel.
    cast : each channel is multiplied on its own, as for ``contrast``. No effect on one channel.
    p : how often, 0 to 1.
    value_range : (black, white); None: each image's lowest and highest value.
    """

    brightness: float = 0.2
    contrast: float = 0.3
    gamma: float = 0.3
    saturation: float = 0.3
    cast: float = 0.0
    p: float = 1.0
    value_range: ValueRange = None

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "gamma", "saturation", "cast"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
        _check(self.p, self.value_range)

    def _change(self, image: Array, rng: np.random.Generator) -> Change:
        channels = image.shape[2]
        gamma, contrast, saturation = (_factor(rng, s) for s in (self.gamma, self.contrast, self.saturation))
        brightness = rng.uniform(-self.brightness, self.brightness)
        cast = np.exp(rng.uniform(-1, 1, channels) * np.log1p(self.cast)) if channels > 1 else np.ones(1)

        def change(x: Array) -> Array:
            low, high = _range(x, self.value_range)
            x = (x - low) / (high - low)
            if gamma != 1.0:
                # beyond black and white the curve goes on straight, so that nothing becomes NaN
                inside = np.clip(x, 0.0, 1.0)
                x = inside**gamma + (x - inside)
            middle = float(x.mean())
            x = (x - middle) * contrast + (middle + brightness)
            if channels > 1:
                x = x * cast.astype(x.dtype)
                grey = x.mean(axis=2, keepdims=True)
                x = (x - grey) * saturation + grey
            return np.asarray(x * (high - low) + low)

        return change


@dataclass(frozen=True)
class Invert(_Pixels):
    """Swap black and white.

    Attributes
    ----------
    p : how often, 0 to 1.
    value_range : (black, white); None: each image's lowest and highest value.
    """

    p: float = 0.5
    value_range: ValueRange = None

    def __post_init__(self) -> None:
        _check(self.p, self.value_range)

    def _change(self, image: Array, rng: np.random.Generator) -> Change:
        return lambda x: np.asarray(sum(_range(x, self.value_range)) - x)


@dataclass(frozen=True)
class Blur(_Pixels):
    """Blur with a Gaussian.

    Attributes
    ----------
    sigma : in pixels, drawn between low and high.
    p : how often, 0 to 1.
    """

    sigma: tuple[float, float] = (0.3, 1.5)
    p: float = 0.3

    def __post_init__(self) -> None:
        check_range("sigma", self.sigma, above=0.0)
        _check(self.p, None)

    def _change(self, image: Array, rng: np.random.Generator) -> Change:
        sigma = float(rng.uniform(*self.sigma))

        def change(x: Array) -> Array:
            blurred = cv2.GaussianBlur(np.ascontiguousarray(x), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
            return np.asarray(blurred).reshape(x.shape)

        return change


@dataclass(frozen=True)
class Noise(_Pixels):
    """Add Gaussian noise, the same everywhere plus a part that grows with brightness, as a sensor's does.

    Attributes
    ----------
    std : standard deviation as a share of the value range, drawn between low and high.
    shot : a second part that grows with the root of brightness: its standard deviation at white, drawn between 0 and
        this.
    p : how often, 0 to 1.
    value_range : (black, white); None: each image's lowest and highest value.
    """

    std: tuple[float, float] = (0.0, 0.05)
    shot: float = 0.0
    p: float = 0.3
    value_range: ValueRange = None

    def __post_init__(self) -> None:
        check_range("std", self.std, above=-1e-12)
        if self.shot < 0:
            raise ConfigError(f"shot must be 0 or more, got {self.shot}")
        _check(self.p, self.value_range)

    def _change(self, image: Array, rng: np.random.Generator) -> Change:
        std, shot = rng.uniform(*self.std), rng.uniform(0.0, self.shot)
        grain = rng.standard_normal(image.shape, np.float32)

        def change(x: Array) -> Array:
            low, high = _range(x, self.value_range)
            spread: Array | float = std
            if shot > 0:
                spread = np.sqrt(std**2 + shot**2 * np.clip((x - low) / (high - low), 0.0, 1.0)).astype(x.dtype)
            return np.asarray(x + grain * (spread * (high - low)))

        return change


def _factor(rng: np.random.Generator, strength: float) -> float:
    return float(np.exp(rng.uniform(-1.0, 1.0) * np.log1p(strength)))


def _range(x: Array, value_range: ValueRange) -> tuple[float, float]:
    low, high = (float(x.min()), float(x.max())) if value_range is None else value_range
    return low, high if high > low else low + 1.0


def _check(p: float, value_range: ValueRange) -> None:
    check_share("p", p)
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError(f"value_range must be (black, white) with black below white, got {value_range}")
