"""MOTSA, sMOTSA and MOTSP: errors frame by frame, and switches of identity (Voigtlaender et al. 2019).

- A prediction and a truth of one frame match where mask IoU is at least 0.5. Where masks of one side do not overlap
  there is hardly a choice; where there is one, what was matched in the frame before stays, then the total of IoU
  decides.
- ``id_switches``: matches of a true track to another predicted track than when it was matched last.
- ``motsa = (TP - FP - id_switches) / truths``; ``smotsa`` has the sum of the matches' IoU in place of TP; ``motsp`` is
  the mean IoU of the matches. The first two may be negative.
- ``fragmentations``: how often a true track is found again after frames in which it was not found, or not there.
- ``mostly_tracked``, ``partly_tracked``, ``mostly_lost``: true tracks matched in more than 0.8, in at least 0.2, in
  less than 0.2 of their frames.
- ``mots_tp``, ``mots_fp``, ``mots_fn``: the counts.

As in TrackEval, the authors' code (its CLEAR over masks): an IoU of exactly 0.5 matches, where the paper asks for
more; and frames of a class without truth or without predictions are passed over, so that the frame before is the last
that has both. Sequences and classes are pooled (``per_class`` has each class, the extra ``"sequences"`` each sequence).
NaN means undefined: no truth, or no match.

Crowds and ignored regions: see `apiece.metrics._kit.tracks_log`.

References: Voigtlaender et al., MOTS: Multi-Object Tracking and Segmentation, CVPR 2019, arXiv 1902.03604; Bernardin
and Stiefelhagen 2008, doi 10.1155/2008/246309.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from apiece._arrays import Float, Int
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.tracks import Rows, Tracks
from apiece.metrics._kit.tracks_log import TrackMetric
from apiece.metrics.contract import FEWER, Number

__all__ = ["METRIC", "MIN_IOU", "Mots", "count", "match", "scores"]


MIN_IOU = 0.5
"""Lowest mask IoU of a match."""
_STAYS = 1000.0
"""Worth of what was matched in the frame before: more than any IoU of a frame can make up for."""
_MOSTLY, _PARTLY = 0.8, 0.2


def match(tracks: Tracks) -> Pairs:
    """Return the pairs that match, one-to-one within each frame."""
    pairs = tracks.pairs.where(tracks.pairs.iou >= MIN_IOU)
    truth, predicted = np.bincount(pairs.truth), np.bincount(pairs.predicted)
    chosen = (truth[pairs.truth] == 1) & (predicted[pairs.predicted] == 1)
    unclear = np.flatnonzero(~chosen)
    if not len(unclear):
        return pairs
    # which predicted track each row of truth is matched to; the last entry is that of no row
    partner = np.full(len(tracks.truth) + 1, -1, np.int64)
    followed = tracks.predicted.track[pairs.predicted]
    partner[pairs.truth[chosen]] = followed[chosen]
    before = _before(tracks.truth, _places(tracks))[pairs.truth[unclear]]
    row, column, own = pairs.truth[unclear], pairs.predicted[unclear], followed[unclear]
    worth = pairs.iou[unclear]
    frame = np.unique(tracks.truth.frame[row], return_inverse=True)[1]
    # A frame's choice hangs on the frame before. All are made at once, then again where the frame before has changed:
    # each round settles one more frame of a chain, and chains are short.
    won, stays, open_ = np.zeros(len(row), bool), np.zeros(len(row), bool), np.ones(len(row), bool)
    while open_.any():
        stays[open_] = partner[before[open_]] == own[open_]
        won[open_] = heaviest(row[open_], column[open_], _STAYS * stays[open_] + worth[open_])
        partner[row[open_]] = -1
        partner[row[won]] = own[won]
        changed = np.zeros(frame.max() + 1, bool)
        changed[frame[(partner[before] == own) != stays]] = True
        open_ = changed[frame]
    chosen[unclear[won]] = True
    return pairs.where(chosen)


def _places(tracks: Tracks) -> Int:
    """Place of each row of truth among the frames that have both truth and predictions, or -1: int64 (N,)."""
    shared = np.intersect1d(tracks.truth.frame, tracks.predicted.frame)
    place = np.searchsorted(shared, tracks.truth.frame)
    there = np.append(shared, -1)[place] == tracks.truth.frame
    return np.where(there, place, -1)


def _before(truth: Rows, place: Int) -> Int:
    """The row of the same track in the frame before, or -1: int64 (N,)."""
    order = np.lexsort((truth.frame, truth.track))
    order = order[place[order] >= 0]
    first, second = order[:-1], order[1:]
    follows = (truth.track[first] == truth.track[second]) & (place[second] == place[first] + 1)
    before = np.full(len(truth), -1, np.int64)
    before[second[follows]] = first[follows]
    return before


def count(tracks: Tracks) -> dict[str, Float]:
    """Return TP, FP, FN, the sum of the matches' IoU, and what happened to the tracks.

    Float64 (groups,) by name; they may be added over groups.

    >>> from apiece.metrics._kit.overlaps import Pairs
    >>> row = np.arange(4)  # one object in four frames; the tracker changes its id after the third
    >>> switched = Tracks(Rows.of(row, [1, 1, 1, 1]), Rows.of(row, [1, 1, 1, 2]), Pairs(row, row, np.full(4, 0.9)))
    >>> made = scores(count(switched))
    >>> made["id_switches"].tolist(), made["motsa"].tolist(), made["smotsa"].round(3).tolist()
    ([1.0], [0.75], [0.65])
    """
    truth, matched = tracks.truth, match(tracks)
    place = _places(tracks)
    order = np.lexsort((truth.frame[matched.truth], truth.track[matched.truth]))
    row, followed = matched.truth[order], tracks.predicted.track[matched.predicted[order]]
    group = truth.group[row]
    same = truth.track[row[1:]] == truth.track[row[:-1]]
    switched = same & (followed[1:] != followed[:-1])
    found_again = same & (place[row[1:]] != place[row[:-1]] + 1)
    group_of_track = np.zeros(len(truth.lengths), np.int64)
    group_of_track[truth.track] = truth.group
    share = np.bincount(truth.track[row], minlength=len(truth.lengths)) / truth.lengths
    mostly, partly = share > _MOSTLY, (share >= _PARTLY) & (share <= _MOSTLY)
    tp = tracks.per_group(group)
    return {
        "mots_tp": tp,
        "mots_fp": tracks.per_group(tracks.predicted.group) - tp,
        "mots_fn": tracks.per_group(truth.group) - tp,
        "iou": tracks.per_group(group, matched.iou[order]),
        "id_switches": tracks.per_group(group[1:][switched]),
        "fragmentations": tracks.per_group(group[1:][found_again]),
        "mostly_tracked": tracks.per_group(group_of_track[mostly]),
        "partly_tracked": tracks.per_group(group_of_track[partly]),
        "mostly_lost": tracks.per_group(group_of_track[share < _PARTLY]),
    }


def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return MOTSA, sMOTSA and MOTSP, and the counts they are made of: float64 (...) by name."""
    tp, iou, wrong = counts["mots_tp"], counts["iou"], counts["mots_fp"] + counts["id_switches"]
    truths = tp + counts["mots_fn"]
    rates = {"motsa": ratio(tp - wrong, truths), "smotsa": ratio(iou - wrong, truths), "motsp": ratio(iou, tp)}
    return rates | {name: values for name, values in counts.items() if name != "iou"}


class Mots(TrackMetric):
    """MOTSA and its kin over a stream of batches; keeps three numbers per object and per pair of IoU from 0.5."""

    lowest = MIN_IOU
    about: ClassVar = {
        **dict.fromkeys(("mots_tp", "mostly_tracked"), Number(unit="count")),
        **dict.fromkeys(("mots_fp", "mots_fn", "id_switches", "fragmentations", "mostly_lost"), FEWER),
        "partly_tracked": Number(unit="count", aim="neither"),
    }

    count = staticmethod(count)
    scores = staticmethod(scores)


METRIC = Mots
