"""Sizes that stand out."""

from __future__ import annotations

import numpy as np
from tests.check.drawn_labels import asked, box, kinds, of

SIZE = (200, 300)


def squares(*sides: int, at: int = 4) -> list[np.ndarray]:
    return [box(SIZE, at + 22 * k, 10, at + 22 * k + side, 10 + side) for k, side in enumerate(sides)]


def test_one_that_is_far_larger_and_one_that_is_far_smaller() -> None:
    plain = [of(*squares(9, 10, 11, 10, 12)) for _ in range(6)]
    odd = of(*squares(10, 2), box(SIZE, 100, 100, 160, 160))
    small, large = sorted(asked("area", *plain, odd), key=lambda f: f.message)[::-1]
    if small.kind == "large":
        small, large = large, small
    assert (small.kind, small.place.index, small.place.instances) == ("small", 6, (1,))
    assert (large.kind, large.place.instances, large.place.box) == ("large", (2,), (100, 100, 160, 160))
    assert "3,600 pixels, 36.0 times the median of its class (100)" in large.message


def test_equal_sizes_make_nothing_stand_out_that_is_less_than_twice_as_large() -> None:
    assert asked("area", *[of(*squares(10, 10, 10, 10)) for _ in range(6)], of(*squares(13))) == []


def test_an_image_of_another_magnification_is_its_own_measure() -> None:
    fine = [of(*squares(*[4, 5, 5, 6] * 3)) for _ in range(10)]
    coarse = of(*squares(*[18, 19, 20, 21] * 3))
    assert asked("area", *fine, coarse) == []


def test_debris_among_cells_is_no_reason_to_call_cells_large() -> None:
    plain = [of(*squares(*[9, 10, 10, 11] * 3)) for _ in range(10)]
    debris = of(*squares(*[2, 2, 2, 3, 2, 2, 2, 10, 11, 10, 9, 10]))
    assert asked("area", *plain, debris) == []


def test_what_the_border_cuts_is_counted_once_and_compared_with_nothing() -> None:
    plain = [of(*squares(9, 10, 11, 10, 12)) for _ in range(6)]
    cut = of(box(SIZE, 0, 50, 1, 60), box(SIZE, 100, 190, 110, 200))
    (found,) = asked("area", *plain, cut)
    assert (found.kind, found.place.index, found.place.instances) == ("cut", 6, (0,))
    assert "cuts 2 of 32 masks, in 1 images" in found.message


def test_few_instances_and_crowds_are_left_alone() -> None:
    assert asked("area", of(*squares(10, 10, 10)), of(*squares(2))) == []
    plain = [of(*squares(9, 10, 11, 10, 12)) for _ in range(6)]
    assert kinds(asked("area", *plain, of(box(SIZE, 100, 100, 160, 160), crowd=[True]))) == []
