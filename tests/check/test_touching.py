"""Two touching objects under one id."""

from __future__ import annotations

import numpy as np
from tests.check.drawn_labels import asked, box, disc, kinds, of

SIZE = (60, 90)
ROUND = disc(SIZE, 30, 30, 12)
PAIR = ROUND | disc(SIZE, 53, 30, 12)


def others(mask: np.ndarray = ROUND, count: int = 30) -> list:
    return [of(mask)] * count


def test_two_discs_that_touch() -> None:
    (found,) = asked("touching", *others(), of(PAIR))
    assert (found.kind, found.place.index) == ("touching", 30)
    assert found.sure > 0.8
    assert "2.0 times the area" in found.message


def test_one_disc_an_ellipse_and_a_ring_are_no_pairs() -> None:
    rows, columns = np.mgrid[:60, :90]
    ellipse = ((rows - 30) / 10) ** 2 + ((columns - 45) / 30) ** 2 <= 1
    ring = disc(SIZE, 45, 30, 20) & ~disc(SIZE, 45, 30, 12)
    assert asked("touching", *others(), of(ROUND), of(ellipse), of(ring)) == []


def test_two_rings_that_touch_are_a_pair() -> None:
    holes = disc(SIZE, 30, 30, 5) | disc(SIZE, 53, 30, 5)
    assert kinds(asked("touching", *others(ROUND & ~holes), of(PAIR & ~holes))) == [("touching", (0,))]


def test_a_bite_that_another_object_takes_is_no_neck() -> None:
    bar = box(SIZE, 10, 20, 80, 42)
    above, below = disc(SIZE, 45, 14, 12), disc(SIZE, 45, 48, 12)
    bitten = bar & ~above & ~below
    assert asked("touching", *others(), of(bitten, above, below)) == []
    assert kinds(asked("touching", *others(), of(bitten))) == [("touching", (0,))]


def test_a_ring_that_the_border_or_a_neighbour_opens_is_no_pair() -> None:
    ring = disc(SIZE, 45, 2, 20) & ~disc(SIZE, 45, 2, 12)
    assert asked("touching", *others(), of(ring)) == []
    ring = disc(SIZE, 45, 30, 20) & ~disc(SIZE, 45, 30, 12)
    pin = box(SIZE, 55, 25, 80, 35)
    assert asked("touching", *others(), of(ring & ~pin, pin)) == []


def test_a_class_of_dumbbells_is_made_of_dumbbells() -> None:
    assert asked("touching", *others(PAIR)) == []


def test_a_class_of_few_says_nothing_and_a_crowd_is_many_anyway() -> None:
    assert asked("touching", of(ROUND), of(PAIR)) == []
    assert asked("touching", *others(), of(PAIR, crowd=[True])) == []


def test_large_masks_are_judged_like_small_ones() -> None:
    grown = [np.kron(mask, np.ones((8, 8), bool)) for mask in (ROUND, PAIR)]
    (found,) = asked("touching", *others(grown[0], 12), of(grown[1]))
    assert found.kind == "touching"
