from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from apiece.core import run_overlap
from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError
from apiece.ops import box_iou, intersections, iou, nms


@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 5))
def test_all_pairs_as_dense_and_pycocotools(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 12, 2)
    a, b = rng.random((n, height, width)) < 0.5, rng.random((m, height, width)) < rng.random()
    first, second = Masks.from_dense(a), Masks.from_dense(b)
    shared = intersections(first, second)
    assert np.array_equal(shared.toarray(), (a[:, None] & b[None]).sum((2, 3)))
    assert (shared.data > 0).all()
    crowd = rng.random(m) < 0.5
    if n and m:
        wanted = coco.iou(first.to_coco(), second.to_coco(), crowd.astype(np.uint8).tolist())
        assert np.array_equal(iou(first, second, crowd).toarray(), wanted)
    assert np.array_equal(intersections(first, first).toarray(), (a[:, None] & a[None]).sum((2, 3)))


def test_sums_are_folded_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((9, 8, 8)) < 0.5, rng.random((7, 8, 8)) < 0.5
    monkeypatch.setattr("apiece.core.runs.CHUNK", 3)
    shared = intersections(Masks.from_dense(a), Masks.from_dense(b))
    assert np.array_equal(shared.toarray(), (a[:, None] & b[None]).sum((2, 3)))


@pytest.mark.parametrize("few", [0, 8])
@pytest.mark.parametrize("limit", [3, 1 << 18])
def test_pairs_that_are_known(few: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speckles, with up to 20 runs in a column; chosen masks in any order and often; some are empty."""
    monkeypatch.setattr("apiece.core.run_overlap._FEW", few)
    monkeypatch.setattr("apiece.core.run_overlap._RUNS", limit)
    rng = np.random.default_rng(0)
    a, b = (rng.random((6, 40, 9)) < rng.random((6, 1, 9)) for _ in range(2))
    a[2], b[0], a[4, :, 5:], b[3, :, :5] = False, False, False, False
    i, j = (rng.permutation(np.repeat(np.arange(6), 12)) for _ in range(2))
    pixels = run_overlap.shared(Masks.from_dense(a).runs, i, Masks.from_dense(b).runs, j)
    assert pixels.tolist() == (a[i] & b[j]).sum((1, 2)).tolist()


def test_empty_masks_overlap_nothing() -> None:
    none = Masks.empty((5, 5), 3)
    assert iou(none, none).nnz == 0
    assert iou(none, none).shape == (3, 3)
    with pytest.raises(InvalidInstancesError, match="different sizes"):
        iou(none, Masks.empty((5, 6)))


def test_columns_of_another_length_are_refused() -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2], [0, 0, 2, 2]], (4, 4))
    for crowd in ([True], [True] * 3, True):
        with pytest.raises(InvalidInstancesError, match=r"crowd must have shape \(2,\)"):
            iou(masks, masks, crowd)
    for scores in ([0.5], [0.5] * 3):
        with pytest.raises(InvalidInstancesError, match=r"scores must have shape \(2,\)"):
            nms(masks, scores)
    with pytest.raises(InvalidInstancesError, match=r"labels must have shape \(2,\)"):
        nms(masks, [0.5, 0.6], [0])


def test_box_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 4, 2], [2, 0, 6, 2], [9, 9, 9, 9]])
    assert box_iou(boxes, boxes)[:2, :2].tolist() == [[1, 4 / 12], [4 / 12, 1]]
    assert box_iou(boxes, boxes)[2].tolist() == [0, 0, 0]
    assert box_iou(boxes[:1], boxes[1:2], [True]).tolist() == [[0.5]]
    assert box_iou(np.zeros((0, 4)), boxes).shape == (0, 3)


def greedy(dense: np.ndarray, scores: np.ndarray, labels: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):

        def over(j: int, i: int = i) -> bool:
            union = (dense[i] | dense[j]).sum()
            return labels[i] == labels[j] and union > 0 and (dense[i] & dense[j]).sum() / union > limit

        if not any(over(j) for j in kept):
            kept.append(int(i))
    return kept


@given(st.integers(0, 2**32), st.integers(0, 8))
def test_nms_is_the_plain_greedy_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((count, 3, 3)) < 0.6
    scores, labels = rng.integers(0, 4, count) / 4, rng.integers(0, 2, count)
    assert nms(Masks.from_dense(dense), scores, labels, 0.4).tolist() == greedy(dense, scores, labels, 0.4)
    assert nms(Masks.from_dense(dense), scores, None, 0.4).tolist() == greedy(dense, scores, labels * 0, 0.4)
