"""ImageJ's ROIs as shapes, and back, through the `roifile` library (BSD-3)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from apiece._arrays import Float
from apiece.core.masks import Masks
from apiece.formats._kit.checks import BadEntryError, Size
from apiece.formats._kit.shapes import Drawn, ellipse_shape, ring

_AREA = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
_POINTS = {0: 1, 1: 1, 2: 2, 3: 3, 4: 0}  # of each segment of a path: move, line, quadratic, cubic, close
_STEPS = np.arange(1, 33)[:, None] / 32  # pieces that a curve is drawn in; off by less than a fifth of a pixel
_SHORT = 32767  # furthest that a 16-bit coordinate reaches


def has_area(roi: ImagejRoi) -> bool:
    """Return whether the ROI is an area; lines, points, text and pictures are none."""
    drawn = roi.subtype not in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW)
    return roi.roitype in _AREA and drawn


def kind_of_roi(roi: ImagejRoi) -> str:
    """Return what ImageJ calls a ROI without area."""
    named = roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW)
    return str((roi.subtype if named else roi.roitype).name).lower()


def shape_of(roi: ImagejRoi, size: Size) -> Any:
    """Return the ROI as `Entry.shape`."""
    if roi.roitype == ROI_TYPE.RECT and roi.composite:
        return _even_odd(_rings(np.asarray(roi.multi_coordinates, np.float64)), size)
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        return _box_or_oval(roi, size)
    if roi.options & ROI_OPTIONS.SPLINE_FIT:
        raise BadEntryError("is a spline; make it a polygon (Edit > Selection > Interpolate) and save it again")
    points = np.asarray(roi.coordinates(), np.float64).reshape(-1, 2)
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    return [[ring(points)]]


def _box_or_oval(roi: ImagejRoi, size: Size) -> Drawn:
    box: tuple[float, ...] = (roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top)
    if roi.subpixelrect:
        box = (roi.xd, roi.yd, roi.widthd, roi.heightd)
    left, top, width, height = box
    if not np.isfinite(box).all() or width < 0 or height < 0:
        raise BadEntryError(f"box is {width:g} wide and {height:g} high")
    if roi.roitype == ROI_TYPE.OVAL:
        return ellipse_shape(left + width / 2, top + height / 2, width / 2, height / 2, 0, size)
    if roi.rounded_rect_arc_size > 0:
        raise BadEntryError("is a rectangle with rounded corners; make it a polygon and save it again")
    # doubles, and float32 only at the end, so that a far edge is not moved
    edges = (left, top, left + width, top + height)
    return Drawn(Masks.from_boxes(np.clip(np.array([edges]), 0, [size[1], size[0]] * 2), size), edges)


def _rings(path: Float) -> list[Float]:
    """Return the closed outlines of a path of moves, lines and curves."""
    found: list[list[Float]] = []
    at = 0
    while at < len(path):
        count = _POINTS.get(int(path[at])) if np.isfinite(path[at]) else None
        if count is None:
            raise BadEntryError(f"its outline has a segment of unknown kind {path[at]:g}")
        points = path[at + 1 : at + 1 + 2 * count].reshape(-1, 2) if at + 2 * count < len(path) else None
        if points is None:
            raise BadEntryError("its outline is cut short")
        if path[at] == 0:
            found.append([points])
        elif not found:
            raise BadEntryError("its outline does not begin with a move")
        elif count:
            found[-1].append(_curve(np.concatenate([found[-1][-1][-1:], points])) if count > 1 else points)
        at += 1 + 2 * count
    rings = [np.concatenate(pieces) for pieces in found]
    opened = [r[:-1] if len(r) > 1 and (r[0] == r[-1]).all() else r for r in rings]
    # a lone move at the end of a path draws nothing
    return [ring(r, "outline") for r in opened if len(r) > 1]


def _curve(points: Float) -> Float:
    """Return a Bézier curve of degree 2 or 3 as points after its first."""
    level = [np.broadcast_to(p, (len(_STEPS), 2)) for p in points]
    while len(level) > 1:
        level = [a + (b - a) * _STEPS for a, b in pairwise(level)]
    return np.asarray(level[0])


def _even_odd(rings: list[Float], size: Size) -> Drawn:
    """Return the pixels inside an odd number of rings: how Java fills a path."""
    points = np.concatenate([np.zeros((0, 2)), *rings])
    box = (*points.min(0).tolist(), *points.max(0).tolist()) if len(points) else (0.0, 0.0, 0.0, 0.0)
    masks = Masks.from_polygons([[r] for r in rings], size)
    step = size[0] + 1
    x = masks.x.astype(np.int64) * step
    ends, count = np.unique(np.concatenate([x + masks.y0, x + masks.y1]), return_counts=True)
    ends = ends[count % 2 == 1]
    first, last = ends[::2], ends[1::2]
    return Drawn(Masks(size, first // step, first % step, last % step, [0, len(first)]), box)


def roi_of(parts: list[list[Float]], box: list[int]) -> ImagejRoi:
    """Return a mask's outlines as a ROI: traced if it is one ring, else composite; ``box`` is x0, y0, x1, y1."""
    # a box without a pixel at 0 would be read as one of 65536 pixels
    left, top, right, bottom = box if parts else [1, 1, 1, 1]
    roi = ImagejRoi(left=left, top=top, right=right, bottom=bottom)
    rings = [r for part in parts for r in part]
    if len(rings) == 1 and max(box) <= _SHORT:
        roi.roitype = ROI_TYPE.TRACED
        roi.integer_coordinates = (rings[0] - [left, top]).astype(np.int32)
        roi.n_coordinates = len(rings[0])
        return roi
    roi.roitype = ROI_TYPE.RECT
    if rings:
        roi.multi_coordinates = np.concatenate([_path(r) for r in rings]).astype(np.float32)
        roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(points: Float) -> Float:
    """Return a path: move to the first point, lines to the others, close."""
    segments = np.concatenate([np.ones((len(points), 1)), points], axis=1)
    segments[0, 0] = 0
    return np.append(segments.ravel(), 4)
