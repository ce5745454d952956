"""Boundary AP against faster-coco-eval, and bands against OpenCV's erosion."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics import coco_oracle as oracle

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate
from apiece.metrics._kit.batch import Batch
from apiece.metrics.boundary import boundary_pairs
from apiece.metrics.boundary._runs import band_widths, bands
from apiece.testing import _pairs as scenes


def eroded_band(mask: np.ndarray, width: int) -> np.ndarray:
    """As the paper's authors: pad by background, erode by 3 x 3 as often as the band is wide."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=int(width))[1:-1, 1:-1]
    return mask & (inner == 0)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_bands_are_what_erosion_takes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 16, 2).tolist())
    stack = rng.random((6, *size)) < rng.choice([0.2, 0.9, 0.97, 1.0], (6, 1, 1))
    width = rng.integers(1, 4, 6)
    made = bands(Masks.from_dense(stack).runs, width, size)
    found = Masks(size, made.x, made.y0, made.y1, made.offsets).to_dense()
    for mask, one, band in zip(stack, width, found, strict=True):
        assert np.array_equal(band, eroded_band(mask, one))


def test_the_width_is_a_share_of_the_diagonal() -> None:
    sizes = np.array([[480, 640], [1, 1], [427, 640], [2048, 2048]])
    assert band_widths(sizes).tolist() == [max(1, round(0.02 * math.hypot(h, w))) for h, w in sizes.tolist()]


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equal_to_faster_coco_eval(seed: int, big: bool) -> None:
    from faster_coco_eval import COCO, COCOeval_faster

    class Evaluator(COCOeval_faster):
        def __init__(self, truth, found, _kind) -> None:
            super().__init__(truth, found, "boundary")

    pairs = scenes.pairs(seed, big=big)
    e = oracle.run(COCO, Evaluator, oracle.truth_json(pairs), oracle.results_json(pairs), "mask", (1, 10, 100)).eval
    precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
    ours = evaluate(pairs, metrics=["boundary"])
    expected = oracle.numbers(precision, recall, "boundary", (1, 10, 100))
    assert dict(ours) == pytest.approx(expected, abs=1e-12)
    curves = ours.extras["boundary"]["boundary"]
    np.testing.assert_allclose(curves.precision, precision[..., 0, -1].transpose(2, 0, 1), atol=1e-12)


def test_a_large_mask_with_a_poor_outline_loses_and_a_small_one_does_not() -> None:
    truth = Instances(Masks.from_boxes([[10, 10, 110, 110], [150, 150, 154, 154]], (200, 200)))
    found = Instances(Masks.from_boxes([[14, 14, 114, 114], [150, 150, 154, 153]], (200, 200)), scores=[0.9, 0.8])
    pairs = boundary_pairs(Batch.of(0, [(truth, found)], ("object",)))
    # bands of 6 pixels
    a, b = (eroded_band(masks.to_dense()[0], 6) for masks in (truth.masks, found.masks))
    assert a.sum() == 100 * 100 - 88 * 88
    assert pairs.iou.tolist() == pytest.approx([(a & b).sum() / (a | b).sum(), 12 / 16])
    assert pairs.iou[0] < 0.6 < 0.85 < 96 * 96 / (2 * 100 * 100 - 96 * 96)


def test_crowds_keep_the_mask_and_hopeless_pairs_are_left_out() -> None:
    truth = Instances(Masks.from_boxes([[0, 0, 90, 90], [0, 0, 30, 10]], (100, 100)), crowd=[True, False])
    found = Instances(Masks.from_boxes([[20, 20, 60, 60], [0, 0, 10, 10]], (100, 100)), scores=[0.9, 0.8])
    pairs = boundary_pairs(Batch.of(0, [(truth, found)], ("object",)))
    assert list(zip(pairs.predicted.tolist(), pairs.truth.tolist(), pairs.iou.tolist(), strict=True)) == [
        (0, 0, 1.0),
        (1, 0, 1.0),
    ]


def test_a_limit_that_bites_says_so() -> None:
    masks = Masks.from_boxes([[0, 0, 5, 5]] * 3, (10, 10))
    pair = (Instances(masks[:1]), Instances(masks, scores=[0.9, 0.8, 0.7]))
    assert "left 1 of 3" in evaluate([pair], metrics=["boundary"], max_dets=(1, 2)).notes[0]
    assert evaluate([pair], metrics=["boundary"]).notes == ()
