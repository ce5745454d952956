"""Masks of several parts, dust, and pieces cut off."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_labels import asked, box, disc, drawn, kinds, of

from apiece.check import Settings

SIZE = (60, 90)
ROUND = disc(SIZE, 20, 30, 10)


def ordinary(count: int = 12) -> list:
    """Images of whole objects, beside which a torn one is the exception."""
    return [of(ROUND) for _ in range(count)]


def test_two_objects_far_apart_under_one_id() -> None:
    both = ROUND | disc(SIZE, 70, 30, 9)
    (found,) = asked("parts", *ordinary(), of(both))
    assert (found.kind, found.place.index, found.place.instances) == ("far_parts", 12, (0,))
    assert (
        f"{np.count_nonzero(ROUND)} and {np.count_nonzero(both & ~ROUND)} pixels lie 31 pixels apart" in found.message
    )
    assert 0.6 < found.sure < 1


def test_an_object_that_another_lies_over_is_one() -> None:
    bar = box(SIZE, 10, 25, 80, 35)
    over = box(SIZE, 40, 10, 55, 50)
    assert asked("parts", *ordinary(), of(bar & ~over, over)) == []
    # a pixel is left free on either side of what lies over it
    loose = box(SIZE, 41, 10, 54, 50)
    assert asked("parts", *ordinary(), of(bar & ~over, loose)) == []
    # without it the ground between is open
    assert kinds(asked("parts", *ordinary(), of(bar & ~over))) == [("far_parts", (0,))]


def test_what_lies_beside_the_gap_hides_nothing() -> None:
    torn = box(SIZE, 10, 20, 80, 30) & ~box(SIZE, 40, 0, 43, 60)
    beside = box(SIZE, 30, 31, 60, 50)
    (found,) = asked("parts", *ordinary(), of(torn, beside))
    assert (found.kind, found.place.instances) == ("fragment", (0,))
    assert "lies 3 pixels off it" in found.message


def test_an_object_that_the_border_cuts_may_hang_together_outside() -> None:
    ring = disc(SIZE, 45, 0, 20) & ~disc(SIZE, 45, 0, 10)
    arcs = ring & ~box(SIZE, 40, 0, 50, 60)
    assert asked("parts", *ordinary(), of(arcs)) == []
    assert kinds(asked("parts", *ordinary(), of(np.roll(arcs, 20, 0)))) == [("fragment", (0,))]


def test_a_fragment_and_dust() -> None:
    bit, specks = box(SIZE, 40, 28, 43, 32), box(SIZE, 60, 5, 62, 7) | box(SIZE, 60, 50, 61, 51)
    fragment, dust = sorted(asked("parts", *ordinary(), of(ROUND | bit | specks)), key=lambda f: -f.sure)
    assert (fragment.kind, fragment.repair) == ("fragment", None)
    assert "a part of 12 pixels" in fragment.message
    assert (dust.kind, dust.repair, dust.place.instances) == ("dust", "dust", (0,))
    assert "2 loose specks of 5 pixels in all" in dust.message
    found = asked("parts", *ordinary(), of(ROUND | specks), settings=Settings(dust=0))
    assert kinds(found) == [("fragment", (0,))]


def test_a_whole_mask_of_dust_is_dropped_and_an_empty_one_is_left_to_others() -> None:
    speck = box(SIZE, 3, 3, 4, 5)
    (found,) = asked("parts", of(ROUND, speck, np.zeros(SIZE, bool)))
    assert (found.kind, found.repair, found.place.instances) == ("speck", "drop", (1,))
    assert "2 pixels" in found.message


def test_pixels_that_touch_at_a_corner_are_one_part() -> None:
    line = np.zeros(SIZE, bool)
    line[np.arange(10, 40), np.arange(20, 50)] = True
    assert asked("parts", of(line)) == []


def test_where_several_parts_are_the_nature_of_a_class_it_is_said_once() -> None:
    both = ROUND | disc(SIZE, 70, 30, 9)
    (found,) = asked("parts", *[of(both) for _ in range(20)])
    assert found.kind == "far_parts"
    assert found.sure == pytest.approx(0.1)
    assert "20 of 20 masks" in found.message


def test_a_crowd_may_have_any_number_of_parts() -> None:
    both = ROUND | disc(SIZE, 70, 30, 9) | box(SIZE, 1, 1, 2, 2)
    assert asked("parts", *ordinary(), of(both, crowd=[True])) == []


def test_a_piece_cut_off_along_a_line_but_not_what_lies_on_top_or_beside() -> None:
    cut = box(SIZE, 26, 0, 90, 60)
    (found,) = asked("parts", of(ROUND & ~cut, ROUND & cut))
    assert (found.kind, found.place.instances) == ("cut_off", (1, 0))
    on_top = disc(SIZE, 26, 30, 6)
    assert asked("parts", of(ROUND & ~on_top, on_top)) == []
    assert asked("parts", of(ROUND, disc(SIZE, 35, 30, 5))) == []
    assert asked("parts", of(ROUND & ~cut, ROUND & cut, labels=[0, 1], classes=("nut", "bolt"))) == []


def test_many_parts_of_many_shapes_at_once() -> None:
    instances = drawn(
        "....................",
        ".aaaa.....bbbb......",
        ".aaaa.....bbbb......",
        ".aaaa.....bbbb......",
        "....................",
        "..............bb....",
        "..............bb....",
        "....................",
        size=3,
    )
    assert kinds(asked("parts", *[of(ROUND)] * 12, instances)) == [("fragment", (1,))]
