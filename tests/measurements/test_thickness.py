"""Thickness and skeletons: drawn by hand, and on rendered shapes of known size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.measurements import Table, measure
from apiece.ops.thin import thinned

NAMES = ["thickness_mean", "thickness_max", "skeleton_length", "skeleton_branches"]
SIDE = 90


def table_of(dense: np.ndarray, **options: object) -> Table:
    return measure(Instances(Masks.from_dense(dense)), properties=NAMES, **options)


def rendered(inside: Callable[..., np.ndarray], count: int = 30) -> np.ndarray:
    """Masks of a shape, given by a function of x, y from its centre, at random places below a pixel and angles."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    out = []
    for t in rng.uniform(0, np.pi, count):
        cx, cy = SIDE / 2 + rng.uniform(-0.5, 0.5, 2)
        out.append(inside((x - cx) * np.cos(t) + (y - cy) * np.sin(t), (y - cy) * np.cos(t) - (x - cx) * np.sin(t)))
    return np.array(out)


@pytest.mark.parametrize("width", [3, 4, 6, 10])
def test_fibres_at_any_angle(width: float) -> None:
    table = table_of(rendered(lambda u, v: np.hypot(np.maximum(abs(u) - 30, 0), v) <= width / 2))
    assert abs(table["thickness_mean"] - width).mean() < 0.08
    assert abs(table["thickness_mean"].mean() - width) < 0.06
    assert abs(table["thickness_max"] - width).mean() < 0.35
    assert abs(table["skeleton_length"] - 60 - width).mean() < 0.9
    assert (table["skeleton_branches"] == 1).all()


@pytest.mark.parametrize("radius", [5, 10, 20, 40])
def test_discs(radius: float) -> None:
    table = table_of(rendered(lambda u, v: np.hypot(u, v) <= radius))
    assert abs(table["thickness_max"] - 2 * radius).mean() < 0.3
    assert abs(table["skeleton_length"] - 2 * radius).mean() < 0.4


def test_rings_have_no_end() -> None:
    table = table_of(rendered(lambda u, v: abs(np.hypot(u, v) - 26) <= 4))
    assert abs(table["thickness_mean"] - 8).mean() < 0.05
    assert abs(table["skeleton_length"] / (52 * np.pi) - 1).max() < 0.02
    assert (table["skeleton_branches"] == 1).all()


def test_a_cross_has_four_branches() -> None:
    dense = np.zeros((2, 45, 45), bool)
    dense[0, 20:25, 2:43] = dense[0, 2:43, 20:25] = True
    dense[1, 20:25, 2:43] = dense[1, 2:43, 2:7] = True  # a T on its side
    table = table_of(dense)
    assert table["skeleton_branches"].tolist() == [4, 3]
    assert table["thickness_mean"] == pytest.approx(5, abs=1.3)  # forks are thicker
    assert table["skeleton_length"][0] == pytest.approx(82, abs=3)


def test_pixels_that_are_not_square() -> None:
    wide = np.zeros((1, 50, 50), bool)
    wide[0, 10:40, 20:24] = True  # 4 columns and 30 rows
    table = table_of(wide, pixel_size="2 x 0.5 um")
    assert table["thickness_mean"][0] == pytest.approx(8, abs=0.1)
    assert table["skeleton_length"][0] == pytest.approx(15, abs=0.6)


def test_empty_masks_single_pixels_and_borders() -> None:
    dense = np.zeros((4, 20, 20), bool)
    dense[1, 3, 4] = dense[2, 0] = dense[3] = True
    table = table_of(dense)
    assert np.isnan(table["thickness_mean"][0])
    assert table["skeleton_length"][0] == table["skeleton_branches"][0] == 0
    assert table["skeleton_branches"][1:].tolist() == [1, 1, 1]
    assert table["skeleton_length"][2] == pytest.approx(20, abs=0.6)
    assert table["thickness_mean"][1:3] == pytest.approx(1, abs=0.3)
    assert table["thickness_max"][3] == pytest.approx(20, abs=1.1)


def test_thinning_keeps_parts_and_holes() -> None:
    from skimage.measure import euler_number

    rng = np.random.default_rng(1)
    for _ in range(10):
        drawn = np.zeros((40, 40), np.uint8)
        drawn[2:-2, 2:-2] = rng.random((36, 36)) > 0.3
        assert euler_number(thinned(drawn), connectivity=2) == euler_number(drawn, connectivity=2)


def test_a_mask_larger_than_a_sheet_is_drawn_coarser() -> None:
    table = measure(Instances(Masks.from_boxes([(100, 50, 20100, 1250)], (2000, 30000))), properties=NAMES)
    assert table["thickness_mean"][0] == pytest.approx(1200, rel=0.01)
    assert table["skeleton_length"][0] == pytest.approx(20000, rel=0.02)
