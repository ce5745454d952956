"""Semantic metrics and class presence against dense class maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate
from apiece.testing import _pairs as scenes


def painted(made: Instances, bottom_up: list[int]) -> np.ndarray:
    """1 + class of the last instance painted, 0 where there is none."""
    out = np.zeros(made.size, int)
    dense = made.masks.to_dense()
    for i in bottom_up:
        out[dense[i]] = 1 + made.labels[i]
    return out


def maps(truth: Instances, found: Instances, conf: float) -> tuple[np.ndarray, np.ndarray]:
    area, other = truth.masks.area, found.masks.area
    below = sorted(range(len(truth)), key=lambda i: (not truth.crowd[i], -area[i], i))
    worst = [i for i in range(len(found)) if found.scores[i] >= conf]
    return painted(truth, below), painted(found, sorted(worst, key=lambda i: (found.scores[i], -other[i], i)))


def mean(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else np.nan


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]), st.booleans())
def test_equal_to_dense_maps(seed: int, conf: float, void: bool) -> None:
    pairs = scenes.pairs(seed, classes=("a", "b", "c"))
    result = evaluate(pairs, metrics=["semantic"], conf=conf, stuff=["b"] if void else [])
    shown = [maps(truth, found, conf) for truth, found in pairs]
    truth, found = (np.concatenate([pair[side].ravel() for pair in shown]) for side in (0, 1))
    if void:
        truth, found = truth[truth > 0], found[truth > 0]
    iou, dice, accuracy, weight = [], [], [], []
    with np.errstate(invalid="ignore"):
        for k in (1, 2, 3, 0):
            t, p = truth == k, found == k
            iou.append(np.float64((t & p).sum()) / (t | p).sum())
            dice.append(np.float64(2 * (t & p).sum()) / (t.sum() + p.sum()))
            accuracy.append(np.float64((t & p).sum()) / t.sum())
            weight.append(t.mean() if len(t) else np.nan)
        t, p = truth > 0, found > 0
        expected = {
            "miou": mean(iou[:3]),
            "miou_background": mean(iou),
            "dice": mean(dice[:3]),
            "class_accuracy": mean(accuracy[:3]),
            "pixel_accuracy": (truth == found).mean() if len(truth) else np.nan,
            "frequency_weighted_iou": np.nansum(np.multiply(iou, weight)) if len(truth) else np.nan,
            "dice_foreground": np.float64(2 * (t & p).sum()) / (t.sum() + p.sum()),
        }
    assert dict(result) == pytest.approx(expected, nan_ok=True)
    for k, name in enumerate("abc"):
        one = {"miou": iou[k], "dice": dice[k], "class_accuracy": accuracy[k]}
        assert result.per_class[name] == pytest.approx(one, nan_ok=True)


def test_images_without_anything_are_background() -> None:
    nothing = Instances.empty((4, 5), ("a",), scored=True)
    found = evaluate([(nothing, nothing)], metrics=["semantic"])
    assert found["pixel_accuracy"] == found["miou_background"] == 1
    assert np.isnan(found["miou"])
    assert np.isnan(evaluate([(nothing, nothing)], metrics=["semantic"], stuff=["a"])["pixel_accuracy"])


def test_deep_stacks_show_what_lies_on_top() -> None:
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 20, (300, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 40, (300, 2))], 1)
    found = Instances(Masks.from_boxes(boxes, (40, 50)), rng.integers(0, 3, 300), ("a", "b", "c"), rng.random(300))
    truth = found[:50].replace(scores=None)
    result = evaluate([(truth, found)], metrics=["semantic"])
    a, b = maps(truth, found, 0)
    assert result["pixel_accuracy"] == (a == b).mean()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_presence(seed: int, conf: float) -> None:
    classes = ("a", "b", "c")
    pairs = scenes.pairs(seed, images=6, most=3, classes=classes)
    result = evaluate(pairs, metrics=["presence"], conf=conf)
    there = np.array([[k in truth.labels for k in range(3)] for truth, _ in pairs])
    said = np.array([[k in found.labels[found.scores >= conf] for k in range(3)] for _, found in pairs])
    right, wrong, missed = (there & said).sum(0), (~there & said).sum(0), (there & ~said).sum(0)
    with np.errstate(invalid="ignore"):
        by_class = {
            "presence_precision": right / (right + wrong),
            "presence_recall": right / (right + missed),
            "presence_f1": 2 * right / (2 * right + wrong + missed),
        }
    for k, name in enumerate(classes):
        assert result.per_class[name] == pytest.approx({key: v[k] for key, v in by_class.items()}, nan_ok=True)
    expected = {key: mean(list(values)) for key, values in by_class.items()}
    expected["presence_exact"] = (there == said).all(1).mean()
    assert dict(result) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", ["panoptic", "aji", "counts", "semantic", "presence"])
def test_a_draw_is_what_evaluating_the_drawn_images_gives(name: str) -> None:
    from apiece import metrics
    from apiece.metrics import Batch

    make = metrics.load(name)
    pairs = scenes.pairs(7, images=6)
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 3, 0, 0, 1], [0, 6, 0, 0, 0, 0]], np.int32)
    metric = make(("a", "b"))
    metric.update(Batch.of(0, pairs, ("a", "b")))
    drawn = metric.resample(weights)
    for k, times in enumerate(weights):
        literal = make(("a", "b"))
        literal.update(Batch.of(0, [pair for pair, n in zip(pairs, times, strict=True) for _ in range(n)], ("a", "b")))
        expected = literal.compute()
        numbers = {key: v[k] for key, v in drawn.pooled().items()}
        assert set(expected.numbers) - set(numbers) <= {"sq"}  # its intervals would not hold
        assert numbers == pytest.approx({key: expected.numbers[key] for key in numbers}, nan_ok=True)
        for label, values in expected.per_class.items():
            found = {key: v[k] for key, v in drawn.per_class[label].items()}
            assert found == pytest.approx(values, nan_ok=True)
