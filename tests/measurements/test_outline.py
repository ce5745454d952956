"""Convexity, roughness and holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from apiece import Instances, Masks
from apiece.measurements import Table, measure

NAMES = ["convexity", "roughness", "hole_area", "hole_area_max"]


def table_of(dense: np.ndarray, **options: object) -> Table:
    return measure(Instances(Masks.from_dense(dense)), properties=NAMES, **options)


@given(hnp.arrays(bool, (3, 9, 8)))
@settings(max_examples=60, deadline=None)
def test_holes_are_the_background_that_is_closed_in(dense: np.ndarray) -> None:
    table = table_of(dense)
    for k, mask in enumerate(dense):
        around, count = ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))
        areas = np.bincount(around.ravel(), minlength=count + 1)[1:]
        areas[around[0, 0] - 1] = 0
        assert table["hole_area"][k] == areas.sum()
        assert table["hole_area_max"][k] == areas.max()


def star(arms: float, side: int = 201) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.hypot(x, y) <= 60 + arms * np.sin(40 * np.arctan2(y, x))


def test_roughness_follows_the_waves_of_an_outline() -> None:
    rough = table_of(np.array([star(0), star(1), star(2), star(4)]))["roughness"]
    assert rough[0] < 0.25  # what pixels leave of a disc
    assert (np.diff(rough) > 0.2).all()
    assert rough[3] == pytest.approx(4 / np.sqrt(2), rel=0.3)  # the rms of a sine of height 4


def test_convexity_ignores_holes() -> None:
    ring, star_shape = star(0), star(8)
    ring[80:120, 80:120] = False
    convexity = table_of(np.array([star(0), ring, star_shape]))["convexity"]
    assert convexity[0] == pytest.approx(convexity[1])
    assert convexity[0] > 0.95
    assert convexity[2] < 0.6


def test_units_and_empty_masks() -> None:
    dense = np.array([star(2), np.zeros((201, 201), bool)])
    table = table_of(dense, pixel_size="0.5 um")
    assert table.units == {"roughness": "um", "hole_area": "um2", "hole_area_max": "um2"}
    assert table["roughness"][0] == pytest.approx(table_of(dense)["roughness"][0] / 2)
    assert np.isnan(table["roughness"][1])
    assert np.isnan(table["convexity"][1])
    assert table["hole_area"][1] == 0
