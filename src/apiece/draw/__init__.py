"""Pictures and pages: instances over their image, charts, tables, the HTML report.

>>> import numpy as np, apiece
>>> found = apiece.Instances.from_label_map(np.array([[1, 1, 0], [1, 1, 0]]))
>>> apiece.draw.overlay(apiece.Image(np.zeros((2, 3), np.uint8)), found).shape
(2, 3, 3)
"""

from apiece.draw._marks import mark_line, mark_zone, write_text
from apiece.draw._overlay import display_limits, overlay, to_display
from apiece.draw.palette import colours

__all__ = ["colours", "display_limits", "mark_line", "mark_zone", "overlay", "to_display", "write_text"]
