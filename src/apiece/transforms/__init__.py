"""Change image and instances together: ``transform(sample, rng) -> Sample``.

Each transform is a small frozen dataclass. The random generator is passed in, so the same seed gives the same result.
Masks are changed as runs where that is exact, and as layers where they must be resampled; never as an N x H x W stack.

Examples
--------
>>> transform = Compose((Flip(p=0.5), Rotate((-10, 10)), ColourJitter(), Crop((16, 16), centred=1.0)))
>>> masks = apiece.Masks.from_boxes([[4, 4, 12, 20]], (32, 32))
>>> sample = Sample(np.zeros((32, 32, 3), np.uint8), apiece.Instances(masks))
>>> changed = transform(sample, np.random.default_rng(0))
>>> changed.image.shape, changed.instances.size
((16, 16, 3), (16, 16))
"""

from __future__ import annotations

from apiece.transforms._sample import Compose, Sample, Transform
from apiece.transforms.colour import Blur, ColourJitter, Invert, Noise
from apiece.transforms.crop import AffineCrop, Crop
from apiece.transforms.geometric import Flip, QuarterTurn, Rotate, Scale, Translate
from apiece.transforms.mix import CopyPaste, Mosaic
from apiece.transforms.occlude import Occlude
from apiece.transforms.recipe import default_colour, default_geometry, default_transforms

__all__ = [
    "AffineCrop",
    "Blur",
    "ColourJitter",
    "Compose",
    "CopyPaste",
    "Crop",
    "Flip",
    "Invert",
    "Mosaic",
    "Noise",
    "Occlude",
    "QuarterTurn",
    "Rotate",
    "Sample",
    "Scale",
    "Transform",
    "Translate",
    "default_colour",
    "default_geometry",
    "default_transforms",
]
