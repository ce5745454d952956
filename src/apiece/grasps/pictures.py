"""A picture of grasps: fingers, suction points, and the order in which objects are taken."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Array, UInt8
from apiece.core.image import Image
from apiece.draw import overlay, write_text
from apiece.grasps.plan import Grasps

__all__ = ["draw_grasps"]

_GOOD, _BAD, _CUP, _HALO = (60, 220, 80), (200, 70, 70), (255, 200, 0), (15, 15, 15)
_GROUND = 235  # grey of a picture that is not there
_SHARP = 4  # bits behind the point in OpenCV's coordinates


def draw_grasps(grasps: Grasps, image: Image | None = None, text: bool = True) -> UInt8:
    """Return the picture, uint8 RGB (H, W, 3), with fingers, suction points and the rank of each object.

    Fingers are green where they fit and red where not; a cup is a yellow ring, dark where it does not hold.

    Examples
    --------
    >>> from apiece.grasps import draw_grasps, plan_grasps
    >>> bar = apiece.Instances(apiece.Masks.from_boxes([[10, 20, 50, 30]], (60, 60)), [0], ("bar",))
    >>> draw_grasps(plan_grasps(bar)).shape
    (60, 60, 3)
    """
    found = grasps.instances
    ground = Image(np.full((*found.size, 3), _GROUND, np.uint8)) if image is None else image
    canvas = overlay(ground, found, names=False, alpha=0.15)
    width = max(round(max(found.size) / 500), 1)
    turn = np.radians(grasps.jaws.angle)
    side = np.stack((-np.sin(turn), np.cos(turn)), 1) * np.maximum(grasps.jaws.depth / 2, 3.0)[:, None]
    way = np.stack((np.cos(turn), np.sin(turn)), 1)
    for k in reversed(grasps.order.tolist()):  # the first to be taken is drawn on top
        if np.isnan(grasps.jaws.opening[k]):
            continue
        ink = _GOOD if grasps.fits[k] else _BAD
        ends = grasps.fingers[k]
        strokes = [np.stack((end - side[k], end + side[k])) for end in ends]
        strokes += [np.stack((end, end + sign * 2 * width * way[k])) for end, sign in zip(ends, (-1, 1), strict=True)]
        for colour, more in ((_HALO, 2), (ink, 0)):
            for stroke in strokes[:2]:
                _line(canvas, stroke, colour, width + more)
            _line(canvas, ends, colour, max(width - 1, 1) + more)
        place, radius = grasps.cups.places[k], max(3 * width, 3)
        for colour, thick in ((_HALO, width + 2), (_CUP if grasps.sticks[k] else (120, 100, 40), width)):
            cv2.circle(canvas, _fixed(place), radius << _SHARP, colour, thick, cv2.LINE_AA, _SHARP)
    if text:
        for rank, k in enumerate(grasps.order.tolist()):
            if np.isfinite(grasps.jaws.opening[k]):
                write_text(canvas, str(rank + 1), grasps.jaws.places[k] + 4 * width)
    return canvas


def _fixed(place: Array) -> tuple[int, int]:
    """Return a place as OpenCV draws it: pixel centres at whole numbers, with bits behind the point."""
    x, y = np.rint((place - 0.5) * (1 << _SHARP)).astype(int).tolist()
    return x, y


def _line(canvas: UInt8, ends: Array, colour: tuple[int, int, int], width: int) -> None:
    cv2.line(canvas, _fixed(ends[0]), _fixed(ends[1]), colour, width, cv2.LINE_AA, _SHARP)
