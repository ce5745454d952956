"""Pure functions on masks and instances: overlap, suppression, parts, occlusion."""

from apiece.ops._nms import nms
from apiece.ops.flatten import flattened
from apiece.ops.occlusion import hidden, occluders
from apiece.ops.overlap import box_iou, intersections, iou
from apiece.ops.parts import largest_part, parts_of

__all__ = ["box_iou", "flattened", "hidden", "intersections", "iou", "largest_part", "nms", "occluders", "parts_of"]
