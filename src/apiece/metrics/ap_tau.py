"""AP-tau and F1-tau, the nuclei papers' scores: TP / (TP + FP + FN), and F1, at IoU tau from 0.5 to 0.95.

Used by the 2018 Data Science Bowl, StarDist (``matching(...).accuracy``) and Cellpose (``average_precision``); in spite
of its name no ranking enters it, so it judges a final answer: predictions below ``Settings.conf`` are left out, all
others count alike.

- **Headline, pooled**: ``ap_tau50`` ... ``ap_tau95`` sum TP, FP and FN over all images and classes before the quotient,
  as StarDist's ``matching_dataset`` does by default (``by_image=False``); ``ap_tau`` is their mean.
- **F1**: ``f1_tau50`` ... and their mean ``f1_tau``: 2 TP / (2 TP + FP + FN) of the pooled counts (StarDist's ``f1``).
- **Mean over images**: ``ap_tau50_image`` ... and ``ap_tau_image``, as the Data Science Bowl ranked. An image without
  truth and without predictions has nothing to judge and is left out. (StarDist's ``by_image=True`` scores it 0.)
- Only truth and predictions of one class match. TP is the most one-to-one matches of IoU of at least tau, which is what
  StarDist's assignment finds; where masks of one image do not overlap and tau > 0.5, no other matching exists.
- Crowds are not truth; a prediction left unmatched whose area lies in a crowd to a share of at least tau is no FP.
  Where it is open which prediction is left unmatched, it is one of these.
- NaN means undefined: no truth and no prediction.

References: Caicedo et al. 2019, doi 10.1038/s41592-019-0612-7; Schmidt et al. 2018, arXiv 1806.03535.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import IOU_THRESHOLDS, most
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import f1, ratio
from apiece.metrics._kit.sums_per_image import CellMetric
from apiece.metrics.contract import Number

__all__ = ["METRIC", "ApTau", "accuracy", "count", "f1"]

_FIRST = ("ap_tau50", "ap_tau75", "f1_tau50")


def accuracy(counts: npt.NDArray[np.number]) -> Float:
    """Return TP / (TP + FP + FN) of counts with last axis (TP, FP, FN); NaN where all three are 0.

    >>> accuracy(np.array([[3, 1, 2], [0, 0, 0]])).tolist()
    [0.5, nan]
    """
    return ratio(counts[..., 0], counts.sum(-1))


def count(batch: Batch, pairs: Pairs, conf: Float) -> Int:
    """Return TP, FP and FN at each threshold: int64 of shape (thresholds, images, classes, 3).

    ``pairs`` are mask overlaps, ``conf`` is the lowest score that counts, float64 (classes,).
    """
    truth, predicted = batch.truth, batch.predicted
    kept = predicted.counted(conf)
    pairs = pairs.where(kept[pairs.predicted])
    in_crowd = truth.crowd[pairs.truth]
    single, crowded = pairs.where(~in_crowd), pairs.where(in_crowd)
    levels = []
    for threshold in IOU_THRESHOLDS.tolist():
        matched = most(single, threshold, len(predicted), len(truth)) >= 0
        right = predicted.group[matched]
        judged = kept.copy()
        judged[crowded.predicted[crowded.iou >= threshold]] = False
        if not judged[kept].all():
            # of all largest matchings one matches as many of the judged as can be (a matroid): it counts
            matched = most(single.where(judged[single.predicted]), threshold, len(predicted), len(truth)) >= 0
        levels.append(batch.by_cell(right, predicted.group[judged & ~matched], truth.group[~truth.crowd]))
    counts = np.stack(levels).astype(np.int64)
    counts[..., 2] -= counts[..., 0]
    return counts


def _keys(name: str, suffix: str = "") -> list[str]:
    return [f"{name}{level}{suffix}" for level in ("", *(round(100 * t) for t in IOU_THRESHOLDS))]


class ApTau(CellMetric):
    """AP-tau over a stream of batches; keeps three counts per threshold of each image and class with anything in it.

    Extra ``"counts"``: int32 (thresholds, images, 3) of TP, FP, FN, all classes together.
    """

    columns = 3 * len(IOU_THRESHOLDS)
    about: ClassVar = {
        key: Number(group=name, detail=level > 0 and key not in _FIRST)
        for name, suffix in (("ap_tau", ""), ("f1_tau", ""), ("ap_tau", "_image"))
        for level, key in enumerate(_keys(name, suffix))
    }

    def _count(self, batch: Batch) -> Int:
        counts = count(batch, batch.mask_pairs, self.conf)
        return counts.transpose(1, 2, 0, 3).reshape(batch.count, len(self.classes), -1)

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        counts = _unpacked(sums)
        by_image = np.stack([self._mean_image(values, weights) for values in accuracy(self._per_image())])
        return _pooled(counts.sum(2)) | _by_key("ap_tau", by_image, "_image"), _pooled(counts)

    def _per_image(self) -> Int32:
        return _unpacked(self._cells.by_image()).astype(np.int32)

    def _extras(self) -> dict[str, Int32]:
        return {"counts": self._per_image()}


METRIC = ApTau


def _unpacked(columns: Float) -> Float:
    """(..., 3 thresholds) to (thresholds, ..., 3)."""
    return np.moveaxis(columns.reshape(*columns.shape[:-1], len(IOU_THRESHOLDS), 3), -2, 0)


def _pooled(counts: Float) -> dict[str, Float]:
    """AP-tau and F1-tau by key from counts (thresholds, ..., 3)."""
    return _by_key("ap_tau", accuracy(counts)) | _by_key("f1_tau", f1(counts))


def _by_key(name: str, values: Float, suffix: str = "") -> dict[str, Float]:
    """The mean over the thresholds and each of them by key; first axis thresholds."""
    return dict(zip(_keys(name, suffix), [values.mean(0), *values], strict=True))
