"""Average precision and recall on draws of the images, from the tally that the numbers themselves come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.ap_counts import LEVEL_OF, Tally, levels
from apiece.metrics._kit.match_ranked import AREA_RANGES, IOU_THRESHOLDS
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.weighted import weighted_precision


def resampled(t: Tally, classes: int, max_dets: Sequence[int], weights: Int32) -> dict[str, Float]:
    """Return the numbers of `ap_counts.summary` on each draw: float64 (classes, draws), NaN: no truth.

    ``weights`` is int32 (draws, images).
    """
    out: dict[str, Float] = {}
    order = np.lexsort((-t.score, t.label))
    for a, area in enumerate(AREA_RANGES):
        positives = summed(t.truth_counts[:, a].astype(np.int64), t.truth_label, t.truth_image, classes, weights)
        right, wrong = (levels(bits[order, a]) for bits in (t.right, t.wrong))
        precision = precision_of_classes(t.label[order], t.image[order], right, wrong, positives, weights)
        found = np.bitwise_count(t.right[:, a]).astype(np.int64)
        if area:
            out[f"ap_{area}"], limits = precision.mean(0), {f"ar_{area}": found}
        else:
            out |= {"ap": precision.mean(0), **{f"ap{at}": precision[LEVEL_OF[at]] for at in (50, 75)}}
            limits = {f"ar{n}": np.where(t.rank < n, found, 0) for n in max_dets}
        for key, hits in limits.items():
            total = summed(hits, t.label, t.image, classes, weights)
            out[key] = ratio(total, positives * len(IOU_THRESHOLDS))
    return out


def precision_of_classes(label: Int32, image: Int32, right: Bool, wrong: Bool, positives: Int, weights: Int32) -> Float:
    """Return average precision of each class on each draw: float64 (thresholds, classes, draws), NaN without truth.

    Predictions are ordered by class and descending score; ``positives`` is the truth that counts, (classes, draws).
    """
    ends = np.searchsorted(label, np.arange(len(positives) + 1))
    out = np.empty((len(right), *positives.shape))
    for k, truths in enumerate(positives):
        rows = slice(ends[k], ends[k + 1])
        out[:, k] = weighted_precision(weights, image[rows], right[:, rows], wrong[:, rows], truths)
    return out


def summed(values: Int, label: Int32, image: Int32, classes: int, weights: Int32) -> Int:
    """Return ``values`` added up by class on each draw: int64 (classes, draws)."""
    some = np.flatnonzero(values)
    cells = sp.coo_array((values[some], (label[some], image[some])), shape=(classes, weights.shape[1]))
    return np.asarray(cells.tocsr() @ weights.T.astype(np.int64))
