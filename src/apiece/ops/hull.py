"""Convex hulls of all masks at once, and what is measured on them.

Only the highest and the lowest pixel of each column can touch the hull. An *upper chain* is a row of points with
ascending x, of which the hull's upper boundary is kept; the lower boundary is the same thing with y negated. All
coordinates are integers, so every hull is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import expand, offsets_of, owners, segment_sum

__all__ = ["Calipers", "calipers", "convex_pixels", "hull_columns"]

Chains = tuple[Int, Int, Int]
"""(chain, x, y) of points, ordered by (chain, x). Chain i is the upper boundary of mask i, chain N + i its lower one,
with y negated."""


def hull_columns(masks: Masks) -> Chains:
    """Return the columns whose end pixels are vertices of the hull of the pixel centres.

    ``y`` is the top edge of the column's highest pixel, or minus the bottom edge of its lowest one.
    """
    count = len(masks)
    owner, x = owners(masks.offsets), masks.x.astype(np.int64)
    if not len(x):
        return owner, x, x
    new = np.concatenate(([True], (x[1:] != x[:-1]) | (owner[1:] != owner[:-1])))
    heads = np.flatnonzero(new)
    lasts = np.append(heads[1:], len(x)) - 1
    owner, x = owner[heads], x[heads]
    y = np.concatenate((masks.y0[heads], -masks.y1[lasts])).astype(np.int64)
    return _upper_hull(np.concatenate((owner, owner + count)), np.concatenate((x, x)), y)


def _upper_hull(chain: Int, x: Int, y: Int) -> Chains:
    """The strictly convex upper boundary (smallest y) of each chain; x ascends strictly within a chain.

    A point on or below the line through its two neighbours is no vertex of the hull, whatever happens to the
    neighbours, so each pass drops all such points of all chains; a chain that lost none is finished.
    """
    alive = np.ones(len(x), bool)
    index = np.arange(len(x))
    while len(index) > 2:
        c, px, py = chain[index], x[index], y[index]
        dx, dy = np.diff(px), np.diff(py)
        inner = (c[2:] == c[:-2]) & (dx[:-1] * dy[1:] <= dy[:-1] * dx[1:])
        if not inner.any():
            break
        drop = np.zeros(len(index), bool)
        drop[1:-1] = inner
        alive[index[drop]] = False
        changed = np.zeros(int(c[-1]) + 1, bool)
        changed[c[drop]] = True
        index = index[~drop & changed[c]]
    return chain[alive], x[alive], y[alive]


def _pixel_points(columns: Chains, scale: int, dx: tuple[int, ...], dy: tuple[int, ...]) -> Chains:
    """The hull of points of each end pixel: its top left corner times ``scale``, plus each (dx, dy).

    The first and the last of these points lie on the pixel's left and right edge, which two neighbouring columns share;
    the higher one counts. A vertex of the hull of pixels belongs to a pixel whose centre is a vertex of their hull.
    """
    chain, x, y = columns
    xs = x[:, None] * scale + np.array(dx)
    ys = y[:, None] * scale + np.array(dy)
    keep = np.ones(xs.shape, bool)
    shared = np.flatnonzero((chain[1:] == chain[:-1]) & (x[1:] == x[:-1] + 1))
    ys[shared, -1] = np.minimum(ys[shared, -1], ys[shared + 1, 0])
    keep[shared + 1, 0] = False
    return _upper_hull(np.repeat(chain, len(dx))[keep.ravel()], xs[keep], ys[keep])


def convex_pixels(columns: Chains, count: int) -> Int:
    """Pixels whose centre lies in or on the hull of the mask's edge midpoints (scikit-image's ``area_convex``).

    Parameters
    ----------
    columns : of `hull_columns`.
    count : number of masks.
    """
    # doubled coordinates: edges of pixels are even, centres odd
    chain, x, y = _pixel_points(columns, 2, (0, 1, 2), (1, 0, 1))
    edge = np.flatnonzero(chain[1:] == chain[:-1])
    ax, ay = x[edge], y[edge]
    width, rise = x[edge + 1] - ax, y[edge + 1] - ay
    first = ax | 1
    columns_of = (ax + width - first + 1) // 2
    which = np.repeat(np.arange(len(edge)), columns_of)
    along = expand(np.zeros(len(edge), np.int64), columns_of) * 2 + (first - ax)[which]
    width = width[which]
    # rows i with 2i + 1 >= boundary start at ceil((boundary - 1) / 2); the lower boundary gives minus its end
    row = (width - (ay[which] * width + rise[which] * along)) // (2 * width)
    total = segment_sum(row, offsets_of(chain[edge][which], 2 * count))
    return total[:count] + total[count:]


@dataclass(frozen=True)
class Calipers:
    """What calipers measure on convex hulls; float64, one value per mask, NaN for an empty one.

    Attributes
    ----------
    feret_max, feret_min : greatest and least distance of two parallel lines that hold the mask between them.
    length, width : sides of the enclosing rectangle of least area, ``length >= width``.
    angle : direction of the long side in degrees, 0 <= angle < 180, from the x axis towards the y axis (clockwise on
        a screen); for a square the side below 90.
    """

    feret_max: Float
    feret_min: Float
    length: Float
    width: Float
    angle: Float


def calipers(points: Float, normals: Int, offsets: Int, tips: Float, scale: tuple[float, float]) -> Calipers:
    """Measure hulls given by `apiece.ops.true_hull`, with x and y scaled first; the greatest width is that of the tips.

    The directions of a hull's edges ascend, so a binary search finds the vertex that lies furthest in any direction
    (Shamos 1978: antipodal pairs; Freeman and Shapira 1975: the rectangle of least area has a side on an edge).
    """
    count = len(offsets) - 1
    out = np.full((5, count), np.nan)
    sizes = np.diff(offsets)
    some = np.flatnonzero(sizes)
    if not len(some):
        return Calipers(*out)
    sizes, starts = sizes[some], offsets[some]
    hull = np.repeat(np.arange(len(some)), sizes)
    first, size = starts[hull], sizes[hull]
    at = np.arange(len(points))
    px, py = points[:, 0] * scale[0], points[:, 1] * scale[1]
    tx, ty = tips[:, 0] * scale[0], tips[:, 1] * scale[1]
    following = _next(at, first, size)
    ex, ey = -normals[:, 1] * scale[0], normals[:, 0] * scale[1]
    turn = np.arctan2(ey, ex) / (2 * np.pi)
    side = np.hypot(ex, ey)
    ex, ey = ex / side, ey / side
    turn = np.where(turn < -0.25 + 1e-15, turn + 1, turn)  # an edge that runs straight up is a hull's last one
    key = hull + (turn + 0.25) / 2

    def furthest(quarters: float) -> Int:
        """The vertex where the hull's boundary first runs in the edge's direction turned by so many quarters."""
        target = (turn + 0.25 + quarters / 4) % 1.0
        vertex = np.searchsorted(key, hull + target / 2)
        return np.where(vertex == first + size, first, vertex)

    opposite = furthest(2)
    ahead, behind = furthest(1), furthest(3)
    apart = ex * (py[opposite] - py) - ey * (px[opposite] - px)
    along = ex * (px[ahead] - px[behind]) + ey * (py[ahead] - py[behind])
    reach = np.zeros(len(points))
    before = np.where(opposite == first, first + size, opposite) - 1
    for other in (before, opposite, _next(opposite, first, size)):
        # an edge parallel to another has two opposite vertices, and rounding picks either
        for end in (at, following):
            np.maximum(reach, (tx[other] - tx[end]) ** 2 + (ty[other] - ty[end]) ** 2, out=reach)
    out[0, some] = np.sqrt(np.maximum.reduceat(reach, starts))
    out[1, some] = np.minimum.reduceat(apart, starts)
    out[2:, some] = _least_rectangles(along, apart, turn, starts, hull)
    return Calipers(*out)


def _next(vertex: Int, first: Int, size: Int) -> Int:
    """The following vertex of the same hull."""
    return np.where(vertex + 1 == first + size, first, vertex + 1)


def _least_rectangles(along: Float, apart: Float, turn: Float, starts: Int, hull: Int) -> Array:
    """(length, width, angle) of the rectangle of least area of each hull; of equal ones that of the smallest angle."""
    length, width = np.maximum(along, apart), np.minimum(along, apart)
    angle = (turn + np.where(along >= apart, 0.0, 0.25)) * 360 % 180
    # rounding must not tell two equal sides or two equal rectangles apart
    near = 1e-9
    angle = np.where(length - width <= near * length, angle % 90, angle)
    angle = np.where(angle >= np.where(length - width <= near * length, 90, 180) - near, 0.0, angle)
    area = along * apart
    least = area <= np.minimum.reduceat(area, starts)[hull] * (1 + near)
    rank = np.where(least, angle, np.inf)
    best = np.flatnonzero(rank == np.minimum.reduceat(rank, starts)[hull])
    best = best[np.searchsorted(hull[best], np.arange(len(starts)))]
    return np.stack((length[best], width[best], angle[best]))
