"""Flip, turn, scale and shift image and instances together.

Flips, quarter turns and shifts by whole pixels work on runs and are exact; rotation and scaling sample masks at pixel
centres. Instances that leave the canvas are dropped with all their fields, unless ``keep_empty``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from apiece._arrays import Array
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.transforms._sample import Sample, check_range, check_share, moved
from apiece.transforms._warp import Fill, about, fill_values, resize, warp, warp_masks

__all__ = ["Flip", "QuarterTurn", "Rotate", "Scale", "Translate"]


@dataclass(frozen=True)
class Flip:
    """Mirror image and instances. Done twice (with ``p=1``) it is the identity.

    Attributes
    ----------
    direction : ``"horizontal"`` swaps left and right, ``"vertical"`` top and bottom.
    p : how often, 0 to 1.
    """

    direction: Literal["horizontal", "vertical"] = "horizontal"
    p: float = 0.5

    def __post_init__(self) -> None:
        if self.direction not in ("horizontal", "vertical"):
            raise ConfigError(f"direction must be 'horizontal' or 'vertical', got {self.direction!r}")
        check_share("p", self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        axis = 1 if self.direction == "horizontal" else 0
        instances = moved(sample.instances, lambda masks: masks.flip(self.direction), keep_empty=True)
        return Sample(np.flip(sample.image, axis), instances)


@dataclass(frozen=True)
class QuarterTurn:
    """Turn by a multiple of 90 degrees, exactly. An odd number of turns swaps height and width.

    Attributes
    ----------
    turns : one of these is drawn; each turn is 90 degrees counter-clockwise.
    """

    turns: tuple[int, ...] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        if not self.turns:
            raise ConfigError("turns must name at least one number of quarter turns")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        turns = self.turns[rng.integers(len(self.turns))] % 4
        if not turns:
            return sample

        def turn(masks: Masks) -> Masks:
            if turns == 2:
                return masks.flip("horizontal").flip("vertical")
            return masks.transpose().flip("vertical" if turns == 1 else "horizontal")

        return Sample(np.rot90(sample.image, turns), moved(sample.instances, turn, keep_empty=True))


@dataclass(frozen=True)
class Rotate:
    """Rotate about the image's centre.

    Attributes
    ----------
    degrees : counter-clockwise, drawn between low and high.
    expand : grow the canvas so that nothing is cut off; else it keeps its size.
    fill : what lies outside: a pixel value, or ``"median"`` of each channel.
    keep_empty : keep instances that were cut off, with empty masks.
    """

    degrees: tuple[float, float] = (-180.0, 180.0)
    expand: bool = False
    fill: Fill = "median"
    keep_empty: bool = False

    def __post_init__(self) -> None:
        check_range("degrees", self.degrees)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        angle = np.deg2rad(rng.uniform(*self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        height, width = sample.image.shape[:2]
        size = (height, width)
        if self.expand:
            grown = (height * abs(cos) + width * abs(sin), width * abs(cos) + height * abs(sin))
            size = (int(np.ceil(grown[0] - 1e-6)), int(np.ceil(grown[1] - 1e-6)))
        # y points down: counter-clockwise on the screen is this matrix
        matrix = about((width / 2, height / 2), [[cos, sin], [-sin, cos]], (size[1] / 2, size[0] / 2))
        return warp(sample, matrix, size, self.fill, self.keep_empty)


@dataclass(frozen=True)
class Scale:
    """Resize image and canvas alike; areas follow with the square of the factor.

    Attributes
    ----------
    factor : drawn between low and high, evenly in its logarithm; above 0.
    keep_empty : keep instances that became smaller than a pixel, with empty masks.
    """

    factor: tuple[float, float] = (0.5, 2.0)
    keep_empty: bool = False

    def __post_init__(self) -> None:
        check_range("factor", self.factor, above=0.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = float(np.exp(rng.uniform(*np.log(self.factor))))
        height, width = sample.image.shape[:2]
        return scaled(sample, (max(1, round(height * factor)), max(1, round(width * factor))), self.keep_empty)


def scaled(sample: Sample, size: tuple[int, int], keep_empty: bool = False) -> Sample:
    """Return the sample resized to (height, width)."""
    height, width = sample.image.shape[:2]
    if size == (height, width):
        return sample
    matrix = about((0.0, 0.0), np.diag([size[1] / width, size[0] / height]))
    instances = moved(sample.instances, lambda masks: warp_masks(masks, matrix, size), keep_empty)
    return Sample(resize(sample.image, size), instances)


@dataclass(frozen=True)
class Translate:
    """Shift by whole pixels; the canvas keeps its size.

    Attributes
    ----------
    x, y : shift to the right and down as a share of width and height, drawn between low and high.
    fill : what comes in from outside: a pixel value, or ``"median"`` of each channel.
    keep_empty : keep instances that were shifted out, with empty masks.
    """

    x: tuple[float, float] = (-0.1, 0.1)
    y: tuple[float, float] = (-0.1, 0.1)
    fill: Fill = "median"
    keep_empty: bool = False

    def __post_init__(self) -> None:
        check_range("x", self.x)
        check_range("y", self.y)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        dx, dy = round(rng.uniform(*self.x) * width), round(rng.uniform(*self.y) * height)
        image = shifted(sample.image, dx, dy, (height, width), self.fill)
        instances = moved(sample.instances, lambda masks: masks.shift(dx, dy, (height, width)), self.keep_empty)
        return Sample(image, instances)


def shifted(image: Array, dx: int, dy: int, size: tuple[int, int], fill: Fill) -> Array:
    """Return the image with its top left corner at (dx, dy) of a canvas of ``size`` (height, width)."""
    height, width = size
    output = np.empty((height, width, image.shape[2]), image.dtype)
    x0, y0 = max(dx, 0), max(dy, 0)
    x1, y1 = min(dx + image.shape[1], width), min(dy + image.shape[0], height)
    if (x0, y0, x1, y1) != (0, 0, width, height):
        output[:] = fill_values(image, fill).astype(image.dtype)
    if x0 < x1 and y0 < y1:
        output[y0:y1, x0:x1] = image[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return output
