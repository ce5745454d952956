"""Draws of images as weights against evaluations of the drawn images themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics import coco_oracle as oracle

from apiece import metrics
from apiece.metrics._kit.weighted import _CELLS, weighted_precision, weighted_sums
from apiece.testing import _pairs as scenes
from apiece.testing._metrics import CLASSES, distinct, fed

COCO = metrics.load("coco")
LIMITS = (1, 3, 5)


def drawn(pairs: list[oracle.Pair], weights: np.ndarray) -> list[oracle.Pair]:
    return [pairs[i] for i in np.repeat(np.arange(len(pairs)), weights)]


def draws(images: int, count: int, seed: int) -> np.ndarray:
    """Draw as many images as there are, with replacement: int32 (count, images)."""
    return np.random.default_rng(seed).multinomial(images, [1 / images] * images, count).astype(np.int32)


def nan(value: float) -> float:
    """COCO's -1 as the NaN that draws have."""
    return np.nan if value == -1 else value


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0, 150]))
def test_draws_are_what_pycocotools_finds_in_the_drawn_images(seed: int, big: bool, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apiece.metrics._kit.weighted._FEW", few)
        _same_as_pycocotools(seed, big)


def _same_as_pycocotools(seed: int, big: bool) -> None:
    pairs = distinct(scenes.pairs(seed, images=5, big=big), seed)
    weights = draws(5, 3, seed)
    found = fed(COCO, pairs, [2]).resample(weights)
    for r, row in enumerate(weights):
        for kind in ("mask", "box"):
            e = oracle.pycoco(drawn(pairs, row), kind, LIMITS).eval
            precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
            expected = oracle.numbers(precision, recall, kind, LIMITS)
            got = {key: found.pooled()[key][r] for key in expected}
            assert got == pytest.approx({k: nan(v) for k, v in expected.items()}, abs=1e-12, nan_ok=True)
            for k, name in enumerate(CLASSES):
                one = oracle.numbers(precision[:, :, k : k + 1], recall[:, k : k + 1], kind, LIMITS)
                for key in (f"{kind}_ap", f"{kind}_ap50", f"{kind}_ap75"):
                    assert found.per_class[name][key][r] == pytest.approx(nan(one[key]), abs=1e-12, nan_ok=True)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = fed(COCO, distinct(scenes.pairs(3, images=7), 3), [2])
    weights = draws(7, 30, 2)
    whole = metric.resample(weights).pooled()["mask_ap"]
    monkeypatch.setattr("apiece.metrics._kit.weighted._FEW", 0)
    np.testing.assert_allclose(metric.resample(weights).pooled()["mask_ap"], whole, rtol=1e-14)
    monkeypatch.undo()
    monkeypatch.setattr("apiece.metrics._kit.weighted._CELLS", 20)
    assert np.array_equal(metric.resample(weights).pooled()["mask_ap"], whole, equal_nan=True)
    assert _CELLS > 20


def test_by_hand() -> None:
    # one truth per image; the best score is wrong, then one hit in each image
    image = np.array([0, 0, 1])
    right, wrong = np.array([[False, True, True]]), np.array([[True, False, False]])
    weights = np.array([[1, 1], [2, 0], [0, 2]], np.int32)
    found = weighted_precision(weights, image, right, wrong, np.array([2, 2, 2]))
    # precision 2/3 throughout; 1/2 throughout; 1 throughout
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert np.isnan(weighted_precision(weights, image, right, wrong, np.array([0, 2, 2]))[0, 0])
    assert weighted_sums(weights, np.array([[1, 10], [2, 20]])).tolist() == [[3, 30], [2, 20], [4, 40]]
    assert weighted_sums(weights[:, :0], np.zeros((0, 2))).tolist() == [[0, 0]] * 3
