"""Masks that are the pixels of a disc, an ellipse, a rectangle, a stadium or a ring are measured by that form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.calibration import Calibration
from apiece.core.image import PixelSize
from apiece.measurements import measure
from apiece.measurements._kit.border import border_of, unbroken
from apiece.measurements._kit.separated import fit

SIDE = 90


def drawn(kind: str, long: float, wide: float, count: int = 40, stretch: float = 1.0) -> Masks:
    """Return shapes at random angles and places; ``stretch`` is how wide a pixel is to its height."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    masks = []
    for _ in range(count):
        (cx, cy), turn = SIDE / 2 + rng.uniform(-0.5, 0.5, 2), rng.uniform(0, np.pi)
        a, b = (x - cx) * stretch, y - cy
        u, v = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
        masks.append({
            "ellipse": np.hypot(u / long, v / wide) <= 0.5,
            "rectangle": (abs(u) <= long / 2) & (abs(v) <= wide / 2),
            "stadium": np.hypot(np.maximum(abs(u) - (long - wide) / 2, 0), v) <= wide / 2,
            "ring": (np.hypot(u, v) <= long / 2) & (np.hypot(u, v) > wide / 2),
            "hexagon": np.all([u * np.cos(k * np.pi / 3) + v * np.sin(k * np.pi / 3) <= wide / 2 for k in range(6)], 0),
        }[kind])  # fmt: skip
    return Masks.from_dense(np.stack(masks))


@pytest.mark.parametrize(
    ("kind", "long", "wide", "most"),
    [("ellipse", 10, 10, 0.6), ("ellipse", 40, 40, 0.4), ("ellipse", 60, 30, 0.7), ("ring", 60, 44, 0.7)],
)
def test_areas_of_ellipses_and_rings_are_nearer_than_the_number_of_pixels(
    kind: str, long: float, wide: float, most: float
) -> None:
    masks = drawn(kind, long, wide)
    table = measure(Instances(masks), uncertainty=True)
    true = math.pi / 4 * (long * wide if kind == "ellipse" else long**2 - wide**2)
    there = np.isfinite(table["fitted_area"])
    assert there.mean() >= 0.85
    off, counted = (np.abs(table[name] - true)[there] for name in ("fitted_area", "area"))
    assert off.mean() <= most * counted.mean()
    assert (off <= table["fitted_area_u95"][there]).mean() >= 0.85
    assert (table["area"] == masks.area).all()


@pytest.mark.parametrize(("kind", "full"), [("rectangle", 1.0), ("stadium", math.pi / 4)])
def test_areas_of_rectangles_and_stadiums_lie_within_their_intervals(kind: str, full: float) -> None:
    table = measure(Instances(drawn(kind, 50, 6)), uncertainty=True, properties=["fitted_area"])
    there = np.isfinite(table["fitted_area"])
    off = np.abs(table["fitted_area"] - (50 - 6) * 6 - full * 36)[there]
    assert there.mean() >= 0.85
    assert (off <= table["fitted_area_u95"][there]).mean() >= 0.85
    assert np.nanmedian(table["fitted_area_u95"]) < 4


def test_ends_that_pixels_do_not_tell_leave_a_wide_interval() -> None:
    for kind in ("rectangle", "stadium"):
        table = measure(Instances(drawn(kind, 60, 3)), uncertainty=True)
        assert (np.abs(table["rect_length"] - 60) <= table["rect_length_u95"]).mean() >= 0.8
        assert np.median(table["rect_width_u95"]) < 0.15


def test_the_two_outlines_of_a_ring_share_their_middle() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    rng, off = np.random.default_rng(3), []
    for apart in (0.0, 2.0):
        masks = []
        for _ in range(30):
            cx, cy = SIDE / 2 + rng.uniform(-0.5, 0.5, 2)
            masks.append((np.hypot(x - cx, y - cy) <= 30) & (np.hypot(x - cx - apart, y - cy) > 22))
        area = measure(Instances(Masks.from_dense(np.stack(masks))), properties=["fitted_area"])["fitted_area"]
        off.append(np.nanmean(np.abs(area - math.pi * (30**2 - 22**2))))
        assert np.isfinite(area).mean() >= 0.8
    assert off[0] <= 2.2  # 0.17%
    assert off[1] <= 3.5


@pytest.mark.parametrize(
    ("kind", "long", "wide", "most"),
    [("ellipse", 40, 40, 0.03), ("ellipse", 60, 30, 0.06), ("rectangle", 40, 10, 0.11), ("stadium", 30, 10, 0.12)],
)
def test_lengths_of_forms_are_off_by_a_tenth_of_a_pixel_at_most(
    kind: str, long: float, wide: float, most: float
) -> None:
    table = measure(Instances(drawn(kind, long, wide)), uncertainty=True)
    for name, true in (("rect_length", long), ("rect_width", wide), ("feret_min", wide)):
        assert np.abs(table[name] - true).mean() <= most, name
        assert (np.abs(table[name] - true) <= table[f"{name}_u95"]).mean() >= 0.8
        assert np.median(table[f"{name}_u95"]) < 0.5
    if kind == "rectangle":  # whether its corners are sharp is not known
        np.testing.assert_allclose(table["feret_max_u95"], 0.8)
    else:
        assert np.abs(table["feret_max"] - long).mean() <= most


def test_pixels_that_are_not_square() -> None:
    masks = drawn("ellipse", 60, 30, stretch=1.25)
    table = measure(Instances(masks), pixel_size=PixelSize(0.125, 0.1, "mm"))
    area = math.pi / 4 * 6 * 3
    there = np.isfinite(table["fitted_area"])
    assert there.mean() >= 0.85
    assert np.abs(table["fitted_area"] - area)[there].mean() <= 0.6 * np.abs(table["area"] - area)[there].mean()
    assert np.abs(table["rect_length"] - 6).mean() <= 0.008


def test_the_angle_of_an_ellipse_is_nearer_than_that_of_its_moments() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    rng, off = np.random.default_rng(2), []
    for _ in range(40):
        (cx, cy), turn = SIDE / 2 + rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 180)
        cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        table = measure(Instances(Masks.from_dense((np.hypot(u / 60, v / 40) <= 0.5)[None])))
        off.append([abs((table[name][0] - turn + 90) % 180 - 90) for name in ("rect_angle", "orientation")])
    mine, moments = np.mean(off, 0)
    assert mine <= 0.7 * moments


@pytest.mark.parametrize("change", ["bump", "dent", "hole", "part", "border"])
def test_one_pixel_that_does_not_fit_is_no_form(change: str) -> None:
    y, x = np.mgrid[:60, :60] + 0.5
    dense = np.hypot(x - 30.2, y - 29.7) <= 20.3
    whole = measure(Instances(Masks.from_dense(dense[None])))
    assert whole["fitted_area"][0] == pytest.approx(math.pi * 20.3**2, rel=1e-3)
    assert whole["feret_max"][0] == whole["feret_min"][0] == pytest.approx(40.6, abs=0.02)
    top = int(np.argmax(dense[:, 30]))
    if change == "border":
        dense = dense[top:]
    else:
        row, value = {"bump": (top - 1, True), "dent": (top, False), "hole": (30, False), "part": (2, True)}[change]
        dense[row, 30] = value
    table = measure(Instances(Masks.from_dense(dense[None])), uncertainty=True)
    assert np.isnan(table["fitted_area"][0])
    assert np.isnan(table["fitted_area_u95"][0])


def test_other_shapes_have_no_fitted_area() -> None:
    masks = drawn("hexagon", 40, 40)
    assert np.isnan(measure(Instances(masks), properties=["fitted_area"])["fitted_area"]).all()
    assert np.isnan(measure(Instances(Masks.empty((9, 9), 2)))["fitted_area"]).all()


def test_on_a_plane_its_area_follows_that_of_the_outline() -> None:
    found = Instances(drawn("ellipse", 60, 30, count=5))
    camera = Calibration((SIDE, SIDE), "mm", (0.1, 0, 0, 0, 0.1, 0, 0.001, 0, 1))
    flat, there = measure(found), measure(found, calibration=camera)
    assert np.isfinite(flat["fitted_area"]).any()
    np.testing.assert_allclose(there["fitted_area"] / there["area"], flat["fitted_area"] / flat["area"])


def test_border_pixels_are_those_with_a_side_between_a_mask_and_its_surroundings() -> None:
    dense = np.zeros((5, 12, 12), bool)
    dense[0, 3:7, 2:5], dense[0, 2, 3], dense[0, 5:9, 5] = True, True, True
    dense[1, 1:4, 1:4], dense[1, 2, 2] = True, False  # a hole
    dense[2, 1:3, 1], dense[2, 6:8, 2] = True, True  # columns that do not touch
    dense[3, 4, 4] = True
    masks = Masks.from_dense(dense)
    assert unbroken(masks).tolist() == [True, False, False, True, False]
    border = border_of(masks[[0, 3]], (2.0, 1.0))
    for row, mask in enumerate(dense[[0, 3]]):
        expected = {}
        for y, x in np.ndindex(12, 12):
            up, beside = (
                any(mask[y, x] != mask[j, i] for j, i in near if 0 <= j < 12 and 0 <= i < 12)
                for near in (((y - 1, x), (y + 1, x)), ((y, x - 1), (y, x + 1)))
            )
            if up or beside:
                expected[2 * (x + 0.5), y + 0.5] = (1.0 if mask[y, x] else -1.0, up, beside)
        pixels = border.pixels
        columns = (*pixels.place[:, row], pixels.sign[row], border.upright[row], border.sideways[row])
        found = [(x, y, sign, up, beside) for x, y, sign, up, beside in zip(*columns, strict=True) if up or beside]
        assert len(found) == len(expected)
        assert {(x, y): (sign, up, beside) for x, y, sign, up, beside in found} == expected


def test_a_fit_leaves_every_pixel_on_its_side() -> None:
    masks = drawn("ellipse", 50, 30, count=20)
    start = np.stack((*masks.centroids.T, np.zeros(20), np.full(20, 20.0), np.full(20, 20.0)), 1)
    assert len(fit("ellipse", border_of(masks), start, np.arange(20)).own) == 0  # far from any
    moments = measure(Instances(masks))
    start[:, 2:] = np.stack(
        [np.radians(moments["orientation"]), moments["major_axis"] / 2, moments["minor_axis"] / 2], 1
    )
    found = fit("ellipse", border_of(masks), start, np.arange(0, 20, 2))
    assert len(found.own) >= 8
    assert set(found.own) <= set(range(0, 20, 2))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for own, (cx, cy, turn, long, wide) in zip(found.own.tolist(), found.form.tolist(), strict=True):
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        assert ((np.hypot(u / long, v / wide) <= 1) != masks[[own]].to_dense()[0]).sum() <= 1


def test_masks_that_are_measured_together_change_no_number_of_each_other() -> None:
    masks = Masks.concatenate([drawn(kind, 60, wide, count=6) for kind in ("stadium", "rectangle") for wide in (3, 50)])
    together = measure(Instances(masks), uncertainty=True)
    alone = [measure(Instances(masks[k]), uncertainty=True) for k in range(len(masks))]
    for name in ("feret_max", "feret_min", "rect_length", "rect_width", "fitted_area"):
        for column in (name, f"{name}_u95"):
            np.testing.assert_array_equal(together[column], [one[column][0] for one in alone])
