"""Masks of several parts, dust, and pieces cut off."""

from __future__ import annotations

import numpy as np
import pytest
from tests.check.drawn_labels import asked, box, disc, drawn, kinds, of

import apiece
from apiece.check import Settings
from apiece.check.parts import _links, _span

SIZE = (60, 90)
ROUND = disc(SIZE, 20, 30, 10)


def ordinary(count: int = 12, **more) -> list:
    """Images of whole objects, beside which a torn one is the exception."""
    return [of(ROUND, **more) for _ in range(count)]


def test_two_objects_far_apart_under_one_id() -> None:
    both = ROUND | disc(SIZE, 70, 30, 9)
    (found,) = asked("parts", *ordinary(), of(both))
    assert (found.kind, found.place.index, found.place.instances) == ("far_parts", 12, (0,))
    assert (
        f"{np.count_nonzero(ROUND)} and {np.count_nonzero(both & ~ROUND)} pixels lie 31 pixels apart" in found.message
    )
    assert 0.6 < found.sure < 1


BAR = box(SIZE, 10, 25, 80, 35)
BARS = [of(BAR)] * 12


def test_an_object_that_another_lies_over_is_one() -> None:
    over = box(SIZE, 40, 10, 55, 50)
    assert asked("parts", *BARS, of(BAR & ~over, over)) == []
    # a pixel is left free on either side of what lies over it
    loose = box(SIZE, 41, 10, 54, 50)
    assert asked("parts", *BARS, of(BAR & ~over, loose)) == []
    # without it the ground between is open
    assert kinds(asked("parts", *BARS, of(BAR & ~over))) == [("far_parts", (0,))]


def test_parts_behind_others_are_two_objects_if_one_is_never_as_long() -> None:
    both = disc(SIZE, 20, 30, 10) | disc(SIZE, 65, 30, 10)
    classes = ("nut", "bar")
    behind = of(both, box(SIZE, 30, 10, 55, 50), labels=[0, 1], classes=classes)
    (found,) = asked("parts", *ordinary(classes=classes), behind)
    assert (found.kind, found.place.index, found.place.instances) == ("far_parts", 12, (0,))
    area = np.count_nonzero(ROUND)
    assert f"parts of {area} and {area} pixels lie 25 pixels apart under one id behind others" in found.message
    assert "65 pixels long together, where 21 is long" in found.message
    assert 0.7 < found.sure < 1
    # of a class that is as long they may well be one, and of one that is hardly known nothing can be said
    assert asked("parts", *[of(BAR, classes=classes)] * 12, behind) == []
    assert asked("parts", *ordinary(9, classes=classes), behind) == []
    assert kinds(asked("parts", *ordinary(10, classes=classes), behind)) == [("far_parts", (0,))]


def test_parts_behind_others_are_two_objects_if_one_is_never_as_hollow() -> None:
    level, upright = box(SIZE, 10, 5, 55, 15), box(SIZE, 62, 30, 68, 50)
    bent, over = level | upright, disc(SIZE, 62, 16, 18) & ~level & ~upright
    (found,) = asked("parts", *BARS, of(bent, over))
    assert (found.kind, found.place.instances) == ("far_parts", (0,))
    assert "hollow together by" in found.message
    assert "where 0% is much" in found.message
    # ground that other objects cover is not hollow, and hooks are as hollow as that
    assert asked("parts", *BARS, of(bent, over, box(SIZE, 0, 16, 61, 60))) == []
    hook = box(SIZE, 10, 5, 68, 15) | box(SIZE, 62, 5, 68, 50)
    assert asked("parts", *[of(hook)] * 12, of(bent, over)) == []


def test_a_slit_was_erased_whatever_lies_beside_it() -> None:
    ring, line = disc(SIZE, 45, 30, 25) & ~disc(SIZE, 45, 30, 12), box(SIZE, 44, 0, 47, 60)
    (found,) = asked("parts", *ordinary(), of(ring & ~line, disc(SIZE, 45, 30, 12)))
    assert (found.kind, found.place.instances) == ("fragment", (0,))
    # what comes near at a corner only hangs together under the other object
    over, classes = disc(SIZE, 45, 30, 23) | box(SIZE, 15, 30, 75, 60), ("nut", "bar")
    tips = of(ring & ~line & ~over, over, labels=[0, 1], classes=classes)
    assert asked("parts", *ordinary(classes=classes), tips) == []


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


def test_a_tip_that_the_border_cuts_off_is_no_fragment_but_a_torn_part_is() -> None:
    body = box(SIZE, 10, 0, 40, 20)
    assert asked("parts", *ordinary(), of(body | box(SIZE, 42, 0, 48, 3))) == []
    assert kinds(asked("parts", *ordinary(), of(body | box(SIZE, 42, 0, 62, 20)))) == [("fragment", (0,))]


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


def test_links_and_lengths_are_the_same_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = [disc(SIZE, *rng.uniform(5, (85, 55)), rng.uniform(1, 6)) for _ in range(90)]
    masks = apiece.Masks.from_dense(np.reshape(parts, (30, 3, *SIZE)).any(1))
    whole, lengths = _links.linked(apiece.Instances(masks), 4), _span._lengths(masks)
    assert whole is not None
    assert whole.hidden.any()
    assert len(whole.part) > 40
    monkeypatch.setattr(_span, "AT_ONCE", 32)
    assert np.array_equal(_span._lengths(masks), lengths)
    for at_once in (1, 7):
        monkeypatch.setattr(_links, "_PIECES", at_once)
        some = _links.linked(apiece.Instances(masks), 4)
        assert some is not None
        for name in ("part", "other", "gap", "hidden", "joined"):
            assert np.array_equal(getattr(some, name), getattr(whole, name)), name
