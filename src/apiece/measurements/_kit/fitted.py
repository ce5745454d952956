"""Lengths and areas of masks that are the pixels of a disc, an ellipse, a rectangle, a stadium, or a ring of two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.masks import Masks
from apiece.measurements._kit.forms import AREA, MAJOR, MINOR
from apiece.measurements._kit.holes import holes_of
from apiece.measurements._kit.moments import ellipses
from apiece.measurements._kit.separated import Kind, fit, outline, sides_of

__all__ = ["with_fits"]

_OUTLINE = {"disc": 28.0, "ellipse": 55.0, "rectangle": 55.0, "stadium": 55.0}  # pixels from which it tells a form
_WIDE = 2.5  # pixels of width
_SURE = 1.0  # by how much a form's chance is better than that of another kind at least
_AREA = 0.9  # of how far an area may be off by its form: on drawn shapes areas are known a little better
_NEAR = 0.2  # pixels by which the sides of a rectangle around the hull are off at most
_LENGTHS = ("feret_max", "feret_min", "rect_length", "rect_width")


class _Forms(NamedTuple):
    """The forms of N masks.

    Attributes
    ----------
    kind : ``""`` where there is none.
    form, off : as in `apiece.measurements._kit.separated.Fit`; NaN where there is none.
    """

    kind: Array
    form: Float
    off: Float

    def ellipses(self) -> Bool:
        """Return which are ellipses, of which a disc is one."""
        return np.isin(self.kind, ("disc", "ellipse"))

    def area(self) -> tuple[Float, Float, Float]:
        """Return the area of each ellipse, how far it may be off, and about the length of its outline."""
        long, wide = self.form[:, 3], self.form[:, 4]
        slope = np.pi * np.stack((wide, long), 1)
        off = np.sqrt(np.einsum("ni,nij,nj->n", slope, self.off[:, 3:, 3:], slope))
        return np.pi * long * wide, _AREA * off, np.pi * (long + wide)


def with_fits(
    out: Mapping[str, Array], masks: Masks, axes: Mapping[str, Float], edges: Int, scale: tuple[float, float]
) -> dict[str, Array]:
    """Return diameters and rectangles, of masks that have a form those of the form, and the areas of ellipses.

    Beside each stands ``NAME_spread``, as `apiece.measurements.contract.Property.spread`, where a form tells it.

    Parameters
    ----------
    out : ``feret_max``, ``feret_min``, ``rect_length``, ``rect_width`` and ``rect_angle`` of hulls.
    axes : ``major_axis``, ``minor_axis`` and ``orientation`` of the masks in pixels of area 1.
    edges : int64 (N,), how many edges the hull of each mask has. With four it is a rectangle itself.
    scale : width and height of a pixel, in the unit of ``out``.
    """
    side = math.sqrt(scale[0] * scale[1])
    unit = (scale[0] / side, scale[1] / side)
    found = {name: values.copy() for name, values in out.items()}
    ring = np.flatnonzero(masks.holes == 1)
    holes = holes_of(masks[ring])
    if len(ring):
        filled = Masks.concatenate((masks, holes)).merge(np.append(np.arange(len(masks)), ring), len(masks))
        axes = ellipses(filled, unit)
    else:
        filled = masks
    rectangle = np.stack((np.radians(out["rect_angle"]), out["rect_length"] / side, out["rect_width"] / side))
    outer = _forms(filled, axes, unit, rectangle, edges)
    own = np.flatnonzero(outer.kind != "")
    kind, (angle, long, wide), off = outer.kind[own], outer.form[own, 2:].T, outer.off[own]
    by_long, by_wide = (np.sqrt(off[:, k, k]) for k in (3, 4))
    for name, values, spread in zip(_LENGTHS, (long, wide, long, wide), (by_long, by_wide) * 2, strict=True):
        # whether a corner is sharp, pixels hardly tell: a diagonal stays that of the hull
        which = kind != "rectangle" if name == "feret_max" else np.ones(len(own), bool)
        found[name][own[which]] = 2 * values[which] * side
        found[f"{name}_spread"] = np.full(len(masks), np.nan)
        found[f"{name}_spread"][own[which]] = 2 * spread[which]
    turned = own[kind != "disc"]
    found["rect_angle"][turned] = np.degrees(angle[kind != "disc"]) % 180
    area, off, around = outer.area()
    area[~outer.ellipses()] = np.nan
    if len(ring):
        inner = _forms(holes, ellipses(holes, unit), unit)
        less, also, more = inner.area()
        area[ring] -= np.where(inner.ellipses(), less, np.nan)
        off[ring] = np.hypot(off[ring], also)
        around[ring] += more
    found["ellipse_area"] = area * side**2
    found["ellipse_area_spread"] = off / np.sqrt(around)
    return found


def _forms(
    masks: Masks,
    axes: Mapping[str, Float],
    unit: tuple[float, float],
    rectangle: Float | None = None,
    edges: Int | None = None,
) -> _Forms:
    """Return the form of each mask. Of several it is a disc, else the more likely one, if it is clearly that.

    Parameters
    ----------
    rectangle : float64 (3, N), angle, length and width of that around each hull; None: only ellipses are looked for.
    """
    count, (height, width), box = len(masks), masks.size, masks.boxes
    whole = (box[:, :2] > 0).all(1) & (box[:, 2] < width) & (box[:, 3] < height)
    if edges is not None:
        whole &= edges > 4
    x, y = (masks.centroids * np.array(unit)).T
    trials: dict[Kind, tuple[Float, Bool]] = {}

    def add(name: Kind, angle: Float, long: Float, wide: Float, area: Float, most: Float) -> None:
        start = np.stack((x, y, angle, long / 2, wide / 2), 1)
        near = whole & (wide >= _WIDE) & (outline(name, start) >= _OUTLINE[name]) & (np.abs(masks.area - area) <= most)
        trials[name] = start, near

    long, wide = axes["major_axis"], axes["minor_axis"]
    most = 2 * AREA * np.sqrt(np.pi / 2 * (long + wide))
    most_even = np.where(long - wide <= math.hypot(MAJOR, MINOR), most, -1)  # pixels leave open which side is longer
    turn, same = np.radians(axes["orientation"]), np.sqrt(masks.area * (4 / np.pi))
    add("disc", turn, same, same, np.pi / 4 * long * wide, most_even)
    add("ellipse", turn, long, wide, np.pi / 4 * long * wide, most)
    if rectangle is not None:
        turn, long, wide = rectangle
        most = 2 * _NEAR * (long + wide)
        add("rectangle", turn, long, wide, long * wide, most)
        add("stadium", turn, long, wide, (long - wide) * wide + np.pi / 4 * wide**2, most)
    some = np.flatnonzero(np.any([near for _, near in trials.values()], axis=0))
    sides = sides_of(masks[some])
    kind, chance, rival = np.full(count, "", "U9"), np.full(count, -np.inf), np.full(count, -np.inf)
    form, off = np.full((count, 5), np.nan), np.full((count, 5, 5), np.nan)
    for name, (start, near) in trials.items():
        found = fit(name, sides, start[some], np.flatnonzero((near & (kind != "disc"))[some]), unit)
        own = some[found.own]
        better = found.chance > chance[own]
        rival[own] = np.maximum(rival[own], np.where(better, chance[own], found.chance))
        own = own[better]
        kind[own], chance[own], form[own], off[own] = name, found.chance[better], found.form[better], found.off[better]
    unsure = chance <= rival + _SURE
    kind[unsure], form[unsure], off[unsure] = "", np.nan, np.nan
    return _Forms(kind, form, off)
