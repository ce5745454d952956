"""Cut out windows: anywhere, around an instance, and with `AffineCrop` rotated and scaled in one warp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float
from apiece.errors import ConfigError
from apiece.transforms._sample import Sample, check_range, check_share, moved
from apiece.transforms._warp import Fill, about, warp
from apiece.transforms.geometric import shifted

__all__ = ["AffineCrop", "Crop"]


@dataclass(frozen=True)
class Crop:
    """Cut out a window, exactly. Where the image is smaller than the window, it lies at random inside it.

    Attributes
    ----------
    size : (height, width) of the window.
    centred : share of crops, 0 to 1, laid around a random instance, its box's centre inside; the rest fall anywhere.
    fill : what lies outside the image: a pixel value, or ``"median"`` of each channel.
    keep_empty : keep instances outside the window, with empty masks.
    """

    size: tuple[int, int] = (256, 256)
    centred: float = 0.0
    fill: Fill = "median"
    keep_empty: bool = False

    def __post_init__(self) -> None:
        _check_window(self.size, self.centred)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = self.size
        extent = np.array([width, height], np.float64)
        corner = np.rint(_centre(sample, rng, extent, self.centred) - extent / 2).astype(int)
        dx, dy = -int(corner[0]), -int(corner[1])
        image = shifted(sample.image, dx, dy, self.size, self.fill)
        return Sample(image, moved(sample.instances, lambda masks: masks.shift(dx, dy, self.size), self.keep_empty))


@dataclass(frozen=True)
class AffineCrop:
    """Rotate, mirror, scale and cut out a window in one warp: the training crop.

    Attributes
    ----------
    size : (height, width) of the window.
    degrees : rotation, drawn between low and high.
    scale : enlargement, drawn between low and high, evenly in its logarithm.
    stretch : the two axes of the image are scaled apart by up to this factor (1 leaves them alike).
    flip : mirror half of the crops.
    centred : share of crops, 0 to 1, laid around a random instance, no crowd; the rest fall anywhere.
    fill : what lies outside the image: a pixel value, or ``"median"`` of each channel.
    keep_empty : keep instances outside the window, with empty masks.
    """

    size: tuple[int, int] = (256, 256)
    degrees: tuple[float, float] = (-180.0, 180.0)
    scale: tuple[float, float] = (0.75, 1.333)
    stretch: float = 1.0
    flip: bool = True
    centred: float = 0.5
    fill: Fill = "median"
    keep_empty: bool = False

    def __post_init__(self) -> None:
        _check_window(self.size, self.centred)
        check_range("degrees", self.degrees)
        check_range("scale", self.scale, above=0.0)
        if not self.stretch >= 1.0:
            raise ConfigError(f"stretch must be 1 or more, got {self.stretch}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = self.size
        angle = np.deg2rad(rng.uniform(*self.degrees))
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        apart = float(np.exp(0.5 * rng.uniform(-1, 1) * np.log(self.stretch)))
        mirror = -1.0 if self.flip and rng.random() < 0.5 else 1.0
        centre = _centre(sample, rng, np.array([width, height]) / scale, self.centred)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]]) @ np.diag([mirror * scale * apart, scale / apart])
        matrix = about((float(centre[0]), float(centre[1])), linear, (width / 2, height / 2))
        return warp(sample, matrix, self.size, self.fill, self.keep_empty)


def _centre(sample: Sample, rng: np.random.Generator, extent: Float, centred: float) -> Float:
    """Return the centre (x, y) for a window of ``extent`` (width, height), kept on the image as far as it can be."""
    whole = np.array(sample.image.shape[1::-1], np.float64)
    # where the window is larger than the image, this is the range in which the image stays inside the window
    low, high = np.minimum(extent / 2, whole - extent / 2), np.maximum(extent / 2, whole - extent / 2)
    anywhere = rng.uniform(low, high)
    around, share = rng.uniform(-0.5, 0.5, 2) * extent, rng.random()
    masks = sample.instances.masks
    filled = np.flatnonzero((np.diff(masks.offsets) > 0) & ~sample.instances.crowd)
    pick = int(rng.integers(max(len(filled), 1)))
    if share >= centred or not len(filled):
        return np.asarray(anywhere)
    box = masks[filled[pick : pick + 1]].boxes[0].astype(np.float64)
    return np.asarray(np.clip((box[:2] + box[2:]) / 2 + around, low, high))


def _check_window(size: tuple[int, int], centred: float) -> None:
    if min(size) < 1:
        raise ConfigError(f"size must be (height, width), both at least 1; got {size}")
    check_share("centred", centred)
