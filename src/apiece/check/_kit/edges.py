"""How strong the edge in the image is along and beside the outlines of masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from apiece._arrays import Array, Float, Float32, Int, Int32
from apiece.core.masks import Masks

REACH = 6  # pixels to either side of an outline that are examined
OFFSETS = np.arange(-REACH, REACH + 1)  # where edges are looked for, in pixels from the outline, outwards positive
POINTS = 64  # most points of an outline
BLUR = 1.0  # standard deviation in pixels of the blur before gradients are taken
SIDES = 8  # most corners of an outline that may be a coarse polygon
CORNER = 1.0  # largest distance in pixels between an outline and the polygon that stands for it
_MOST = 1 << 14  # columns and points that are mapped at once: OpenCV takes at most 32,767
_STRIP = 128  # rows that are worked on at once, so that they stay in the processor's cache
_AROUND = 2 * REACH + 6  # pixels around them that take part


@dataclass(frozen=True)
class Outlines:
    """Points along the outlines of some masks, mask after mask.

    Attributes
    ----------
    owner : int64 (P,), the mask of each point, ascending.
    point : float32 (P, 2), x, y on the edge of the outermost pixels.
    normal : float32 (P, 2), unit vectors that point out of the mask.
    arc : float32 (P,), 4 u (1 - u) times the length of the polygon side at this point, u from 0 to 1 along the side; a
        round object bulges beyond a coarse polygon by a multiple of it.
    corners : int64 (masks,), corners of the polygon that stands for the outline.
    """

    owner: Int
    point: Float32
    normal: Float32
    arc: Float32
    corners: Int


def outlines(masks: Masks) -> Outlines:
    """Return points on the outer outline of each mask's largest part, without those at the image border."""
    crops, corners = masks.to_crops()
    owner, point, normal, arc = [], [], [], []
    count = np.zeros(len(masks), np.int64)
    for k, (crop, corner) in enumerate(zip(crops, corners, strict=True)):
        if not crop.size:
            continue
        found = cv2.findContours(crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        ring = max(found, key=len)[:, 0].astype(np.int32)
        if len(ring) < 8:
            continue
        places = np.linspace(0, len(ring), min(len(ring), POINTS), endpoint=False).astype(np.int64)
        out = _normals(ring, places)
        bulge, count[k] = _arcs(ring, places)
        owner.append(np.full(len(places), k))
        point.append(ring[places] + 0.5 + corner + 0.5 * out)
        normal.append(out)
        arc.append(bulge)
    if not owner:
        none = np.zeros((0, 2), np.float32)
        return Outlines(np.zeros(0, np.int64), none, none, none[:, 0], count)
    at = np.concatenate(point).astype(np.float32)
    height, width = masks.size
    margin = REACH / 2
    inside = (at > margin).all(1) & (at[:, 0] < width - margin) & (at[:, 1] < height - margin)
    return Outlines(
        np.concatenate(owner)[inside],
        at[inside],
        np.concatenate(normal).astype(np.float32)[inside],
        np.concatenate(arc).astype(np.float32)[inside],
        count,
    )


def _normals(ring: Int32, places: Int) -> Float:
    """Return outward unit normals, from the chord between the points some way before and after."""
    step = int(np.clip(len(ring) // 16, 2, 5))
    along = (ring[(places + step) % len(ring)] - ring[places - step]).astype(np.float64)
    turned = np.stack([along[:, 1], -along[:, 0]], 1)
    following = np.roll(ring, -1, 0)
    # OpenCV's outer outlines run one way round, but a ring of one pixel's width does not have to
    twice = float((ring[:, 0].astype(np.int64) * following[:, 1] - following[:, 0].astype(np.int64) * ring[:, 1]).sum())
    turned *= 1.0 if twice > 0 else -1.0
    return turned / np.maximum(np.hypot(*turned.T), 1e-9)[:, None]


def _arcs(ring: Int32, places: Int) -> tuple[Float, int]:
    """Return (`Outlines.arc` at these places, number of corners); zeros where there are more than `SIDES`."""
    corners = cv2.approxPolyDP(ring, CORNER, True).reshape(-1, 2)
    if not 3 <= len(corners) <= SIDES:
        return np.zeros(len(places)), len(corners)
    at = np.array([int(np.abs(ring - c).sum(1).argmin()) for c in corners])
    at.sort()
    side = np.searchsorted(at, places, "right") - 1
    begin = at[side]
    end = np.where(side + 1 < len(at), at[(side + 1) % len(at)], at[0] + len(ring))
    begin = np.where(side < 0, at[-1] - len(ring), begin)
    end = np.where(side < 0, at[0], end)
    u = (places - begin) / np.maximum(end - begin, 1)
    length = np.hypot(*(ring[end % len(ring)] - ring[begin % len(ring)]).T)
    return 4 * u * (1 - u) * length, len(corners)


def edges(pixels: Array, found: Outlines) -> Float:
    """Return the edge strength at each point and each of `OFFSETS` along its normal: float64 (P, 13), 0 to 1.

    It is the derivative along the normal, in the channel of the steepest gradient, over the steepest one at that point.
    The noise of the rows with outlines is added below, so that noise alone is no edge.
    """
    strength = np.zeros((len(found.point), len(OFFSETS)))
    slopes_seen = [np.zeros(0, np.float32)]
    tile = found.point.astype(np.int64) // (_MOST, _STRIP)
    for column, row in np.unique(tile, axis=0).tolist():
        x0, y0 = max(column * _MOST - _AROUND, 0), max(row * _STRIP - _AROUND, 0)
        slopes = _gradient(pixels[y0 : (row + 1) * _STRIP + _AROUND, x0 : (column + 1) * _MOST + _AROUND])
        slopes_seen.append(
            np.max([(dx[::4, ::4] ** 2 + dy[::4, ::4] ** 2).max(2) for dx, dy in slopes], axis=0).ravel()
        )
        inside = np.flatnonzero((tile[:, 0] == column) & (tile[:, 1] == row))
        for lo in range(0, len(inside), _MOST):
            some = inside[lo : lo + _MOST]
            point, normal = found.point[some], found.normal[some]
            # pixel centres lie at halves for us, at whole numbers for OpenCV
            corner = np.array([x0, y0], np.float32) + np.float32(0.5)
            x, y = (point[:, [i]] - corner[i] + normal[:, [i]] * OFFSETS.astype(np.float32) for i in (0, 1))
            strength[some] = _along(slopes, x, y, normal)
    seen = np.concatenate(slopes_seen)
    noise = float(np.sqrt(np.median(seen))) + 1e-6 if len(seen) else 1e-6
    return strength / (strength.max(1, keepdims=True) + 3 * noise)


def _along(slopes: Sequence[tuple[Float32, Float32]], x: Float32, y: Float32, normal: Float32) -> Float32:
    """Return the slope along the normals at these places, in the channel that is steepest there."""
    dx, dy = (np.concatenate([_sampled(pair[axis], x, y) for pair in slopes], axis=2) for axis in (0, 1))
    best = (dx * dx + dy * dy).argmax(2)[:, :, None]
    dx, dy = (np.take_along_axis(d, best, 2)[:, :, 0] for d in (dx, dy))
    return np.asarray(np.abs(dx * normal[:, [0]] + dy * normal[:, [1]]))


def _sampled(slope: Float32, x: Float32, y: Float32) -> Float32:
    found = cv2.remap(slope, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(*x.shape, slope.shape[2]))


def _gradient(pixels: Array) -> list[tuple[Float32, Float32]]:
    """Return the x and y derivatives of the blurred image: (height, width, channels), up to four channels each."""
    found = []
    for first in range(0, pixels.shape[2], 4):
        some = np.ascontiguousarray(pixels[:, :, first : first + 4], np.float32)
        blurred = cv2.GaussianBlur(some, (0, 0), BLUR)
        slopes = (cv2.Sobel(blurred, cv2.CV_32F, dx, 1 - dx, ksize=3).reshape(some.shape) for dx in (1, 0))
        found.append(cast(tuple[Float32, Float32], tuple(slopes)))
    return found
