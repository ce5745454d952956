"""Masks that pixels cannot tell from an ellipse or a rectangle: then its moments say how large it is.

A hull is known at its few edges and corners, each off by a fraction of a pixel. Moments average over all pixels, so
they are several times as exact, but of one form only. A mask has a form if its diameters, its area and its hull lie as
those of the form with its moments, as well as pixels can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.core.runs import owners
from apiece.ops.true_hull import Hulls

__all__ = ["AREA", "MAJOR", "MINOR", "beside_ellipse", "with_forms"]

AREA, MAJOR, MINOR = 0.51, 0.36, 0.26  # pixels: half widths of the intervals of area and axes, see `Property.spread`
_BESIDE = 0.5  # pixels by which an edge of the hull of an ellipse lies beside it at most


# of an ellipse, and of a rectangle
_SIDES = np.array([[1.0], [math.sqrt(12) / 4]])  # times the axes of the ellipse of equal moments
_FULL = np.array([[math.pi / 4], [1.0]])  # area as a share of the rectangle around it
_CORNERS = np.array([[0.0], [1.0]])  # whether the greatest diameter is the diagonal
_LEAST = np.array([[16.0], [6.0]])  # pixels of width from which pixels tell it from other forms
# pixels by which diameters and the length of the rectangle differ at most from those of the hull
_WIDEST, _NARROWEST, _LONGEST = np.array([[0.45], [0.5]]), np.array([[0.65], [0.3]]), np.array([[np.inf], [0.45]])


def with_forms(
    out: Mapping[str, Array], pixels: Int, axes: Mapping[str, Float], beside: Float, edges: Int, side: float
) -> dict[str, Array]:
    """Return diameters and rectangles, of ellipses and rectangles by their moments.

    Parameters
    ----------
    out : ``feret_max``, ``feret_min``, ``rect_length``, ``rect_width`` and ``rect_angle`` of hulls.
    pixels : int64 (N,), the area of each mask.
    axes : ``major_axis``, ``minor_axis`` and ``orientation``, in the unit of ``out``.
    beside : float64 (N,), by how many pixels the hull lies beside the ellipse at most, see `beside_ellipse`.
    edges : int64 (N,), how many edges the hull of each mask has. With four it is a rectangle itself.
    side : of a pixel, in that unit.
    """
    long, short = (_SIDES * (axes[name] / side) for name in ("major_axis", "minor_axis"))
    even = long - short <= _SIDES * math.hypot(MAJOR, MINOR)  # pixels leave open which side is longer
    fits = (short >= _LEAST) & (np.abs(pixels - _FULL * long * short) <= AREA * np.sqrt(2 * (long + short)))
    same = np.sqrt(pixels / _FULL)
    long, short = (np.where(even, same, of) for of in (long, short))  # what is answered is what has to fit
    fits &= (np.abs(out["feret_max"] / side - np.hypot(long, short * _CORNERS)) <= _WIDEST) & (
        np.abs(out["feret_min"] / side - short) <= _NARROWEST
    )
    fits &= np.abs(out["rect_length"] / side - long) <= _LONGEST
    fits[0] &= beside <= _BESIDE
    fits[1] &= edges > 4
    which, own = np.nonzero(fits)
    long, short = (of[which, own] * side for of in (long, short))
    angle = np.where(even[which, own], out["rect_angle"][own], axes["orientation"][own])
    found = {name: values.copy() for name, values in out.items()}
    found["feret_max"][own] = np.hypot(long, short * _CORNERS[which, 0])
    found["feret_min"][own] = found["rect_width"][own] = short
    found["rect_length"][own], found["rect_angle"][own] = long, angle
    return found


def beside_ellipse(hulls: Hulls, centres: Float, axes: Mapping[str, Float]) -> Float:
    """Return how far an edge of each hull lies beside the ellipse about its centre, at most: float64 (N,), pixels."""
    own = owners(hulls.offsets)
    normal = hulls.normals / np.hypot(*hulls.normals.T)[:, None]
    turn = np.arctan2(normal[:, 1], normal[:, 0]) - np.radians(axes["orientation"])[own]
    reach = ((hulls.points - centres[own]) * normal).sum(1)
    ellipse = np.hypot(axes["major_axis"][own] * np.cos(turn), axes["minor_axis"][own] * np.sin(turn)) / 2
    beside, some = np.full(len(hulls.offsets) - 1, np.inf), np.flatnonzero(np.diff(hulls.offsets))
    if len(some):
        beside[some] = np.maximum.reduceat(np.abs(reach - ellipse), hulls.offsets[some])
    return beside
