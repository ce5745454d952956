"""Fitted thresholds against trying every score."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import Matches, Price, evaluate, f1_thresholds, fit_thresholds, sweep
from apiece.metrics._engine import thresholds
from apiece.metrics._kit import ratios
from apiece.testing import _pairs as scenes


def test_examples() -> None:
    assert doctest.testmod(thresholds) == (0, 1)
    assert doctest.testmod(ratios) == (0, 5)


def f1(matches: Matches, conf: np.ndarray) -> np.ndarray:
    tp, fp, fn = np.moveaxis(matches.counts(conf).sum(0), -1, 0)
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def prices(matches: Matches, conf: np.ndarray, price: Price) -> np.ndarray:
    _, fp, fn = np.moveaxis(matches.counts(conf).sum(0), -1, 0)
    return price.miss * fn + price.false_alarm * fp


CUTS = (0, 0.25, 0.5, 0.75, 0.9, 1.0)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_no_other_threshold_is_better(seed: int) -> None:
    matches = evaluate(scenes.pairs(seed)).matches
    fitted = fit_thresholds(matches, fewest=1)
    best = f1(matches, fitted.values)
    for score in CUTS:
        assert (f1(matches, np.full(2, score)) <= best + 1e-12)[~fitted.pooled].all()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 1), (10, 1), (1, 10), (0.5, 2)]))
def test_no_other_threshold_is_cheaper(seed: int, price: tuple[float, float]) -> None:
    price = Price(*price)
    matches = evaluate(scenes.pairs(seed)).matches
    fitted = fit_thresholds(matches, price, fewest=1)
    least = prices(matches, fitted.values, price)
    for score in CUTS:
        assert (least <= prices(matches, np.full(2, score), price) + 1e-12)[~fitted.pooled].all()
    assert ((fitted.values >= 0) & (fitted.values <= 1)).all()


def found(*scores: float, right: int, truths: int) -> Matches:
    """One class; so many objects, the first ``right`` of the predictions on one each, the others on nothing."""
    corner = np.arange(truths)[:, None] * [4, 0]
    truth = Instances(Masks.from_boxes(np.concatenate([corner, corner + 3], 1), (20, 4 * truths + 4)))
    corner = np.concatenate([corner[:right], np.arange(len(scores) - right)[:, None] * [4, 0] + [0, 10]])
    masks = Masks.from_boxes(np.concatenate([corner, corner + 3], 1), (20, 4 * max(truths, len(scores)) + 4))
    size = masks.size
    truth = Instances(Masks(size, truth.masks.x, truth.masks.y0, truth.masks.y1, truth.masks.offsets))
    return evaluate([(truth, Instances(masks, scores=scores))]).matches


def test_halfway_below_the_last_one_kept() -> None:
    fitted = fit_thresholds(found(0.9, 0.8, 0.4, right=2, truths=2), fewest=1)
    assert fitted.values.tolist() == [(0.8 + 0.4) / 2]
    assert fitted.notes == ()
    # what is kept last of all: the score itself
    assert fit_thresholds(found(0.9, 0.4, right=2, truths=2), fewest=1).values.tolist() == [0.4]


def test_the_price_decides() -> None:
    # right 0.9 and 0.3, wrong 0.6
    matches = found(0.9, 0.3, 0.6, right=2, truths=2)
    dear_miss, dear_alarm = Price(miss=10, false_alarm=1), Price(miss=1, false_alarm=10)
    assert fit_thresholds(matches, dear_miss, fewest=1).values.tolist() == [0.3]
    assert fit_thresholds(matches, dear_alarm, fewest=1).values.tolist() == [(0.9 + 0.6) / 2]
    # nothing right: keep nothing, if a threshold can do that
    assert fit_thresholds(found(0.8, right=0, truths=1), dear_alarm, fewest=1).values.tolist() == [0.9]
    assert fit_thresholds(found(1.0, right=0, truths=1), dear_alarm, fewest=1).values.tolist() == [1.0]
    assert fit_thresholds(found(right=0, truths=1), dear_alarm, fewest=1).values.tolist() == [1.0]
    for wrong in ((0, 1), (1, -1), (float("nan"), 1)):
        with pytest.raises(ConfigError, match="price of a"):
            Price(*wrong)


def test_a_rare_class_takes_the_threshold_of_all_and_says_so() -> None:
    boxes = np.array([[0, 0, 4, 4], [5, 5, 9, 9]], float)
    truth = Instances(Masks.from_boxes(boxes, (10, 10)), [0, 0], ("a", "b"))
    more = Masks.from_boxes(np.concatenate([boxes, [[0, 8, 2, 10]]]), (10, 10))
    matches = evaluate([(truth, Instances(more, [0, 0, 1], ("a", "b"), scores=[0.9, 0.8, 0.4]))]).matches
    fitted = fit_thresholds(matches, fewest=1)
    # a keeps its two; all together leave out the third
    assert fitted.values.tolist() == [0.8, (0.8 + 0.4) / 2]
    assert fitted.pooled.tolist() == [False, True]
    assert fitted.truths.tolist() == [2, 0]
    (note,) = fitted.notes
    assert note.startswith("b: 0 objects are too few")
    assert "0.600" in note
    assert fit_thresholds(matches).pooled.all()
    assert f1_thresholds(matches).tolist() == [(0.8 + 0.4) / 2] * 2
    # not even all together
    nothing = found(0.8, right=0, truths=1)
    assert fit_thresholds(nothing, default=0.3).values.tolist() == [0.3]
    assert "default" in fit_thresholds(nothing).notes[0]
    enough = fit_thresholds(nothing, fewest=1)
    assert "none of 1 objects is found" in enough.notes[0]
    empty = evaluate([], ("a",)).matches
    assert fit_thresholds(empty, Price(1, 1), default=0.4).values.tolist() == [0.4]


def test_a_sweep_counts_as_each_threshold_does() -> None:
    matches = evaluate(scenes.pairs(4, images=9)).matches
    made = sweep(matches)
    assert len(made.threshold) == 101
    for k in (0, 25, 26, 75, 100):
        assert np.array_equal(made.counts[:, k], matches.counts(made.threshold[k]).sum(0))
    few = sweep(matches, [0.25, 0.6])
    assert np.array_equal(few.counts[:, 1], matches.counts(0.6).sum(0))
    assert np.array_equal(ratios.f1(few.counts)[:, 0], f1(matches, np.full(2, 0.25)))


def test_counts_at_a_threshold_are_those_of_evaluating_what_is_left() -> None:
    pairs = scenes.pairs(11, images=8)
    cut = [(truth, found[found.scores >= 0.5]) for truth, found in pairs]
    assert np.array_equal(evaluate(pairs).matches.counts(0.5), evaluate(cut).matches.counts())
