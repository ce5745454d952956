"""AP-tau against brute force in the way of StarDist's ``matching``, and rules by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.metrics._kit.match_ranked import IOU_THRESHOLDS
from apiece.testing import _pairs as scenes


def flat(made: Instances, chosen: np.ndarray) -> np.ndarray:
    """The chosen masks as rows of zeros and ones."""
    return made[chosen].masks.to_dense().reshape(int(chosen.sum()), made.size[0] * made.size[1]).astype(float)


def brute(truth: Instances, found: Instances, tau: float, conf: float = 0.0) -> np.ndarray:
    """TP, FP, FN of each class, from dense masks and a minimum-cost assignment, as StarDist's."""
    out = np.zeros((len(truth.classes), 3), int)
    for k in range(len(truth.classes)):
        pixels = flat(truth, truth.labels == k)
        crowd = truth.crowd[truth.labels == k]
        chosen = found.labels == k
        if found.scores is not None:
            chosen &= found.scores >= conf
        others = flat(found, chosen)
        real, group = pixels[~crowd], pixels[crowd]
        shared = real @ others.T
        iou = shared / np.maximum(real.sum(1)[:, None] + others.sum(1) - shared, 1)
        spared = np.zeros(len(others), bool)
        if len(group):
            inside = group @ others.T / np.maximum(others.sum(1), 1)
            spared = (inside >= tau).any(0)
        # as many hits as can be; where that is open, of predictions that a crowd does not spare
        i, j = linear_sum_assignment(-(iou >= tau).astype(float) * (1 + 0.01 * ~spared))
        hit = iou[i, j] >= tau
        spared[j[hit]] = False
        out[k] = hit.sum(), len(others) - hit.sum() - spared.sum(), len(real) - hit.sum()
    return out


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_equal_to_brute_force(seed: int, conf: float) -> None:
    pairs = scenes.pairs(seed, images=3)
    result = evaluate(pairs, metrics=["ap_tau"], conf=conf)
    for level, tau in enumerate(IOU_THRESHOLDS):
        counts = np.stack([brute(truth, found, tau, conf) for truth, found in pairs])
        assert np.array_equal(result.extras["ap_tau"]["counts"][level], counts.sum(1))
        key = f"ap_tau{round(100 * tau)}"
        with np.errstate(invalid="ignore"):
            pooled, image = counts.sum((0, 1)), counts.sum(1)
            assert result[key] == pytest.approx(pooled[0] / pooled.sum(), nan_ok=True)
            f1 = 2 * pooled[0] / (2 * pooled[0] + pooled[1] + pooled[2])
            assert result[f"f1_{key[3:]}"] == pytest.approx(f1, nan_ok=True)
            each = image[:, 0] / image.sum(-1)
            by_image = each[~np.isnan(each)]
            assert result[f"{key}_image"] == pytest.approx(by_image.mean() if len(by_image) else np.nan, nan_ok=True)
            for k, values in enumerate(result.per_class.values()):
                assert values[key] == pytest.approx(counts[:, k, 0].sum() / counts[:, k].sum(), nan_ok=True)
    taus = [result[f"ap_tau{t}"] for t in range(50, 100, 5)]
    assert result["ap_tau"] == pytest.approx(np.mean(taus), nan_ok=True)


def test_by_hand() -> None:
    a = np.zeros((6, 6), int)
    a[:2, :4], a[4:, :4], a[:, 5] = 1, 2, 3
    b = np.zeros((6, 6), int)
    b[:2, :3], b[4:, :4] = 1, 2
    b[2, 0] = 7
    result = evaluate(
        [
            (Instances.from_label_map(a), Instances.from_label_map(b)),
            (Instances.empty((3, 3)), Instances.empty((3, 3))),
        ],
        metrics=["ap_tau"],
    )
    # IoU 6/8 and 1; one truth is missed, one prediction is wrong
    assert result["ap_tau50"] == result["ap_tau75"] == result["ap_tau75_image"] == 2 / 4
    assert result["ap_tau80"] == 1 / 5
    assert (result["f1_tau50"], result["f1_tau80"]) == (2 * 2 / 6, 2 * 1 / 6)
    assert result["f1_tau"] == pytest.approx((6 * 4 / 6 + 4 * 2 / 6) / 10)
    assert result["ap_tau"] == pytest.approx((6 * 2 / 4 + 4 * 1 / 5) / 10)


def test_more_matches_go_before_better_ones() -> None:
    # prediction 0 fits truth 0 best, but only it can take truth 1
    truth = Masks.from_boxes([[0, 0, 10, 1], [3, 0, 13, 1]], (1, 20))
    found = Masks.from_boxes([[1, 0, 11, 1], [0, 0, 7, 1]], (1, 20))
    result = evaluate([(Instances(truth), Instances(found))], metrics=["ap_tau"])
    assert result["ap_tau50"] == 1.0


def test_the_empty_is_undefined_and_thresholds_are_per_class() -> None:
    nothing = Instances.empty((4, 4), ("a", "b"))
    assert np.isnan(evaluate([(nothing, nothing)], metrics=["ap_tau"])["ap_tau50"])
    truth = Instances(Masks.from_boxes([[0, 0, 2, 2], [2, 2, 4, 4]], (4, 4)), [0, 1], ("a", "b"))
    found = truth.replace(scores=np.array([0.4, 0.4]))
    assert evaluate([(truth, found)], metrics=["ap_tau"], conf=(0.4, 0.5))["ap_tau50"] == 0.5
    with pytest.raises(ConfigError, match="one per class"):
        evaluate([(truth, found)], metrics=["ap_tau"], conf=(0.4, 0.5, 0.1))


@pytest.mark.slow
def test_equal_on_real_images(shared_data: Path) -> None:
    from apiece.formats import read

    rng = np.random.default_rng(1)
    pairs = []
    for _, truth in list(read(shared_data / "nuclei" / "val.json"))[:12]:
        truth = truth[:40]
        dx, dy = rng.integers(-2, 3, 2).tolist()
        pairs.append((truth, truth.replace(masks=truth.masks.shift(dx, dy))[rng.random(len(truth)) < 0.9]))
    result = evaluate(pairs, metrics=["ap_tau"])
    for level in (0, 4, 9):
        expected = [brute(truth, found, IOU_THRESHOLDS[level]).sum(0) for truth, found in pairs]
        assert np.array_equal(result.extras["ap_tau"]["counts"][level], expected)
