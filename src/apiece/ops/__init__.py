"""Pure functions on masks and instances: overlap, suppression, parts, occlusion, joining over tiles."""

from apiece.ops._nms import nms
from apiece.ops._stitch import Grid, stitch
from apiece.ops.flatten import flattened
from apiece.ops.occlusion import hidden, occluders
from apiece.ops.overlap import box_iou, intersections, iou
from apiece.ops.parts import largest_part, parts_of

__all__ = [
    "Grid",
    "box_iou",
    "flattened",
    "hidden",
    "intersections",
    "iou",
    "largest_part",
    "nms",
    "occluders",
    "parts_of",
    "stitch",
]
