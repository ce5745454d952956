"""apiece: every object in an image, apiece: mask, class, box, score, id.

>>> import numpy as np, apiece
>>> masks = apiece.Masks.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
>>> masks.area
array([2, 2])

`Masks` and `Instances` need NumPy and SciPy only; whatever needs torch is imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apiece.core.image import Image, ImageRef, PixelSize
    from apiece.core.instances import Instances
    from apiece.core.masks import Masks
    from apiece.formats import read, write
    from apiece.images import read_image
    from apiece.measure import measure
    from apiece.ops.overlap import iou
    from apiece.predict.evaluation import evaluate
    from apiece.predict.predictor import load
    from apiece.train import train

__version__ = "0.1.0"

# public name -> module that holds it; imported on first use, so that `import apiece` is quick
_HOMES = {
    "Image": "apiece.core.image",
    "ImageRef": "apiece.core.image",
    "Instances": "apiece.core.instances",
    "Masks": "apiece.core.masks",
    "PixelSize": "apiece.core.image",
    "evaluate": "apiece.predict.evaluation",
    "iou": "apiece.ops.overlap",
    "load": "apiece.predict.predictor",
    "read": "apiece.formats",
    "read_image": "apiece.images",
    "write": "apiece.formats",
}
# these are packages that can be called: `apiece.measure(found)`, `apiece.measure.measure_many(...)`
_CALLABLE = ("measure", "train")

__all__ = [
    "Image",
    "ImageRef",
    "Instances",
    "Masks",
    "PixelSize",
    "evaluate",
    "iou",
    "load",
    "measure",
    "read",
    "read_image",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return importlib.import_module(f"apiece.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'apiece' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_CALLABLE})
