"""Labels on transparent ground."""

from __future__ import annotations

import numpy as np
from tests.check.drawn_labels import asked, box, of

from apiece.core.image import Image

SIZE = (60, 80)


def test_objects_on_transparent_ground_are_found() -> None:
    pixels = np.full((*SIZE, 4), 90, np.uint8)
    pixels[:, :40, 3] = 0
    boxes = (2, 2, 12, 12), (35, 20, 45, 30), (60, 20, 70, 30), (39, 40, 69, 50)
    labels = of(*(box(SIZE, *corners) for corners in boxes))
    found = asked("pixels", (Image(pixels, alpha="unassociated"), labels))
    assert [(f.kind, f.place.instances) for f in found] == [("transparent", (0,)), ("transparent", (1,))]
    assert [f.sure for f in found] == [1.0, 0.5]
    assert found[0].message.endswith("100% of 100 pixels lie on transparent ground")
    assert asked("pixels", (Image(pixels), labels)) == []
    assert asked("pixels", (Image(np.full((*SIZE, 4), 255, np.uint8), alpha="associated"), labels)) == []
