"""Semantic metrics of the class map that instances paint: mean IoU, pixel accuracy, Dice.

Pixels are summed over all images before any quotient.

- ``miou``: mean IoU over the classes that occur in truth or predictions; per class, its IoU. ``miou_background``
  counts background as one more class, as Pascal VOC does.
- ``frequency_weighted_iou``: IoU of each class, background too, weighted by its share of the truth.
- ``pixel_accuracy``: share of pixels of the right class, background too; ``class_accuracy``: mean over classes of
  the share of a class's truth that is found.
- ``dice``: mean over classes of 2 TP / (2 TP + FP + FN); ``dice_foreground``: the same of any object against none,
  whatever class (DICE of the nuclei papers).
- Which of several instances a pixel shows: see `apiece.metrics.semantic._class_map.class_pixels`.
- With classes of stuff (``Settings.stuff``) pixels that no truth covers are void and count nowhere; there is no
  background then, and a prediction's uncovered pixel is merely no hit.
- NaN means undefined: the class does not occur.

References: Long et al., CVPR 2015, arXiv 1411.4038 (the first four); Everingham et al., Pascal VOC, IJCV 2015.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import CellMetric
from apiece.metrics.semantic._class_map import class_pixels

__all__ = ["METRIC", "Semantic", "agreement"]


def agreement(pixels: npt.NDArray[np.number]) -> dict[str, Float]:
    """Return IoU, Dice and accuracy from pixels with last axis (right, of truth, of predictions); NaN: undefined.

    >>> {key: value.tolist() for key, value in agreement(np.array([[2, 2, 6], [0, 0, 0]])).items()}
    {'miou': [0.3333333333333333, nan], 'dice': [0.5, nan], 'class_accuracy': [1.0, nan]}
    """
    right, truth, found = np.moveaxis(pixels, -1, 0)
    return {
        "miou": ratio(right, truth + found - right),
        "dice": ratio(2 * right, truth + found),
        "class_accuracy": ratio(right, truth),
    }


class Semantic(CellMetric):
    """Semantic metrics over a stream of batches; keeps three numbers per (image, class) in which there is anything."""

    columns = 3
    further = 1  # background

    def _count(self, batch: Batch) -> Int:
        return class_pixels(batch, self.conf, bool(self.settings.is_stuff(self.classes).any()))

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        values = agreement(sums)
        by_class = {key: value[:, :-1] for key, value in values.items()}
        right, truth, _ = np.moveaxis(sums, -1, 0)
        total = truth.sum(1)
        right_0, truth_0, found_0 = sums[:, -1].T
        # neither truth nor prediction says background
        both = total - truth_0 - found_0 + right_0
        return by_class | {
            "miou_background": values["miou"],
            "pixel_accuracy": ratio(right.sum(1), total),
            "frequency_weighted_iou": ratio(np.nansum(truth * values["miou"], 1), total),
            "dice_foreground": ratio(2 * both, 2 * total - truth_0 - found_0),
        }, by_class


METRIC = Semantic
