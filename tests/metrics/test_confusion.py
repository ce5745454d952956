"""The confusion matrix against loops over dense masks, and rules by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import confusion, evaluate
from apiece.testing import _pairs as scenes

CLASSES = ("a", "b")


def test_examples() -> None:
    assert doctest.testmod(confusion) == (0, 6)


def overlaps(found: Instances, truth: Instances) -> np.ndarray:
    """IoU of all pairs; with a crowd the share of the prediction that lies in it."""
    a, b = (s.masks.to_dense().reshape(len(s), s.size[0] * s.size[1]).astype(float) for s in (found, truth))
    shared, own = a @ b.T, a.sum(1)[:, None]
    return shared / np.maximum(np.where(truth.crowd, own, own + b.sum(1) - shared), 1)


def greedy(iou: np.ndarray, order: list[int], free: set[int], allowed: np.ndarray) -> dict[int, int]:
    """Prediction to truth: each takes the best one still free, of equal ones the later."""
    out = {}
    for i in order:
        near = [(iou[i, t], t) for t in free if iou[i, t] >= 0.5 and allowed[i, t]]
        if near:
            out[i] = max(near)[1]
            free.remove(out[i])
    return out


def brute(truth: Instances, found: Instances, conf: float) -> np.ndarray:
    iou = overlaps(found, truth)
    same = found.labels[:, None] == truth.labels
    order = [i for i in np.lexsort((-found.scores, found.labels)).tolist() if found.scores[i] >= conf]
    free = {t for t in range(len(truth)) if not truth.crowd[t]}
    match = greedy(iou, order, free, same)
    spared = {i for i in order if i not in match and (same[i] & truth.crowd & (iou[i] >= 0.5)).any()}
    rest = [i for i in order if i not in match and i not in spared]
    match |= greedy(iou, sorted(rest, key=lambda i: -found.scores[i]), free, np.ones_like(same))
    counts = np.zeros((3, 3), int)
    for i in order:
        if i not in spared:
            counts[truth.labels[match[i]] if i in match else 2, found.labels[i]] += 1
    for t in free:
        counts[truth.labels[t], 2] += 1
    return counts


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_equal_to_brute_force(seed: int, conf: float) -> None:
    pairs = scenes.pairs(seed)
    result = evaluate(pairs, metrics=["coco", "confusion"], conf=conf)
    counts = result.extras["confusion"]["confusion"].counts
    assert np.array_equal(counts, sum(brute(truth, found, conf) for truth, found in pairs))
    tp, fp, fn = result.matches.counts(conf).sum(0).T
    truths, found = counts[:2].sum(1), counts[:, :2].sum(0)
    assert np.array_equal(counts.diagonal()[:2], tp)
    assert np.array_equal(truths, tp + fn)
    assert np.array_equal(found, tp + fp)
    matched = counts[:2, :2].sum(1)
    with np.errstate(invalid="ignore"):
        for k, name in enumerate(CLASSES):
            scores = result.per_class[name]
            assert scores["confusion_precision"] == pytest.approx(tp[k] / found[k], nan_ok=True)
            assert scores["confusion_recall"] == pytest.approx(tp[k] / truths[k], nan_ok=True)
            assert scores["confusion_accuracy"] == pytest.approx(tp[k] / matched[k], nan_ok=True)
        assert result["confusion_f1"] == pytest.approx(2 * tp.sum() / (truths.sum() + found.sum()), nan_ok=True)
        assert result["confusion_accuracy"] == pytest.approx(tp.sum() / matched.sum(), nan_ok=True)


def squares(*places: tuple[int, int], labels: list[int], **more: object) -> Instances:
    """Squares of side 4 at (x, y)."""
    corner = np.array(places, float).reshape(-1, 2)
    return Instances(Masks.from_boxes(np.concatenate([corner, corner + 4], 1), (20, 20)), labels, CLASSES, **more)


def matrix(truth: Instances, found: Instances, **more: object) -> list[list[int]]:
    return evaluate([(truth, found)], metrics=["confusion"], **more).extras["confusion"]["confusion"].counts.tolist()


def test_right_mistaken_missed_and_made_up() -> None:
    truth = squares((0, 0), (8, 0), (16, 0), labels=[0, 0, 1])
    found = squares((0, 0), (8, 0), (8, 8), labels=[0, 1, 1], scores=[0.9, 0.8, 0.3])
    assert matrix(truth, found) == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert matrix(truth, found, conf=(0.0, 0.5)) == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert matrix(truth, found.replace(scores=None)) == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_the_right_class_goes_before_a_better_score() -> None:
    truth = squares((0, 0), labels=[0])
    found = squares((0, 0), (1, 0), labels=[1, 0], scores=[0.9, 0.1])
    assert matrix(truth, found) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    # of two wrong ones the better score
    three = Instances(truth.masks, [0], ("a", "b", "c"))
    wrong = Instances(found.masks, [1, 2], ("a", "b", "c"), scores=[0.1, 0.9])
    assert matrix(three, wrong)[0] == [0, 0, 1, 0]
    assert matrix(three, wrong)[3] == [0, 1, 0, 0]


def test_a_prediction_in_a_crowd_is_left_out() -> None:
    truth = squares((0, 0), (8, 0), labels=[0, 0], crowd=[True, False])
    found = squares((0, 0), (0, 0), labels=[0, 1], scores=[0.9, 0.8])
    assert matrix(truth, found) == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_draws_of_all_ones_are_the_numbers() -> None:
    pairs = scenes.pairs(2, images=6)
    result = evaluate(pairs, metrics=["confusion"])
    from apiece.metrics._kit.batch import Batch

    metric = confusion.Confusion(CLASSES)
    metric.update(Batch.of(0, pairs, CLASSES))
    drawn = metric.resample(np.array([[1] * 6, [2] * 6, [1, 0, 0, 0, 0, 0]], np.int32))
    first = evaluate(pairs[:1], metrics=["confusion"])
    for key, values in drawn.numbers.items():
        np.testing.assert_allclose(values, [result[key], result[key], first[key]])
    for name in CLASSES:
        for key, values in drawn.per_class[name].items():
            np.testing.assert_allclose(values[[0, 2]], [result.per_class[name][key], first.per_class[name][key]])


def test_nothing_is_undefined() -> None:
    nothing = Instances.empty((4, 4), CLASSES)
    result = evaluate([(nothing, nothing)], metrics=["confusion"])
    assert all(np.isnan(value) for value in dict(result).values())
    assert np.array_equal(
        evaluate([], CLASSES, metrics=["confusion"]).extras["confusion"]["confusion"].counts, np.zeros((3, 3))
    )
    with pytest.raises(ConfigError, match="'truth'"):
        confusion.shares(np.zeros((2, 2)), by="rows")
