"""Pure functions on masks and instances: overlap, gaps, suppression, parts, occlusion, colours, joining over tiles."""

from apiece.ops._grid import Grid
from apiece.ops._nms import nms
from apiece.ops._stitch import stitch
from apiece.ops.colour import COLOURS, colour_names, colour_of, lab
from apiece.ops.flatten import flattened
from apiece.ops.near import box_gaps, gaps, nearest
from apiece.ops.occlusion import hidden, occluders
from apiece.ops.overlap import box_iou, intersections, iou
from apiece.ops.parts import largest_part, parts_of

__all__ = [
    "COLOURS",
    "Grid",
    "box_gaps",
    "box_iou",
    "colour_names",
    "colour_of",
    "flattened",
    "gaps",
    "hidden",
    "intersections",
    "iou",
    "lab",
    "largest_part",
    "nearest",
    "nms",
    "occluders",
    "parts_of",
    "stitch",
]
