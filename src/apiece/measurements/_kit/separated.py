"""Forms that hold every pixel of a mask and none beside it: the mask is all that pixels tell of such a form.

Pixels leave a set of forms open: those that all pixel centres inside lie in, and all centres outside lie out of. It is
small, since pixels next to the outline lie at all distances from it: the radius of a disc is known to about a third of
what the number of pixels tells, and of a large disc to a tenth. A mask is fitted by the form in the middle of this set.
Its pixels cost ``log(1 + exp(distance / tau))`` where the distance is positive on the wrong side of the outline, and
``tau`` falls to about the width of the set. All masks take the steps of Newton's method together.

Where the set is small enough, its mean and covariance follow by expectation propagation (Minka, 2001): each pixel tells
a normal distribution of forms what it would become if the pixel's side were all that is new. No estimate has a smaller
error than this mean, if all sizes, angles and places are equally likely.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.special import erfcx

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import expand, owners

__all__ = ["Fit", "Kind", "Sides", "fit", "outline", "sides_of"]

Kind = Literal["disc", "ellipse", "rectangle", "stadium"]

_FIRST, _FALL, _STEPS = 0.1, 0.5, 8  # pixels: tau of the first step, how it falls, and steps
_LAST = 0.7  # tau of the last step, times the length of the outline
_COST = 1.8  # of all pixels of a mask: forms of the same kind cost less in 98% of drawn masks, other shapes more
_TOUCH = 0.05  # pixels by which a pixel centre lies on the wrong side at most
_FAR: dict[Kind, float] = {"disc": 0.25, "ellipse": 0.4, "rectangle": 0.6, "stadium": 0.9}  # 1.4 of what was seen
_HOPE = 0.2  # the same after some steps: how far a pixel lies beside a form that is not worth another step
_REACH = 8.0  # times tau: distances from which a pixel has no weight
_DAMP, _CLEAR = 1e-3, 6.0
_ROUNDS, _SHARE, _SOFT = 6, 0.8, 0.1  # of expectation propagation: rounds, share of a step, softness times the last tau
_FREE: dict[Kind, list[int]] = {kind: [0, 1, 2, 3, 4] for kind in ("ellipse", "rectangle", "stadium")}
_FREE["disc"] = [0, 1, 3]
_TURNED = np.array([0, 1, 2, 4, 3])


class Sides(NamedTuple):
    """Pixel sides between a mask and what is around it: the pixel inside (x, y), and the step to the one outside.

    Attributes
    ----------
    own : int64 (P,), the mask, in no order. Masks in several parts, with holes or dents in a column have none.
    x, y : int64 (P,).
    dx, dy : int64 (P,): one of them is 0, the other 1 or -1.
    """

    own: Int
    x: Int
    y: Int
    dx: Int
    dy: Int


class Fit(NamedTuple):
    """Forms of K masks that have one.

    Attributes
    ----------
    own : int64 (K,): which masks, ascending.
    form : float64 (K, 5): x and y of the middle, angle of the long side, half of the length and half of the width; the
        mean of all forms of the kind that leave these pixels on their sides.
    off : float64 (K, 5, 5): their covariance.
    chance : float64 (K,): logarithm of how likely such pixels are, of forms of this kind; to compare kinds by.
    """

    own: Int
    form: Float
    off: Float
    chance: Float


class _Pixels(NamedTuple):
    """Pixel centres next to outlines.

    Attributes
    ----------
    own : the mask.
    place : float64 (2, P).
    sign : 1 inside of the mask, -1 outside.
    upright : whether the neighbour on the other side of the outline lies above or below.
    key : a number of this pixel of this mask. A pixel with neighbours outside on several sides is there for each.
    """

    own: Int
    place: Float
    sign: Float
    upright: Bool
    key: Int

    def take(self, index: Int) -> _Pixels:
        return _Pixels(self.own[index], self.place[:, index], self.sign[index], self.upright[index], self.key[index])

    def of(self, kept: Int, count: int) -> _Pixels:
        """Return those of some of the masks, which become the only ones."""
        index = np.full(count, -1)
        index[kept] = np.arange(len(kept))
        some = self.take(np.flatnonzero(index[self.own] >= 0))
        return some._replace(own=index[some.own])


def sides_of(masks: Masks) -> Sides:
    """Return the pixel sides of masks whose columns have one run each, each beside the next."""
    owner = owners(masks.offsets)
    x, y0, y1 = (values.astype(np.int64) for values in (masks.x, masks.y0, masks.y1))
    same = owner[1:] == owner[:-1]
    beside = (x[1:] == x[:-1] + 1) & (y0[1:] < y1[:-1]) & (y0[:-1] < y1[1:])
    broken = np.zeros(len(masks), bool)
    broken[owner[1:][same & ~beside]] = True
    kept = np.flatnonzero(~broken[owner])
    owner, x, y0, y1 = owner[kept], x[kept], y0[kept], y1[kept]
    found = [(owner, x, y0, 0, -1), (owner, x, y1 - 1, 0, 1)]
    new = np.diff(owner, prepend=-1) > 0
    left, right = np.roll(np.arange(len(x)), 1), np.roll(np.arange(len(x)), -1)
    for step, other, alone in ((-1, left, new), (1, right, np.roll(new, -1))):
        top, bottom = (np.where(alone, y1, ends[other].clip(y0, y1)) for ends in (y0, y1))
        for first, last in ((y0, top), (bottom, y1)):
            count = last - first
            found.append((np.repeat(owner, count), np.repeat(x, count), expand(first, count), step, 0))
    columns = [np.concatenate([np.broadcast_to(side[k], side[0].shape) for side in found]) for k in range(5)]
    return Sides(*columns)


def fit(kind: Kind, sides: Sides, start: Float, which: Int, scale: tuple[float, float] = (1.0, 1.0)) -> Fit:
    """Return the forms of a kind that leave every pixel on its side, of the masks that have one.

    Parameters
    ----------
    sides : of all masks.
    start : float64 (N, 5), a form near each mask, as in `Fit`, in units of ``scale``.
    which : int64 (K,): the masks to fit, ascending; others are left out.
    scale : width and height of a pixel, of area 1.
    """
    index, whole = np.full(len(start), -1), np.zeros(len(start), bool)
    whole[sides.own] = True
    which = which[whole[which]]
    index[which] = np.arange(len(which))
    at = np.flatnonzero(index[sides.own] >= 0)
    own, form = index[sides.own[at]], start[which]
    place = np.stack((sides.x[at] + 0.5, sides.y[at] + 0.5)) * np.array(scale)[:, None]
    step = np.stack((sides.dx[at], sides.dy[at])) * np.array(scale)[:, None]
    sign, upright = np.repeat([1.0, -1.0], len(own)), np.tile(sides.dx[at] == 0, 2)
    key = np.concatenate(
        [((own << 24) + sides.y[at] + k * sides.dy[at] << 24) + sides.x[at] + k * sides.dx[at] for k in (0, 1)]
    )
    pixels = _Pixels(np.tile(own, 2), np.concatenate((place, place + step), 1), sign, upright, key)
    beyond = _worst(pixels, _places(kind, form, pixels)[0], len(form))
    near, off, cost = pixels, np.zeros((len(form), 5, 5)), np.zeros(len(form))
    for k in range(_STEPS):
        kept = np.flatnonzero(beyond <= np.maximum(_FAR[kind] * _FALL ** max(k - 1, 0), _HOPE))
        if not len(kept):
            return Fit(which[kept], form[kept], off[kept], cost[kept])
        if len(kept) < len(form):
            which, form = which[kept], form[kept]
            pixels, near = pixels.of(kept, len(beyond)), near.of(kept, len(beyond))
        tau = np.maximum(_FIRST * _FALL**k, _LAST / outline(kind, form))
        distance, slope = _distances(kind, form, near)
        beyond = _worst(near, distance, len(form))
        # the pixels next to the outline are those across which it runs; others would count twice
        reach = np.abs(slope[:2] * np.array(scale)[:, None])
        crossing = np.where(near.upright, reach[1] >= reach[0] - 1e-9, reach[0] >= reach[1] - 1e-9)
        at = np.flatnonzero(crossing & (np.abs(distance) < np.maximum(_REACH * tau[near.own], _HOPE)))
        near = near.take(at)
        cost = _step(kind, form, near, distance[at], slope[:, at], tau)
    kept = np.flatnonzero((_worst(pixels, _places(kind, form, pixels)[0], len(form)) <= _TOUCH) & (cost <= _COST))
    pixels = pixels.of(kept, len(form))
    which, form, cost = which[kept], form[kept], cost[kept]
    off = _mean(kind, form, pixels.take(np.unique(pixels.key, return_index=True)[1]))
    room = np.linalg.slogdet(off[:, _FREE[kind]][:, :, _FREE[kind]])[1]
    turned = np.flatnonzero(form[:, 3] < form[:, 4])
    form[turned, 2] += np.pi / 2
    form[turned, 3:], off[turned] = form[turned, :2:-1], off[turned][:, _TURNED][:, :, _TURNED]
    return Fit(which, form, off, room / 2 - cost)


def _step(kind: Kind, form: Float, pixels: _Pixels, distance: Float, slope: Float, tau: Float) -> Float:
    """Take one step of Newton's method, in place; return what the pixels of each mask cost."""
    each = tau[pixels.own]
    size = pixels.sign * distance / each
    wrong = 1 / (1 + np.exp(-np.clip(size, -50, 50)))
    _solve(kind, form, pixels.own, slope, pixels.sign * wrong / each, wrong * (1 - wrong) / each**2, tau)
    return np.asarray(np.bincount(pixels.own, np.logaddexp(0, size), len(form)), np.float64)


def _mean(kind: Kind, form: Float, pixels: _Pixels) -> Float:
    """Move forms to the mean of those that leave pixels on their side, in place; return their covariance (K, 5, 5).

    What a pixel says is kept as ``exp(mass * z - weight * z**2 / 2)`` of its distance ``z`` on the wrong side.
    """
    own, sign = pixels.own, pixels.sign
    tau = _LAST / outline(kind, form)
    each, soft = tau[own], (_SOFT * tau[own]) ** 2
    off = np.zeros((0, 5, 5))
    for k in range(_ROUNDS):
        distance, slope = _distances(kind, form, pixels)
        z = sign * distance
        if k == 0:
            wrong = 1 / (1 + np.exp(-np.clip(z / each, -50, 50)))
            weight = wrong * (1 - wrong) / each**2
            mass = weight * z - wrong / each
        else:
            spread = _along(off, own, slope)
            if k == 2:
                near = np.flatnonzero(z > -_CLEAR * np.sqrt(spread))  # others say nothing
                pixels, own, sign, z, slope = pixels.take(near), own[near], sign[near], z[near], slope[:, near]
                spread, weight, mass, soft = spread[near], weight[near], mass[near], soft[near]
            # without this pixel, then with all that its side says
            other = 1 / np.maximum(1 / spread - weight, 1e-9 / spread)
            middle = other * (z / spread - mass)
            total = np.sqrt(other + soft)
            with np.errstate(over="ignore"):
                pull = np.sqrt(2 / np.pi) / erfcx(middle / (np.sqrt(2) * total))
            less = np.clip(pull * (pull - middle / total) * other / total**2, 0, 1 - 1e-6)
            sharper = less / (other * (1 - less))
            weight += _SHARE * (sharper - weight)
            mass += _SHARE * (((middle - other / total * pull) * (sharper + 1 / other) - middle / other) - mass)
        off = _solve(kind, form, own, slope, sign * (weight * z - mass), weight, np.full(len(form), _FIRST))
    return off


def _along(off: Float, own: Int, slope: Float) -> Float:
    """Return the variance of the distance of each pixel."""
    out = np.zeros(len(own))
    for i in range(5):
        out += off[own, i, i] * slope[i] ** 2
        for j in range(i):
            out += 2 * off[own, i, j] * slope[i] * slope[j]
    return out


def _solve(kind: Kind, form: Float, own: Int, slope: Float, pull: Float, weight: Float, tau: Float) -> Float:
    """Move forms to the least of a quadratic cost, in place; return the inverse of its curvature (K, 5, 5)."""
    count, slope = len(form), slope.copy()
    curve, total = np.zeros((count, 5, 5)), np.zeros((count, 5))
    slope[2] /= form[own, 3]  # an angle counts as what it moves the ends by
    if kind == "disc":
        slope[3] += slope[4]
    for i in _FREE[kind]:
        total[:, i] = np.bincount(own, pull * slope[i], count)
        weighted = weight * slope[i]
        for j in [j for j in _FREE[kind] if j <= i]:
            curve[:, i, j] = curve[:, j, i] = np.bincount(own, weighted * slope[j], count)
    every = np.arange(5)
    curve[:, every, every] += _DAMP / tau[:, None] ** 2
    inverse = np.linalg.inv(curve)
    move = -(inverse @ total[:, :, None])[:, :, 0]
    move *= np.minimum(1, 4 * tau / np.maximum(np.abs(move).max(1), 1e-12))[:, None]
    turn = np.ones((count, 5))
    turn[:, 2] = 1 / form[:, 3]
    if kind == "disc":
        move[:, 4] = move[:, 3]
        inverse[:, 4], inverse[:, :, 4] = inverse[:, 3], inverse[:, :, 3]
        inverse[:, 4, 4] = inverse[:, 3, 3]
    form += move * turn
    form[:, 3:] = np.maximum(form[:, 3:], 0.5)
    if kind == "stadium":
        form[:, 3] = np.maximum(form[:, 3], form[:, 4])
    return inverse * turn[:, :, None] * turn[:, None, :]


def _places(kind: Kind, form: Float, pixels: _Pixels) -> tuple[Float, Float, Float]:
    """Return how far pixels lie outside of forms, near the outline, and their places along and across each form."""
    own = pixels.own
    cos, sin = np.cos(form[:, 2])[own], np.sin(form[:, 2])[own]
    x, y = pixels.place[0] - form[own, 0], pixels.place[1] - form[own, 1]
    u, v = x * cos + y * sin, y * cos - x * sin
    long, wide = form[own, 3], form[own, 4]
    if kind == "rectangle":
        return np.maximum(np.abs(u) - long, np.abs(v) - wide), u, v
    if kind == "stadium":
        return np.hypot(np.maximum(np.abs(u) - (long - wide), 0), v) - wide, u, v
    size = np.hypot(u / long, v / wide)
    return (size - 1) * size / np.maximum(np.hypot(u / long**2, v / wide**2), 1e-9), u, v


def _distances(kind: Kind, form: Float, pixels: _Pixels) -> tuple[Float, Float]:
    """Return how far pixels lie outside of forms, near the outline, and how that follows a form's numbers (5, P)."""
    own = pixels.own
    distance, u, v = _places(kind, form, pixels)
    long, wide = form[own, 3], form[own, 4]
    if kind == "rectangle":
        end = np.abs(u) - long > np.abs(v) - wide
        nu, nv = np.where(end, np.sign(u), 0.0), np.where(end, 0.0, np.sign(v))
        by_long, by_wide = -np.abs(nu), -np.abs(nv)
    elif kind == "stadium":
        size = np.maximum(distance + wide, 1e-9)
        nu, nv = np.sign(u) * np.maximum(np.abs(u) - (long - wide), 0) / size, v / size
        by_long = -np.abs(nu)
        by_wide = -by_long - 1
    else:
        size = np.maximum(np.hypot(u / long, v / wide), 1e-9)
        nu, nv = u / long**2, v / wide**2
        steep = np.maximum(np.hypot(nu, nv), 1e-9)
        nu, nv = nu / steep, nv / steep
        by_long, by_wide = -nu * u / (long * size), -nv * v / (wide * size)
    cos, sin = np.cos(form[:, 2])[own], np.sin(form[:, 2])[own]
    return distance, np.stack((nv * sin - nu * cos, -nu * sin - nv * cos, nu * v - nv * u, by_long, by_wide))


def outline(kind: Kind, form: Float) -> Array:
    """Return about how long the outline of each form is, of forms as in `Fit`: float64 (N,)."""
    long, wide = form[:, 3], form[:, 4]
    if kind == "rectangle":
        return np.asarray(4 * (long + wide))
    if kind == "stadium":
        return np.asarray(4 * (long - wide) + 2 * np.pi * wide)
    return np.asarray(np.pi * (long + wide))


def _worst(pixels: _Pixels, distance: Float, count: int) -> Float:
    """Return how far a pixel of each mask lies on the wrong side, at most."""
    out = np.zeros(count)
    np.maximum.at(out, pixels.own, pixels.sign * distance)
    return out
