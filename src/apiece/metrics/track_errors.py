"""Why tracking is not perfect: each error by kind, how often it occurs, in how many frames, and what it costs in HOTA.

Truth and predictions are matched as `apiece.metrics.mots` matches them. Each error then is of one kind:

- ``switches``: a true track goes on under another predicted track. ``swaps`` are those of them in which two true tracks
  take each other's predicted track, within `_NEAR` frames.
- ``gaps`` (fragmentation): a true track is lost for some frames, and found again.
- ``cuts``: a true track is found late, or lost before it ends.
- ``missed``: a true track is never found.
- ``false``: a predicted track matches nothing in any frame.
- ``strays``: a predicted track that follows something matches nothing for some frames.

Keys: ``track_gaps`` counts stretches of frames (``track_missed`` and ``track_false`` count tracks), and
``track_gaps_frames`` the objects in all frames of them. Frames of gaps, cuts and missed are ``mots_fn``, of false and
strays ``mots_fp``, and ``track_switches`` is ``id_switches``. ``hota_gaps`` is what HOTA would gain were all gaps
mended and nothing else: switched objects keep their id, what is absent is there with IoU 1, what is too much is gone.
Costs do not add up.

The extra ``"events"`` lists the errors, see `Event`.

The kinds follow what CLEAR MOT counts (Bernardin and Stiefelhagen 2008, doi 10.1155/2008/246309); mending one kind at a
time is TIDE's way (Bolya et al. 2020, arXiv 2008.08115).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.metrics import hota, mots
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.tracks import Rows, Tracks
from apiece.metrics._kit.tracks_log import TrackMetric
from apiece.metrics.contract import FEWER, MetricResult, Number

__all__ = ["KINDS", "METRIC", "Event", "TrackErrors", "count", "scores"]

KINDS = ("switches", "gaps", "cuts", "missed", "false", "strays")
"""Every kind of error."""
_ABSENT, _SURPLUS = KINDS[1:4], KINDS[4:]
_NEAR = 10


@dataclass(frozen=True)
class Event:
    """One error.

    Attributes
    ----------
    kind : one of `KINDS`, or ``swaps``.
    image, end : the first image and the last, numbers in the order of the evaluation.
    truth : id of the true track, None for ``false`` and ``strays``.
    before, after : ids of the predicted track before and after; None where there is none.
    """

    kind: str
    image: int
    end: int
    truth: int | None
    before: int | None
    after: int | None


@dataclass(frozen=True, eq=False)
class _Faults:
    """What is wrong: stretches of rows of one track, and switches.

    Attributes
    ----------
    partner : int64 (truth rows,), the row of predictions that each matches, or -1.
    stretches : by kind but switches, the rows of all stretches in the order of time, and where each begins: int64.
    switched : int64 (2, S), rows of truth before and at each switch.
    """

    partner: Int
    stretches: Mapping[str, tuple[Int, Int]]
    switched: Int


def _faults(tracks: Tracks) -> _Faults:
    truth, predicted, matched = tracks.truth, tracks.predicted, mots.match(tracks)
    partner, owner = np.full(len(truth), -1), np.full(len(predicted), -1)
    partner[matched.truth], owner[matched.predicted] = matched.predicted, matched.truth
    order, lone = _in_time(truth), partner < 0
    hits = order[~lone[order]]
    same = truth.track[hits[1:]] == truth.track[hits[:-1]]
    other = predicted.track[partner[hits[1:]]] != predicted.track[partner[hits[:-1]]]
    switched = np.stack([hits[:-1], hits[1:]])[:, same & other]
    before = np.cumsum(~lone[order])
    total = np.bincount(truth.track[hits], minlength=len(truth.lengths))[truth.track[order]]
    first = np.append(True, truth.track[order[1:]] != truth.track[order[:-1]])[: len(order)]
    so_far: Int = before - np.repeat((before - ~lone[order])[first], truth.lengths[truth.lengths > 0])
    kind = np.where(total == 0, 2, np.where((so_far == 0) | (so_far == total), 1, 0))
    absent = {name: _stretches(truth, order, lone[order] & (kind == k)) for k, name in enumerate(_ABSENT)}
    order, lone = _in_time(predicted), owner < 0
    followed = np.bincount(predicted.track[~lone], minlength=len(predicted.lengths))[predicted.track[order]] > 0
    surplus = {
        name: _stretches(predicted, order, lone[order] & (followed == wanted))
        for name, wanted in zip(_SURPLUS, (False, True), strict=True)
    }
    return _Faults(partner, {**absent, **surplus}, switched)


def _in_time(rows: Rows) -> Int:
    return np.lexsort((rows.frame, rows.track))


def _stretches(rows: Rows, order: Int, chosen: Bool) -> tuple[Int, Int]:
    """Return the chosen rows in the order of time, and which of them begin a stretch of one track."""
    place = np.flatnonzero(chosen)
    row = order[place]
    begins = np.append(True, (np.diff(place) != 1) | (np.diff(rows.track[row]) != 0))[: len(row)]
    return row, np.flatnonzero(begins)


def _swaps(tracks: Tracks, faults: _Faults) -> Bool:
    """Return which switches are one half of an exchange."""
    before, at = faults.switched
    frame, track = tracks.truth.frame[at], tracks.truth.track[at]
    old, new = (tracks.predicted.track[faults.partner[rows]] for rows in (before, at))
    across = len(tracks.predicted.lengths) + 1
    order = np.argsort(old * across + new, kind="stable")
    key = (old * across + new)[order]
    begin, end = (np.searchsorted(key, new * across + old, side) for side in ("left", "right"))
    found = np.zeros(len(at), bool)
    for k in np.flatnonzero(end > begin).tolist():
        mirrored = order[begin[k] : end[k]]
        found[k] = bool(((abs(frame[mirrored] - frame[k]) <= _NEAR) & (track[mirrored] != track[k])).any())
    return found


def _mended(tracks: Tracks, faults: _Faults, kind: str) -> Tracks:
    """Return the tracks without the errors of a kind."""
    truth, predicted, pairs = tracks.truth, tracks.predicted, tracks.pairs
    beyond = len(predicted.lengths)
    if kind == "switches":
        track = predicted.track.copy()
        hits = np.flatnonzero((faults.partner >= 0) & np.isin(truth.track, truth.track[faults.switched[1]]))
        track[faults.partner[hits]] = beyond + truth.track[hits]
        return replace(tracks, predicted=Rows(predicted.frame, track, predicted.group))
    rows = faults.stretches[kind][0]
    if kind in _SURPLUS:
        kept = np.ones(len(predicted), bool)
        kept[rows] = False
        left = pairs.where(kept[pairs.predicted])
        fewer = Rows(predicted.frame[kept], predicted.track[kept], predicted.group[kept])
        return replace(tracks, predicted=fewer, pairs=Pairs(np.cumsum(kept)[left.predicted] - 1, left.truth, left.iou))
    track = beyond + truth.track[rows]
    if kind != "missed":
        track = predicted.track[faults.partner[_nearest_hit(truth, faults.partner, rows)]]
    columns = ((predicted.frame, truth.frame[rows]), (predicted.track, track), (predicted.group, truth.group[rows]))
    fresh = len(predicted) + np.arange(len(rows))
    more = Pairs(
        np.concatenate([pairs.predicted, fresh]),
        np.concatenate([pairs.truth, rows]),
        np.concatenate([pairs.iou, np.ones(len(rows))]),
    )
    return replace(tracks, predicted=Rows(*(np.concatenate(both) for both in columns)), pairs=more)


def _nearest_hit(truth: Rows, partner: Int, rows: Int) -> Int:
    """Return, for each row of truth, the row of its track that was matched last before it, or else first after it."""
    order = _in_time(truth)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    hits = np.flatnonzero(partner[order] >= 0)
    after = np.searchsorted(hits, place[rows])
    back = order[hits[np.maximum(after - 1, 0)]]
    ahead = order[hits[np.minimum(after, len(hits) - 1)]]
    return np.where((after > 0) & (truth.track[back] == truth.track[rows]), back, ahead)


def count(tracks: Tracks) -> dict[str, Float]:
    """Return how many errors of each kind there are, their frames, and the counts of HOTA with each kind mended.

    >>> row = np.arange(4)  # one object in four frames; the tracker changes its id after the third
    >>> switched = Tracks(Rows.of(row, [1, 1, 1, 1]), Rows.of(row, [1, 1, 1, 2]), Pairs(row, row, np.full(4, 0.9)))
    >>> found = scores(count(switched))
    >>> found["track_switches"][0], found["track_gaps"][0], found["hota_switches"][0].round(3)
    (np.float64(1.0), np.float64(0.0), np.float64(0.198))
    """
    faults, out = _faults(tracks), {}
    of_switch = tracks.truth.group[faults.switched[1]]
    out["switches"], out["swaps"] = tracks.per_group(of_switch), tracks.per_group(of_switch[_swaps(tracks, faults)])
    for kind, (rows, begins) in faults.stretches.items():
        side = tracks.predicted if kind in _SURPLUS else tracks.truth
        which = begins if kind not in ("missed", "false") else np.unique(side.track[rows], return_index=True)[1]
        out[kind] = tracks.per_group(side.group[rows[which]])
        out[f"{kind}_frames"] = tracks.per_group(side.group[rows])
    for kind in ("", *KINDS):
        made = hota.count(_mended(tracks, faults, kind) if kind else tracks)
        out |= {f"{kind}:{name}": made[name] for name in ("tp", "fn", "fp", "ass")}
    return out


def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return the counts of errors and what they cost: float64 (...) by name."""
    out = {f"track_{name}": values for name, values in counts.items() if ":" not in name}
    base = _hota(counts, "")
    return out | {f"hota_{kind}": _hota(counts, kind) - base for kind in KINDS}


def _hota(counts: Mapping[str, Float], kind: str) -> Float:
    tp, fn, fp, ass = (counts[f"{kind}:{name}"] for name in ("tp", "fn", "fp", "ass"))
    some = np.where(tp + fn + fp > 0, 1.0, np.nan)
    found: Float = np.sqrt(some * tp / np.maximum(tp + fn + fp, 1) * ass / np.maximum(tp, 1)).mean(-1)
    return found


class TrackErrors(TrackMetric):
    """Errors of tracking over a stream of batches; keeps three numbers per object and per overlapping pair.

    Extra: ``"events"``, a tuple of `Event`, in the order of the images.
    """

    of_tracks = frozenset(f"hota_{kind}" for kind in KINDS)
    about: ClassVar = MappingProxyType(
        {f"track_{kind}": FEWER for kind in (*KINDS, "swaps")}
        | {f"track_{kind}_frames": replace(FEWER, detail=True) for kind in KINDS[1:]}
        | {f"hota_{kind}": Number(aim="less") for kind in KINDS}
    )
    count = staticmethod(count)
    scores = staticmethod(scores)

    def compute(self) -> MetricResult:
        """Return all numbers; see `TrackMetric.compute`."""
        found = super().compute()
        events = tuple(sorted(self._events(), key=lambda event: (event.image, event.kind)))
        return replace(found, extras={**found.extras, "events": events})

    def _events(self) -> Iterator[Event]:
        tracks = self._tracks()
        faults, swapped = _faults(tracks), _swaps(tracks, _faults(tracks))
        true_id, own_id = (np.concatenate(parts, 1)[2] for parts in self._parts)
        true_image, own_image = (rows.frame % max(self._images, 1) for rows in (tracks.truth, tracks.predicted))
        for k, (before, at) in enumerate(faults.switched.T.tolist()):
            ids = (int(own_id[faults.partner[row]]) for row in (before, at))
            kind = "swaps" if swapped[k] else "switches"
            yield Event(kind, int(true_image[at]), int(true_image[at]), int(true_id[at]), *ids)
        for kind, (rows, begins) in faults.stretches.items():
            for stretch in np.split(rows, begins[1:]) if len(rows) else ():
                image, own = (own_image, own_id) if kind in _SURPLUS else (true_image, true_id)
                first, last, name = int(image[stretch[0]]), int(image[stretch[-1]]), int(own[stretch[0]])
                yield Event(kind, first, last, *((None, name, name) if kind in _SURPLUS else (name, None, None)))


METRIC = TrackErrors
