"""Balanced halves of the images: what they say of a number's width and bias, and where there is no interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.evaluation import difference
from apiece.metrics import evaluate
from apiece.metrics._kit.half_samples import ENOUGH, FEW, Halves, groups, half_samples

Pair = tuple[Instances, Instances]


def rows(images: int, count: int = 200, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(half_samples(images, count, seed)))


def mean_of(values: np.ndarray, seed: int = 0) -> Halves:
    """Halves of a mean over images."""
    weights = rows(len(values), seed=seed)
    return Halves.of(weights @ values / weights.sum(1))


def test_halves_are_balanced() -> None:
    weights = rows(64)
    assert weights.shape == (1 + 2 * 63, 64)
    assert (weights[0] == 1).all()
    halves, complements = weights[1:64], weights[64:]
    assert (halves.sum(1) == 32).all()
    assert (halves + complements == 1).all()
    signs = 2 * halves - 1
    # each image is as often with each other image as without it, up to one
    assert (np.abs((signs.T @ signs)[~np.eye(64, dtype=bool)]) == 1).all()
    assert abs(rows(500).sum(1)[1:] - 250).max() <= 32
    assert np.array_equal(rows(100), rows(100))
    assert not np.array_equal(rows(100), rows(100, seed=1))


def test_pieces_do_not_change_the_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(30)
    monkeypatch.setattr("apiece.metrics._kit.half_samples._WEIGHTS", 30 * 4)
    parts = list(half_samples(30, 200, 0))
    assert {len(part) for part in parts[:-1]} == {4}
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(("images", "count", "made"), [(500, 200, 64), (500, 126, 64), (500, 125, 32), (9, 200, 8),
                                                        (2, 1, 2), (1, 200, 1), (500, 0, 1)])  # fmt: skip
def test_how_many_groups(images: int, count: int, made: int) -> None:
    assert groups(images, count) == made
    assert len(rows(images, count)) == 1 + 2 * (made - 1)
    with pytest.raises(ConfigError, match="0 half-samples or more"):
        groups(images, -1)


def test_a_mean_has_its_textbook_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, 64)
    half = mean_of(values)
    assert half.bias == pytest.approx(0, abs=1e-12)
    low, high = half.interval or (0, 0)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)
    error = np.sqrt(((values - values.mean()) ** 2).sum()) / 64
    assert 1.96 * error < (high - low) / 2 < 2.05 * error
    assert half.p == pytest.approx(0, abs=1e-12)
    assert mean_of(values - values.mean()).p == pytest.approx(1)


def test_bias_is_found_and_taken_away() -> None:
    # the square of a mean is too high by the variance over n, and half of the images have twice that
    values = np.random.default_rng(1).normal(0, 1, 64)
    weights = rows(64)
    half = Halves.of((weights @ values / weights.sum(1)) ** 2)
    assert half.bias == pytest.approx(values.var(ddof=1) / 64)
    # a bias that falls slower is a larger multiple of the same difference
    slow = Halves.of((weights @ values / weights.sum(1)) ** 2, math.log2(1.5))
    assert slow.bias == pytest.approx(2 * half.bias)


def test_a_number_that_few_images_decide_has_no_interval() -> None:
    values = np.zeros(200)
    values[:3] = 1
    assert mean_of(values).lacks == "images"
    assert mean_of(values).interval is None
    assert math.isnan(mean_of(values).p)
    values[:20] = 1
    assert mean_of(values).lacks == ""
    same = mean_of(np.ones(200))
    assert (same.interval, same.fixed, difference(same, same).verdict) == (None, True, "same")
    assert not mean_of(values).fixed


def test_a_rare_count_reaches_farther_up_than_down() -> None:
    values = np.zeros(200)
    values[:9] = 1
    low, high = (200 * end for end in mean_of(values).interval or (0, 0))
    # what Poisson's distribution says of 9 exactly
    exact = chi2.ppf(0.025, 18) / 2, chi2.ppf(0.975, 20) / 2
    assert (low, high) == pytest.approx(exact, rel=0.1)
    # a share of 191 in 200 is its mirror image
    mirrored = mean_of(1 - values).interval or (0, 0)
    assert [200 * (1 - end) for end in mirrored[::-1]] == pytest.approx([low, high])
    # the sign of a difference is anybody's choice, so that it reaches as far to both sides
    change = mean_of(values[::-1]) - mean_of(values)
    assert sum(change.interval or (1, 1)) == pytest.approx(2 * change.value)


def test_a_difference_needs_a_number_that_many_images_decide() -> None:
    rng = np.random.default_rng(4)
    some, few, other = rng.random(200) < 0.3, np.arange(200) < 3, np.arange(200) > 196
    # six images move the difference, but only three move either number
    assert (mean_of(1.0 * few).lacks, (mean_of(1.0 * few) - mean_of(1.0 * other)).lacks) == ("images", "images")
    assert (mean_of(1.0 * some) - mean_of(1.0 * few)).lacks == ""


def test_a_mean_over_classes_needs_its_classes() -> None:
    weights, rng = rows(100), np.random.default_rng(2)
    values = rng.normal(0.5, 0.1, (100, 4))
    scores = weights @ values / weights.sum(1, keepdims=True)
    assert Halves.of(scores).interval is not None
    assert Halves.of(scores).value == pytest.approx(values.mean())
    scores[1:, 0][::2] = np.nan
    rare = Halves.of(scores)
    assert (rare.missing, rare.lacks) == (pytest.approx(1 / 8), "classes")
    # of a difference the bias falls out, so that more may be missing
    other = weights @ rng.normal(0.5, 0.1, (100, 4)) / weights.sum(1, keepdims=True)
    assert (rare - Halves.of(other)).lacks == ""
    # the bias is that of each class where it is there: a class that goes does not count as a fall
    assert rare.bias == pytest.approx(Halves.of(weights @ values / weights.sum(1, keepdims=True)).bias, abs=0.01)
    nothing = Halves.of(np.full((127, 4), np.nan))
    assert nothing.interval is None
    assert math.isnan(nothing.value)


def test_differences_take_out_what_is_hard_for_both() -> None:
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 1, 100)
    a, b = (mean_of(hard + rng.normal(gain, 0.1, 100)) for gain in (0, 0.1))
    found = difference(a, b)
    assert found.verdict == "higher"
    assert found.p < 1e-6
    assert (b - a).bias == 0
    assert (found.high - found.low) * 5 < np.diff(a.interval or (0, 0))[0]
    assert difference(b, a).verdict == "lower"
    unknown = difference(*(Halves(v, np.full(126, np.nan), math.nan, 1.0) for v in (0.1, 0.2)))
    assert (unknown.verdict, unknown.difference) == ("unknown", pytest.approx(0.1))


def scene(rng: np.random.Generator, classes: tuple[str, ...]) -> Pair:
    """Some squares, and predictions that are moved, missed or made up."""
    number = rng.integers(1, 6)
    label = np.minimum(rng.geometric(0.4, number) - 1, len(classes) - 1)
    corner = rng.integers(0, 50, (number, 2))
    truth = np.concatenate([corner, corner + 10], 1)
    found = truth + rng.integers(-3, 4, (number, 1)) * rng.integers(0, 2, (number, 1))
    kept = rng.random(number) < 0.8
    stray = rng.integers(0, 50, (2, 2))
    boxes = np.concatenate([np.maximum(found[kept], 0), np.concatenate([stray, stray + 10], 1)])
    labels = np.concatenate([label[kept], rng.integers(0, len(classes), 2)])
    score = np.concatenate([rng.beta(3, 2, kept.sum()), rng.beta(2, 3, 2)])
    masks = [Masks.from_boxes(one, (64, 64)) for one in (truth, boxes)]
    return Instances(masks[0], label, classes), Instances(masks[1], labels, classes, score)


def test_intervals_hold_the_number_of_the_population() -> None:
    rng = np.random.default_rng(0)
    population = [scene(rng, ("a", "b", "c")) for _ in range(800)]
    whole = evaluate(population, metrics=["coco"], kinds=["mask"])
    keys, held = ("mask_ap", "mask_ap50", "mask_ar100"), []
    for _ in range(40):
        sample = [population[i] for i in rng.integers(0, 800, 50)]
        found = evaluate(sample, metrics=["coco"], kinds=["mask"], bootstrap=62)
        held.append([found[f"{key}_low"] <= whole[key] <= found[f"{key}_high"] for key in keys])
    # of 40 samples 95% is known to 7 points either way
    assert (np.mean(held, 0) >= 0.88).all()


def test_rare_classes_have_no_interval_of_their_mean_and_that_is_said() -> None:
    rng = np.random.default_rng(5)
    classes = tuple("abcdefghijkl")
    result = evaluate([scene(rng, classes) for _ in range(40)], metrics=["coco"], kinds=["mask"], bootstrap=200)
    assert math.isnan(result["mask_ap_low"])
    assert result.number("mask_ap").interval is None
    assert result.number("mask_ap", "a").interval is not None
    assert result["mask_ap_bias"] == result.number("mask_ap").bias > 0.01
    (note,) = (n for n in result.notes if "half of the images often lack them" in n)
    assert note.startswith("no interval for mask_ap, mask_ap50, ")
    assert f"at least: mask_ap by {result['mask_ap_bias']:.3f}" in note


def test_a_class_in_few_images_has_no_interval_of_its_own() -> None:
    rng = np.random.default_rng(5)
    pairs = [scene(rng, ("a", "b", "c", "d", "e")) for _ in range(40)]
    result = evaluate(pairs, metrics=["coco"], kinds=["mask"], bootstrap=200)
    shown = [sum((truth.labels == k).any() for truth, _ in pairs) for k in range(5)]
    assert min(shown) < FEW <= max(shown)
    for name, number in zip("abcde", shown, strict=True):
        assert (result.number("mask_ap", name).interval is None) == (number < FEW)
    named = ", ".join(name for name, number in zip("abcde", shown, strict=True) if number < FEW)
    assert f"no interval for numbers of a class in fewer than {FEW} images: {named}" in result.notes


def test_few_images_are_said_and_one_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    pairs = [scene(rng, ("a",)) for _ in range(20)]
    one, few, rough, plain = (evaluate(pairs[:n], metrics=["coco"], bootstrap=50) for n in (1, ENOUGH - 1, 19, 20))
    assert "mask_ap_low" not in one
    assert "mask_ap_low" not in one.per_class["a"]
    assert one.notes == ("no intervals: they need 8 images at the least, and there is 1",)
    assert math.isnan(few["mask_ap_low"])
    assert few.notes == ("no intervals: they need 8 images at the least, and there are 7",)
    assert rough["mask_ap_low"] < rough["mask_ap"]
    assert "19 images are few: the intervals are rough" in rough.notes
    assert not any("rough" in note for note in plain.notes)
    assert evaluate(pairs, metrics=["coco"]).notes == ()


def test_evaluate_gives_intervals_around_its_numbers() -> None:
    rng = np.random.default_rng(0)
    pairs = [scene(rng, ("a",)) for _ in range(60)]
    plain = evaluate(pairs, metrics=["coco", "ap_tau", "counts"])
    result = evaluate(pairs, metrics=["coco", "ap_tau", "counts"], bootstrap=200)
    assert {key: result[key] for key in plain} == pytest.approx(dict(plain), nan_ok=True)
    for key in ("mask_ap", "box_ap50", "mask_ar100", "ap_tau50", "ap_tau_image", "count_mae"):
        assert result[f"{key}_low"] < result[key] - result[f"{key}_bias"] < result[f"{key}_high"]
    assert np.isnan(result["mask_ap_large_low"])
    # about what the normal approximation over images says
    by_image = plain.extras["ap_tau"]["counts"][0]
    error = (by_image[:, 0] / by_image.sum(1)).std() / np.sqrt(60)
    assert result["ap_tau50_image_high"] - result["ap_tau50_image_low"] == pytest.approx(2 * 2 * error, rel=0.2)
    # a count is that of all images, not of half of them
    assert result["count_truth_low"] < result["count_truth"] < result["count_truth_high"]
    assert result["count_truth_bias"] == pytest.approx(0, abs=1)
    again = evaluate(pairs, metrics=["coco", "ap_tau", "counts"], bootstrap=200)
    np.testing.assert_equal(dict(again), dict(result))
    other = evaluate(pairs, metrics=["coco"], bootstrap=200, seed=1)
    assert other["mask_ap_low"] != result["mask_ap_low"]
    assert "mask_ap_low" in result.per_class["a"]
