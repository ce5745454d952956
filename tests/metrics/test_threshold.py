"""The F1 threshold against trying every score."""

from __future__ import annotations

import metric_scenes as scenes
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import Matches, evaluate, f1_thresholds


def f1(matches: Matches, conf: np.ndarray) -> np.ndarray:
    tp, fp, fn = np.moveaxis(matches.counts(conf).sum(0), -1, 0)
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_other_threshold_is_better(seed: int) -> None:
    matches = evaluate(scenes.pairs(seed)).matches
    best = f1(matches, f1_thresholds(matches))
    for score in (0, 0.25, 0.5, 0.75, 0.9):
        assert (f1(matches, np.full(2, score)) <= best + 1e-12).all()


def test_halfway_below_the_last_one_kept_and_the_default() -> None:
    boxes = np.array([[0, 0, 4, 4], [5, 5, 9, 9]], float)
    truth = Instances(Masks.from_boxes(boxes, (10, 10)), [0, 0], ("a", "b"))
    more = Masks.from_boxes(np.concatenate([boxes, [[0, 8, 2, 10]]]), (10, 10))
    matches = evaluate([(truth, Instances(more, [0, 0, 0], ("a", "b"), scores=[0.9, 0.8, 0.4]))]).matches
    low, missing = f1_thresholds(matches, default=0.3)
    assert low == (0.8 + 0.4) / 2
    assert missing == 0.3


def test_counts_at_a_threshold_are_those_of_evaluating_what_is_left() -> None:
    pairs = scenes.pairs(11, images=8)
    cut = [(truth, found[found.scores >= 0.5]) for truth, found in pairs]
    assert np.array_equal(evaluate(pairs).matches.counts(0.5), evaluate(cut).matches.counts())
