"""Sizes on a calibrated plane: outlines are carried over to it, and measured there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.calibration import Calibration
from apiece.core.masks import Masks
from apiece.core.runs import chunks, expand, segment_sum, sums
from apiece.core.topology import trace
from apiece.measurements.contract import Property
from apiece.ops.hull import hull_columns
from apiece.ops.true_hull import tips, true_hulls

__all__ = ["on_plane", "pixel_sides"]

_PAIRS = 1 << 20
_LENGTHS = ("feret_max", "feret_min", "rect_length", "rect_width", "rect_angle")
_EVEN = 1.001  # length to width, up to which a form has no direction


def on_plane(
    measured: Mapping[str, Array], wanted: list[Property], masks: Masks, calibration: Calibration
) -> dict[str, Array]:
    """Return measures in pixels as measures on the plane.

    Areas are integrated over outlines. Feret diameters and rectangles are those of hulls, whose points are carried to
    the plane one by one; of masks with a form (`apiece.measurements._kit.fitted`) its axes are carried over. All other
    lengths and areas follow the scale at the middle of their object.
    """
    names = {prop.name for prop in wanted}
    side = pixel_sides(masks, calibration)
    factor = {"length": side, "area": side**2}
    out = {p.name: _times(measured[p.name], factor.get(p.dimension)) for p in wanted}
    if names & {"area", "equivalent_diameter", "fitted_area"}:
        area = _areas(masks, calibration)
        exact = {"area": area, "equivalent_diameter": np.sqrt(area * (4 / np.pi))}
        if "fitted_area" in names:
            exact["fitted_area"] = area * measured["fitted_area"] / np.maximum(masks.area, 1)
        out |= {name: exact[name] for name in names & exact.keys()}
    out |= {name: values for name, values in measured.items() if name.endswith("_spread")}
    if names.isdisjoint(_LENGTHS):
        return out
    lengths = _lengths(measured, masks, calibration)
    return out | {name: lengths[name] for name in names & lengths.keys()}


def pixel_sides(masks: Masks, calibration: Calibration) -> Float:
    """Return the side on the plane of a pixel in the middle of each mask: float64 (N,)."""
    return np.asarray(np.sqrt(np.abs(np.linalg.det(calibration.stretch(_middles(masks))))), np.float64)


def _middles(masks: Masks) -> Float:
    """Return the middle of each mask, x and y; of an empty one that of the image."""
    return np.where(masks.area[:, None] > 0, masks.centroids, np.array(masks.size[::-1]) / 2)


def _times(values: Array, factor: Array | None) -> Array:
    return values if factor is None else values * (factor if values.ndim == 1 else factor[:, None])


def _areas(masks: Masks, calibration: Calibration) -> Float:
    """Return areas from outlines along pixel sides, walked in steps of a pixel since a lens bends them."""
    rings = trace(masks.runs, masks.size)
    following = np.arange(1, len(rings.points) + 1)
    following[rings.offsets[1:] - 1] = rings.offsets[:-1]
    step = rings.points[following] - rings.points
    sides = np.abs(step).sum(1)
    which = np.repeat(np.arange(len(step)), sides)
    along = expand(np.zeros(len(step), np.int64), sides)
    points = calibration.plane(rings.points[which] + np.sign(step)[which] * along[:, None])
    offsets = sums(sides)[rings.offsets]
    points -= points[offsets[:-1]].repeat(np.diff(offsets), axis=0) if len(points) else 0
    behind = np.arange(1, len(points) + 1)
    behind[offsets[1:] - 1] = offsets[:-1]
    cross = points[:, 0] * points[behind, 1] - points[:, 1] * points[behind, 0]
    each = segment_sum(cross, offsets) / 2
    sign = np.sign(np.linalg.det(np.array(calibration.homography).reshape(3, 3)))
    outward = np.sign(np.sum(each[~rings.hole])) or sign
    return np.asarray(np.bincount(rings.owner, each * outward, len(masks)), np.float64)


def _lengths(measured: Mapping[str, Array], masks: Masks, calibration: Calibration) -> dict[str, Float]:
    """Return Feret diameters and the rectangle of least area, from every edge and every pair of points of a hull."""
    hulls = true_hulls(hull_columns(masks), len(masks))
    points, ends, offsets = calibration.plane(hulls.points), calibration.plane(tips(hulls)), hulls.offsets
    count = np.diff(offsets)
    out = np.full((5, len(masks)), np.nan)
    some = np.flatnonzero(count)
    for lo, hi in chunks(count[some] ** 2, _PAIRS):
        out[:, some[lo:hi]] = _of_pairs(points, ends, offsets[:-1][some[lo:hi]], count[some[lo:hi]])
    own = np.flatnonzero(np.isfinite(measured["rect_length_spread"]))
    curved = np.isfinite(measured["feret_max_spread"][own])  # else a rectangle
    middles = masks.centroids[own]
    widest, length, width, angle = _of_forms(measured, own, curved, calibration.stretch(middles))
    out[:4, own] = widest, width, length, width
    turned = length > _EVEN * width
    out[4, own[turned]] = angle[turned]
    return dict(zip(_LENGTHS, out, strict=True))


def _of_forms(
    measured: Mapping[str, Array], own: Int, curved: Bool, stretch: Float
) -> tuple[Float, Float, Float, Float]:
    """Return diameter, sides and angle of forms on the plane, which ``stretch`` (K, 2, 2) carries their axes to."""
    turn = np.radians(measured["rect_angle"][own])
    along = np.stack((np.cos(turn), np.sin(turn)), 1)
    axes = np.stack((along, along[:, ::-1] * [-1, 1]), 2)
    each = np.stack((measured["rect_length"][own], measured["rect_width"][own]), 1)
    axes = stretch @ (axes * each[:, None])
    ways, sizes, _ = np.linalg.svd(axes)
    sides = np.hypot(axes[:, 0], axes[:, 1])
    sides[:, 1] = np.abs(np.linalg.det(axes)) / sides[:, 0]
    first = (sides[:, 0] >= sides[:, 1])[:, None]
    way = np.where(curved[:, None], ways[:, :, 0], np.where(first, axes[:, :, 0], axes[:, :, 1]))
    length, width = np.where(curved, sizes.T, np.stack((sides.max(1), sides.min(1))))
    diagonal = np.maximum(*(np.hypot(*(axes[:, :, 0] + sign * axes[:, :, 1]).T) for sign in (1, -1)))
    diagonal *= measured["feret_max"][own] / np.hypot(*each.T)  # a corner may be round
    return np.where(curved, length, diagonal), length, width, np.degrees(np.arctan2(way[:, 1], way[:, 0])) % 180


def _of_pairs(points: Float, ends: Float, first: Int, count: Int) -> Float:
    """Return the five numbers of some hulls, (5, K)."""
    own = expand(first, count)
    hull = np.repeat(np.arange(len(first)), count)
    last = first + count - 1
    ahead = np.where(own == last[hull], first[hull], own + 1)
    edge = points[ahead] - points[own]
    edge /= np.maximum(np.hypot(*edge.T), 1e-300)[:, None]
    each = count[hull]
    here, there = np.repeat(own, each), expand(first[hull], each)
    off, apart = points[there] - points[here], ends[there] - ends[here]
    heads = sums(each)[:-1]
    along, across = np.repeat(edge, each, axis=0), off
    lengthwise = (along * across).sum(1)
    sideways = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    length, width = (np.maximum.reduceat(v, heads) - np.minimum.reduceat(v, heads) for v in (lengthwise, sideways))
    far = np.sqrt(np.maximum.reduceat((apart * apart).sum(1), heads))
    begins = sums(count)[:-1]
    order = np.lexsort((length * width, hull))
    best = order[begins]
    angle = np.degrees(np.arctan2(edge[best, 1], edge[best, 0])) + np.where(length[best] >= width[best], 0, 90)
    return np.stack(
        (
            np.maximum.reduceat(far, begins),
            np.minimum.reduceat(width, begins),
            np.maximum(length[best], width[best]),
            np.minimum(length[best], width[best]),
            angle % 180,
        )
    )
