"""Grasps: from masks to where a gripper takes hold of each object, and which object it takes first.

>>> from apiece.grasps import Gripper, plan_grasps
>>> boxes = apiece.Masks.from_boxes([[10, 10, 50, 20], [10, 24, 50, 34]], (60, 60))
>>> found = plan_grasps(apiece.Instances(boxes, [0, 0], ("bar",)), gripper=Gripper(thickness="3 px", clearance=4))
>>> found.fits.tolist()  # between the two bars there are 4 pixels, and a finger needs 7
[True, True]
"""

from __future__ import annotations

from apiece.grasps.gripper import Gripper, Reach
from apiece.grasps.pictures import draw_grasps
from apiece.grasps.plan import Grasps, plan_grasps

__all__ = ["Grasps", "Gripper", "Reach", "draw_grasps", "plan_grasps"]
