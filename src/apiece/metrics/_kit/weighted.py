"""Sums and average precision of images that count with a weight: nothing is matched again.

A weight is a whole number for each image. Counts are sums over weighted images. A ranked list is the same list, in
which each prediction stands as often as its image counts. So a number is what a literal evaluation of these images
gives, with one choice where pycocotools leaves the order to chance: of equal scores within one image and class, the
copies of one prediction stay together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.curves import RECALL, hits_needed

_CELLS = 1 << 18
"""Numbers in one working array: small enough for a processor's cache."""
_FEW = 150
"""Hits up to which it is quicker to ask each hit for its recalls than each recall for its hit."""


def weighted_sums(weights: Int32, counts: npt.NDArray[np.number]) -> Float:
    """Return sums over images on each draw, float64 (draws, ...), exact for integers up to 2**53.

    ``counts`` is what each image adds, (images, ...).
    """
    flat = counts.reshape(len(counts), math.prod(counts.shape[1:])).astype(np.float64)
    return (weights.astype(np.float64) @ flat).reshape(len(weights), *counts.shape[1:])


def weighted_precision(
    weights: Int32, image: npt.NDArray[np.integer], right: Bool, wrong: Bool, positives: Int
) -> Float:
    """Return COCO's average precision of a class at each IoU on each draw: float64 (T, draws), NaN without truth.

    ``image`` is that of each prediction, best score first; ``right`` and ``wrong``, bool (T, P), are true and false
    positives, neither: ignored; ``positives`` is the truth that counts on each draw.
    """
    out = np.zeros((len(right), len(weights)))
    levels = [_Level.of(k, right[k], wrong[k], right[0] | wrong[0]) for k in np.flatnonzero(right.any(1)).tolist()]
    # what comes after the last hit changes nothing
    length = 1 + max((int(level.hit[-1]) for level in levels), default=-1)
    base = np.flatnonzero((right[0] | wrong[0])[:length])
    some = max(_CELLS // max(length, 1), 1)
    for start in range(0, len(weights) if levels else 0, some):
        rows = slice(start, start + some)
        drawn = weights[rows].astype(np.int64)
        before = _before(drawn, image[base])
        for level in levels:
            found = np.cumsum(np.take(drawn, image[level.hit], axis=1), axis=1)
            seen = np.take(before, level.place, axis=1)
            for sign, changed, place in level.changes:
                seen += sign * np.take(_before(drawn, image[changed]), place, axis=1)
            out[level.number, rows] = _mean_precision(found, seen, positives[rows])
    out[:, positives == 0] = np.nan
    return out


class _Level(NamedTuple):
    """What one IoU threshold needs, whatever the weights.

    Attributes
    ----------
    number : of the threshold.
    hit : int64 (H,), its true positives.
    place : int64 (H,), how many predictions that the first threshold counts lie up to each hit.
    changes : what this threshold counts beyond the first one (1) or leaves out (-1), and the place of the hits in it;
        few, where a size is judged: predictions whose match comes and goes.
    """

    number: int
    hit: Int
    place: Int
    changes: list[tuple[int, Int, Int]]

    @classmethod
    def of(cls, number: int, right: Bool, wrong: Bool, first: Bool) -> _Level:
        counted, hit = right | wrong, np.flatnonzero(right)
        changed = (1, counted & ~first), (-1, first & ~counted)
        rows = [(sign, np.flatnonzero(chosen[: hit[-1] + 1])) for sign, chosen in changed]
        changes = [(sign, some, np.searchsorted(some, hit, "right")) for sign, some in rows if len(some)]
        return cls(number, hit, np.cumsum(first, dtype=np.int64)[hit], changes)


def _before(drawn: Int, image: npt.NDArray[np.integer]) -> Int:
    """Weight of the first n predictions, n from 0: int64 (draws, predictions + 1)."""
    out = np.zeros((len(drawn), len(image) + 1), np.int64)
    np.cumsum(np.take(drawn, image, axis=1), axis=1, out=out[:, 1:])
    return out


def _mean_precision(found: Int, seen: Int, positives: Int) -> Float:
    """Mean over the recalls, per draw, from cumulative weights (draws, hits) and truth (draws,)."""
    # a hit of weight 0 has at most the precision of the hit before it: it never is the best from there on
    value = found / (seen + np.spacing(1))
    value = np.maximum.accumulate(value[:, ::-1], axis=1)[:, ::-1]
    if found.shape[1] <= _FEW:
        # each hit answers for the recalls that it is the first to reach
        reached = np.searchsorted(RECALL, found / np.maximum(positives, 1)[:, None], "right") * (found > 0)
        return (np.diff(reached, axis=1, prepend=0) * value).sum(1) / len(RECALL)
    # each recall is looked up among the hits; rows laid end to end on one ascending axis, so that one search serves all
    needed = hits_needed(positives)
    count, length = found.shape
    shift = (np.arange(count) * (1 + max(int(found[:, -1].max()), int(needed.max()))))[:, None]
    at = np.searchsorted((found + shift).ravel(), (needed + shift).ravel()).reshape(needed.shape)
    within = needed <= found[:, -1:]
    where = np.where(within, at - np.arange(count)[:, None] * length, 0)
    return np.where(within, np.take_along_axis(value, where, axis=1), 0.0).mean(1)
