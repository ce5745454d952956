"""Pure functions on masks and instances: overlap, suppression."""

from apiece.ops.nms import nms
from apiece.ops.overlap import box_iou, intersections, iou

__all__ = ["box_iou", "intersections", "iou", "nms"]
