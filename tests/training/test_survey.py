"""What training finds out about the images."""

from __future__ import annotations

import numpy as np
import pytest

import apiece
from apiece.training import _survey
from apiece.training._survey import has_upright, in_one_piece


def boxes(width: np.ndarray, height: np.ndarray) -> np.ndarray:
    zero = np.zeros(len(width))
    return np.stack([zero, zero, width, height], 1).astype(np.float32)


def test_tall_doors_and_wide_cars_stand_upright() -> None:
    rng = np.random.default_rng(0)
    tall, short = rng.uniform(40, 60, 50), rng.uniform(20, 35, 50)
    doors_and_cars = np.concatenate([boxes(short, tall), boxes(tall, short)])
    assert has_upright(doors_and_cars, np.repeat([0, 1], 50))
    assert not has_upright(doors_and_cars, np.zeros(100, np.int64))  # one class that lies either way


def test_round_long_few_or_tiny_objects_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    long = boxes(*np.exp(rng.normal(3, 0.6, (2, 400))))
    assert not has_upright(long, np.zeros(400, np.int64))
    assert not has_upright(boxes(np.full(10, 20.0), np.full(10, 40.0)), np.zeros(10, np.int64))
    assert not has_upright(boxes(np.full(99, 2.0), np.full(99, 4.0)), np.zeros(99, np.int64))
    assert not has_upright(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def test_objects_are_in_one_piece_where_nearly_all_masks_are() -> None:
    labels = np.repeat([0, 1, 2], [200, 200, 19])
    parts = np.ones(419, np.int64)
    parts[[0, 1]] = 2
    parts[200:203] = 2
    assert in_one_piece(parts, labels, 4) == (True, False, False, False)


def test_the_scale_of_pixels_and_objects_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    um = [apiece.PixelSize(v, v, "um") for v in (0.5, 0.52)]
    assert _survey._pixel_size(um) == pytest.approx(0.51)
    assert _survey._pixel_size([None, None]) is None
    with caplog.at_level("INFO", "apiece"):
        assert _survey._pixel_size([*um, None]) is None
        assert _survey._pixel_size([um[0], apiece.PixelSize(500, 1000, "nm")]) is None
    assert "1 images state none" in caplog.text
    assert "0.5 to 0.707107 um, and they differ" in caplog.text
    boxes = np.array([[0, 0, n, 1] for n in range(1, 102)], np.float32)
    assert _survey._sizes(boxes) == pytest.approx((6, 51, 96, 100))
