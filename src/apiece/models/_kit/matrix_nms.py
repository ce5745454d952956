"""Matrix NMS (Wang et al., SOLOv2, NeurIPS 2020) on bit-packed masks: memory and time bounded, exact overlaps.

The paper multiplies all flattened masks with each other, a table of N x N from N x H W floats. Here a mask is a row of
bits, only pairs of one class whose boxes meet are compared, a bounded number at a time, and the table is the list of
pairs that do overlap; pairs that do not leave the paper's formula unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.models._kit.clustering import suppress
from apiece.ops.overlap import intersections

Bits = npt.NDArray[np.uint64]
_ROWS = 256  # masks whose boxes are compared with all others' at once
_WORDS = 1 << 20  # words of 64 pixels compared at once


@dataclass(frozen=True)
class Pairs:
    """Pairs of masks of one class that overlap; masks come best first."""

    winner: Int  # int64[P]: the better of each pair, which comes before
    loser: Int  # int64[P]: the worse
    iou: Float  # float64[P], above 0


def pack_bits(masks: Bool) -> Bits:
    """Return masks (N, ...) as rows of 64-pixel words: uint64 (N, words)."""
    packed = np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def mask_pairs(bits: Bits, boxes: Int, labels: Int) -> Pairs:
    """Return all pairs of one class that overlap, with their IoU.

    Parameters
    ----------
    bits : as `pack_bits` gives them, best first.
    boxes : (N, 4) half-open xyxy that hold the masks.
    labels : int64[N].
    """
    area = np.bitwise_count(bits).sum(1, dtype=np.int64)
    winners, losers, ious = [], [], []
    for a in range(0, len(bits), _ROWS):
        b = boxes[a : a + _ROWS, None]
        meet = (np.minimum(b[..., 2:], boxes[a:, 2:]) > np.maximum(b[..., :2], boxes[a:, :2])).all(-1)
        first, second = np.nonzero(np.triu(meet & (labels[a : a + _ROWS, None] == labels[a:]), 1))
        first, second = first + a, second + a
        at_once = max(1, _WORDS // max(1, bits.shape[1]))
        for k in range(0, len(first), at_once):
            i, j = first[k : k + at_once], second[k : k + at_once]
            both = np.bitwise_count(bits[i] & bits[j]).sum(1, dtype=np.int64)
            some = both > 0
            i, j, both = i[some], j[some], both[some]
            winners.append(i)
            losers.append(j)
            ious.append(both / (area[i] + area[j] - both))
    if not winners:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.zeros(0))
    return Pairs(np.concatenate(winners), np.concatenate(losers), np.concatenate(ious))


def overlapping(masks: Masks, labels: Int) -> Pairs:
    """Return what `mask_pairs` returns, of masks as runs, best first."""
    shared = intersections(masks, masks).tocoo()
    some = (shared.row < shared.col) & (labels[shared.row] == labels[shared.col]) & (shared.data > 0)
    first, second, both = shared.row[some], shared.col[some], shared.data[some]
    return Pairs(first, second, both / (masks.area[first] + masks.area[second] - both))


def decay(pairs: Pairs, count: int, sigma: float = 2.0) -> Float:
    """Return the factor of each of ``count`` scores: float64[count] in (0, 1], the paper's Gaussian form.

    ``min over better i of exp(-sigma iou_ij**2) / exp(-sigma most_i**2)``, with ``most_i`` the largest IoU of mask i
    with one better than itself, and never above 1.
    """
    most = np.zeros(count)
    np.maximum.at(most, pairs.loser, pairs.iou)
    factor = np.ones(count)
    np.minimum.at(factor, pairs.loser, np.exp(sigma * (most[pairs.winner] ** 2 - pairs.iou**2)))
    return factor


def distinct_masks(pairs: Pairs, score: Float, iou: float) -> Int:
    """Greedy NMS: return candidates whose IoU with every better, kept one is at most ``iou``, best first."""
    order = np.argsort(-score, kind="stable")
    rank = np.argsort(order)
    near = pairs.iou > iou
    ends = np.sort(rank[np.stack([pairs.winner[near], pairs.loser[near]])], axis=0)
    return order[suppress(ends[1], ends[0], len(order))]
