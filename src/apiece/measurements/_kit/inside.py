"""Mean, least, greatest value and standard deviation of values at the pixels of each mask.

Pixels are gathered in chunks; the formula of Chan, Golub and LeVeque (1979), which keeps digits, joins the count, mean
and squared deviation of the pieces of a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import chunks, owners, sums

__all__ = ["statistics"]

CHUNK = 1 << 19  # pixels gathered at once: few enough for the processor's cache


def statistics(
    masks: Masks, channels: int, values: Callable[[Int], Sequence[Array]], columns: int, spread: bool
) -> Float:
    """Return (mean, min, max, standard deviation) of each column for each mask: float64 (4, N, columns).

    Parameters
    ----------
    channels : of the image.
    values : from the flat index of the first channel of pixels to ``columns`` arrays of values.
    spread : whether to compute the standard deviation.
    """
    out = np.full((4, len(masks), columns), np.nan)
    owner: list[Int] = []
    size: list[Int] = []
    pieces: list[Float] = []
    with np.errstate(invalid="ignore", over="ignore"):  # an image may hold inf and nan, and then so do the results
        for who, begin, index in _gather(masks, channels):
            count = np.diff(np.append(begin, len(index)))
            owner.append(who)
            size.append(count)
            pieces.append(np.stack([_piece(column, begin, count, spread) for column in values(index)], 2))
        if pieces:
            _join(np.concatenate(owner), np.concatenate(size), np.concatenate(pieces, axis=1), out)
    return out


def _gather(masks: Masks, channels: int) -> Iterator[tuple[Int, Int, Int]]:
    """Yield chunks: (instance of each piece, its first place, flat index of each pixel's first channel)."""
    stride = masks.size[1] * channels
    owner = owners(masks.offsets)
    length = (masks.y1 - masks.y0).astype(np.int64)
    base = masks.y0.astype(np.int64) * stride + masks.x.astype(np.int64) * channels
    for lo, hi in chunks(length, CHUNK):
        count = length[lo:hi]
        first = sums(count)[:-1]
        index = np.arange(0, int(count.sum()) * stride, stride)
        index += np.repeat(base[lo:hi] - first * stride, count)
        heads = np.flatnonzero(np.diff(owner[lo:hi], prepend=-1))
        yield owner[lo:hi][heads], first[heads], index


def _piece(values: Array, begin: Int, count: Int, spread: bool) -> Float:
    """Return (mean, min, max, sum of squared deviations) of each piece, shape (4, pieces)."""
    exact = values.dtype.kind in "ui" and values.dtype.itemsize <= 4
    out = np.zeros((4, len(begin)))
    out[0] = np.add.reduceat(values, begin, dtype=np.int64 if exact else np.float64) / count
    out[1] = np.minimum.reduceat(values, begin)
    out[2] = np.maximum.reduceat(values, begin)
    if spread:
        off = values - np.repeat(out[0], count)
        off *= off
        out[3] = np.add.reduceat(off, begin)
    return out


def _join(owner: Int, size: Int, pieces: Float, out: Float) -> None:
    """Join the pieces of each instance, in place; ``out`` becomes (mean, min, max, std) by instance and channel."""
    heads = np.flatnonzero(np.diff(owner, prepend=-1))
    who = owner[heads]
    total = np.add.reduceat(size, heads)[:, None]
    weight = size[:, None]
    mean = np.add.reduceat(pieces[0] * weight, heads) / total
    off = pieces[0] - np.repeat(mean, np.diff(np.append(heads, len(owner))), axis=0)
    out[0, who] = mean
    out[1, who] = np.minimum.reduceat(pieces[1], heads)
    out[2, who] = np.maximum.reduceat(pieces[2], heads)
    out[3, who] = np.sqrt(np.add.reduceat(pieces[3] + weight * off * off, heads) / total)
