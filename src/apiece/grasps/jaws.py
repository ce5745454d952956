"""Grasps by two parallel fingers: where, at which angle, how wide, and how much room the fingers have.

Places are tried along the ridge of the distance to the outline, near the deepest point of the visible mask. The fingers
close across the outline: of all directions at a place, those count in which they open least. A finger needs room
behind the outline; with depth, what lies lower than the finger's tip is no obstacle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import sums
from apiece.grasps.field import ALIKE, Field
from apiece.grasps.surface import Surface

__all__ = ["HALF", "Jaws", "Wanted", "jaws"]

_PLACES = 8
_ANGLES = 36
_LINES = np.linspace(-1.5, 1.5, 13)  # by which the slope of an outline is told, in depths of the deepest point
_FEW, _TURN = 5, 10.0  # such lines at least, and degrees at most in one round
_ACROSS = np.linspace(-0.5, 0.5, 5)  # lines of a finger, in its width
_NEAR = 0.8  # share of the greatest depth from which a place is tried
_LEAST = 1.05, 1.0  # an opening up to so many times the least and so many pixels more is as good
_EDGE = 1.5  # pixels beyond the outline that may still show the object
_STEP, _STEPS = 1.0, 96  # pixels between places where a finger is looked at, and most such places
HALF = 0.5  # pixels by which an outline may be off
_ALIKE = 2.0  # pixels of room that make no difference
_CHUNK = 1 << 21  # rays at a time


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the gripper needs at each of N objects, in pixels.

    Attributes
    ----------
    opening : widest that the gripper opens.
    finger : width of a finger; NaN: half of the greatest width inside the object.
    room : least room behind the outline.
    insert : metres that the fingers reach below the grasp point; NaN: half of the opening, at most half way to
        the floor.
    """

    opening: Float
    finger: Float
    room: Float
    insert: Float


@dataclass(frozen=True, eq=False)
class Jaws:
    """The best grasp of each of N objects.

    Attributes
    ----------
    places : (N, 2), the middle between the fingers.
    angle : degrees from x towards y (clockwise on a screen), 0 to 180, along which the fingers close.
    opening : distance between the fingers.
    room : free room behind the outline at either finger, (N, 2); no more than is looked at.
    depth : distance of the deepest point to the outline.
    """

    places: Float
    angle: Float
    opening: Float
    room: Float
    depth: Float


class _Tried(NamedTuple):
    """Some grasps of the objects of a field: object, place, angle, and what was found there."""

    k: Int
    places: Float
    angle: Float
    opening: Float
    middle: Float
    room: Float


def jaws(field: Field, surface: Surface, wanted: Wanted) -> Jaws:
    """Return the best grasp of each object of the field; one that does not fit where none does."""
    k, places = _places(field, surface)
    coarse = np.arange(_ANGLES) * (180 / _ANGLES)
    first = _try(field, surface, wanted, np.repeat(k, _ANGLES), places.repeat(_ANGLES, 0), np.tile(coarse, len(k)))
    best = _best(field, surface, wanted, first)
    k, places = first.k[best], first.places[best]
    rough = _Tried(k, places, first.angle[best], first.opening[best], first.middle[best], first.room[best])
    fine = _try(field, surface, wanted, k, places, _straight(field, k, places, rough.angle))
    worse = _fits(field, wanted, rough) & ~_fits(field, wanted, fine)
    done = [np.where(worse if a.ndim == 1 else worse[:, None], a, b)
            for a, b in zip(rough[3:], fine[3:], strict=True)]  # fmt: skip
    angle = np.where(worse, rough.angle, fine.angle) % 180
    return Jaws(done[1], angle, done[0], done[2], field.deepest)


def _straight(field: Field, k: Int, places: Float, angle: Float) -> Float:
    """Return angles turned until the outlines at both fingers slope alike against the closing direction."""
    along = field.deepest[k][:, None] * _LINES
    for _ in range(2):
        way, side = _axes(angle)
        lines = places[:, None] + side[:, None] * along[..., None]
        slopes = []
        for sign in (-1.0, 1.0):
            far = field.exits(k[:, None], lines, sign * way[:, None])
            seen = np.isfinite(far)
            far = np.where(seen, far, 0.0)
            count = np.maximum(seen.sum(1, keepdims=True), 1)
            x, y = (np.where(seen, v - np.where(seen, v, 0).sum(1, keepdims=True) / count, 0) for v in (along, far))
            slopes.append((x * y).sum(1) / np.maximum((x * x).sum(1), 1e-9) * (count[:, 0] >= _FEW))
        angle = angle + np.clip(np.degrees(np.arctan((slopes[0] - slopes[1]) / 2)), -_TURN, _TURN)
    return angle


def _axes(angle: Float) -> tuple[Float, Float]:
    """Return unit vectors along and across the closing direction, (P, 2) each."""
    turn = np.radians(angle)
    return np.stack((np.cos(turn), np.sin(turn)), 1), np.stack((-np.sin(turn), np.cos(turn)), 1)


def _places(field: Field, surface: Surface) -> tuple[Int, Float]:
    """Return object and place to be tried: the deepest one that lies nearest to the centroid, and some of the ridge."""
    k, places = field.ridge(_NEAR)
    count = np.bincount(k, minlength=len(field.masks))
    rank = np.arange(len(k)) - sums(count)[:-1][k]
    # evenly spaced among those of the same object
    taken = (rank * _PLACES) // count[k] != ((rank - 1) * _PLACES) // count[k]
    centres = field.centres(surface.instances.masks.centroids[field.masks])
    k, places = np.append(k[taken], np.arange(len(centres))), np.concatenate((places[taken], centres))
    order = np.argsort(k, kind="stable")
    return k[order], places[order]


def _try(field: Field, surface: Surface, wanted: Wanted, k: Int, places: Float, angle: Float) -> _Tried:
    """Return opening, middle and room of grasps, piece by piece."""
    size = max(_CHUNK // (len(_ACROSS) * _STEPS), 1)
    parts = [
        _try_some(field, surface, wanted, k[lo : lo + size], places[lo : lo + size], angle[lo : lo + size])
        for lo in range(0, max(len(k), 1), size)
    ]
    opening, middle, room = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Tried(k, places, angle, opening, middle, room)


def _try_some(
    field: Field, surface: Surface, wanted: Wanted, k: Int, places: Float, angle: Float
) -> tuple[Float, Float, Float]:
    way, side = _axes(angle)
    own = field.masks[k]
    finger = np.where(np.isnan(wanted.finger[own]), field.deepest[k], wanted.finger[own])
    lines = places[:, None] + side[:, None] * (finger[:, None] * _ACROSS)[..., None]
    ends = np.stack([field.exits(k[:, None], lines, sign * way[:, None]).max(1) for sign in (-1.0, 1.0)], 1)
    opening = ends.sum(1)
    middle = places + way * ((ends[:, 1] - ends[:, 0]) / 2)[:, None]
    tip = _tip(surface, wanted, own, places, opening)
    room = [_room(surface, wanted, own, lines + sign * way[:, None] * ends[:, s, None, None], sign * way, tip)
            for s, sign in enumerate((-1.0, 1.0))]  # fmt: skip
    return opening, middle, np.stack(room, 1)


def _tip(surface: Surface, wanted: Wanted, own: Int, places: Float, opening: Float) -> Float:
    """Return the depth that the tips of the fingers reach, in metres; NaN without depth."""
    if surface.depth is None:
        return np.full(len(own), np.nan)
    depth = surface.at(places)
    depth = np.where(np.isnan(depth), surface.object_depth[own], depth)
    usual = np.maximum(surface.floor - depth, 0) / 2
    if surface.pixels_per_metre is not None:
        usual = np.minimum(usual, opening / 2 / surface.pixels_per_metre[own])
    return depth + np.where(np.isnan(wanted.insert[own]), usual, wanted.insert[own])


def _room(surface: Surface, wanted: Wanted, own: Int, starts: Float, way: Float, tip: Float) -> Float:
    """Return how far a finger can move away from the outline before it meets something, in pixels."""
    cap = 1.5 * wanted.room[own] + 4
    steps = min(max(int(np.ceil(cap.max(initial=1.0) / _STEP)), 2), _STEPS)
    reach = np.linspace(0, 1, steps) * (cap - _EDGE)[:, None] + _EDGE
    seen = starts[:, :, None] + way[:, None, None] * reach[:, None, :, None]
    top, depth = surface.owner_at(seen), surface.at(seen)
    # in the shadow of an edge no depth is measured: there the object's own median stands for it
    depth = np.where(np.isnan(depth) & (top >= 0), surface.object_depth[np.maximum(top, 0)], depth)
    stands = np.where(np.isfinite(tip)[:, None, None], depth < tip[:, None, None], top >= 0)
    blocked = (stands | (top == -2)).any(1)
    first = np.where(blocked.any(1), blocked.argmax(1), steps)
    free = np.take_along_axis(reach, np.minimum(first, steps - 1)[:, None], 1)[:, 0]
    return np.where(first == 0, 0.0, np.where(first == steps, cap, free - (cap - _EDGE) / (steps - 1) / 2))


def _fits(field: Field, wanted: Wanted, tried: _Tried) -> Bool:
    """Return whether grasps suit the gripper."""
    own = field.masks[tried.k]
    return np.asarray((tried.opening <= wanted.opening[own]) & (tried.room.min(1) >= wanted.room[own] - HALF))


def _best(field: Field, surface: Surface, wanted: Wanted, tried: _Tried) -> Int:
    """Return the index of the best grasp of each object: it fits, opens little, has room, lies deep and central."""
    suits = _fits(field, wanted, tried)
    begins = np.arange(0, len(suits), _ANGLES)
    # the least opening at the same place; of those that fit, where some do
    some = np.logical_or.reduceat(suits, begins).repeat(_ANGLES)
    opening = np.where(suits | ~some, tried.opening, np.inf)
    least = np.minimum.reduceat(opening, begins).repeat(_ANGLES)
    wide = opening > _LEAST[0] * least + _LEAST[1]
    room = np.round(tried.room.min(1) / _ALIKE)
    excess = np.round(50 * opening / np.minimum.reduceat(tried.opening, begins).repeat(_ANGLES))
    less = np.ceil(2 * np.maximum(field.deepest[tried.k] - field.at(tried.k, tried.places) - ALIKE, 0))
    off = np.hypot(*(tried.places - surface.instances.masks.centroids[field.masks[tried.k]]).T)
    order = np.lexsort((tried.opening, off, less, excess, -room, wide, ~suits, tried.k))
    return order[np.searchsorted(tried.k[order], np.arange(len(field.masks)))]
