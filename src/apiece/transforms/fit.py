"""`Fit`: the rule by which published weights had their images resized and padded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import PIL.Image

from apiece._arrays import Array
from apiece.errors import ConfigError
from apiece.transforms._warp import resize

__all__ = ["Fit"]

_LONGEST = 1 << 14  # pixels along a side that a file may ask for


@dataclass(frozen=True)
class Fit:
    """Say how images are resized and padded for weights that learned with a rule of their own.

    Attributes
    ----------
    shorter, longer : length of the shorter side, unless the longer side would pass ``longer``: then that one's.
    exact : (height, width) that every image is stretched to; excludes ``shorter`` and ``longer``.
    multiple : both sides are stretched further, to multiples of this.
    filter : ``"smooth"``: bilinear, averaged over more pixels where the image shrinks, as Pillow resizes; ``"cubic"``:
        bicubic in the same way; ``"linear"``: bilinear between the nearest pixels, as torchvision's detectors do.
    pad : sides are padded with zeros to multiples of this; 0: of the architecture's stride.

    Examples
    --------
    >>> Fit(shorter=800, longer=1333).size((480, 640)), Fit(exact=(384, 384)).size((480, 640))
    ((800, 1066), (384, 384))
    """

    shorter: int | None = None
    longer: int | None = None
    exact: tuple[int, int] | None = None
    multiple: int = 1
    filter: str = "smooth"
    pad: int = 0

    def __post_init__(self) -> None:
        if self.exact is not None:
            object.__setattr__(self, "exact", tuple(self.exact))
        if (self.exact is None) == (self.shorter is None):
            raise ConfigError(f"a fit needs either shorter or exact, got {self.shorter} and {self.exact}")
        sides = [v for v in (self.shorter, self.longer, *(self.exact or ())) if v is not None]
        if min(sides) < 32 or max(sides) > _LONGEST or (self.longer is not None and self.longer < (self.shorter or 0)):
            raise ConfigError(f"sides of a fit must be from 32 to {_LONGEST}, longer at least shorter, got {sides}")
        if not 1 <= self.multiple <= _LONGEST or not 0 <= self.pad <= _LONGEST:
            raise ConfigError(f"multiple must be at least 1 and pad at least 0, got {self.multiple} and {self.pad}")
        if self.filter not in ("smooth", "cubic", "linear"):
            raise ConfigError(f"filter must be 'smooth', 'cubic' or 'linear', got {self.filter!r}")

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) that an image of ``size`` is resized to, rounded as the libraries do."""
        height, width = self.exact or self._scaled(*size)
        return math.ceil(height / self.multiple) * self.multiple, math.ceil(width / self.multiple) * self.multiple

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the same shape, rounded as torchvision does (``"linear"``) or as transformers does."""
        assert self.shorter is not None
        short, long = min(height, width), max(height, width)
        most = math.inf if self.longer is None else float(self.longer)
        if self.filter == "linear":
            scale = min(self.shorter / short, most / long)
            return max(1, int(height * scale)), max(1, int(width * scale))
        raw = most * short / long if long / short * self.shorter > most else float(self.shorter)
        less, more = max(1, round(raw)), max(1, int(raw * long / short))
        if less == short:
            return height, width
        return (more, less) if width < height else (less, more)

    def resize(self, pixels: Array, size: tuple[int, int]) -> Array:
        """Return pixels (height, width, channels) at ``size``; ``"linear"`` gives floats, as the libraries do."""
        if self.filter == "linear":
            return resize(pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64), size, "linear")
        how = PIL.Image.Resampling.BICUBIC if self.filter == "cubic" else PIL.Image.Resampling.BILINEAR
        whole = pixels.dtype == np.uint8 and pixels.shape[2] == 3
        parts = [pixels] if whole else list(np.moveaxis(pixels, 2, 0))
        parts = [part if part.dtype == np.uint8 else part.astype(np.float32) for part in parts]
        done = [np.asarray(PIL.Image.fromarray(part).resize(size[::-1], how)) for part in parts]
        return done[0] if whole else np.stack(done, 2)
