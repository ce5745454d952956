"""Grasps against geometry worked out by hand: bars, discs, tapered parts, gaps, depth, order, limits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from apiece import Instances, Masks
from apiece.calibration import Calibration, Intrinsics
from apiece.errors import ConfigError, InvalidInstancesError
from apiece.grasps import Grasps, Gripper, Reach, draw_grasps, plan_grasps
from apiece.grasps.order import layers

SIDE = 120
Y, X = np.mgrid[:SIDE, :SIDE] + 0.5
CAMERA = Intrinsics((SIDE, SIDE), 200.0, 200.0, 59.5, 59.5)


def bar(x: float, y: float, long: float, short: float, angle: float = 0.0) -> np.ndarray:
    a = np.radians(angle)
    u, v = (X - x) * np.cos(a) + (Y - y) * np.sin(a), (Y - y) * np.cos(a) - (X - x) * np.sin(a)
    return (np.abs(u) <= long / 2) & (np.abs(v) <= short / 2)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(X - x, Y - y) <= radius


def plan(*shapes: np.ndarray, gripper: Gripper | None = None, **more: object) -> Grasps:
    found = Instances(Masks.from_dense(np.stack(shapes)), [0] * len(shapes), ("part",))
    return plan_grasps(found, gripper=gripper, **more)  # type: ignore[arg-type]


def apart(angle: float, expected: float) -> float:
    return abs((angle - expected + 90) % 180 - 90)


@pytest.mark.parametrize("angle", [0, 7, 20, 33, 45, 61, 90, 118, 157])
def test_a_bar_is_gripped_in_its_middle_across_its_long_side(angle: float) -> None:
    found = plan(bar(60.3, 58.8, 60, 14, angle))
    assert apart(found.jaws.angle[0], angle + 90) < 1.5
    assert 14 - 0.6 <= found.jaws.opening[0] <= 14 + 1.2  # never too narrow for the outline's steps
    assert np.hypot(*(found.jaws.places[0] - (60.3, 58.8))) < 1.0
    assert np.hypot(*(found.cups.places[0] - (60.3, 58.8))) < 1.0
    assert found.fits.all()


def test_a_disc_is_gripped_through_its_middle() -> None:
    found = plan(disc(60.3, 58.8, 20))
    assert np.hypot(*(found.jaws.places[0] - (60.3, 58.8))) < 0.5
    assert found.jaws.opening[0] == pytest.approx(40, abs=1)
    assert found.cups.room[0] == pytest.approx(20, abs=1.2)
    ends = found.fingers[0]
    assert np.hypot(*(ends[1] - ends[0])) == pytest.approx(found.jaws.opening[0])


def test_a_club_is_gripped_at_its_head_where_it_is_deepest() -> None:
    found = plan(bar(40, 60, 60, 8) | disc(80, 60, 15))
    assert np.hypot(*(found.jaws.places[0] - (80, 60))) < 2


@pytest.mark.parametrize(("gap", "fits"), [(5, False), (7, True), (9, True)])
def test_fingers_need_thickness_and_clearance_between_parts(gap: float, fits: bool) -> None:
    low = bar(60, 40, 80, 20)
    high = bar(60, 60 + gap, 80, 20)
    found = plan(low, high, gripper=Gripper(opening="30 px", thickness="4 px", clearance=3))
    assert found.fits.tolist() == [fits, fits]
    if not fits:
        assert "a finger has" in found.reasons[0][0]
        assert "needs 7.0 px" in found.reasons[0][0]


def test_fingers_go_where_there_is_room_along_a_part() -> None:
    found = plan(bar(60, 60, 80, 12), bar(60, 76, 16, 14), gripper=Gripper(opening=20, thickness=8, clearance=2))
    assert found.fits[0]
    assert abs(found.jaws.places[0, 0] - 60) > 8 + 2  # beside the neighbour, which stands below the middle
    assert apart(found.jaws.angle[0], 90) < 8


def test_a_ring_is_gripped_across_its_wall_and_no_finger_stands_in_it() -> None:
    ring = disc(60, 60, 40) & ~disc(60, 60, 28)
    thin, thick = (plan(ring, gripper=Gripper(thickness=t, clearance=0)) for t in (10, 70))
    assert thin.jaws.opening[0] == pytest.approx(12, abs=1.5)
    assert thin.fits[0]
    assert not thick.fits[0]  # the hole is 56 pixels wide


def test_the_gripper_opens_only_so_far() -> None:
    found = plan(disc(60, 60, 20), gripper=Gripper(opening="30 px"))
    assert not found.fits[0]
    assert found.reasons[0][0].startswith("fingers open ")
    assert found.sticks[0]
    assert not plan(disc(60, 60, 20), gripper=Gripper(cup="50 px")).sticks[0]


def test_depth_says_which_part_lies_on_which_and_that_one_comes_first() -> None:
    low, high = bar(60, 60, 90, 20), bar(60, 60, 20, 90)
    depth = np.full((SIDE, SIDE), 0.6)
    depth[low] = 0.57
    depth[high] = 0.54
    for shapes, expected in (((low & ~high, high), [1, 0]), ((high, low & ~high), [0, 1])):
        found = plan(*shapes, depth=depth, intrinsics=CAMERA)
        assert found.order.tolist() == expected
        below = expected[1]
        assert found.covered_by[below] == (expected[0],)
        assert found.layer[below] == 1


def test_full_masks_say_it_too() -> None:
    low, high = bar(60, 60, 90, 20), bar(60, 60, 20, 90)
    found = Instances(
        Masks.from_dense(np.stack([low & ~high, high])), [0, 0], ("part",), full=Masks.from_dense(np.stack([low, high]))
    )
    grasps = plan_grasps(found)
    assert grasps.order.tolist() == [1, 0]
    assert grasps.covered_by == ((1,), ())


def test_freer_parts_come_first() -> None:
    found = plan(disc(30, 30, 12), disc(55, 30, 12), disc(90, 90, 12))
    assert found.order[0] == 2
    assert found.free[2] == 1.0
    assert (found.free[:2] < 1).all()


def test_layers_of_a_pile_and_of_a_circle() -> None:
    pile = np.zeros((3, 3))
    pile[2, 1] = pile[1, 0] = 0.5
    assert layers(sp.csr_array(pile)).tolist() == [2, 1, 0]
    circle = np.zeros((3, 3))
    circle[0, 1], circle[1, 2], circle[2, 0] = 0.1, 0.3, 0.2
    assert layers(sp.csr_array(circle)).tolist() == [2, 0, 1]  # part 1 is covered least, then 2 and 0 are freed


def test_places_are_told_in_the_frame_of_the_camera() -> None:
    part = bar(80, 60, 40, 20)
    depth = np.full((SIDE, SIDE), 0.6)
    depth[part] = 0.5
    one = plan(part, depth=depth, intrinsics=CAMERA).to_dicts()[0]
    # 20 pixels right of the axis at 0.5 m, with a focal length of 200 pixels: 50 mm
    assert one["grasp"]["camera"]["place"] == pytest.approx([0.05, 0.0, 0.5], abs=2e-3)
    assert one["grasp"]["camera"]["opening"] == pytest.approx(20 / 200 * 0.5, abs=3e-3)
    assert one["suction"]["camera"]["normal"] == pytest.approx([0, 0, -1], abs=1e-6)
    assert one["suction"]["bend"] == pytest.approx(0, abs=1e-9)


def test_a_cup_looks_for_a_flat_place_and_tells_its_tilt() -> None:
    part = bar(60, 60, 100, 30)
    depth = np.full((SIDE, SIDE), 0.6)
    left = part & (X < 60)
    depth[part] = 0.5
    depth[left] = 0.5 - 0.02 * (np.sin(X) ** 2)[left]  # corrugated
    found = plan(part, depth=depth, intrinsics=CAMERA, gripper=Gripper(cup="24 px"))
    assert found.cups.places[0, 0] >= 71
    assert found.cups.bend[0] < 1e-4
    slope = np.tan(np.radians(30))
    # a plane z = 0.5 + x tan(30): along a ray x = z * s, so z = 0.5 / (1 - s tan(30))
    depth[part] = (0.5 / (1 - (X - 60) / 200 * slope))[part]
    tilted = plan(part, depth=depth, intrinsics=CAMERA)
    assert tilted.cups.tilt[0] == pytest.approx(30, abs=0.5)
    assert tilted.sticks[0]
    assert tilted.cups.normal[0] == pytest.approx([0.5, 0, -np.cos(np.radians(30))], abs=0.01)


def test_what_lies_lower_than_the_tips_is_no_obstacle() -> None:
    high, low = bar(60, 50, 80, 20), bar(60, 72, 80, 22)  # a gap of one pixel
    flat, stepped = (np.full((SIDE, SIDE), 0.6) for _ in range(2))
    flat[high | low], stepped[low], stepped[high] = 0.5, 0.59, 0.5
    gripper = Gripper(opening=24, thickness=4, clearance=2)
    assert plan(high, low, depth=flat, intrinsics=CAMERA, gripper=gripper).fits.tolist() == [False, False]
    assert plan(high, low, depth=stepped, intrinsics=CAMERA, gripper=gripper).fits.tolist() == [True, False]


def test_lengths_in_millimetres_follow_depth_or_plane() -> None:
    part = bar(60, 60, 60, 20)  # at 0.5 m and 200 pixels of focal length 1 pixel is 2.5 mm: 50 mm wide
    depth = np.where(part, 0.5, 0.6)
    for limit, fits in (("55 mm", True), ("45 mm", False), ("5.5 cm", True)):
        found = plan(part, depth=depth, intrinsics=CAMERA, gripper=Gripper(opening=limit))
        assert found.fits.tolist() == [fits]
    plane = Calibration((SIDE, SIDE), "mm", (2.5, 0, 0, 0, 2.5, 0, 0, 0, 1))
    for limit, fits in (("55 mm", True), ("45 mm", False)):
        found = plan(part, calibration=plane, gripper=Gripper(opening=limit))
        assert found.fits.tolist() == [fits]
    one = plan(part, calibration=plane).to_dicts()[0]
    assert one["grasp"]["plane"]["place"] == pytest.approx([150, 150], abs=2)
    assert one["grasp"]["plane"]["opening"] == pytest.approx(50, abs=3)


def test_reach_in_pixels_and_in_the_camera_frame() -> None:
    parts = disc(30, 60, 12), disc(90, 60, 12)
    found = plan(*parts, gripper=Gripper(reach=Reach.parse("0,0 60,120")))
    assert found.fits.tolist() == found.sticks.tolist() == [True, False]
    assert found.order.tolist() == [0, 1]
    assert "the grasp point is out of reach" in found.reasons[1]
    depth = np.where(parts[0] | parts[1], 0.5, 0.6)
    reach = Reach.parse("0,-100,400 100,100,550 mm")
    found = plan(*parts, depth=depth, intrinsics=CAMERA, gripper=Gripper(reach=reach))
    assert found.fits.tolist() == [False, True]


def test_parts_without_depth_are_told_and_come_last() -> None:
    seen, blind = disc(30, 60, 12), disc(90, 60, 12)
    depth = np.where(blind, np.nan, np.where(seen, 0.5, 0.6))
    found = plan(blind, seen, depth=depth, intrinsics=CAMERA)
    assert found.fits.tolist() == [False, True]
    assert found.order.tolist() == [1, 0]
    assert "no depth is known at the grasp point" in found.reasons[0]
    assert found.to_dicts()[1]["depth"] is None


def test_empty_masks_and_no_objects() -> None:
    found = plan(np.zeros((SIDE, SIDE), bool), disc(60, 60, 9))
    assert found.reasons[0] == ("its mask is empty",)
    assert found.order.tolist() == [1, 0]
    assert draw_grasps(found).shape == (SIDE, SIDE, 3)
    none = plan_grasps(Instances.empty((20, 20)))
    assert none.to_dicts() == []


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"depth": np.full((SIDE, SIDE), np.nan)}, InvalidInstancesError, "every pixel is NaN"),
        ({"depth": np.zeros((4, 5))}, InvalidInstancesError, "4 x 5 pixels .* its photo is 120 x 120"),
        ({"intrinsics": CAMERA}, ConfigError, "give depth"),
        ({"gripper": Gripper(opening="5 mm")}, ConfigError, "nothing says how large pixels are"),
        ({"gripper": Gripper(reach=Reach.parse("0,0 1,1 m"))}, ConfigError, "nothing says how large pixels are"),
        (
            {"depth": np.ones((SIDE, SIDE)), "intrinsics": Intrinsics((9, 9), 1, 1, 4, 4)},
            InvalidInstancesError,
            "9 x 9",
        ),
    ],
)
def test_what_does_not_fit_is_refused(more: dict[str, object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        plan(disc(60, 60, 9), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1,2", "1,2 0,0", "1,2,3 4,5,6", "a,b c,d", "0,0 1,1 kg", "0,0 nan,1"])
def test_a_reach_that_is_no_box(text: str) -> None:
    with pytest.raises(ConfigError, match="reach"):
        Reach.parse(text)


@pytest.mark.parametrize("length", ["5 kg", "wide", "-3 px", -1.0])
def test_a_length_that_is_none(length: str | float) -> None:
    with pytest.raises(ConfigError, match="opening"):
        Gripper(opening=length)


@pytest.mark.parametrize("drawn", ["#.\n.#", "##..\n..##", ".####...\n##...###\n.......#", "#"])
def test_a_thin_object_is_held_at_one_of_its_pixels(drawn: str) -> None:
    mask = np.pad(np.array([[mark == "#" for mark in row] for row in drawn.split("\n")]), 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grasps = plan_grasps(Instances(Masks.from_dense(mask[None]), [0], ("speck",)))
    x, y = grasps.to_dicts()[0]["grasp"]["place"]
    assert mask[int(y), int(x)]


def test_a_length_of_nothing_needs_no_scale() -> None:
    shape = bar(60, 60, 40, 10)
    told = [plan(shape, gripper=Gripper(clearance=none)).to_dicts() for none in (0, "0", "0 px", "0 mm", "0.0 um")]
    assert all(one == told[0] for one in told)
    with pytest.raises(ConfigError, match="unknown unit of length 'kg'"):
        Gripper(clearance="0 kg")
    with pytest.raises(ConfigError, match="must be above 0"):
        Gripper(cup="0 mm")
