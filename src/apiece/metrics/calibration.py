"""Do scores mean what they say: of the predictions scored 0.8, are 80% right?

A prediction is right if it matches truth of its class at mask IoU 0.5 by COCO's rule; matched to a crowd, it is left
out. Scores fall into `BINS` bins of equal width from 0 to 1. Keys, pooled and per class:

- ``calibration_error`` (ECE): mean over predictions of |share of right ones - mean score| of their bin. For detection
  it is called D-ECE (Küppers et al. 2020; here without their extension to box coordinates).
- ``calibration_error_max`` (MCE): the largest such difference of a bin with any prediction.
- ``overconfidence``: mean score less the share of right predictions, of all together; below 0: scores are too low.

The numbers speak of predictions that were made: objects that nothing pointed at do not enter, and scores below the
threshold of the run (0.05) are not there. NaN means undefined: there is no prediction, or scores lie outside 0 to 1
(logits, say), which a note tells.

ECE and MCE grow by chance alone where bins hold few predictions, and more so on draws of the images, which say the same
thing several times: percentile intervals lie above the value they are to hold, of a calibrated model all of them. So
only ``overconfidence`` has an interval.

References: Guo et al. 2017, arXiv 1706.04599 (bins, ECE, MCE); Küppers et al. 2020, arXiv 2004.13546; Kumar et al.
2019, arXiv 1909.10155 (the bias).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.ap_counts import need_scores
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import matched
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import Cells
from apiece.metrics.contract import Judges, MetricResult, Number, Resampled, Settings

__all__ = ["BINS", "METRIC", "Calibration", "Reliability", "bin_scores", "calibration_errors"]


BINS = 15
"""Bins of the reliability diagram, as in Guo et al."""
_IOU = np.array([0.5])
_ABOUT: Mapping[str, Number] = {
    "calibration_error": Number(aim="less"),
    "calibration_error_max": Number(aim="less"),
    "overconfidence": Number(aim="neither"),
}


@dataclass(frozen=True, eq=False)
class Reliability:
    """The reliability diagram of each class, and of all together.

    Attributes
    ----------
    classes : K class names.
    edges : float64 (BINS + 1,), edges of the bins.
    count : int64 (K, BINS), predictions.
    score : float64 (K, BINS), their mean score; NaN where there are none.
    right : float64 (K, BINS), share of right ones; NaN where there are none.
    all_count, all_score, all_right : (BINS,), the same for all classes together.
    """

    classes: tuple[str, ...]
    edges: Float
    count: Int
    score: Float
    right: Float
    all_count: Int
    all_score: Float
    all_right: Float


def bin_scores(label: npt.NDArray[np.integer], score: Float, right: Bool, classes: int, bins: int = BINS) -> Float:
    """Return what falls into each bin: float64 (classes, bins, 3), predictions, sum of their scores, right ones.

    A score, 0 to 1, on an edge belongs to the bin above it, 1 to the last.

    >>> bin_scores(np.zeros(3, int), np.array([0.25, 0.5, 1.0]), np.array([False, True, True]), 1, 2).tolist()
    [[[1.0, 0.25, 0.0], [2.0, 1.5, 2.0]]]
    """
    cell = label * bins + np.minimum((score * bins).astype(np.int64), bins - 1)
    columns = [np.bincount(cell, weight, classes * bins) for weight in (np.ones(len(score)), score, right)]
    return np.stack(columns, -1, dtype=np.float64).reshape(classes, bins, 3)


def calibration_errors(binned: Float) -> tuple[Float, Float, Float]:
    """Return expected and largest calibration error, and overconfidence, of bins (..., bins, 3); NaN if empty.

    >>> [round(float(value), 3) for value in calibration_errors(np.array([[1, 0.25, 0], [2, 1.5, 2]]))]
    [0.25, 0.25, -0.083]
    """
    count, score, right = np.moveaxis(binned, -1, 0)
    total = count.sum(-1)
    gap = np.abs(right - score)
    largest = np.divide(gap, count, out=np.full(gap.shape, -np.inf), where=count > 0).max(-1, initial=-np.inf)
    return ratio(gap.sum(-1), total), np.where(total > 0, largest, np.nan), ratio(score.sum(-1) - right.sum(-1), total)


class Calibration:
    """Reliability of scores over a stream of batches; keeps the bins of each class, and three sums of each image."""

    judges: ClassVar[Judges] = "ranked"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        self._binned = np.zeros((len(self.classes), BINS, 3))
        self._images = Cells(1, 3)
        self._lowest, self._highest = 0.0, 1.0

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError where predictions have no scores."""
        need_scores(batch)
        pairs, crowd, predicted = batch.mask_pairs, batch.truth.crowd, batch.predicted
        self._lowest = float(predicted.score.min(initial=self._lowest))
        self._highest = float(predicted.score.max(initial=self._highest))
        if self._beyond:
            return
        match = matched(pairs, crowd, _IOU, len(predicted))[0]
        counted = ~((match >= 0) & np.append(crowd, False)[match])
        label, score, right = predicted.label[counted], predicted.score[counted], match[counted] >= 0
        self._binned += bin_scores(label, score, right, len(self.classes))
        self._images.add(bin_scores(predicted.image[counted], score, right, batch.count, 1))

    @property
    def _beyond(self) -> bool:
        return self._lowest < 0 or self._highest > 1

    def compute(self) -> MetricResult:
        """Return all numbers; extra ``"reliability"``: `Reliability`, unless scores lie outside 0 to 1."""
        if self._beyond:
            found = f"scores from {self._lowest:g} to {self._highest:g}"
            note = f"calibration: {found} are no probabilities; it is left out"
            return self._result(np.zeros_like(self._binned), notes=(note,))
        edges = np.linspace(0.0, 1.0, BINS + 1)
        diagrams = (*_diagram(self._binned), *_diagram(self._binned.sum(0)))
        reliability = Reliability(self.classes, edges, *diagrams)
        return self._result(self._binned, extras={"reliability": reliability})

    def resample(self, weights: Int32) -> Resampled:
        """Return overconfidence, pooled, on each draw; see `apiece.metrics.contract.Resampling`."""
        if self._beyond:
            return Resampled({"overconfidence": np.full(len(weights), np.nan)}, {})
        count, score, right = self._images.sums(weights)[:, 0].T
        return Resampled({"overconfidence": ratio(score - right, count)}, {})

    def _result(self, binned: Float, **more: Any) -> MetricResult:
        pooled, each = (dict(zip(_ABOUT, calibration_errors(b), strict=True)) for b in (binned.sum(0), binned))
        return MetricResult.of(self.classes, pooled, each, about=_ABOUT, **more)


METRIC = Calibration


def _diagram(binned: Float) -> tuple[Int, Float, Float]:
    """How many predictions there are, their mean score, and the share of right ones, from bins (..., 3)."""
    count, score, right = np.moveaxis(binned, -1, 0)
    return count.astype(np.int64), ratio(score, count), ratio(right, count)
