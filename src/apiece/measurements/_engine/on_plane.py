"""Sizes on a calibrated plane: outlines are carried over to it, and measured there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.calibration import Calibration
from apiece.core.masks import Masks
from apiece.core.runs import chunks, expand, segment_sum, sums
from apiece.core.topology import trace
from apiece.measurements.contract import Property
from apiece.ops.hull import hull_columns
from apiece.ops.true_hull import tips, true_hulls

__all__ = ["on_plane", "pixel_sides"]

_PAIRS = 1 << 20


def on_plane(
    measured: Mapping[str, Array], wanted: list[Property], masks: Masks, calibration: Calibration
) -> dict[str, Array]:
    """Return measures in pixels as measures on the plane.

    Areas are integrated over outlines. Feret diameters and rectangles are those of hulls, whose points are carried to
    the plane one by one. All other lengths and areas follow the scale at the middle of their object.
    """
    names = {prop.name for prop in wanted}
    side = pixel_sides(masks, calibration)
    factor = {"length": side, "area": side**2}
    out = {p.name: _times(measured[p.name], factor.get(p.dimension)) for p in wanted}
    if names & {"area", "equivalent_diameter", "ellipse_area"}:
        area = _areas(masks, calibration)
        exact = {"area": area, "equivalent_diameter": np.sqrt(area * (4 / np.pi))}
        if "ellipse_area" in names:
            exact["ellipse_area"] = area * measured["ellipse_area"] / np.maximum(masks.area, 1)
        out |= {name: exact[name] for name in names & exact.keys()}
    hulls = _hulls(masks, calibration)
    return out | {name: hulls[name] for name in names & hulls.keys()}


def pixel_sides(masks: Masks, calibration: Calibration) -> Float:
    """Return the side on the plane of a pixel in the middle of each mask: float64 (N,)."""
    place = np.where(masks.area[:, None] > 0, masks.centroids, np.array(masks.size[::-1]) / 2)
    return np.asarray(np.sqrt(np.abs(np.linalg.det(calibration.stretch(place)))), np.float64)


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


def _hulls(masks: Masks, calibration: Calibration) -> dict[str, Float]:
    """Return Feret diameters and the rectangle of least area, from every edge and every pair of points of a hull."""
    hulls = true_hulls(hull_columns(masks), len(masks))
    points, ends, offsets = calibration.plane(hulls.points), calibration.plane(tips(hulls)), hulls.offsets
    count = np.diff(offsets)
    out = np.full((5, len(masks)), np.nan)
    some = np.flatnonzero(count)
    for lo, hi in chunks(count[some] ** 2, _PAIRS):
        out[:, some[lo:hi]] = _of_pairs(points, ends, offsets[:-1][some[lo:hi]], count[some[lo:hi]])
    return dict(zip(("feret_max", "feret_min", "rect_length", "rect_width", "rect_angle"), out, strict=True))


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
