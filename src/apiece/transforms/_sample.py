"""`Sample`: an image with its instances; `Transform`: what changes both together; `Compose`: one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from apiece._arrays import Array, Float32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, InvalidInstancesError

# a COCO file's own area and box speak of the masks as they were
_STALE = ("area", "bbox")


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold an image and the instances in it.

    Attributes
    ----------
    image : array of shape (height, width, channels), any integer, float or bool dtype.
    instances : their ``size`` is the image's, or an `InvalidInstancesError` says both.
    """

    image: Array
    instances: Instances

    def __post_init__(self) -> None:
        if self.image.ndim != 3:
            raise InvalidInstancesError(f"a sample's image has shape (height, width, channels), got {self.image.shape}")
        if self.image.shape[:2] != tuple(self.instances.size):
            raise InvalidInstancesError(
                f"image is {self.image.shape[:2]} (height, width) but its instances are on {self.instances.size}"
            )


class Transform(Protocol):
    """Change image and instances together; all randomness comes from ``rng``."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


@dataclass(frozen=True)
class Compose:
    """Apply transforms one after another.

    Attributes
    ----------
    transforms : applied first to last.

    Examples
    --------
    >>> from apiece.transforms import Compose, Flip, QuarterTurn, Sample
    >>> sample = Sample(np.zeros((20, 30, 1)), apiece.Instances(apiece.Masks.from_boxes([[0, 0, 8, 4]], (20, 30))))
    >>> turn = Compose((QuarterTurn((1,)), Flip("vertical", p=1.0)))
    >>> turn(sample, np.random.default_rng(0)).instances.boxes
    array([[0., 0., 4., 8.]], dtype=float32)
    """

    transforms: tuple[Transform, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def check_range(name: str, value: tuple[float, float], above: float = -np.inf) -> None:
    """Refuse a ``(low, high)`` that is out of order, not finite or not above ``above``."""
    low, high = value
    if not (np.isfinite([low, high]).all() and above < low <= high):
        limit = "" if above == -np.inf else f" and above {above:g}"
        raise ConfigError(f"{name} must be (low, high) with low <= high{limit}, got {value}")


def check_share(name: str, value: float, high: float = 1.0) -> None:
    """Refuse a share outside 0 to ``high``."""
    if not 0.0 <= value <= high:
        raise ConfigError(f"{name} must be 0 to {high:g}, got {value}")


def moved(instances: Instances, change: Callable[[Masks], Masks], keep_empty: bool) -> Instances:
    """Return the instances with every mask changed, without those that are out of sight unless ``keep_empty``."""
    return in_sight(instances.with_masks(change), keep_empty)


def in_sight(instances: Instances, keep_empty: bool) -> Instances:
    """Return changed instances without stale attributes, and without those that have no pixel unless ``keep_empty``."""
    attributes = {name: v for name, v in instances.attributes.items() if name not in _STALE}
    result = instances.replace(attributes=attributes)
    alive = np.diff(result.masks.offsets) > 0
    return result if keep_empty or alive.all() else result[alive]


def in_float(image: Array, change: Callable[[Float32], Float32]) -> Array:
    """Apply ``change`` in float and go back to the image's dtype: integers are rounded and clipped to their range."""
    dtype = image.dtype
    # 32-bit integers and float64 keep their precision; for the rest float32 is exact enough and twice as fast
    wide = np.float64 if dtype.itemsize > 2 and dtype != np.float32 else np.float32
    result = change(image.astype(wide))
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.clip(np.rint(result), info.min, info.max).astype(dtype)
    return result >= 0.5 if dtype.kind == "b" else result.astype(dtype, copy=False)
