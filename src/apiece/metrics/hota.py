"""HOTA: how well objects are found, and how well they are followed, as one number (Luiten et al. 2021).

For each threshold alpha of 0.05, 0.1, ... 0.95:

- ``DetA = TP / (TP + FN + FP)``, a match counting where mask IoU is at least alpha; ``DetRe`` and ``DetPr`` are recall
  and precision.
- ``AssA``: for each match of a true and a predicted track, in how many frames these two are matched, over all frames of
  the one or the other; the mean over all matches. ``AssRe`` and ``AssPr`` put the frames of the true, of the predicted
  track below the line.
- ``LocA``: mean IoU of the matches.
- ``HOTA = sqrt(DetA * AssA)``.

The numbers ``hota``, ``deta``, ``assa``, ``loca``, ``detre``, ``detpr``, ``assre``, ``asspr`` are means over all
alphas. The matching is one per frame for all alphas: of greatest total of IoU times how well the two tracks agree over
the whole sequence.

As in TrackEval, the authors' code: sequences and classes are pooled by matches, not averaged (``per_class`` has each
class, the extra ``"sequences"`` each sequence); where nothing reaches an alpha, AssA is 0 and LocA 1 at that alpha.
Elsewhere NaN means undefined: no truth and no prediction, or, for ``detre`` and ``detpr``, none of the one.

Crowds and ignored regions: see `apiece.metrics._kit.tracks_log`.

Reference: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021, arXiv 2009.07736.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Float, Int
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.tracks import Tracks, meetings
from apiece.metrics._kit.tracks_log import TrackMetric

__all__ = ["ALPHAS", "METRIC", "Hota", "count", "curves", "scores"]


ALPHAS: Float = np.arange(0.05, 0.99, 0.05)
"""0.05, 0.1, ... 0.95, bit for bit those of TrackEval."""
_EPS = np.finfo(np.float64).eps


def count(tracks: Tracks) -> dict[str, Float]:
    """Return ``tp``, ``fn``, ``fp``, and sums over the matches of ``ass``, ``assre``, ``asspr`` and ``iou``.

    Float64 (groups, alphas) by name; they may be added over groups.

    >>> from apiece.metrics._kit.overlaps import Pairs
    >>> from apiece.metrics._kit.tracks import Rows
    >>> row = np.arange(4)  # one object in four frames; the tracker changes its id after the third
    >>> switched = Tracks(Rows.of(row, [1, 1, 1, 1]), Rows.of(row, [1, 1, 1, 2]), Pairs(row, row, np.full(4, 0.9)))
    >>> made = curves(count(switched))  # in three frames 3 / 4 of the two tracks are matched, in one 1 / 4
    >>> made["deta"][0, 0], made["assa"][0, 0], made["deta"][0, -1]
    (np.float64(1.0), np.float64(0.625), np.float64(0.0))
    """
    truth, predicted, pairs = tracks.truth, tracks.predicted, tracks.pairs
    met_truth, met_predicted, meeting = meetings(tracks, pairs)
    agreement = _agreement(tracks, met_truth, met_predicted, meeting)
    chosen = heaviest(pairs.truth, pairs.predicted, agreement[meeting] * pairs.iou)
    iou, meeting, group = pairs.iou[chosen], meeting[chosen], truth.group[pairs.truth[chosen]]
    long_truth, long_predicted = truth.lengths[met_truth], predicted.lengths[met_predicted]
    truths, predictions = tracks.per_group(truth.group), tracks.per_group(predicted.group)
    levels = []
    for alpha in ALPHAS:
        hit = iou >= alpha - _EPS
        matched = np.bincount(meeting[hit], minlength=len(met_truth))
        tp = tracks.per_group(group[hit])
        over = {"ass": long_truth + long_predicted - matched, "assre": long_truth, "asspr": long_predicted}
        own, at = meeting[hit], group[hit]
        shares = {name: tracks.per_group(at, (matched / total)[own]) for name, total in over.items()}
        found = {"tp": tp, "fn": truths - tp, "fp": predictions - tp}
        levels.append({**found, **shares, "iou": tracks.per_group(group[hit], iou[hit])})
    return {name: np.stack([level[name] for level in levels], 1) for name in levels[0]}


def _agreement(tracks: Tracks, met_truth: Int, met_predicted: Int, meeting: Int) -> Float:
    """How well two tracks that meet agree over the whole sequence, from 0 to 1: float64 (meetings,).

    A soft Jaccard index. In a frame two objects agree by their IoU over all IoU that the one or the other has.
    """
    truth, predicted, pairs = tracks.truth, tracks.predicted, tracks.pairs
    all_truth = np.bincount(pairs.truth, pairs.iou, len(truth))
    all_predicted = np.bincount(pairs.predicted, pairs.iou, len(predicted))
    share = pairs.iou / (all_truth[pairs.truth] + all_predicted[pairs.predicted] - pairs.iou)
    together = np.bincount(meeting, share, len(met_truth))
    return together / (truth.lengths[met_truth] + predicted.lengths[met_predicted] - together)


def curves(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return the eight scores at each alpha, float64 (..., alphas) by name, from what `count` gives."""
    tp, fn, fp = counts["tp"], counts["fn"], counts["fp"]
    deta, matches = ratio(tp, tp + fn + fp), np.maximum(tp, 1)
    some = np.where(np.isnan(deta), np.nan, 1.0)  # NaN where there is nothing at all
    assa, assre, asspr = (some * counts[name] / matches for name in ("ass", "assre", "asspr"))
    return {
        "hota": np.sqrt(deta * assa),
        "deta": deta,
        "assa": assa,
        "loca": some * np.where(tp > 0, counts["iou"] / matches, 1.0),
        "detre": ratio(tp, tp + fn),
        "detpr": ratio(tp, tp + fp),
        "assre": assre,
        "asspr": asspr,
    }


def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return the means of `curves` over all alphas: float64 (...) by name."""
    return {name: values.mean(-1) for name, values in curves(counts).items()}


class Hota(TrackMetric):
    """HOTA over a stream of batches; keeps three numbers per object and per overlapping pair.

    Extras: ``"alphas"``, float64 (19,); ``"curves"``, the scores at each of them by name.
    """

    of_tracks = frozenset({"assa", "assre", "asspr"})
    count = staticmethod(count)
    scores = staticmethod(scores)

    def _extras(self, pooled: Mapping[str, Float]) -> dict[str, object]:
        return {"alphas": ALPHAS, "curves": curves(pooled)}


METRIC = Hota
