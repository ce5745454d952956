"""Half widths of 95% intervals: on drawn shapes, with outlines that are off, on a plane."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.calibration import Calibration
from apiece.errors import ConfigError
from apiece.measurements import families, measure

NAMES = ("area", "equivalent_diameter", "feret_max", "feret_min", "rect_length", "rect_width", "major_axis")


def ellipses(count: int, seed: int = 0) -> tuple[Masks, np.ndarray, np.ndarray]:
    """Return ellipses at random places and angles, and their axes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:72, :72] + 0.5
    long, masks = np.exp(rng.uniform(np.log(10), np.log(60), count)), []
    wide = long * rng.uniform(0.3, 0.9, count)
    for a, b, turn in zip(long, wide, rng.uniform(0, np.pi, count), strict=True):
        cx, cy = 36 + rng.uniform(-0.5, 0.5, 2)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        masks.append(np.hypot(u / a, v / b) <= 0.5)
    return Masks.from_dense(np.array(masks)), long, wide


def test_intervals_hold_the_true_value() -> None:
    masks, long, wide = ellipses(300)
    table = measure(Instances(masks), uncertainty=True, properties=NAMES)
    area = np.pi / 4 * long * wide
    truths = (area, np.sqrt(long * wide), long, wide, long, wide, long)
    for name, true in zip(NAMES, truths, strict=True):
        assert np.mean(np.abs(table[name] - true) <= table[f"{name}_u95"]) >= 0.83, name
    for name, true in list(zip(NAMES, truths, strict=True))[:2]:
        assert np.mean(np.abs(table[name] - true) <= table[f"{name}_u95"]) <= 0.98, name


def test_the_scale_of_a_plane_and_an_outline_that_is_off_make_them_wider() -> None:
    masks = Masks.from_boxes([[10, 10, 50, 20]], (60, 60))
    plain = measure(Instances(masks), uncertainty=True)
    assert (plain.units["area_u95"], plain.units["feret_max_u95"]) == ("px2", "px")
    blurred = measure(Instances(masks, attributes={"edge": np.array([2.0])}), uncertainty=True)
    assert blurred["feret_max_u95"][0] == pytest.approx(np.hypot(plain["feret_max_u95"][0], 4.0))
    camera = Calibration((60, 60), "mm", (0.1, 0, 0, 0, 0.1, 0, 0, 0, 1), scale_error=0.02)
    there = measure(Instances(masks), calibration=camera, uncertainty=True)
    length, area = there["feret_max"][0], there["area"][0]
    expected = np.hypot(0.1 * plain["feret_max_u95"][0], 1.96 * 0.02 * length)
    assert there["feret_max_u95"][0] == pytest.approx(expected)
    assert there["area_u95"][0] == pytest.approx(np.hypot(0.01 * plain["area_u95"][0], 1.96 * 0.04 * area))
    # an area that is off by a share has a diameter that is off by half of it
    both = there["area_u95"][0] / area, there["equivalent_diameter_u95"][0] / there["equivalent_diameter"][0]
    assert both[0] == pytest.approx(2 * both[1])


def test_where_no_interval_holds_there_is_none() -> None:
    table = measure(Instances(Masks.empty((5, 5), 1)), uncertainty=True)
    spread = {p.name for family in families() for p in family.properties if p.spread}
    assert {name for name in table.columns if name.endswith("_u95")} == {f"{name}_u95" for name in spread}
    assert all(np.isnan(table[f"{name}_u95"]).all() for name in spread)
    assert "perimeter" not in spread
    assert not [name for name in measure(Instances(Masks.empty((5, 5), 1))).columns if name.endswith("_u95")]


@pytest.mark.parametrize("edge", [[-1.0], ["wide"]])
def test_an_edge_that_is_no_distance(edge: list[object]) -> None:
    found = Instances(Masks.from_boxes([[0, 0, 2, 2]], (5, 5)), attributes={"edge": np.array(edge)})
    with pytest.raises(ConfigError, match="distance in pixels"):
        measure(found, uncertainty=True)
