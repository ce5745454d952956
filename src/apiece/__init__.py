"""apiece: every object in an image, apiece: mask, class, box, score, id.

>>> import numpy as np, apiece
>>> masks = apiece.Masks.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
>>> masks.area
array([2, 2])

`Masks` and `Instances` need NumPy and SciPy only; whatever needs torch is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy as _lazy

if TYPE_CHECKING:
    from apiece import (
        benchmark,
        check,
        core,
        datasets,
        draw,
        errors,
        evaluation,
        formats,
        images,
        measurements,
        metrics,
        models,
        monitor,
        ops,
        predict,
        training,
        transforms,
    )
    from apiece.core.image import Image, ImageRef, PixelSize
    from apiece.core.instances import Instances
    from apiece.core.masks import Masks
    from apiece.evaluation import evaluate
    from apiece.formats import read, write
    from apiece.images import read_image
    from apiece.measurements import measure
    from apiece.ops.overlap import iou
    from apiece.predict.predictor import load
    from apiece.training import train

__version__ = "0.1.0"

_HOMES = {
    "Image": "apiece.core.image",
    "ImageRef": "apiece.core.image",
    "Instances": "apiece.core.instances",
    "Masks": "apiece.core.masks",
    "PixelSize": "apiece.core.image",
    "evaluate": "apiece.evaluation",
    "iou": "apiece.ops.overlap",
    "load": "apiece.predict.predictor",
    "measure": "apiece.measurements",
    "read": "apiece.formats",
    "read_image": "apiece.images",
    "train": "apiece.training",
    "write": "apiece.formats",
}
_ROOMS = (
    "benchmark", "check", "core", "datasets", "draw", "errors", "evaluation", "formats", "images", "measurements",
    "metrics", "models", "monitor", "ops", "predict", "training", "transforms",
)  # fmt: skip

__all__ = [
    "Image",
    "ImageRef",
    "Instances",
    "Masks",
    "PixelSize",
    "benchmark",
    "check",
    "core",
    "datasets",
    "draw",
    "errors",
    "evaluate",
    "evaluation",
    "formats",
    "images",
    "iou",
    "load",
    "measure",
    "measurements",
    "metrics",
    "models",
    "monitor",
    "ops",
    "predict",
    "read",
    "read_image",
    "train",
    "training",
    "transforms",
    "write",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy(__name__, {**_HOMES, **dict.fromkeys(_ROOMS, "")})
