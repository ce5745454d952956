"""apiece: every object in an image, apiece: mask, class, box, score, id.

>>> import numpy as np, apiece
>>> masks = apiece.Masks.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
>>> masks.area
array([2, 2])

`Masks` and `Instances` need NumPy and SciPy only; whatever needs torch is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece import _show
from apiece._lazy import lazy as _lazy

if TYPE_CHECKING:
    from apiece import (
        benchmark,
        calibration,
        check,
        core,
        datasets,
        draw,
        errors,
        evaluation,
        export,
        formats,
        grasps,
        images,
        language,
        measurements,
        metrics,
        models,
        monitor,
        ops,
        predict,
        prompts,
        rules,
        serve,
        testing,
        track,
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
    from apiece.predict.prompted import prompt
    from apiece.training import train

__version__ = "0.1.0"

_HOMES = {
    "apiece.core.image": "Image ImageRef PixelSize",
    "apiece.core.instances": "Instances",
    "apiece.core.masks": "Masks",
    "apiece.evaluation": "evaluate",
    "apiece.ops.overlap": "iou",
    "apiece.predict.predictor": "load",
    "apiece.predict.prompted": "prompt",
    "apiece.measurements": "measure",
    "apiece.formats": "read write",
    "apiece.images": "read_image",
    "apiece.training": "train",
    "": "benchmark calibration check core datasets draw errors evaluation export formats grasps images language "
    "measurements metrics models monitor ops predict prompts rules serve testing track training transforms",
}

__all__ = [
    "Image",
    "ImageRef",
    "Instances",
    "Masks",
    "PixelSize",
    "benchmark",
    "calibration",
    "check",
    "core",
    "datasets",
    "draw",
    "errors",
    "evaluate",
    "evaluation",
    "export",
    "formats",
    "grasps",
    "images",
    "iou",
    "language",
    "load",
    "measure",
    "measurements",
    "metrics",
    "models",
    "monitor",
    "ops",
    "predict",
    "prompt",
    "prompts",
    "read",
    "read_image",
    "rules",
    "serve",
    "testing",
    "track",
    "train",
    "training",
    "transforms",
    "write",
]


def _html(instances: Instances) -> str:
    from apiece.draw import notebook

    return notebook.html(instances)


def _png(image: Image) -> bytes:
    from apiece.draw import notebook

    return notebook.png(image)


_show.html, _show.png = _html, _png

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy(__name__, _HOMES)
