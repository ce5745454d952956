"""Lengths and areas of masks that are the pixels of a disc, an ellipse, a rectangle, a stadium, or a ring of two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import chunks
from apiece.measurements._kit.border import border_of, unbroken
from apiece.measurements._kit.forms import AREA, MAJOR, MINOR
from apiece.measurements._kit.holes import holes_of
from apiece.measurements._kit.moments import ellipses
from apiece.measurements._kit.separated import Fit, Kind, fit, outline

__all__ = ["with_fits"]

_OUTLINE = {"disc": 28.0, "ellipse": 55.0, "rectangle": 55.0, "stadium": 55.0}
_WIDE = 2.5  # pixels of width
_BLOCK = 1 << 15  # about how many pixels are fitted together
_SURE = 0.95  # share of rectangles among the forms that fit from which it is one
_COMMON = 9.2  # squared distance of two centres, in what pixels leave open, up to which they are one (99% are)
_HOLDS = {3: 1.88, 5: 1.96}  # standard deviations that hold 95%, of forms with so many numbers: of a ball, and measured
_AREA = {"disc": (np.pi, 0), "ellipse": (np.pi, 0), "rectangle": (4, 0), "stadium": (4, 4 - np.pi)}
_STRAIGHT = 0.5  # pixels: a stadium with shorter sides is taken for a disc or an ellipse
_NEAR = 0.2  # pixels by which the sides of a rectangle around the hull are off at most


class _Forms(NamedTuple):
    """The forms of N masks, NaN where there is none. If several kinds fit, numbers are means over the kinds.

    Attributes
    ----------
    value : float64 (N, 6): length, width, greatest diameter, area, x and y of the middle, in pixels of area 1.
    off : float64 (N, 6, 6): covariance of these.
    angle : float64 (N,): of the long side, in radians; NaN of discs.
    around : float64 (N,): about the length of the outline.
    sharp : bool (N,), whether it is a rectangle.
    """

    value: Float
    off: Float
    angle: Float
    around: Float
    sharp: Bool

    def half_width(self, column: int) -> Float:
        """Return half the width of the 95% interval of a column."""
        wide = np.where(np.isnan(self.angle), _HOLDS[3], _HOLDS[5])
        return np.asarray(wide * np.sqrt(self.off[:, column, column]))

    def less(self, holes: _Forms, ring: Int) -> None:
        """Take the areas of holes of some forms away, in place. Middles that may be one are one."""
        apart = self.value[ring, 4:] - holes.value[:, 4:]
        own = np.flatnonzero(np.isfinite(apart).all(1))
        apart, to = apart[own], ring[own]
        inverse = np.linalg.inv(self.off[to, 4:, 4:] + holes.off[own, 4:, 4:])
        inverse[np.einsum("ni,nij,nj->n", apart, inverse, apart) > _COMMON] = 0
        along = self.off[to, :4, 4:]
        along[:, 3] += holes.off[own, 3, 4:]
        self.value[ring, 3] -= holes.value[:, 3]
        self.off[ring, 3, 3] += holes.off[:, 3, 3]
        self.around[ring] += np.nan_to_num(holes.around)
        self.value[to, :4] -= np.einsum("nki,nij,nj->nk", along, inverse, apart)
        self.off[to, :4, :4] -= along @ inverse @ along.transpose(0, 2, 1)


def with_fits(
    out: Mapping[str, Array], masks: Masks, axes: Mapping[str, Float], edges: Int, scale: tuple[float, float]
) -> dict[str, Array]:
    """Return diameters and rectangles, of masks that have a form those of the form, and their areas.

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
    if len(ring):
        holes = holes_of(masks[ring])
        filled = Masks.concatenate((masks, holes)).merge(np.append(np.arange(len(masks)), ring), len(masks))
        axes = ellipses(filled, unit)
    else:
        filled = masks
    rectangle = np.stack((np.radians(out["rect_angle"]), out["rect_length"] / side, out["rect_width"] / side))
    forms = _forms(filled, axes, unit, rectangle, edges)
    if len(ring):
        forms.less(_forms(holes, ellipses(holes, unit), unit), ring)
    # whether a corner is sharp, pixels hardly tell: a diagonal stays that of the hull
    for name, column in (("feret_max", 2), ("feret_min", 1), ("rect_length", 0), ("rect_width", 1)):
        there = np.isfinite(forms.around) & ~(forms.sharp if name == "feret_max" else False)
        found[name] = np.where(there, forms.value[:, column] * side, found[name])
        found[f"{name}_spread"] = np.where(there, forms.half_width(column), np.nan)
    found["rect_angle"] = np.where(np.isnan(forms.angle), found["rect_angle"], np.degrees(forms.angle) % 180)
    found["fitted_area"] = forms.value[:, 3] * side**2
    found["fitted_area_spread"] = forms.half_width(3) / np.sqrt(forms.around)
    return found


def _forms(
    masks: Masks,
    axes: Mapping[str, Float],
    unit: tuple[float, float],
    rectangle: Float | None = None,
    edges: Int | None = None,
) -> _Forms:
    """Return the form of each mask. What may be a disc is one.

    Parameters
    ----------
    rectangle : float64 (3, N), angle, length and width of that around each hull; None: only ellipses are looked for.
    """
    count, (height, width), box = len(masks), masks.size, masks.boxes
    whole = (box[:, :2] > 0).all(1) & (box[:, 2] < width) & (box[:, 3] < height) & unbroken(masks)
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
        most_long = np.where(long - wide >= _STRAIGHT, most, -1)
        add("stadium", turn, long, wide, (long - wide) * wide + np.pi / 4 * wide**2, most_long)
    value, off, angle, around = (np.full((count, *more), np.nan) for more in ((6,), (6, 6), (), ()))
    out = _Forms(value, off, angle, around, np.zeros(count, bool))
    some = np.flatnonzero(np.any([near for _, near in trials.values()], axis=0))
    around = 4 * (box[some, 2:] - box[some, :2]).sum(1)
    order = np.argsort(around, kind="stable")  # rows of pixels are as long as the longest
    for lo, hi in chunks(around[order].astype(np.int64), _BLOCK):
        block = some[order[lo:hi]]
        border, fits, open_ = border_of(masks[block], unit), {}, np.ones(len(block), bool)
        for name, (start, near) in trials.items():
            fits[name] = fit(name, border, start[block], np.flatnonzero(near[block] & open_), unit)
            open_[fits["disc"].own] = False
        for whole_column, column in zip(out, _mixed(fits, len(block)), strict=True):
            whole_column[block] = column
    return out


def _mixed(fits: Mapping[Kind, Fit], count: int) -> _Forms:
    """Return the means of the forms of several kinds that fit a mask, each kind as often as it is likely."""
    chance = np.full((len(fits), count), -np.inf)
    value, off = np.zeros((len(fits), count, 6)), np.zeros((len(fits), count, 6, 6))
    angle, around = np.zeros((2, len(fits), count))
    for k, (kind, found) in enumerate(fits.items()):
        own, form, corner = found.own, found.form, kind == "rectangle"
        x, y, angle[k, own], long, wide = form.T
        chance[k, own], around[k, own] = found.chance, outline(kind, form)
        full, less = _AREA[kind]
        diagonal = np.hypot(long, wide * corner)
        area = full * long * wide - less * wide**2
        value[k, own] = np.stack((2 * long, 2 * wide, 2 * diagonal, area, x, y), 1)
        slope = np.zeros((len(own), 6, 5))
        slope[:, 0, 3] = slope[:, 1, 4] = 2
        slope[:, 2, 3:] = np.stack((2 * long / diagonal, 2 * corner * wide / diagonal), 1)
        slope[:, 3, 3:] = np.stack((full * wide, full * long - 2 * less * wide), 1)
        slope[:, 4, 0] = slope[:, 5, 1] = 1
        off[k, own] = slope @ found.off @ slope.transpose(0, 2, 1)
    best = chance.argmax(0), np.arange(count)
    share = np.exp(chance - np.maximum(chance[best], -1e300))
    share /= np.maximum(share.sum(0), 1)
    angle += np.pi * np.round((angle[best] - angle) / np.pi)  # of two ways along a line that of the best
    mean = (share[..., None] * value).sum(0)
    apart = value - mean
    off = (share[..., None, None] * (off + apart[..., None] * apart[..., None, :])).sum(0)
    angle, around = (share * angle).sum(0), (share * around).sum(0)
    none = ~np.isfinite(chance[best])
    mean[none], off[none], around[none] = np.nan, np.nan, np.nan
    names = list(fits)
    angle[none | (share[names.index("disc")] > 0)] = np.nan
    sharp = share[names.index("rectangle")] > _SURE if "rectangle" in fits else np.zeros(count, bool)
    return _Forms(mean, off, angle, around, sharp)
