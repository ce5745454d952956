"""Average precision and recall on draws of the images, from the tally that the numbers themselves come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from apiece._arrays import Bool, Float, Int, Int32, UInt8
from apiece.metrics._kit.ap_counts import Tally
from apiece.metrics._kit.bootstrap import weighted_precision
from apiece.metrics._kit.match_ranked import AREA_RANGES, IOU_THRESHOLDS
from apiece.metrics._kit.ratios import ratio
from apiece.metrics.contract import Resampled

_AT = {round(100 * value): level for level, value in enumerate(IOU_THRESHOLDS)}


def resampled(t: Tally, prefix: str, classes: Sequence[str], max_dets: Sequence[int], weights: Int32) -> Resampled:
    """The numbers of `apiece.metrics._kit.ap_counts.summary` on each draw; per class ``ap``, ``ap50`` and ``ap75``.

    Parameters
    ----------
    t : the tally of all images.
    prefix : what stands before each key: ``"mask_"``.
    classes : class names.
    max_dets : as for `summary`.
    weights : int32 (draws, images).
    """
    numbers: dict[str, Float] = {}
    per_class: dict[str, dict[str, Float]] = {name: {} for name in classes}
    order = np.lexsort((-t.score, t.label))
    for a, area in enumerate(AREA_RANGES):
        positives = summed(t.truth_counts[a].astype(np.int64), t.truth_label, t.truth_image, len(classes), weights)
        for key, by_class in _precision(t, a, order, positives, weights):
            numbers[f"{prefix}{key}_{area}" if area else prefix + key] = _mean_defined(by_class)
            if not area:
                for name, values in zip(classes, by_class, strict=True):
                    per_class[name][prefix + key] = values
        found = np.unpackbits(t.right[a], axis=1).sum(1, dtype=np.int64)
        limits = [(f"ar_{area}", found)] if area else [(f"ar{n}", np.where(t.rank < n, found, 0)) for n in max_dets]
        for key, hits in limits:
            total = summed(hits, t.label, t.image, len(classes), weights)
            numbers[prefix + key] = _mean_defined(ratio(total, positives * len(IOU_THRESHOLDS)))
    return Resampled(numbers, per_class)


def _precision(t: Tally, area: int, order: Int, positives: Int, weights: Int32) -> Iterator[tuple[str, Float]]:
    """``ap``, and of all sizes ``ap50`` and ``ap75``: float64 (classes, draws), NaN where there is no truth."""
    right, wrong = (_levels(bits[area, order]) for bits in (t.right, t.wrong))
    by_level = precision_of_classes(t.label[order], t.image[order], right, wrong, positives, weights)
    yield "ap", by_level.mean(0)
    for percent in () if area else (50, 75):
        yield f"ap{percent}", by_level[_AT[percent]]


def precision_of_classes(
    label: Int32,
    image: Int32,
    right: Bool,
    wrong: Bool,
    positives: Int,
    weights: Int32,
) -> Float:
    """Average precision of each class on each draw: float64 (thresholds, classes, draws), NaN where there is no truth.

    Parameters
    ----------
    label, image : int32 (P,), ordered by class and descending score.
    right, wrong : bool (thresholds, P), true and false positives.
    positives : int64 (classes, draws), truth that counts.
    weights : int32 (draws, images).
    """
    ends = np.searchsorted(label, np.arange(len(positives) + 1))
    out = np.empty((len(right), *positives.shape))
    for k, truths in enumerate(positives):
        rows = slice(ends[k], ends[k + 1])
        out[:, k] = weighted_precision(weights, image[rows], right[:, rows], wrong[:, rows], truths)
    return out


def _levels(bits: UInt8) -> Bool:
    """All thresholds out of packed flags (P, bytes): bool (thresholds, P)."""
    return np.ascontiguousarray(np.unpackbits(bits, axis=1, count=len(IOU_THRESHOLDS)).T).astype(bool)


def summed(values: Int, label: Int32, image: Int32, classes: int, weights: Int32) -> Int:
    """``values`` added up by class on each draw: int64 (classes, draws)."""
    some = np.flatnonzero(values)
    cells = sp.coo_array((values[some], (label[some], image[some])), shape=(classes, weights.shape[1]))
    return np.asarray(cells.tocsr() @ weights.T.astype(np.int64))


def _mean_defined(by_class: Float) -> Float:
    """Mean over the classes that have truth on a draw: float64 (draws,)."""
    known = ~np.isnan(by_class)
    return ratio(np.where(known, by_class, 0.0).sum(0), known.sum(0))
