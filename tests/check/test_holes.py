"""Tiny holes and missing ones."""

from __future__ import annotations

import numpy as np
from tests.check.drawn_labels import asked, box, disc, kinds, of

SIZE = (50, 50)
WHOLE = disc(SIZE, 25, 25, 14)
RING = WHOLE & ~disc(SIZE, 25, 25, 6)


def test_a_pinhole_among_masks_without() -> None:
    pricked = WHOLE & ~box(SIZE, 24, 24, 26, 26)
    (found,) = asked("holes", *[of(WHOLE)] * 12, of(pricked))
    assert (found.kind, found.place.index) == ("pinhole", 12)
    assert "a hole of 4 pixels in a mask of" in found.message
    assert asked("holes", *[of(pricked)] * 12) == []


def test_a_filled_ring_among_rings() -> None:
    (found,) = asked("holes", *[of(RING)] * 20, of(WHOLE))
    assert (found.kind, found.place.index, found.place.instances) == ("no_hole", 20, (0,))
    assert "95% of the 21" in found.message
    assert asked("holes", *[of(RING)] * 5, of(WHOLE)) == []  # too few to say what the class is like
    assert asked("holes", *[of(RING)] * 20, *[of(WHOLE)] * 20) == []


def test_what_hides_a_hole_excuses_it() -> None:
    rings = [of(RING)] * 20
    pin = box(SIZE, 20, 5, 32, 50)
    assert asked("holes", *rings, of(WHOLE & ~pin, pin, labels=[0, 1], classes=("nut", "pin"))) == []
    at_border = np.roll(WHOLE, -20, 1) & ~box(SIZE, 45, 0, 50, 50)
    assert asked("holes", *rings, of(at_border)) == []
    beside = box(SIZE, 39, 20, 48, 30)
    assert kinds(asked("holes", *rings, of(WHOLE, beside, labels=[0, 1], classes=("nut", "pin")))) == [
        ("no_hole", (0,))
    ]
