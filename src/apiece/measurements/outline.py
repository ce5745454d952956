"""The outline of each mask: how convex, how rough, and the areas of its holes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import expand, segment_sum, sums
from apiece.core.topology import run_parts, trace
from apiece.measurements._kit.holes import holes_of
from apiece.measurements.contract import Measure, Property, Request
from apiece.ops.hull import hull_columns
from apiece.ops.perimeter import crofton
from apiece.ops.true_hull import true_hulls

__all__ = ["MEASURE"]

_WAVE = 0.1  # of an outline: what is shorter than it is roughness, what is longer is form
_GRAIN = 5  # pixel sides over which an outline is averaged, so that its steps from pixel to pixel do not count


def _compute(request: Request) -> Mapping[str, Array]:
    masks, scale, wanted = request.masks, request.scale, request.wanted
    out: dict[str, Array] = {}
    if wanted & {"convexity", "hole_area", "hole_area_max"}:
        holes = holes_of(masks)
        size = scale[0] * scale[1]
        out["hole_area"], out["hole_area_max"] = holes.area * size, _largest_part(holes) * size
        outline = crofton(masks, scale) - crofton(holes, scale)
        share = np.full(len(masks), np.nan)
        np.divide(_around_hull(masks, scale), outline, out=share, where=outline > 0)
        out["convexity"] = np.minimum(share, 1.0)
    if "roughness" in wanted:
        out["roughness"] = _roughness(masks, np.array(scale))
    return out


def _largest_part(masks: Masks) -> Int:
    """Return the pixels of the largest part of each mask, parts being joined over corners."""
    runs = masks.runs
    part = run_parts(runs, masks.size, corners=True)[1]
    area = np.bincount(part, runs.y1 - runs.y0).astype(np.int64)
    out = np.zeros(len(masks), np.int64)
    np.maximum.at(out, runs.owners, area[part])
    return out


def _roughness(masks: Masks, scale: Float) -> Float:
    """Return the rms distance of each outer outline, in steps of a pixel side, from the same outline smoothed."""
    rings = trace(masks.runs, masks.size)
    step = _following(rings.offsets, rings.points) - rings.points
    sides = np.abs(step).sum(1)
    which = np.repeat(np.arange(len(step)), sides)
    along = expand(np.zeros(len(step), np.int64), sides) + 0.5
    places = (rings.points[which] + np.sign(step)[which] * along[:, None]) * scale
    offsets = sums(sides)[rings.offsets]
    number = np.diff(offsets)
    wave = np.maximum((number * (_WAVE / 2)).astype(np.int64), _GRAIN // 2)
    smooth = (4 * _averaged(places, offsets, wave) - _averaged(places, offsets, 2 * wave)) / 3  # keeps what is curved
    off = ((_averaged(places, offsets, np.full(len(number), _GRAIN // 2)) - smooth) ** 2).sum(1)
    outer = ~rings.hole
    total = np.bincount(rings.owner[outer], segment_sum(off, offsets)[outer], len(masks))
    return np.sqrt(total / np.bincount(rings.owner[outer], number[outer], len(masks)).clip(min=1)) + np.where(
        masks.area > 0, 0.0, np.nan
    )


def _averaged(places: Float, offsets: Int, half: Int) -> Float:
    """Return the mean of each place and the ``half`` places before and behind it on the same ring."""
    number = np.diff(offsets)
    half = np.minimum(half, (number - 1) // 2)
    ring = np.repeat(np.arange(len(number)), number)
    first, count, reach = offsets[:-1][ring], number[ring], half[ring]
    at = np.arange(len(ring)) - first
    total = np.concatenate((np.zeros((1, 2)), np.cumsum(places, axis=0)))
    whole = total[offsets[1:]] - total[offsets[:-1]]

    def before(index: Int) -> Float:
        turns, rest = np.divmod(index, count)
        return total[first + rest] - total[first] + turns[:, None] * whole[ring]

    return (before(at + reach + 1) - before(at - reach)) / (2 * reach + 1)[:, None]


def _around_hull(masks: Masks, scale: tuple[float, float]) -> Float:
    """Return the perimeter of the convex hull of each mask."""
    points, _, offsets = true_hulls(hull_columns(masks), len(masks))
    step = (_following(offsets, points) - points) * np.array(scale)
    return np.asarray(segment_sum(np.hypot(*step.T), offsets), np.float64)


def _following(offsets: Int, points: Array) -> Array:
    """Return the next point of the same ring, for each."""
    index = np.arange(1, len(points) + 1)
    some = np.diff(offsets) > 0
    index[offsets[1:][some] - 1] = offsets[:-1][some]
    return points[index]


MEASURE = Measure(
    summary="the outline of each mask and its holes",
    properties=(
        Property("convexity", "none", "perimeter of the convex hull / length of the outline without holes, at most 1"),
        Property(
            "roughness", "length", "rms distance of the outer outline from the same outline smoothed over a tenth of it"
        ),
        Property("hole_area", "area", "area of all holes"),
        Property("hole_area_max", "area", "area of the largest hole"),
    ),
    compute=_compute,
)
