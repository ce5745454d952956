"""Neighbours in a table, and common borders; gaps are tested with `apiece.ops`."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.measurements import measure
from apiece.ops import near
from apiece.ops.near import contacts, nearest, touching


def test_one_mask_and_empty_masks_have_no_neighbour() -> None:
    masks = Masks.from_dense(np.eye(3, dtype=bool)[:, None])

    def gaps(masks: Masks) -> np.ndarray:
        return measure(Instances(masks), properties=["nearest_gap"])["nearest_gap"]

    assert np.isnan(gaps(Masks.concatenate([masks[:1], Masks.empty((1, 3), 2)]))).all()
    assert len(gaps(masks[:0])) == 0
    assert gaps(masks).tolist() == [0, 0, 0]


def test_contacts() -> None:
    labels = np.zeros((30, 30), int)
    labels[5:15, 5:15], labels[5:15, 15:25], labels[20:25, 5:10] = 1, 2, 3
    masks = Masks.from_label_map(labels)
    together, length = contacts(masks)
    assert together.toarray().tolist() == [[False, True, False], [True, False, False], [False, False, False]]
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
    together, length = contacts(masks)
    assert together.toarray().sum(1).tolist() == [1, 2, 1]
    assert length[0, 1] == 0
    assert length[1, 2] == pytest.approx(10, abs=1.2)


def test_a_few_columns_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (40, 2))
    masks = Masks.from_boxes(np.concatenate([corners, corners + rng.integers(0, 12, (40, 2))], 1), (60, 60))
    whole = contacts(masks), touching(masks), nearest(masks, np.arange(40), np.arange(40), (1.0, 2.0))
    monkeypatch.setattr(near, "_RUNS", 10)
    few = contacts(masks), touching(masks), nearest(masks, np.arange(40), np.arange(40), (1.0, 2.0))
    for one, other in zip((*whole[0], whole[1]), (*few[0], few[1]), strict=True):
        assert one.nnz == other.nnz > 0
        assert (one.toarray() == other.toarray()).all()
    assert all((one == other).all() for one, other in zip(whole[2], few[2], strict=True))
    assert (whole[0][0].toarray() == whole[1].toarray()).all()
