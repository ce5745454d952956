"""IDF1, IDP and IDR: how long objects keep one identity (Ristani et al. 2016).

True and predicted tracks are joined one-to-one over the whole sequence, so that they agree in as many frames as can be;
they agree in a frame where mask IoU is at least 0.5. ``idtp`` counts these frames of joined tracks, ``idfn`` all other
truth, ``idfp`` all other predictions.

- ``idf1 = 2 IDTP / (2 IDTP + IDFP + IDFN)``, ``idp = IDTP / (IDTP + IDFP)``, ``idr = IDTP / (IDTP + IDFN)``.
- Sequences and classes are pooled (``per_class`` has each class, the extra ``"sequences"`` each sequence).
- NaN means undefined: nothing below the line.

Crowds and ignored regions: see `apiece.metrics._kit.tracks_log`.

Reference: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, ECCV workshops
2016, arXiv 1609.01775.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from apiece._arrays import Float
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.tracks import Tracks, meetings
from apiece.metrics._kit.tracks_log import TrackMetric
from apiece.metrics.contract import FEWER, Number

__all__ = ["METRIC", "MIN_IOU", "Identity", "count", "scores"]


MIN_IOU = 0.5
"""Lowest mask IoU at which two tracks agree in a frame."""


def count(tracks: Tracks) -> dict[str, Float]:
    """Return ``idtp``, ``idfp`` and ``idfn``: float64 (groups,) by name; they may be added over groups.

    >>> from apiece.metrics._kit.overlaps import Pairs
    >>> from apiece.metrics._kit.tracks import Rows
    >>> row = np.arange(4)  # one object in four frames; the tracker changes its id after the third
    >>> switched = Tracks(Rows.of(row, [1, 1, 1, 1]), Rows.of(row, [1, 1, 1, 2]), Pairs(row, row, np.full(4, 0.9)))
    >>> {name: values.tolist() for name, values in scores(count(switched)).items()}
    {'idf1': [0.75], 'idp': [0.75], 'idr': [0.75], 'idtp': [3.0], 'idfp': [1.0], 'idfn': [1.0]}
    """
    truth, predicted = tracks.truth, tracks.predicted
    pairs = tracks.pairs.where(tracks.pairs.iou >= MIN_IOU)
    met_truth, met_predicted, meeting = meetings(tracks, pairs)
    together = np.bincount(meeting, minlength=len(met_truth)).astype(np.float64)
    # two tracks left apart cost their frames on both sides; joined, each frame together is twice less
    joined = heaviest(met_truth, met_predicted, together)
    tp = tracks.per_group(truth.group[pairs.truth[joined[meeting]]])
    return {"idtp": tp, "idfp": tracks.per_group(predicted.group) - tp, "idfn": tracks.per_group(truth.group) - tp}


def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return IDF1, IDP and IDR, and the counts they are made of: float64 (...) by name."""
    tp, fp, fn = counts["idtp"], counts["idfp"], counts["idfn"]
    rates = {"idf1": ratio(2 * tp, 2 * tp + fp + fn), "idp": ratio(tp, tp + fp), "idr": ratio(tp, tp + fn)}
    return rates | dict(counts)


class Identity(TrackMetric):
    """IDF1 over a stream of batches; keeps three numbers per object and per pair of IoU from 0.5."""

    lowest = MIN_IOU
    about: ClassVar = {"idtp": Number(unit="count"), "idfp": FEWER, "idfn": FEWER}

    count = staticmethod(count)
    scores = staticmethod(scores)


METRIC = Identity
