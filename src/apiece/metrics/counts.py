"""How far counts are off, and objects merged and split.

Counts: ``count_mae``, mean over images of |predicted - truth|; ``count_rmse``, root of the mean square; ``count_bias``
mean of predicted - truth; ``count_error_rate``, the sum of |predicted - truth| over the sum of truth, so that 0.05 is
one object in twenty. Headlines count objects of all classes together in each image, numbers per class only their own.

Merges and splits, within classes: a prediction *holds* a truth if it covers more than half of it, the rule of the Cell
Tracking Challenge (Matula et al. 2015), and *lies in* a truth if more than half of the prediction is inside.

- ``merges``: a prediction that holds m truths counts m - 1 times: the splits that would put it right.
- ``splits``: a truth in which m predictions lie counts m - 1 times.
- A pair that both holds and lies in is the object itself; several of them at one object are duplicates and count as
  one. So neither number sees duplicates, nor strays and missed objects.
- ``merge_rate``, ``split_rate``: per truth.

Crowds are not truth; predictions that lie in crowds of their class by more than half are left out of counts. NaN means
undefined.

Reference: Matula et al., Cell Tracking Accuracy Measurement Based on Comparison of Acyclic Oriented Graphs, PLOS ONE
2015, doi 10.1371/journal.pone.0144959 (merges; splits are the mirror image, which it counts as false positives).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import Answer, CellMetric
from apiece.metrics.contract import FEWER, Number

__all__ = ["METRIC", "Counts", "count"]


def count(batch: Batch, conf: Float) -> Int:
    """Return truths, predictions, merges and splits: int64 (images, classes, 4).

    ``conf`` is the lowest score that counts, float64 (classes,); predictions without scores all count.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 4, 1], [4, 0, 8, 1], [8, 0, 20, 1]], (1, 20)))
    >>> found = Instances(Masks.from_boxes([[0, 0, 8, 1], [8, 0, 15, 1], [15, 0, 20, 1]], (1, 20)))
    >>> count(Batch.of(0, [(truth, found)], ("object",)), np.zeros(1)).tolist()
    [[[3, 3, 1, 1]]]
    """
    truth, predicted = batch.truth, batch.predicted
    answer = Answer.of(batch, conf)
    p, t = answer.pairs.predicted, answer.pairs.truth
    holds, inside = 2 * answer.shared > truth.pixels[t], 2 * answer.shared > predicted.pixels[p]
    merges = _beyond_one(p, holds, inside, len(predicted))
    splits = _beyond_one(t, inside, holds, len(truth))
    found = predicted.group[answer.counted & ~answer.spared]
    columns = truth.group[~truth.crowd], found, (predicted.group, merges), (truth.group, splits)
    return batch.by_cell(*columns).astype(np.int64)


def _beyond_one(node: Int, part: Bool, back: Bool, nodes: int) -> Int:
    """How many parts each node has beyond the first; those that hold the node in turn count as one."""
    parts = np.bincount(node[part & ~back], minlength=nodes)
    itself = np.bincount(node[part & back], minlength=nodes) > 0
    return np.maximum(parts + itself - 1, 0)


class Counts(CellMetric):
    """Count errors, merges and splits over a stream of batches; keeps six numbers per (image, class) not empty."""

    columns = 6
    further = 1  # all classes together
    about: ClassVar = {
        **dict.fromkeys(("count_truth", "count_predicted"), Number(unit="count", aim="neither")),
        **dict.fromkeys(("count_mae", "count_rmse"), Number(unit="objects", aim="less")),
        "count_bias": Number(unit="objects", aim="neither"),
        **dict.fromkeys(("merges", "splits"), FEWER),
        **dict.fromkeys(("count_error_rate", "merge_rate", "split_rate"), Number(aim="less")),
    }

    def _count(self, batch: Batch) -> Int:
        by_class = count(batch, self.conf)
        found = np.concatenate([by_class, by_class.sum(1, keepdims=True)], 1)
        off = found[..., 1] - found[..., 0]
        return np.concatenate([found, np.abs(off)[..., None], (off * off)[..., None]], -1)

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        truths, found, merges, splits, off, square = np.moveaxis(sums, -1, 0)
        images = self._images(weights)[:, None]
        values = {
            "count_truth": truths,
            "count_predicted": found,
            "count_mae": ratio(off, images),
            "count_rmse": np.sqrt(ratio(square, images)),
            "count_bias": ratio(found - truths, images),
            "count_error_rate": ratio(off, truths),
            "merges": merges,
            "splits": splits,
            "merge_rate": ratio(merges, truths),
            "split_rate": ratio(splits, truths),
        }
        return {key: v[:, -1] for key, v in values.items()}, {key: v[:, :-1] for key, v in values.items()}


METRIC = Counts
