"""Calibration against formulas in loops and torchmetrics, and rules by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import DataError
from apiece.metrics import Batch, Matches, calibration, evaluate
from apiece.testing import _pairs as scenes


def test_examples() -> None:
    assert doctest.testmod(calibration) == (0, 2)


def brute(score: list[float], right: list[bool]) -> tuple[float, float, float]:
    """ECE, MCE and overconfidence from the definitions of Guo et al."""
    if not score:
        return (float("nan"),) * 3
    bins: dict[int, list[int]] = {}
    for i, value in enumerate(score):
        bins.setdefault(min(int(value * 15), 14), []).append(i)
    gaps = {b: abs(np.mean([right[i] for i in rows]) - np.mean([score[i] for i in rows])) for b, rows in bins.items()}
    ece = sum(len(bins[b]) * gap for b, gap in gaps.items()) / len(score)
    return ece, max(gaps.values()), float(np.mean(score) - np.mean(right))


def judged(matches: Matches, label: int | None = None) -> tuple[list[float], list[bool]]:
    rows = ~matches.ignored & ((matches.label == label) if label is not None else True)
    return matches.score[rows].tolist(), matches.hits[rows].tolist()


KEYS = ("calibration_error", "calibration_error_max", "overconfidence")


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equal_to_loops(seed: int, spread: bool) -> None:
    pairs = scenes.pairs(seed)
    if spread:
        rng = np.random.default_rng(seed)
        pairs = [(truth, found.replace(scores=rng.random(len(found)))) for truth, found in pairs]
    result = evaluate(pairs, metrics=["coco", "calibration"], kinds=["mask"])
    assert [result[key] for key in KEYS] == pytest.approx(brute(*judged(result.matches)), nan_ok=True)
    for k, scores in enumerate(result.per_class.values()):
        assert [scores[key] for key in KEYS] == pytest.approx(brute(*judged(result.matches, k)), nan_ok=True)
    diagram = result.extras["calibration"]["reliability"]
    score, right = judged(result.matches)
    assert diagram.all_count.sum() == diagram.count.sum() == len(score)
    assert np.nansum(diagram.all_right * diagram.all_count) == pytest.approx(sum(right))
    assert np.nansum(diagram.score * diagram.count) == pytest.approx(sum(score))


@pytest.mark.slow  # it takes long to import
def test_equal_to_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification", reason="pip install torchmetrics")
    import torch

    rng = np.random.default_rng(0)
    score, right = rng.random(500), rng.random(500) < 0.4
    ours = calibration.calibration_errors(calibration.bin_scores(np.zeros(500, int), score, right, 1)[0])
    for value, norm in zip(ours, ("l1", "max"), strict=False):
        theirs = functional.binary_calibration_error(torch.tensor(score), torch.tensor(right).int(), 15, norm)
        assert float(value) == pytest.approx(float(theirs), abs=1e-6)


def test_by_hand() -> None:
    truth = Instances(Masks.from_boxes([[0, 0, 4, 4]], (10, 10)))
    boxes = [[0, 0, 4, 4], [5, 5, 9, 9], [0, 5, 4, 9], [5, 0, 9, 4]]
    found = Instances(Masks.from_boxes(boxes, (10, 10)), scores=[0.9, 0.9, 0.3, 1.0])
    result = evaluate([(truth, found)], metrics=["calibration"])
    # 0.9: one of two right; 0.3: none; 1, in the last bin: none
    assert result["calibration_error"] == pytest.approx((2 * 0.4 + 0.3 + 1.0) / 4)
    assert result["calibration_error_max"] == pytest.approx(1)
    assert result["overconfidence"] == pytest.approx(3.1 / 4 - 1 / 4)
    diagram = result.extras["calibration"]["reliability"]
    assert diagram.all_count[[4, 13, 14]].tolist() == [1, 2, 1]
    assert diagram.right[0, 13] == 0.5
    assert np.isnan(diagram.score[0, 0])


def test_scores_that_are_no_probabilities_are_told() -> None:
    truth = Instances(Masks.from_boxes([[0, 0, 4, 4]], (10, 10)))
    sure, logit = (truth.replace(scores=np.array([value])) for value in (1.0, 37.5))
    result = evaluate([(truth, sure), (truth, logit)], metrics=["calibration"])
    assert all(np.isnan(result[key]) for key in KEYS)
    assert "37.5" in result.notes[0]
    assert result.extras["calibration"] == {}
    with pytest.raises(DataError, match="no scores"):
        evaluate([(truth, truth)], metrics=["calibration"])
    nothing = Instances.empty((4, 4), scored=True)
    assert np.isnan(evaluate([(nothing, nothing)], metrics=["calibration"])["calibration_error"])


def test_draws_of_all_ones_are_the_numbers() -> None:
    pairs = scenes.pairs(2, images=6)
    metric = calibration.Calibration(("a", "b"))
    metric.update(Batch.of(0, pairs, ("a", "b")))
    drawn = metric.resample(np.array([[1] * 6, [0, 2, 0, 0, 0, 1]], np.int32)).numbers
    whole, part = metric.compute().numbers, evaluate([pairs[1], pairs[1], pairs[5]], metrics=["calibration"])
    # errors of draws are too large, so that their intervals would leave out the truth
    assert list(drawn) == ["overconfidence"]
    np.testing.assert_allclose(drawn["overconfidence"], [whole["overconfidence"], part["overconfidence"]])
    metric.update(Batch.of(6, [(truth, found.replace(scores=found.scores + 7)) for truth, found in pairs], ("a", "b")))
    assert np.isnan(metric.resample(np.ones((3, 12), np.int32)).numbers["overconfidence"]).all()
