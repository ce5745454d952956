"""SEG, DET, TRA and LNK of the Cell Tracking Challenge, and how well divisions are found.

A result matches a true object of its frame if it covers more than half of it; each true object has at most one match.
Truth and result are graphs: an object in a frame is a vertex. An edge joins an object to itself in the next frame, or a
mother's last frame to the first frame of a daughter.

- ``ctc_seg``: mean over true objects of the IoU with the match, 0 where there is none.
- ``ctc_det``: ``1 - min(D, D0) / D0``; ``D`` is 10 for each object missed, 5 for each that a result holds beyond one
  (a split to make), 1 for each result without a match; ``D0`` is 10 for each true object.
- ``ctc_lnk``: the same for edges: 1.5 for each that is missing, 1 for each too many between results of one match each,
  1 for a mother's edge in place of a track's or the reverse; over 1.5 for each true edge.
- ``ctc_tra``: both together, vertices and edges.
- ``ctc_division_f1``: a division is right if mother and all daughters match, in their very frames: twice the right ones
  over all true and all found ones.

Mothers are the attribute ``parent`` of instances (0: none), as the tracker ``cells`` gives it and as `apiece.evaluate`
takes it from files of the challenge. Edges join neighbouring frames of a sequence, so a track with a gap has no edge
there. Sequences and classes are pooled, each class for itself. NaN means undefined: nothing below the line.

As py-ctcmetrics, the challenge's own numbers. The challenge takes SEG against outlines and the others against markers:
give it ``01_GT/SEG`` or ``01_GT/TRA``.

References: Ulman et al. 2017, doi 10.1038/nmeth.4473; Matula et al. 2015, doi 10.1371/journal.pone.0144959 (AOGM).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Bool, Float, Int, Int32
from apiece.errors import DataError
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.track_units import resampled
from apiece.metrics._kit.tracks_log import VideoMetric
from apiece.metrics.contract import MetricResult, Resampled

__all__ = ["METRIC", "Ctc", "count", "scores"]

_SPLIT, _MISSED, _FALSE = 5.0, 10.0, 1.0  # what correcting a vertex costs
_ABSENT, _SURPLUS, _CHANGED = 1.5, 1.0, 1.0  # and an edge


def count(
    truth: Int, predicted: Int, pairs: Pairs, groups: int, counted: tuple[Int, Int] | None = None
) -> dict[str, Float]:
    """Return the counts of which the numbers are made: float64 (groups,) by name; they may be added over groups.

    Parameters
    ----------
    truth, predicted : int64 (4, N): group, frame, id and parent (0: none) of each object.
    pairs : those of which the prediction covers more than half of the truth.
    counted : int64 (N,) of truth and of predictions, what each counts for, where that is not its group.
    """
    place_truth, place_predicted = (truth[0], predicted[0]) if counted is None else counted
    best = np.lexsort((-pairs.iou, pairs.truth))
    best = best[np.append(True, np.diff(pairs.truth[best]) != 0)[: len(best)]]
    match = np.full(truth.shape[1], -1)
    match[pairs.truth[best]] = pairs.predicted[best]
    held = np.bincount(match[match >= 0], minlength=predicted.shape[1])
    # the true object of each result that holds exactly one
    back = np.full(predicted.shape[1] + 1, -1)
    back[match[match >= 0]] = np.flatnonzero(match >= 0)
    back[np.flatnonzero(held != 1)] = -1

    def per(place: Int, rows: Int | Bool | slice, weights: Float | None = None) -> Float:
        return np.bincount(place[rows], weights, groups).astype(np.float64)

    first, second, born = _edges(truth)
    own = _edges(predicted)
    a, b = back[own[0]], back[own[1]]
    sure = (a >= 0) & (b >= 0)
    a, b, made = a[sure], b[sure], own[2][sure]
    across = truth.shape[1] + 1
    true_key, found_key = first * across + second, a * across + b
    order = np.argsort(true_key)
    at = np.searchsorted(true_key[order], found_key)
    known = np.append(true_key[order], -1)[at] == found_key
    changed = np.zeros(len(known), bool)
    changed[known] = born[order][at[known]] != made[known]
    right = _divisions(first[born], second[born])
    found = _divisions(back[own[0][own[2]]], back[own[1][own[2]]])
    mothers = np.array([mother for mother, daughters in found.items() if right.get(mother) == daughters], np.int64)
    many_found = [row for row, daughters in _divisions(own[0][own[2]], own[1][own[2]]).items() if len(daughters) > 1]
    return {
        "objects": per(place_truth, slice(None)),
        "edges": per(place_truth, first),
        "iou": per(place_truth, pairs.truth[best], pairs.iou[best]),
        "split": per(place_predicted, slice(None), np.maximum(held - 1, 0)),
        "missed": per(place_truth, match < 0),
        "false": per(place_predicted, held == 0),
        "absent": per(place_truth, first[~np.isin(true_key, found_key)]),
        "surplus": per(place_truth, a[~known]),
        "changed": per(place_truth, a[changed]),
        "same": per(place_truth, mothers),
        "divisions": per(place_truth, np.array([row for row, own in right.items() if len(own) > 1], np.int64))
        + per(place_predicted, np.array(many_found, np.int64)),
    }


def _edges(side: Int) -> tuple[Int, Int, Bool]:
    """Return the rows that each edge joins, the earlier one first, and whether it is one of mother and daughter."""
    group, frame, own, parent = side
    order = np.lexsort((frame, own, group))
    new = np.append(True, (np.diff(group[order]) != 0) | (np.diff(own[order]) != 0))[: len(order)]
    begins, ends = order[new], order[np.append(new[1:], True)[: len(order)]]
    next_ = ~new[1:] & (np.diff(frame[order]) == 1)
    children = begins[parent[begins] > 0]
    ends = ends[np.isin(own[ends], parent[children])]
    tracks = {(g, i): row for g, i, row in zip(group[ends].tolist(), own[ends].tolist(), ends.tolist(), strict=True)}
    mothers = [tracks.get((g, p), -1) for g, p in zip(group[children].tolist(), parent[children].tolist(), strict=True)]
    mother = np.array(mothers, np.int64)
    there = (mother >= 0) & (frame[mother] < frame[children])
    first = np.concatenate([order[:-1][next_], mother[there]])
    second = np.concatenate([order[1:][next_], children[there]])
    return first, second, np.arange(len(first)) >= next_.sum()


def _divisions(mothers: Int, daughters: Int) -> dict[int, frozenset[int]]:
    """Return the daughters of each mother, without mothers that no true object matches (-1)."""
    found: dict[int, set[int]] = {}
    for mother, daughter in zip(mothers.tolist(), daughters.tolist(), strict=True):
        if mother >= 0:
            found.setdefault(mother, set()).add(daughter)
    return {mother: frozenset(own) for mother, own in found.items() if len(own) > 1}


def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
    """Return the five numbers: float64 (...) by name."""
    objects, edges = _MISSED * counts["objects"], _ABSENT * counts["edges"]
    vertex = _SPLIT * counts["split"] + _MISSED * counts["missed"] + _FALSE * counts["false"]
    edge = _ABSENT * counts["absent"] + _SURPLUS * counts["surplus"] + _CHANGED * counts["changed"]
    return {
        "ctc_seg": ratio(counts["iou"], counts["objects"]),
        "ctc_det": 1 - ratio(np.minimum(vertex, objects), objects),
        "ctc_tra": 1 - ratio(np.minimum(vertex + edge, objects + edges), objects + edges),
        "ctc_lnk": 1 - ratio(np.minimum(edge, edges), edges),
        "ctc_division_f1": ratio(2 * counts["same"], counts["divisions"]),
    }


class Ctc(VideoMetric):
    """The challenge's numbers over a stream of batches; keeps four numbers per object and three per match.

    Extra: ``"counts"``, what was corrected, by name.
    """

    keeps = ("id", "parent")

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError for objects without ids."""
        counted = ~batch.truth.crowd, batch.predicted.counted(self._conf)
        _check(batch, batch.truth, counted[0], "truth")
        _check(batch, batch.predicted, counted[1], "predictions")
        pairs = batch.mask_pairs
        most = 2 * batch.shared(pairs) > batch.truth.pixels[pairs.truth]
        self._take(batch, counted, pairs.where(most))

    def compute(self) -> MetricResult:
        """Return all numbers; extras: the corrections, and ``"sequences"``, the numbers of each sequence by name."""
        classes, sequences = len(self._classes), len(self._sequences)
        sides, pairs = self._taken()
        counts = count(*sides, pairs, max(sequences, 1) * classes)
        tables = {name: values.reshape(-1, classes) for name, values in counts.items()}
        by_class, by_sequence = (scores({name: table.sum(axis) for name, table in tables.items()}) for axis in (0, 1))
        pooled = {name: values.sum(0) for name, values in counts.items()}
        of_sequences = MetricResult.of(tuple(self._sequences), {}, by_sequence).per_class
        extras = {"counts": {name: float(value) for name, value in pooled.items()}, "sequences": of_sequences}
        applies = bool(sides[0][3].any())
        return MetricResult.of(self._classes, scores(pooled), by_class, extras=extras, applies=applies)

    def _taken(self) -> tuple[tuple[Int, Int], Pairs]:
        truth, predicted = (np.concatenate(parts, 1) for parts in self._parts)
        return (truth, predicted), joined(self._pairs)

    def _stay(self) -> float:
        group, _, own, _ = self._taken()[0][0]
        return len(own) / max(len(np.unique(np.stack([group, own]), axis=1).T), 1)

    def resample_units(self, weights: Int32) -> Resampled:
        """Return the numbers on each draw; see `apiece.metrics.contract.UnitResampling`."""
        units, (sides, pairs), classes = self._units, self._taken(), len(self._classes)
        places = tuple(units.of_image[side[1]] * classes + side[0] % classes for side in sides)
        counts = count(*sides, pairs, units.number * classes, (places[0], places[1]))
        tables = {name: values.reshape(units.number, classes) for name, values in counts.items()}
        return resampled(self._classes, tables, weights, scores)


def _check(batch: Batch, side: Side, kept: Bool, kind: str) -> None:
    lacking = np.flatnonzero(kept & ~side.has_id)
    if len(lacking):
        raise DataError(
            f"{batch.called(side.image[lacking[0]])}: objects of the {kind} have no ids, and the Cell Tracking "
            "Challenge follows objects by them; track them first, or use other metrics"
        )


METRIC = Ctc
