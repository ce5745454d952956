"""Thickness and skeleton of each mask.

The skeleton is the mask thinned to lines (`apiece.ops.thin`), without the spurs that corners and rough outlines leave.
Its length is measured along smoothed lines, and goes on to the outline at each free end.

Thickness is the distance of the two outlines across the skeleton. A distance to the nearest background pixel is too
long by half of the gap between the last pixels inside and the first outside, and a distance to the nearest mask pixel
too short by as much. Both are read near each outline, and their mean has no such bias at any angle.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from apiece._arrays import Array, Float
from apiece.measurements.contract import Measure, Property, Request
from apiece.ops.distances import distances
from apiece.ops.sheets import Sheet, sheets
from apiece.ops.thin import Skeleton, skeleton

__all__ = ["MEASURE"]

_NEAR = 2.0  # pixels from the outline at which distances are read
_MARGIN = 5
_ROUND = 1.5  # pixels by which the chords through the only pixel of a disc's skeleton differ at most
_LEAST = 3  # of the eight chords of other shapes: the least one alone would be too short by noise


def _compute(request: Request) -> Mapping[str, Array]:
    count = len(request.masks)
    out = {name: np.full(count, np.nan) for name in ("thickness_mean", "thickness_max")}
    out |= {"skeleton_length": np.zeros(count), "skeleton_branches": np.zeros(count, np.int64)}
    for sheet in sheets(request.masks, _MARGIN):
        scale = np.array(request.scale) * sheet.step
        for name, values in _measured(sheet, scale).items():
            out[name][sheet.masks] = values
    return out


def _measured(sheet: Sheet, scale: Float) -> dict[str, Array]:
    depth, outside = (_distances(drawn, scale) for drawn in (sheet.drawn, 1 - sheet.drawn))
    lines = skeleton(sheet.drawn, depth / scale.min())
    number, owner = len(sheet.masks), sheet.owner[lines.at // sheet.drawn.shape[1]]
    deep = depth.reshape(-1)[lines.at].astype(np.float64)
    signed = np.where(sheet.drawn > 0, depth, -outside)
    width = _across(signed, lines, deep, scale)
    # the pixel of each mask's skeleton that lies deepest
    order = np.lexsort((deep, owner))
    last = order[np.flatnonzero(np.diff(owner[order], append=-1))]
    steps = np.hypot(*((lines.place[lines.pairs[:, 0]] - lines.place[lines.pairs[:, 1]]) * scale).T)
    inside = np.bincount(owner[lines.pairs[:, 0]], steps, number)
    beyond = np.bincount(owner, _to_outline(signed, lines, width, scale), number)
    named = np.unique(np.stack((owner, lines.branch)), axis=1)
    return {
        "thickness_mean": np.bincount(owner, width, number) / np.bincount(owner, minlength=number),
        "thickness_max": width[last],
        "skeleton_length": inside + beyond,
        "skeleton_branches": np.bincount(named[0, named[1] >= 0], minlength=number),
    }


def _distances(drawn: Array, scale: Float) -> Array:
    """Return the distance of each pixel that is not 0 to the nearest that is, float32."""
    if scale[0] == scale[1]:
        return distances(drawn) * np.float32(scale[0])
    return ndimage.distance_transform_edt(drawn, sampling=tuple(scale)).astype(np.float32)


def _across(signed: Array, lines: Skeleton, deep: Float, scale: Float) -> Float:
    """Return the distance between the outlines at either side of each pixel of the lines."""
    along = lines.along * scale
    normal = np.stack((-along[:, 1], along[:, 0]), 1)
    size = np.hypot(*normal.T)
    width = _chord(signed, lines.place, normal / np.where(size > 0, size, 1)[:, None], deep, scale)
    width = np.minimum(width, 2 * deep + scale.max())  # at a corner the normal may miss the nearest outline
    alone = np.flatnonzero(size == 0)
    if len(alone):
        turns = np.arange(8) * (np.pi / 8)
        normals = np.stack((np.sin(turns), np.cos(turns)), 1)
        chords = np.sort([_chord(signed, lines.place[alone], n, deep[alone], scale) for n in normals], axis=0)
        round_ones = np.ptp(chords, axis=0) <= _ROUND * scale.mean()
        width[alone] = np.where(round_ones, chords.mean(0), chords[:_LEAST].mean(0))
    return width


def _chord(signed: Array, place: Float, normal: Float, deep: Float, scale: Float) -> Float:
    """Return the length of the chord through each place, read at both of its ends, inside and outside."""
    near = _NEAR * scale.mean()
    total = np.zeros(len(place))
    for reach in (np.maximum(deep - near, np.minimum(deep / 2, deep - scale.min())), deep + near):
        for side in (-1.0, 1.0):
            total += _read(signed, place + normal * (side * reach)[:, None] / scale) + reach
    return total / 2


def _to_outline(signed: Array, lines: Skeleton, width: Float, scale: Float) -> Float:
    """Return how far the line goes on from each free end to the outline; of a pixel that stands alone its chord."""
    out = np.where(lines.degree == 0, width, 0.0)
    end = np.flatnonzero(lines.degree == 1)
    neighbour = np.concatenate((lines.pairs, lines.pairs[:, ::-1]))
    inner = np.zeros(len(out), np.int64)
    inner[neighbour[:, 0]] = neighbour[:, 1]
    place, along = lines.place[end], lines.along[end] * scale
    away = (((place - lines.place[inner[end]]) * scale) * along).sum(1)
    along *= (np.where(away < 0, -1.0, 1.0) / np.hypot(*along.T))[:, None]
    reach = width[end] / 2
    for _ in range(8):
        reach = reach + _read(signed, place + along * reach[:, None] / scale)
    out[end] = np.maximum(reach, 0)
    return out


def _read(signed: Array, place: Float) -> Float:
    """Return values between pixels."""
    return ndimage.map_coordinates(signed, place.T, order=1, mode="nearest")


MEASURE = Measure(
    summary="thickness of each mask across its skeleton, and the skeleton's length and branches",
    properties=(
        Property("thickness_mean", "length", "mean distance between the outlines at either side of the skeleton"),
        Property("thickness_max", "length", "that distance where the mask is deepest"),
        Property("skeleton_length", "length", "length of the skeleton up to the outline, spurs left out"),
        Property("skeleton_branches", "none", "branches of the skeleton: stretches between forks and ends"),
    ),
    compute=_compute,
)
