"""Calibration: from pixels of a camera to lengths on a plane, with the uncertainty that comes of it.

>>> from apiece.calibration import from_scale_bar
>>> camera = from_scale_bar((480, 640), (20.0, 50.0), (220.0, 50.0), "10 mm")
>>> camera.plane(np.array([[20.0, 50.0], [220.0, 50.0]])).round(6).tolist()
[[1.0, 2.5], [11.0, 2.5]]
"""

from __future__ import annotations

from apiece.calibration.boards import from_aruco, from_charuco, from_checkerboard
from apiece.calibration.camera import Calibration, length
from apiece.calibration.depth import Intrinsics, check_depth, read_depth
from apiece.calibration.references import from_pixel_size, from_reference, from_scale_bar

__all__ = [
    "Calibration",
    "Intrinsics",
    "check_depth",
    "from_aruco",
    "from_charuco",
    "from_checkerboard",
    "from_pixel_size",
    "from_reference",
    "from_scale_bar",
    "length",
    "read_depth",
]
