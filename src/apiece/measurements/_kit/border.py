"""Pixels at both sides of the outlines of masks, one row a mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import expand, owners, sums

__all__ = ["BLOCK", "Border", "Pixels", "border_of", "unbroken"]

BLOCK = 32
"""Rows of pixels are a multiple of this long. What is summed over them is summed in blocks of it, one after the other:
BLAS has an order of its own, and one that changes with the length."""

_FAR = 1e8  # in pixels


class Pixels(NamedTuple):
    """Pixel centres next to the outlines of K masks, a row of each. Pixels that lie far outside fill a row up.

    These are so far from every form that they cost exactly nothing: no number of a mask depends on how long the rows of
    the masks beside it are.

    Attributes
    ----------
    place : float64 (2, K, P).
    sign : float64 (K, P): 1 inside of the mask, -1 outside.
    """

    place: Float
    sign: Float

    @classmethod
    def filled(cls, many: Int, row: Int, place: Float, sign: Float) -> tuple[Pixels, Int]:
        """Return ``many`` pixels of each mask, in its order, as rows of equal length, and the column of each."""
        column = np.arange(len(row)) - np.repeat(sums(many)[:-1], many)
        shape = len(many), -(-int(many.max(initial=1)) // BLOCK) * BLOCK
        places, signs = np.full((2, *shape), _FAR), np.full(shape, -1.0)
        places[:, row, column], signs[row, column] = place, sign
        return cls(places, signs), column

    def rows(self, index: Int) -> Pixels:
        """Return those of some of the masks."""
        return Pixels(self.place[:, index], self.sign[index])

    def where(self, kept: Bool) -> Pixels:
        """Return some of the pixels."""
        row, column = np.nonzero(kept)
        return self.filled(kept.sum(1), row, self.place[:, row, column], self.sign[row, column])[0]


class Border(NamedTuple):
    """Pixels at both sides of the outlines of K masks: those that share a side with a pixel at the other.

    Attributes
    ----------
    pixels : P of each mask.
    upright, sideways : bool (K, P), whether the outline lies above or below a pixel, and left or right of it.
    """

    pixels: Pixels
    upright: Bool
    sideways: Bool


def unbroken(masks: Masks) -> Bool:
    """Return which masks have one run in each column, each beside the next: bool (N,)."""
    owner = owners(masks.offsets)
    x, y0, y1 = masks.x, masks.y0, masks.y1
    beside = (x[1:] == x[:-1] + 1) & (y0[1:] < y1[:-1]) & (y0[:-1] < y1[1:])
    whole = np.diff(masks.offsets) > 0
    whole[owner[1:][(owner[1:] == owner[:-1]) & ~beside]] = False
    return whole


def border_of(masks: Masks, scale: tuple[float, float] = (1.0, 1.0)) -> Border:
    """Return the pixels at both sides of the outlines of masks that are `unbroken`.

    Parameters
    ----------
    scale : width and height of a pixel.
    """
    first, last = masks.offsets[:-1], masks.offsets[1:] - 1
    x, y0, y1 = (values.astype(np.int64) for values in (masks.x, masks.y0, masks.y1))
    # the runs left and right of each; where there is none, one that holds no row
    low, high = np.repeat(y1[None], 2, 0), np.repeat(y0[None], 2, 0)
    for side, other, alone in ((0, -1, first), (1, 1, last)):
        there = np.arange(len(x)) + other
        there[alone] = alone
        low[side], high[side] = y0[there], y1[there]
        low[side, alone], high[side, alone] = y1[alone], y0[alone]
    top, bottom = np.maximum(y0 + 1, low.max(0)), np.minimum(y1 - 1, high.min(0))
    ends = np.zeros((2, len(x)), np.int64)
    ends[0, first] = ends[1, last] = 1
    # of each run: inside above and below, outside above and below, then left and right of the mask
    begin = np.stack((y0, np.maximum(top, bottom), np.minimum(y0 - 1, low.min(0)), y1, y0, y0), 1)
    stop = np.stack((top, y1, y0, np.maximum(y1 + 1, high.max(0)), *(y0 + ends * (y1 - y0))), 1)
    number = stop - begin
    y = expand(begin.reshape(-1), number.reshape(-1))
    part = np.repeat(np.tile(np.arange(6), len(x)), number.reshape(-1))
    each = number.sum(1)
    x, y0, y1, left0, left1, right0, right1 = np.repeat(
        np.stack((x, y0, y1, *np.stack((low, high), 1).reshape(4, -1))), each, 1
    )
    inside, beside = part < 2, part > 3
    left, right = (left0 <= y) & (y < left1), (right0 <= y) & (y < right1)
    upright = np.where(inside, (y == y0) | (y == y1 - 1), (y == y0 - 1) | (y == y1))
    sideways = np.where(inside, ~(left & right), left | right | beside)
    place = np.stack((x + np.array([0, 0, 0, 0, -1, 1])[part] + 0.5, y + 0.5)) * np.array(scale)[:, None]
    many = np.add.reduceat(each, first) if len(first) else each
    row = np.repeat(np.arange(len(many)), many)
    pixels, column = Pixels.filled(many, row, place, np.where(inside, 1.0, -1.0))
    flags = np.zeros((2, *pixels.sign.shape), bool)
    flags[:, row, column] = upright, sideways
    return Border(pixels, *flags)
