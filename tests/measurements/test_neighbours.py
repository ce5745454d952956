"""Neighbours: against every pair of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece import Instances, Masks
from apiece.measurements import measure
from apiece.ops.near import contacts, gaps, nearest


def scattered(seed: int, side: int = 40, count: int = 12) -> Masks:
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), int)
    for label in range(1, count + 1):
        x, y = rng.integers(0, side - 3, 2)
        w, h = rng.integers(1, 9, 2)
        labels[y : y + h, x : x + w] = label
    return Masks.from_label_map(labels)


def gap_of(a: np.ndarray, b: np.ndarray, scale: tuple[float, float]) -> float:
    """The least distance of pixel centres, less what lies within the two pixels."""
    (ay, ax), (by, bx) = np.nonzero(a), np.nonzero(b)
    dx, dy = abs(ax[:, None] - bx), abs(ay[:, None] - by)
    far = np.hypot(dx * scale[0], dy * scale[1])
    k = np.unravel_index(far.argmin(), far.shape)
    axis = 0 if dx[k] >= dy[k] else 1
    return max(far[k] - (dx[k], dy[k])[axis] * scale[axis] ** 2 / max(far[k], 1e-300), 0)


@given(st.integers(0, 10**6), st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
@settings(max_examples=40, deadline=None)
def test_nearest_is_the_least_of_all_pairs(seed: int, scale: tuple[float, float]) -> None:
    masks = scattered(seed)
    dense = masks.to_dense()
    which, gap = nearest(masks, scale)
    for i in range(len(masks)):
        every = [gap_of(dense[i], other, scale) if j != i else np.inf for j, other in enumerate(dense)]
        if scale == (1.0, 1.0):
            # the nearest pixel centres decide; of equally near ones any
            assert gap[i] == pytest.approx(min(every), abs=0.3)
        assert gaps(masks, np.array([i]), which[i : i + 1], scale)[0] == pytest.approx(gap[i])


def test_one_mask_and_empty_masks_have_no_neighbour() -> None:
    masks = Masks.from_dense(np.eye(3, dtype=bool)[:, None])
    which, gap = nearest(Masks.concatenate([masks[:1], Masks.empty((1, 3), 2)]))
    assert which.tolist() == [-1, -1, -1]
    assert np.isnan(gap).all()
    assert len(nearest(masks[:0])[0]) == 0
    assert nearest(masks)[1].tolist() == [0, 0, 0]


def test_a_far_giant_is_found_beside_small_ones() -> None:
    masks = Masks.from_boxes([(0, 0, 4000, 10), (10, 30, 12, 32), (3000, 14, 3002, 16), (10, 40, 20, 50)], (100, 4000))
    which, gap = nearest(masks)
    assert which.tolist() == [2, 3, 0, 1]
    assert gap.tolist() == [4, 8, 4, 8]


def test_contacts() -> None:
    labels = np.zeros((30, 30), int)
    labels[5:15, 5:15], labels[5:15, 15:25], labels[20:25, 5:10] = 1, 2, 3
    masks = Masks.from_label_map(labels)
    touching, length = contacts(masks)
    assert touching.toarray().tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert length[0, 1] == pytest.approx(10, abs=1.2)
    table = measure(Instances(masks), properties=["contacts", "contact_length", "nearest_gap"])
    assert table["contacts"].tolist() == [1, 1, 0]
    assert table["contact_length"][0] == pytest.approx(length[0, 1])
    assert table["nearest_gap"].tolist() == [0, 0, 5]


def test_a_slanted_border_is_not_as_long_as_its_steps() -> None:
    y, x = np.mgrid[:200, :200]
    masks = Masks.from_label_map(np.where(x + 0.4 * y < 140, 1, 2))
    true = 200 * np.hypot(1, 0.4)
    assert contacts(masks)[1][0, 1] == pytest.approx(true, rel=0.06)


def test_overlapping_masks_touch_and_have_no_border() -> None:
    masks = Masks.from_boxes([(0, 0, 10, 10), (5, 5, 15, 15), (15, 5, 20, 15)], (20, 20))
    touching, length = contacts(masks)
    assert touching.toarray().sum(1).tolist() == [1, 2, 1]
    assert length[0, 1] == 0
    assert length[1, 2] == pytest.approx(10, abs=1.2)
