"""Draws of images as weights against evaluations of the drawn images themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics import coco_oracle as oracle

from apiece import metrics
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.metrics._kit.bootstrap import _CELLS, draws, interval, weighted_precision, weighted_sums
from apiece.testing import _pairs as scenes
from apiece.testing._metrics import CLASSES, distinct, fed

COCO = metrics.load("coco")
LIMITS = (1, 3, 5)


def drawn(pairs: list[oracle.Pair], weights: np.ndarray) -> list[oracle.Pair]:
    return [pairs[i] for i in np.repeat(np.arange(len(pairs)), weights)]


def nan(value: float) -> float:
    """COCO's -1 as the NaN that draws have."""
    return np.nan if value == -1 else value


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0, 150]))
def test_draws_are_what_pycocotools_finds_in_the_drawn_images(seed: int, big: bool, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apiece.metrics._kit.bootstrap._FEW", few)
        _same_as_pycocotools(seed, big)


def _same_as_pycocotools(seed: int, big: bool) -> None:
    pairs = distinct(scenes.pairs(seed, images=5, big=big), seed)
    weights = np.concatenate(list(draws(5, 3, seed)))
    found = fed(COCO, pairs, [2]).resample(weights)
    for r, row in enumerate(weights):
        for kind in ("mask", "box"):
            e = oracle.pycoco(drawn(pairs, row), kind, LIMITS).eval
            precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
            expected = oracle.numbers(precision, recall, kind, LIMITS)
            got = {key: found.numbers[key][r] for key in expected}
            assert got == pytest.approx({k: nan(v) for k, v in expected.items()}, abs=1e-12, nan_ok=True)
            for k, name in enumerate(CLASSES):
                one = oracle.numbers(precision[:, :, k : k + 1], recall[:, k : k + 1], kind, LIMITS)
                for key in (f"{kind}_ap", f"{kind}_ap50", f"{kind}_ap75"):
                    assert found.per_class[name][key][r] == pytest.approx(nan(one[key]), abs=1e-12, nan_ok=True)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = fed(COCO, distinct(scenes.pairs(3, images=7), 3), [2])
    weights = np.concatenate(list(draws(7, 30, 2)))
    whole = metric.resample(weights).numbers["mask_ap"]
    monkeypatch.setattr("apiece.metrics._kit.bootstrap._FEW", 0)
    np.testing.assert_allclose(metric.resample(weights).numbers["mask_ap"], whole, rtol=1e-14)
    monkeypatch.undo()
    monkeypatch.setattr("apiece.metrics._kit.bootstrap._CELLS", 20)
    assert np.array_equal(metric.resample(weights).numbers["mask_ap"], whole, equal_nan=True)
    assert _CELLS > 20
    monkeypatch.setattr("apiece.metrics._kit.bootstrap._WEIGHTS", 7 * 4)
    parts = list(draws(7, 30, 2))
    assert [len(p) for p in parts] == [4] * 7 + [2]
    assert all((p.sum(1) == 7).all() for p in parts)


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


def test_an_interval_holds_the_middle_of_the_draws() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan]))).all()
    with pytest.raises(ConfigError, match="between 0 and 1"):
        interval(np.zeros(3), 95)
    with pytest.raises(ConfigError, match="0 draws or more"):
        list(draws(3, -1))


def test_few_images_are_said_and_one_has_no_interval() -> None:
    truth = Instances(Masks.from_boxes([[0, 0, 9, 9], [20, 20, 30, 30]], (40, 40)))
    pair = truth, truth[:1].replace(scores=[0.5])
    one, two = (evaluate([pair] * n, bootstrap=50) for n in (1, 2))
    assert "mask_ap_low" not in one
    assert "mask_ap_low" not in one.per_class["object"]
    assert one.notes == ("one image has no intervals: nothing shows how far others lie apart",)
    assert two["mask_ap_low"] == pytest.approx(two["mask_ap"])
    assert two.notes == ("2 images are few: the intervals are rough, and rather too narrow",)
    assert evaluate([pair] * 20, bootstrap=50).notes == evaluate([pair]).notes == ()


def test_evaluate_gives_intervals_around_its_numbers() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(60):
        boxes = rng.integers(0, 30, (6, 2))
        boxes = np.concatenate([boxes, boxes + 10], 1)
        truth = Instances(Masks.from_boxes(boxes, (40, 40)))
        moved = boxes + rng.integers(-3, 4, (6, 1))
        pairs.append((truth, Instances(Masks.from_boxes(moved, (40, 40)), scores=rng.random(6))))
    plain = evaluate(pairs, metrics=["coco", "ap_tau"])
    result = evaluate(pairs, metrics=["coco", "ap_tau"], bootstrap=300)
    assert {key: result[key] for key in plain} == pytest.approx(dict(plain), nan_ok=True)
    for key in ("mask_ap", "box_ap50", "mask_ar100", "ap_tau50", "ap_tau_image"):
        assert result[f"{key}_low"] < result[key] < result[f"{key}_high"]
        assert result[f"{key}_high"] - result[f"{key}_low"] < 0.3
    assert np.isnan(result["mask_ap_large_low"])
    # about what the normal approximation over images says
    by_image = plain.extras["ap_tau"]["counts"][0]
    error = (by_image[:, 0] / by_image.sum(1)).std() / np.sqrt(60)
    assert result["ap_tau50_image_high"] - result["ap_tau50_image_low"] == pytest.approx(2 * 1.96 * error, rel=0.2)
    again = evaluate(pairs, metrics=["coco", "ap_tau"], bootstrap=300)
    np.testing.assert_equal(dict(again), dict(result))
    other = evaluate(pairs, metrics=["coco"], bootstrap=300, seed=1)
    assert other["mask_ap_low"] != result["mask_ap_low"]
    assert "mask_ap_low" in result.per_class["object"]
