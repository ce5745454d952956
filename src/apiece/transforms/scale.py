"""How large things were on the images that a model learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece.errors import ConfigError

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Say how large pixels and objects were on the training images; saved in ``model.json``.

    Attributes
    ----------
    pixel_size : micrometres per pixel; None if the images stated none, or different ones.
    objects : 5th, 50th, 95th and 99th percentile of the longer side of objects, in pixels; empty if unknown.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    pixel_size: float | None = None
    objects: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(float(v) for v in self.objects))
        if self.pixel_size is not None and not (np.isfinite(self.pixel_size) and self.pixel_size > 0):
            raise ConfigError(f"pixel_size must be above 0, got {self.pixel_size}")
        if len(self.objects) not in (0, 4) or not np.isfinite(self.objects).all() or min(self.objects, default=0) < 0:
            raise ConfigError(f"objects are four sizes from 0 up, got {self.objects}")
