"""AJI and AJI+: the aggregated Jaccard index of nuclei papers, shared pixels over joined pixels of all objects.

Each truth takes a prediction; what the pairs share is summed over what they cover together, and every truth and every
prediction left alone adds its pixels below. AJI: the prediction of highest IoU, even one that another truth has taken.
AJI+: one-to-one, the matching of the largest total IoU.

- ``aji``, ``aji_plus``: summed over all images and classes before the quotient, as all headlines of an answer here.
- ``aji_image``, ``aji_plus_image``: mean over images, as papers give them; images without any object are left out.
- Only truth and predictions of one class match. A truth that no prediction touches adds its pixels below; so do Kumar
  et al. and HoVer-Net's code. (HoVer-Net's code chooses by IoU with 1e-6 added to the union: only ties differ.)
- Crowds are not truth; a prediction left alone that lies in them by more than half adds nothing.
- NaN means undefined: no truth and no prediction.

References: Kumar et al., IEEE TMI 2017, doi 10.1109/TMI.2017.2677499; Graham et al., HoVer-Net, Medical Image Analysis
2019, arXiv 1812.06499 (AJI+).
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import Answer, CellMetric

__all__ = ["METRIC", "Aji", "overlap"]


def overlap(batch: Batch, conf: Float) -> Float:
    """Return shared and joined pixels, of AJI and of AJI+: float64 (images, classes, 4).

    ``conf`` is the lowest score that counts, float64 (classes,); predictions without scores all count.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 4, 1], [4, 0, 8, 1]], (1, 12)))
    >>> found = Instances(Masks.from_boxes([[0, 0, 8, 1], [10, 0, 12, 1]], (1, 12)))
    >>> overlap(Batch.of(0, [(truth, found)], ("object",)), np.zeros(1)).tolist()  # one prediction over two objects
    [[[8.0, 18.0, 4.0, 14.0]]]
    """
    answer = Answer.of(batch, conf)
    pairs = answer.pairs
    order = np.lexsort((pairs.predicted, -pairs.iou, pairs.truth))
    best = order[np.unique(pairs.truth[order], return_index=True)[1]]
    matched = np.flatnonzero(heaviest(pairs.predicted, pairs.truth, pairs.iou))
    return np.concatenate([_sums(batch, answer, best), _sums(batch, answer, matched)], -1)


def _sums(batch: Batch, answer: Answer, chosen: Int) -> Float:
    """Shared and joined pixels of each image and class, for some chosen pairs."""
    truth, predicted = batch.truth, batch.predicted
    t, p = answer.pairs.truth[chosen], answer.pairs.predicted[chosen]
    shared = answer.shared[chosen]
    alone_t, alone_p = ~truth.crowd, answer.counted & ~answer.spared
    alone_t[t] = alone_p[p] = False
    group = np.concatenate([truth.group[t], truth.group[alone_t], predicted.group[alone_p]])
    joined = truth.pixels[t] + predicted.pixels[p] - shared
    pixels = np.concatenate([joined, truth.pixels[alone_t], predicted.pixels[alone_p]])
    return batch.by_cell((truth.group[t], shared), (group, pixels))


def _indices(sums: Float) -> dict[str, Float]:
    return {"aji": ratio(sums[..., 0], sums[..., 1]), "aji_plus": ratio(sums[..., 2], sums[..., 3])}


class Aji(CellMetric):
    """AJI and AJI+ over a stream of batches; keeps four numbers per (image, class) in which there is anything."""

    columns = 4

    def _count(self, batch: Batch) -> Float:
        return overlap(batch, self.conf)

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        by_image = _indices(self._cells.by_image())
        means = {f"{key}_image": self._mean_image(values, weights) for key, values in by_image.items()}
        return _indices(sums.sum(1)) | means, _indices(sums)


METRIC = Aji
