"""Label images of many objects: what the families need in memory beside the masks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances
from apiece.check.contract import ROOM, Labelled, Settings
from apiece.core.image import ImageRef

SIDE = 3584


@pytest.fixture(scope="module")
def cells() -> Labelled:
    """50,176 rings and discs of 15 pixels, which touch their neighbours."""
    y, x = np.indices((SIDE, SIDE))
    number = y // 16 * (SIDE // 16) + x // 16
    away = (y % 16 - 7.5) ** 2 + (x % 16 - 7.5) ** 2
    there = (away < 72) & ((away > 6) | (number % 2 > 0))
    found = Instances.from_label_map(np.where(there, number + 1, 0))
    return Labelled("train", 0, ImageRef(Path("a.tif"), "a.tif", found.size), found)


@pytest.mark.parametrize("name", [name for name, one in ROOM.load_all().items() if one.needs == "labels"])
def test_memory_does_not_follow_the_objects(cells: Labelled, name: str) -> None:
    family = ROOM.load(name)
    assert cells.instances.masks.nbytes > 11e6
    tracemalloc.start()
    try:
        list(family.look(cells, Settings()) if family.look else ())
        if family.remember:
            family.remember(cells, Settings())
        assert tracemalloc.get_traced_memory()[1] < 120e6
    finally:
        tracemalloc.stop()
