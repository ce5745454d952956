"""Track cells: they move little, touch, vanish for a frame, and divide; by linear assignment.

In the line of Jaqaman et al. 2008 (doi 10.1038/nmeth.1237), on masks in place of points.

Frame by frame, so that it works on a stream:

0. The stage may have moved: the tracker takes the move under which the new masks cover most of the last ones, and
   undoes it.
1. Objects are linked to the last frame's by overlap of masks and nearness of centres, all at once at the least cost.
2. What is left is linked to a mother: two detections where one was, of like sizes and together about as large as she.
   Her id ends, both daughters get ids of their own, and the attribute ``parent`` names her.
3. What is left still is linked to objects that were lost for a few frames (gaps).
4. The rest begins tracks. Where two objects become one, the one that fits better goes on, the other ends.

Over a whole file (`link`), steps 2 to 4 wait until all frames are seen. Gaps, divisions and joined cells of all frames
are then chosen together at the least cost, daughters must last, and cells that were one mask for a while get their ids
back when they part.
"""

from __future__ import annotations

from apiece.track.cells._file import link
from apiece.track.cells._frames import CellTracker
from apiece.track.cells._links import Settings
from apiece.track.contract import TrackerKind

__all__ = ["TRACKER", "CellTracker", "Settings", "link"]

TRACKER = TrackerKind(
    summary="cells that move little and divide: masks linked by assignment; daughters know their mother; short gaps",
    settings=Settings,
    start=CellTracker,
    link=link,
)
