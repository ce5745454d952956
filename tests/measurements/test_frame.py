"""The counting frame: its density is right for large and for small objects alike."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.errors import ConfigError
from apiece.measurements import counting_frame, measure


def test_large_objects_are_counted_as_often_as_small_ones() -> None:
    rng = np.random.default_rng(0)
    counted, shown, whole, area = np.zeros(2), np.zeros(2), np.zeros(2), 0
    for _ in range(60):
        # as many small as large squares, scattered over more than the image shows
        corners = np.concatenate([rng.integers(-20, 100, (12, 2)) for _ in range(2)])
        sides = np.repeat([3, 19], 12)
        boxes = np.concatenate((corners, corners + sides[:, None]), axis=1)
        masks = Masks.from_boxes(boxes.clip(0, 100), (100, 100))
        inside, frame = counting_frame(masks, 20)
        cut = (boxes[:, :2] <= 0).any(1) | (boxes[:, 2:] >= 100).any(1)
        for kind in range(2):
            own = slice(12 * kind, 12 * kind + 12)
            counted[kind] += inside[own].sum()
            shown[kind] += (masks.area[own] > 0).sum()
            whole[kind] += (~cut[own]).sum()
        area += frame
    assert counted / area == pytest.approx(12 / 120**2, rel=0.12)
    assert shown[1] > 1.15 * shown[0]
    assert whole[1] < 0.9 * whole[0]


def test_a_guard_that_is_too_narrow_or_leaves_no_frame() -> None:
    masks = Masks.concatenate([Masks.from_boxes([(0, 4, 14, 10)], (20, 20)), Masks.empty((20, 20), 1)])
    with pytest.raises(ConfigError, match="object 0 reaches"):
        counting_frame(masks, 5)
    assert counting_frame(masks, 8)[0].tolist() == [False, False]
    for guard in (-1, 10):
        with pytest.raises(ConfigError, match="must leave a frame"):
            counting_frame(masks, guard)


def test_a_list_of_functions() -> None:
    found = Instances(Masks.from_boxes([(0, 4, 14, 10)], (20, 20)))

    def right(masks: Masks, pixels: np.ndarray | None) -> np.ndarray:
        return masks.boxes[:, 2]

    assert measure(found, extra=[right])["right"].tolist() == [14]
    with pytest.raises(ConfigError, match="names of their own"):
        measure(found, extra=[right, lambda masks, pixels: masks.area])
