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

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int, Int32
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import IOU_THRESHOLDS, most
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import mean_over, ratio
from apiece.metrics._kit.sums_per_image import Cells
from apiece.metrics.contract import Judges, MetricResult, Resampled, Settings

__all__ = ["METRIC", "ApTau", "accuracy", "count", "f1"]


def accuracy(counts: npt.NDArray[np.number]) -> Float:
    """TP / (TP + FP + FN) of counts with last axis (TP, FP, FN); NaN where all three are 0.

    >>> accuracy(np.array([[3, 1, 2], [0, 0, 0]])).tolist()
    [0.5, nan]
    """
    return ratio(counts[..., 0], counts.sum(-1))


def f1(counts: npt.NDArray[np.number]) -> Float:
    """2 TP / (2 TP + FP + FN) of counts with last axis (TP, FP, FN); NaN where all three are 0.

    >>> f1(np.array([[3, 1, 1], [0, 0, 0]])).tolist()
    [0.75, nan]
    """
    return ratio(2 * counts[..., 0], counts[..., 0] + counts.sum(-1))


def count(batch: Batch, pairs: Pairs, conf: Float) -> Int:
    """TP, FP and FN at each threshold: int64 of shape (thresholds, images, classes, 3).

    Parameters
    ----------
    batch : the images.
    pairs : their mask overlaps.
    conf : float64 (classes,), lowest score that counts; predictions without scores all count.
    """
    truth, predicted = batch.truth, batch.predicted
    cells = batch.count * len(batch.classes)
    # not >=: a missing score is NaN and counts
    kept = ~(predicted.score < conf[predicted.label])
    pairs = pairs.where(kept[pairs.predicted])
    in_crowd = truth.crowd[pairs.truth]
    single, crowded = pairs.where(~in_crowd), pairs.where(in_crowd)
    truths = np.bincount(truth.group[~truth.crowd], minlength=cells)
    out = np.empty((len(IOU_THRESHOLDS), cells, 3), np.int64)
    for level, threshold in enumerate(IOU_THRESHOLDS):
        matched = most(single, float(threshold), len(predicted), len(truth)) >= 0
        right = np.bincount(predicted.group[matched], minlength=cells)
        judged = kept.copy()
        judged[crowded.predicted[crowded.iou >= threshold]] = False
        if not judged[kept].all():
            # of all largest matchings one matches as many of the judged as can be (a matroid): it counts
            matched = most(single.where(judged[single.predicted]), float(threshold), len(predicted), len(truth)) >= 0
        wrong = np.bincount(predicted.group[judged & ~matched], minlength=cells)
        out[level] = np.stack([right, wrong, truths - right], -1)
    return out.reshape(len(IOU_THRESHOLDS), batch.count, len(batch.classes), 3)


class ApTau:
    """AP-tau over a stream of batches; keeps three counts per threshold of each image and class with anything in it."""

    judges: ClassVar[Judges] = "answer"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        self.conf = (settings or Settings()).thresholds(self.classes)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._cells = Cells(len(self.classes), 3 * len(IOU_THRESHOLDS))

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch."""
        counts = count(batch, batch.mask_pairs, self.conf)
        self._cells.add(counts.transpose(1, 2, 0, 3).reshape(batch.count, len(self.classes), -1))

    def compute(self) -> MetricResult:
        """All numbers; per class pooled only. Extra ``"counts"``: int32 (thresholds, images, 3) of TP, FP, FN."""
        counts = self._per_image()
        pooled = _unpacked(self._cells.sums())[:, 0]
        numbers = _keyed(_pooled(pooled.sum(1)) | _by_key("ap_tau", mean_over(accuracy(counts)), "_image"))
        per_class = {name: _keyed(_pooled(pooled[:, k])) for k, name in enumerate(self.classes)}
        return MetricResult(numbers, per_class, {"counts": counts})

    def resample(self, weights: Int32) -> Resampled:
        """All numbers on each draw; see `apiece.metrics.contract.Resampling`."""
        pooled = _unpacked(self._cells.sums(weights))
        by_image = np.stack([mean_over(values, weights) for values in accuracy(self._per_image())])
        per_class = {name: _pooled(pooled[:, :, k]) for k, name in enumerate(self.classes)}
        return Resampled(_pooled(pooled.sum(2)) | _by_key("ap_tau", by_image, "_image"), per_class)

    def _per_image(self) -> Int32:
        """TP, FP, FN of all classes together: int32 (thresholds, images, 3)."""
        return _unpacked(self._cells.by_image()).astype(np.int32)


METRIC = ApTau


def _unpacked(columns: Float) -> Float:
    """(..., 3 thresholds) to (thresholds, ..., 3)."""
    return np.moveaxis(columns.reshape(*columns.shape[:-1], len(IOU_THRESHOLDS), 3), -2, 0)


def _keyed(values: Mapping[str, Float]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items()}


def _pooled(counts: Float) -> dict[str, Float]:
    """AP-tau and F1-tau by key from counts (thresholds, ..., 3)."""
    return _by_key("ap_tau", accuracy(counts)) | _by_key("f1_tau", f1(counts))


def _by_key(name: str, values: Float, suffix: str = "") -> dict[str, Float]:
    """Each threshold and their mean by key; first axis thresholds."""
    keys = [f"{name}{round(100 * t)}{suffix}" for t in IOU_THRESHOLDS]
    return {f"{name}{suffix}": values.mean(0)} | dict(zip(keys, values, strict=True))
