"""Convex hulls of the shapes that masks were drawn from, without the bias of pixels.

A pixel belongs to a mask if its centre lies inside the shape. So an edge of the shape lies somewhere between a line of
pixel centres that are inside and the next parallel line of pixel centres. Its expected place is half way: a hull edge
in the direction of whole numbers (a, b) moves outwards by ``1 / (2 hypot(a, b))``. The hull of pixel corners is too
large, by up to 0.7 at a slanted edge, and the hull of pixel centres is too small, by 0.5 at an upright one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.runs import offsets_of
from apiece.ops.hull import Chains

__all__ = ["Hulls", "tips", "true_hulls"]

_STRAIGHT = 4.0  # pixels from which an edge is one of the shape, and no stretch of a curve
_CORNER = math.radians(50)  # turn from which a vertex, or it and the next one, are a corner of the shape
_WAYS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])  # left, right, up, down
_IN, _OUT = 0.3, 0.25  # pixels: how far a vertex is moved at most, and how much pixels cut off a corner


class Hulls(NamedTuple):
    """Convex polygons of N masks, each ordered by the direction of its edges.

    Attributes
    ----------
    points : float64 (P, 2): x, y of the vertices, in pixels; vertex k begins edge k.
    normals : int64 (P, 2): the outward normal of each edge; of a polygon the last one is the last before 180 degrees.
    offsets : int64 (N + 1,): where each polygon begins and ends; an empty mask has none.
    """

    points: Float
    normals: Int
    offsets: Int


class _Lines(NamedTuple):
    """Half-planes ``x * nx + y * ny <= reach``, of which each mask's hull is the intersection; ordered by angle."""

    mask: Int
    nx: Int
    ny: Int
    reach: Float

    def take(self, index: Int) -> _Lines:
        return _Lines(self.mask[index], self.nx[index], self.ny[index], self.reach[index])


def true_hulls(columns: Chains, count: int) -> Hulls:
    """Return the hulls from the vertices of the hulls of pixel centres (`apiece.ops.hull.hull_columns`)."""
    lines, (x, y) = _lines(columns, count), _middles(columns, count)
    room = lines.reach - lines.nx * x[lines.mask] - lines.ny * y[lines.mask]
    # a line that bounds nothing is, in the dual, a point inside the convex polygon of the others
    dual_x, dual_y = lines.nx / room, lines.ny / room
    kept = np.arange(len(room))
    while True:
        offsets = offsets_of(lines.mask[kept], count)
        before, after = _around(lines.mask[kept], offsets)
        ux, uy = dual_x[kept] - dual_x[kept[before]], dual_y[kept] - dual_y[kept[before]]
        vx, vy = dual_x[kept[after]] - dual_x[kept], dual_y[kept[after]] - dual_y[kept]
        idle = ux * vy - uy * vx <= 1e-12 * np.hypot(ux, uy) * np.hypot(vx, vy)
        if not idle.any():
            break
        kept = kept[~idle]
    own = lines.take(kept)
    last = own.take(before)
    crossing = last.nx * own.ny - last.ny * own.nx
    px = (last.reach * own.ny - own.reach * last.ny) / crossing
    py = (last.nx * own.reach - own.nx * last.reach) / crossing
    return Hulls(np.stack((px, py), 1), np.stack((own.nx, own.ny), 1), offsets)


def tips(hulls: Hulls) -> Float:
    """Return the vertices of hulls where the shape itself is expected to end: float64 (P, 2).

    Vertices on a smooth curve stick out of it, as those of a polygon around a circle do, and are moved in. A corner
    between long edges lost its tip to the pixels, and is moved out, unless both edges run along pixel sides. The two
    distances make greatest diameters nearly unbiased on drawn discs, ellipses, rectangles and fibres.
    """
    points, normals, offsets = hulls
    before, after = _around(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), offsets)
    edge = points[after] - points
    ahead = np.hypot(*edge.T)
    along = edge / np.maximum(ahead, 1e-12)[:, None]
    behind = ahead[before]
    turn = np.arccos(np.clip((along * along[before]).sum(1), -1, 1))
    short, long = np.minimum(ahead, behind), np.maximum(ahead, behind)
    cut = turn + np.where(ahead < behind, turn[after], turn[before])  # a corner that lost its tip has two vertices
    corner = (cut > _CORNER) & (long >= np.maximum(_STRAIGHT, 2 * short)) | (turn > _CORNER) & (short >= _STRAIGHT)
    inwards = np.where(corner, -_OUT, np.minimum(short / 2 * np.tan(turn / 4), _IN))
    upright = np.abs(normals).sum(1) == 1
    rectangle = np.repeat(np.diff(offsets) == 4, np.diff(offsets))
    inwards[upright & upright[before] & (rectangle | (short >= _STRAIGHT))] = 0
    bisector = along - along[before]
    return points + bisector * (inwards / np.maximum(np.hypot(*bisector.T), 1e-12))[:, None]


def _around(mask: Int, offsets: Int) -> tuple[Int, Int]:
    """Return the line before and the line behind each one, around the same mask."""
    at, first, end = np.arange(len(mask)), offsets[:-1][mask], offsets[1:][mask]
    return np.where(at == first, end - 1, at - 1), np.where(at + 1 == end, first, at + 1)


def _lines(columns: Chains, count: int) -> _Lines:
    """Return the moved edges of the hull of pixel centres, and the sides of the bounding box."""
    chain, x, y = columns
    edge = np.flatnonzero(chain[1:] == chain[:-1])
    dx, dy = x[edge + 1] - x[edge], y[edge + 1] - y[edge]
    common = np.gcd(dx, dy)
    nx, ny = dy // common, -dx // common
    lower = chain[edge] >= count
    reach = nx * (x[edge] + 0.5) + ny * (y[edge] + 0.5) + 0.5
    found = [_Lines(chain[edge] % max(count, 1), nx, np.where(lower, -ny, ny), reach)]
    mask = np.arange(count)[np.bincount(chain, minlength=2 * count)[:count] > 0]
    begins = offsets_of(chain, 2 * count)
    left, right = x[begins[mask]], x[begins[mask + 1] - 1] + 1
    least = np.minimum.reduceat(y, begins[np.concatenate((mask, mask + count))]) if len(mask) else y
    top, bottom = np.split(least, 2)
    flat = np.zeros((4, count), bool)  # a flat edge at the top or at the bottom is there already
    level = nx == 0
    flat[np.where(lower, 3, 2)[level], found[0].mask[level]] = True
    way, own = np.nonzero(~flat[:, mask])
    sides = np.stack((-left, right, -top, -bottom)).astype(np.float64)
    found.append(_Lines(mask[own], _WAYS[way, 0], _WAYS[way, 1], sides[way, own]))
    lines = _Lines(*(np.concatenate(a) for a in zip(*found, strict=True)))
    return lines.take(np.lexsort((np.arctan2(lines.ny, lines.nx), lines.mask)))


def _middles(columns: Chains, count: int) -> tuple[Float, Float]:
    """Return a place inside the hull of each mask: the mean of its vertices."""
    chain, x, y = columns
    mask = chain % max(count, 1)
    number = np.maximum(np.bincount(mask, minlength=count), 1)
    middle = np.where(chain < count, y + 0.5, -(y + 0.5))
    return np.bincount(mask, x + 0.5, count) / number, np.bincount(mask, middle, count) / number
