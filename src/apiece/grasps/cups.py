"""Grasps by a suction cup: a place inside the visible mask that is flat, or the deepest one where no depth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.runs import sums
from apiece.grasps.field import ALIKE, Field
from apiece.grasps.jaws import HALF
from apiece.grasps.surface import Surface, disc

__all__ = ["Cups", "cups"]

_PLACES = 64
_CUP = 0.6  # of the room at the deepest place, the radius that is looked at where no cup is given
_KNOWN = 0.8  # share of the cup's area whose depth has to be known
_FLAT = 1.5, 0.01  # a bend up to so many times the least and so much more, in radii of the cup, is as flat
_CHUNK = 1 << 15  # places at a time


@dataclass(frozen=True, eq=False)
class Cups:
    """The best place of a cup on each of N objects.

    Attributes
    ----------
    places : (N, 2).
    room : distance to the outline.
    bend : how far the surface is off a plane (root mean square), in metres; NaN without depth.
    tilt : degrees between the surface's normal and the camera's axis; NaN without depth and intrinsics.
    normal : (N, 3), the normal that points at the camera, in its frame; NaN as `tilt`.
    """

    places: Float
    room: Float
    bend: Float
    tilt: Float
    normal: Float


def cups(field: Field, surface: Surface, radius: Float) -> Cups:
    """Return the best place on each object of the field for a cup of ``radius`` pixels; NaN: as wide as may be."""
    k, places = _places(field, surface)
    own = field.masks[k]
    room = field.at(k, places)
    wanted = np.where(np.isnan(radius[own]), _CUP * field.deepest[k], radius[own])
    bend, normal = _planes(surface, own, places, wanted)
    size = wanted if surface.pixels_per_metre is None else wanted / surface.pixels_per_metre[own]
    ratio = np.where(np.isnan(bend), np.inf, bend / np.maximum(size, 1e-9))
    inside = room >= wanted - HALF
    count = np.bincount(k, minlength=len(field.masks))
    # only flat places inside the outline compete for room; where no depth is known, all do
    flattest = np.minimum.reduceat(np.where(inside, ratio, np.inf), sums(count)[:-1])[k]
    rough = np.isfinite(flattest) & ~(ratio <= _FLAT[0] * flattest + _FLAT[1])
    off = np.hypot(*(places - surface.instances.masks.centroids[own]).T)
    less = np.ceil(2 * np.maximum(field.deepest[k] - room - ALIKE, 0))
    order = np.lexsort((off, less, rough, ~inside, k))
    best = order[sums(count)[:-1]]
    tilt = np.degrees(np.arccos(np.clip(-normal[best, 2], -1, 1)))
    return Cups(places[best], room[best], bend[best], tilt, normal[best])


def _places(field: Field, surface: Surface) -> tuple[Int, Float]:
    """Return object and place to be tried: pixels on a grid inside each object, the deepest ones, and the centre."""
    k, places = field.pixels(field.values > 0)
    count = np.bincount(k, minlength=len(field.masks))
    every = np.maximum(np.sqrt(count / _PLACES), 1).round().astype(np.int64)[k]
    index = ((places - field.corners[k]) / field.step).astype(np.int64)
    chosen = ((index % every[:, None]) == 0).all(1)
    centres = field.centres(surface.instances.masks.centroids[field.masks])
    k, places = np.append(k[chosen], np.arange(len(centres))), np.concatenate((places[chosen], centres))
    order = np.argsort(k, kind="stable")
    return k[order], places[order]


def _planes(surface: Surface, own: Int, places: Float, radius: Float) -> tuple[Float, Float]:
    """Return how far the surface around each place is off the plane that fits it best, and that plane's normal."""
    bend, normal = np.full(len(places), np.nan), np.full((len(places), 3), np.nan)
    if surface.depth is None:
        return bend, normal
    for lo in range(0, len(places), _CHUNK):
        part = slice(lo, lo + _CHUNK)
        bend[part], normal[part] = _planes_of(surface, own[part], places[part], radius[part])
    return bend, normal


def _planes_of(surface: Surface, own: Int, places: Float, radius: Float) -> tuple[Float, Float]:
    around = np.floor(places[:, None] + radius[:, None, None] * disc()) + 0.5  # whose depths are measured
    depth = surface.at(around)
    known = np.isfinite(depth) & (surface.owner_at(around) == own[:, None])
    if surface.intrinsics is None:
        # lengths across are pixels, so that a bend is one of depth alone
        points = np.concatenate((around, depth[..., None]), -1)
    else:
        points = surface.intrinsics.points(around.reshape(-1, 2), depth.reshape(-1)).reshape(*depth.shape, 3)
    enough = known.mean(1) >= _KNOWN
    weight = np.where(known, 1.0, 0.0)
    points = np.where(known[..., None], points, 0.0)
    total = np.maximum(weight.sum(1), 1.0)
    points = (points - (points.sum(1) / total[:, None])[:, None]) * weight[..., None]
    across = np.maximum(np.abs(points[..., :2]).max((1, 2)), 1e-12)
    design = points[..., :2] / across[:, None, None]
    square = np.einsum("pki,pkj->pij", design, design) + 1e-9 * np.eye(2)
    slope = np.linalg.solve(square, np.einsum("pki,pk->pi", design, points[..., 2])[..., None])[..., 0]
    left = points[..., 2] - np.einsum("pki,pi->pk", design, slope)
    bend = np.sqrt((left**2).sum(1) / total)
    slope = slope / across[:, None]
    normal = np.concatenate((slope, -np.ones((len(slope), 1))), 1)
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    if surface.intrinsics is None:
        normal[:] = np.nan
    else:
        bend = bend * -normal[:, 2]
    return np.where(enough, bend, np.nan), np.where(enough[:, None], normal, np.nan)
