"""Matrix NMS (Wang et al., SOLOv2, NeurIPS 2020) on masks in tiles of bits: memory and time bounded, exact overlaps.

The paper multiplies all flattened masks with each other, a table of N x N from N x H x W floats. Here a mask is a word
of 64 bits for each tile of 8 x 8 cells that it touches. Words of one class and one tile are compared, a bounded number
at a time, and the table is the list of pairs that do overlap; other pairs leave the paper's formula unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.run_overlap import added_up
from apiece.core.runs import chunks, expand
from apiece.models._kit.clustering import suppress
from apiece.models.contract import DecodeOptions

Bits = npt.NDArray[np.uint64]
TILE = 8
"""Side of a tile: its cells are the bits of one word."""

_PAIRS = 1 << 20  # pairs of words compared at once


class Words(NamedTuple):
    """Masks on a grid of tiles: which mask, which tile (both int64 (W,), each pair once), and 64 cells as bits."""

    owner: Int
    tile: Int
    bits: Bits

    @classmethod
    def empty(cls) -> Words:
        none = np.zeros(0, np.int64)
        return cls(none, none, none.astype(np.uint64))

    @classmethod
    def concatenate(cls, parts: Sequence[Words]) -> Words:
        """Return the words of several sets of other masks or tiles."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @classmethod
    def of_masks(cls, masks: Masks) -> Words:
        """Return masks as words: a run is a few bits of one byte in each tile down its column."""
        runs, columns = masks.runs, -(-masks.size[1] // TILE)
        first = runs.y0 // TILE
        each = (runs.y1 - 1) // TILE + 1 - first
        row, run = expand(first, each), np.repeat(np.arange(len(runs.x)), each)
        top, bottom = (np.clip(y[run] - TILE * row, 0, TILE).astype(np.uint64) for y in (runs.y0, runs.y1))
        one, x = np.uint64(1), runs.x[run]
        byte = (one << bottom) - (one << top)
        tiles = -(-masks.size[0] // TILE) * columns
        key = runs.owners[run] * tiles + row * columns + x // TILE
        order = np.argsort(key, kind="stable")
        key, begins = np.unique(key[order], return_index=True)
        bits = (byte << (TILE * (x % TILE)).astype(np.uint64))[order]
        joined = np.bitwise_or.reduceat(bits, begins) if len(begins) else bits
        return cls(*np.divmod(key, max(tiles, 1)), joined)

    def ranked(self, order: Int, count: int) -> Words:
        """Return the words of the masks ``order``, numbered by it, of ``count`` masks."""
        rank = np.full(count, -1)
        rank[order] = np.arange(len(order))
        owner = rank[self.owner]
        some = owner >= 0
        return Words(owner[some], self.tile[some], self.bits[some])


@dataclass(frozen=True)
class Pairs:
    """Pairs of masks of one class that overlap; masks come best first."""

    winner: Int  # int64[P]: the better of each pair, which comes before
    loser: Int  # int64[P]: the worse
    iou: Float  # float64[P], above 0


def pack_tiles(on: Bool) -> Bits:
    """Return tiles (K, 8, 8) as words: uint64 (K,)."""
    return np.packbits(on.reshape(len(on), TILE * TILE), axis=1).view(np.uint64)[:, 0]


def mask_pairs(words: Words, labels: Int) -> Pairs:
    """Return all pairs of one class that overlap, with their IoU; ``labels`` int64 (N,), masks best first."""
    count = len(labels)
    area = np.bincount(words.owner, np.bitwise_count(words.bits), count)
    order = np.lexsort((words.owner, words.tile, labels[words.owner]))
    owner, tile, bits = words.owner[order], words.tile[order], words.bits[order]
    # each word meets those behind it in its class and tile
    label = labels[owner]
    ends = np.append(np.flatnonzero((np.diff(tile) != 0) | (np.diff(label) != 0)) + 1, len(tile))
    behind = np.repeat(ends, np.diff(ends, prepend=0)) - np.arange(1, len(tile) + 1) if len(tile) else tile

    def parts() -> Iterator[tuple[Int, Int]]:
        for lo, hi in chunks(behind, _PAIRS):
            i = np.repeat(np.arange(lo, hi), behind[lo:hi])
            j = expand(np.arange(lo, hi) + 1, behind[lo:hi])
            yield owner[i] * count + owner[j], np.bitwise_count(bits[i] & bits[j]).astype(np.int64)

    pair, pixels = added_up(parts())
    pair, pixels = pair[pixels > 0], pixels[pixels > 0]
    winner, loser = np.divmod(pair, max(count, 1))
    return Pairs(winner, loser, pixels / (area[winner] + area[loser] - pixels))


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


def matrix_nms(words: Words, score: Float, labels: Int, options: DecodeOptions) -> tuple[Int, Float]:
    """Return the masks that stay, and their scores, best first: Matrix NMS, then greedy NMS at the asked IoU.

    Masks come best first. A score decays by the paper's rule, and must reach the asked one after it, too.
    """
    pairs = mask_pairs(words, labels)
    final = score * decay(pairs, len(score))
    stays = distinct_masks(pairs, final, options.iou)
    stays = stays[final[stays] >= options.threshold(labels[stays])]
    return stays, final[stays]
