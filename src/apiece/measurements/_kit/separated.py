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
from scipy.special import erfcx, expit

from apiece._arrays import Array, Bool, Float, Int
from apiece.measurements._kit.border import BLOCK, Border, Pixels

__all__ = ["Fit", "Kind", "fit", "outline"]

Kind = Literal["disc", "ellipse", "rectangle", "stadium"]

_FIRST, _FALL, _STEPS = 0.1, 0.5, 8  # pixels: tau of the first step, how it falls, and steps at most
_LAST = 0.7  # tau of the last step, times the length of the outline
_STILL = 0.3  # times tau: how far forms move at most in the last step
_COST = 1.8  # of all pixels of a mask: forms of the same kind cost less in 98% of drawn masks, other shapes more
_TOUCH = 0.05  # pixels by which a pixel centre lies on the wrong side at most
_FAR: dict[Kind, float] = {"disc": 0.25, "ellipse": 0.4, "rectangle": 0.6, "stadium": 0.9}  # 1.4 of what was seen
_HOPE = 0.2  # the same after some steps: how far a pixel lies beside a form that is not worth another step
_REACH, _NARROW = 0.5, 2  # pixels from which a pixel has no weight at first; from this step on those of `_HOPE`
_DAMP = 1e-3
_CLEAR, _OPEN = 6.0, 2  # deviations from which a pixel says nothing, and rounds in which that is asked anew
_WIDE = 0.5  # times the distance of the nearest pixel: tau at least, where expectation propagation begins
_ROUNDS, _SHARE, _SOFT = 5, 0.8, 0.1  # of expectation propagation: rounds, share of a step, softness times the last tau
_TURNED = np.array([0, 1, 2, 4, 3])
_DISC = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1.0]])  # from x, y and radius to a form


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


def fit(kind: Kind, border: Border, start: Float, which: Int, scale: tuple[float, float] = (1.0, 1.0)) -> Fit:
    """Return the forms of a kind that leave every pixel on its side, of the masks that have one.

    Parameters
    ----------
    border : of N masks.
    start : float64 (N, 5), a form near each mask, as in `Fit`, in units of ``scale``.
    which : int64 (K,): the masks to fit, ascending; others are left out.
    scale : width and height of a pixel, of area 1.
    """
    if not len(which):
        return _none()
    form, every = start[which], border.pixels.rows(which)
    distance, slope = _distances(kind, form, every)
    # the pixels next to the outline are those across which it runs; others would count twice
    x, y = np.abs(slope[:, :2] * np.array(scale)[:, None]).transpose(1, 0, 2)
    crossed = (border.upright[which] & (y >= x - 1e-9)) | (border.sideways[which] & (x >= y - 1e-9))
    near = every.where(crossed & (np.abs(distance) < _REACH))
    own, ended = np.arange(len(which)), list[tuple[Int, Float, Float]]()
    worst = (every.sign * distance).max(1, initial=-np.inf)
    for k in range(_STEPS):
        own, form, near = _some(worst <= max(_FAR[kind] * _FALL ** max(k - 1, 0), _HOPE), own, form, near)
        if not len(own):
            break
        last = _LAST / outline(kind, form)
        tau = np.maximum(_FIRST * _FALL**k, last)
        distance, slope = _distances(kind, form, near)
        beside = near.sign * distance
        worst = beside.max(1)
        _, move = _step(kind, form, near.sign, beside, slope, tau, tau)
        # each mask has steps of its own: what lies beside it changes nothing
        still = ((tau == last) & (move <= _STILL * tau)) | (k == _STEPS - 1)
        if still.any():
            # one after the other: a sum in pairs would depend on how long rows are
            cost = np.cumsum(np.logaddexp(0, beside[still] / tau[still, None]), 1)[:, -1]
            ended.append((own[still], form[still], cost))
            worst[still] = np.inf
        if k == _NARROW:
            near = near.where(np.abs(beside) < _HOPE)
    if not ended:
        return _none()
    own, form, cost = (np.concatenate(values) for values in zip(*ended, strict=True))
    kept = np.argsort(own)
    kept = kept[cost[kept] <= _COST]
    own, form, cost, every = own[kept], form[kept], cost[kept], every.rows(own[kept])
    distance, slope = _distances(kind, form, every)
    beside = every.sign * distance
    kept = np.flatnonzero(beside.max(1) <= _TOUCH)
    if not len(kept):
        return _none()
    own, form, cost = own[kept], form[kept], cost[kept]
    off = _mean(kind, form, every.rows(kept), beside[kept], slope[kept])
    room = np.linalg.slogdet(off)[1]
    if kind == "disc":
        off = _DISC @ off @ _DISC.T
    else:
        unit = _units(form)
        off, room = off / (unit[:, :, None] * unit[:, None]), room - 2 * np.log(unit[:, 2])
    turned = np.flatnonzero(form[:, 3] < form[:, 4])
    form[turned, 2] += np.pi / 2
    form[turned, 3:], off[turned] = form[turned, :2:-1], off[turned][:, _TURNED][:, :, _TURNED]
    return Fit(which[own], form, off, room / 2 - cost)


def _some(kept: Bool, own: Int, form: Float, near: Pixels) -> tuple[Int, Float, Pixels]:
    """Return the masks that are kept."""
    return (own, form, near) if kept.all() else (own[kept], form[kept], near.rows(np.flatnonzero(kept)))


def _none() -> Fit:
    """Return the forms of no mask."""
    return Fit(np.zeros(0, np.int64), np.zeros((0, 5)), np.zeros((0, 5, 5)), np.zeros(0))


def _step(
    kind: Kind, form: Float, sign: Float, beside: Float, slope: Float, tau: Float, most: Float
) -> tuple[Float, Float]:
    """Take a step of Newton's method, in place; return what `_solve` does."""
    wrong, weight = _logistic(beside, tau)
    return _solve(kind, form, slope, sign * wrong / tau[:, None], weight, most)


def _logistic(beside: Float, tau: Float) -> tuple[Float, Float]:
    """Return the slope of the logistic cost of pixels, times tau, and its curvature."""
    wrong = expit(beside / tau[:, None])
    return wrong, wrong * (1 - wrong) / tau[:, None] ** 2


def _mean(kind: Kind, form: Float, pixels: Pixels, beside: Float, slope: Float) -> Float:
    """Move forms to the mean of those that leave pixels on their side, in place; return their covariance.

    What a pixel says is kept as ``exp(mass * z - weight * z**2 / 2)`` of its distance ``z`` on the wrong side.
    """
    last, first = _LAST / outline(kind, form), np.full(len(form), _FIRST)
    tau = np.maximum(last, beside.max(1) * -_WIDE)
    off, _ = _step(kind, form, pixels.sign, beside, slope, tau, first)
    pixels = pixels.where(beside > -_CLEAR * np.sqrt(_along(off, slope)))  # others say nothing
    for k in range(_ROUNDS):
        distance, slope = _distances(kind, form, pixels)
        z, spread = pixels.sign * distance, _along(off, slope)
        if k == 0:
            wrong, weight = _logistic(z, tau)
            mass = weight * z - wrong / tau[:, None]
        if k < _OPEN:
            at = np.nonzero(z > -_CLEAR * np.sqrt(spread))
        said = _said(z[at], spread[at], weight[at], mass[at], (_SOFT * last[at[0]]) ** 2)
        weight, mass = np.zeros((2, *z.shape))
        weight[at], mass[at] = said
        off, _ = _solve(kind, form, slope, pixels.sign * (weight * z - mass), weight, first)
    return off


def _said(z: Float, spread: Float, weight: Float, mass: Float, soft: Float) -> tuple[Float, Float]:
    """Return what pixels say, as in `_mean`, of forms with these distances and their variances; nearer to the old."""
    # without this pixel, then with all that its side says
    other = 1 / np.maximum(1 / spread - weight, 1e-9 / spread)
    middle = other * (z / spread - mass)
    total = np.sqrt(other + soft)
    with np.errstate(over="ignore"):
        pull = np.sqrt(2 / np.pi) / erfcx(middle / (np.sqrt(2) * total))
    less = np.clip(pull * (pull - middle / total) * other / total**2, 0, 1 - 1e-6)
    sharper = less / (other * (1 - less))
    new = (middle - other / total * pull) * (sharper + 1 / other) - middle / other
    return weight + _SHARE * (sharper - weight), mass + _SHARE * (new - mass)


def _along(off: Float, slope: Float) -> Float:
    """Return the variance of the distance of each pixel, (K, P); that of pixels far away is cut, so they stay clear."""
    return np.clip(((off @ slope) * slope).sum(1), 1e-12, 1e6)


def _solve(kind: Kind, form: Float, slope: Float, pull: Float, weight: Float, tau: Float) -> tuple[Float, Float]:
    """Move forms to the least of a quadratic cost, in place.

    Returns
    -------
    The inverse of its curvature (K, F, F), in numbers as in `_distances`, and how far each form moves (K,).
    """
    count, free, _ = slope.shape
    both = np.append(slope * weight[:, None], pull[:, None], 1).reshape(count, free + 1, -1, BLOCK)
    blocks = slope.reshape(count, free, -1, BLOCK)
    sums: Float = (both.transpose(0, 2, 1, 3) @ blocks.transpose(0, 2, 3, 1)).sum(1)
    number = np.arange(free)
    sums[:, number, number] += _DAMP / tau[:, None] ** 2
    inverse: Float = np.asarray(np.linalg.inv(sums[:, :free]), np.float64)
    move = -(inverse @ sums[:, free, :, None])[:, :, 0]
    most: Float = np.abs(move).max(1)
    move *= np.minimum(1, 4 * tau / np.maximum(most, 1e-12))[:, None]
    form += move @ _DISC.T if kind == "disc" else move / _units(form)
    form[:, 3:] = np.maximum(form[:, 3:], 0.5)
    if kind == "stadium":
        form[:, 3] = np.maximum(form[:, 3], form[:, 4])
    return inverse, most


def _units(form: Float) -> Float:
    """Return what one of each number of a form counts as: an angle as what it moves the ends by."""
    out = np.ones((len(form), 5))
    out[:, 2] = form[:, 3]
    return out


def _distances(kind: Kind, form: Float, pixels: Pixels) -> tuple[Float, Float]:
    """Return how far pixels lie outside of forms, near the outline: (K, P), and what that follows from: (K, F, P).

    The numbers of a disc are x, y and radius; of others, those of `Fit`, an angle times half of the length.
    """
    middle_x, middle_y, turn, long, wide = form.T[:, :, None]
    x, y = pixels.place[0] - middle_x, pixels.place[1] - middle_y
    if kind == "disc":
        size = np.maximum(_length(x, y), 1e-9)
        slope = np.empty((len(form), 3, x.shape[1]))
        slope[:, 0], slope[:, 1], slope[:, 2] = -x / size, -y / size, -1
        return size - long, slope
    cos, sin = np.cos(turn), np.sin(turn)
    u, v = x * cos + y * sin, y * cos - x * sin
    if kind == "rectangle":
        beyond, beside = np.abs(u) - long, np.abs(v) - wide
        end = beyond > beside
        distance = np.where(end, beyond, beside)
        nu, nv = np.where(end, np.sign(u), 0.0), np.where(end, 0.0, np.sign(v))
        by_long, by_wide = -np.abs(nu), -np.abs(nv)
    elif kind == "stadium":
        beyond = np.maximum(np.abs(u) - (long - wide), 0)
        size = np.maximum(_length(beyond, v), 1e-9)
        distance = size - wide
        nu, nv = np.sign(u) * beyond / size, v / size
        by_long = -np.abs(nu)
        by_wide = -by_long - 1
    else:
        nu, nv = u / long, v / wide
        size = np.maximum(_length(nu, nv), 1e-9)
        nu, nv = nu / long, nv / wide
        steep = np.maximum(_length(nu, nv), size / np.maximum(long, wide))
        distance = (size - 1) * size / steep
        nu, nv = nu / steep, nv / steep
        by_long, by_wide = -nu * u / (long * size), -nv * v / (wide * size)
    by_turn = (nu * v - nv * u) / long
    return distance, np.stack((nv * sin - nu * cos, -nu * sin - nv * cos, by_turn, by_long, by_wide), 1)


def _length(x: Float, y: Float) -> Float:
    """Return the lengths of vectors of usual size, several times as fast as ``np.hypot``."""
    return np.asarray(np.sqrt(x * x + y * y))


def outline(kind: Kind, form: Float) -> Array:
    """Return about how long the outline of each form is, of forms as in `Fit`: float64 (N,)."""
    long, wide = form[:, 3], form[:, 4]
    if kind == "rectangle":
        return np.asarray(4 * (long + wide))
    if kind == "stadium":
        return np.asarray(4 * (long - wide) + 2 * np.pi * wide)
    return np.asarray(np.pi * (long + wide))
