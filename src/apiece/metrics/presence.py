"""Which classes an image shows: what a classifier of whole images (several labels each) would be judged by.

A class is there if one instance of it is: in truth (crowds too), in the predictions at the model's thresholds.

- ``presence_precision``, ``presence_recall``, ``presence_f1``: per class over all images; headlines are means over the
  classes on which they are defined (macro). scikit-learn's ``average="macro"`` takes undefined ones for 0.
- ``presence_exact``: share of images whose set of classes is right to the last (subset accuracy).
- NaN means undefined: precision of a class never predicted, recall of one that never is there, F1 of neither.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.ratios import f1, precision, ratio, recall
from apiece.metrics._kit.sums_per_image import CellMetric

__all__ = ["METRIC", "Presence", "present"]


def present(batch: Batch, conf: Float) -> tuple[Bool, Bool]:
    """Return which classes truth and predictions say are there: two bool (images, classes).

    ``conf`` is the lowest score that counts, float64 (classes,); predictions without scores all count.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)), [0], ("a", "b"))
    >>> found = Instances(Masks.from_boxes([[0, 0, 2, 2]] * 2, (4, 4)), [0, 1], ("a", "b"), [0.9, 0.2])
    >>> [side.tolist() for side in present(Batch.of(0, [(truth, found)], ("a", "b")), np.array([0.5, 0.5]))]
    [[[True, False]], [[True, False]]]
    """
    there = batch.by_cell(batch.truth.group, batch.predicted.group[batch.predicted.counted(conf)]) > 0
    return there[..., 0], there[..., 1]


class Presence(CellMetric):
    """Class presence over a stream of batches; keeps three numbers per image and class that is or was said there."""

    columns = 3
    further = 1  # whether the whole set is right

    def _count(self, batch: Batch) -> Int:
        truth, found = present(batch, self.conf)
        by_class = np.stack([truth & found, ~truth & found, truth & ~found], -1)
        exact = (truth == found).all(1)
        whole = np.stack([exact, np.zeros_like(exact), np.zeros_like(exact)], -1)[:, None]
        return np.concatenate([by_class, whole], 1).astype(np.int64)

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        counts = sums[:, :-1]
        scores = {"presence_precision": precision, "presence_recall": recall, "presence_f1": f1}
        by_class = {key: score(counts) for key, score in scores.items()}
        return by_class | {"presence_exact": ratio(sums[:, -1, 0], self._images(weights))}, by_class


METRIC = Presence
