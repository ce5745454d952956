"""An image with two discs, and where they are."""

from __future__ import annotations

import numpy as np

from apiece import Image, Masks

SIZE = (96, 128)
_Y, _X = np.mgrid[: SIZE[0], : SIZE[1]]
_DISCS = np.stack([np.hypot(_X - 40, _Y - 40) < 18, np.hypot(_X - 90, _Y - 70) < 16])
TRUTH = Masks.from_dense(_DISCS)
_PIXELS = np.random.default_rng(0).normal(110, 3, (*SIZE, 3))
_PIXELS[_DISCS[0]] = (220, 190, 50)
_PIXELS[_DISCS[1]] = (30, 60, 120)
IMAGE = Image(_PIXELS.clip(0, 255).astype(np.uint8))
