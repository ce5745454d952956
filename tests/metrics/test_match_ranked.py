"""The pairs and the matching, against dense arrays and plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import greedy, matched, most
from apiece.metrics._kit.overlaps import Pairs, box_pairs
from apiece.testing import _pairs as scenes

seeds = st.integers(0, 2**32 - 1)


def random_pairs(rng: np.random.Generator, p: int, t: int) -> tuple[Pairs, np.ndarray]:
    iou = rng.integers(0, 8, (p, t)) / 7 * (rng.random((p, t)) < 0.7)
    rows, columns = np.nonzero(iou)
    return Pairs(rows, columns, iou[rows, columns]), iou


def looped(iou: np.ndarray, ignored: np.ndarray, crowd: np.ndarray, threshold: float) -> list[int]:
    """COCOeval's loops, for one class of one image."""
    order = np.argsort(ignored, kind="stable")
    taken = np.zeros(iou.shape[1], bool)
    out = []
    for row in iou:
        best, match = min(threshold, 1 - 1e-10), -1
        for g in order:
            if taken[g] and not crowd[g]:
                continue
            if match > -1 and not ignored[match] and ignored[g]:
                break
            if row[g] < best:
                continue
            best, match = row[g], int(g)
        if match > -1:
            taken[match] = True
        out.append(match)
    return out


@settings(max_examples=200)
@given(seeds)
def test_greedy_is_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, t = rng.integers(0, 12, 2)
    pairs, iou = random_pairs(rng, p, t)
    crowd = rng.random(t) < 0.2
    ignored = crowd | (rng.random(t) < 0.3)
    levels = np.array([0.1, 0.5, 0.8, 1.0])
    views = np.stack([ignored, crowd])
    match = np.full((2, len(levels), p), -1)
    for found in greedy(pairs, views, crowd, levels, p):
        match[found.view, found.level, pairs.predicted[found.pair]] = pairs.truth[found.pair]
    for rows, view in zip(match, views, strict=True):
        for row, level in zip(rows, levels, strict=True):
            assert row.tolist() == looped(iou, view, crowd, level)
    assert np.array_equal(matched(pairs, crowd, levels, p), match[1])


def test_a_long_chain_of_ousted_predictions() -> None:
    # each prediction prefers the truth that the one before it takes
    n = 300
    rows = np.repeat(np.arange(n), 2)
    columns = (np.arange(n)[:, None] + [-1, 0]).ravel()
    keep = columns >= 0
    pairs = Pairs(rows[keep], columns[keep], np.tile([0.9, 0.6], n)[keep])
    found = matched(pairs, np.zeros(n, bool), np.array([0.5]), n)
    assert np.array_equal(found[0], np.arange(n))


def test_thresholds_at_or_below_zero_are_refused() -> None:
    none = Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    with pytest.raises(ConfigError):
        matched(none, np.zeros(0, bool), np.array([0.0]), 0)


@settings(max_examples=100)
@given(seeds)
def test_most_is_a_matching_and_none_is_larger(seed: int) -> None:
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(seed)
    p, t = rng.integers(0, 10, 2)
    pairs, iou = random_pairs(rng, p, t)
    match = most(pairs, 0.5, p, t)
    rows = np.flatnonzero(match >= 0)
    assert len(set(match[rows])) == len(rows)
    assert (iou[rows, match[rows]] >= 0.5).all()
    i, j = linear_sum_assignment(iou < 0.5)
    assert len(rows) == (iou[i, j] >= 0.5).sum()


@settings(max_examples=60)
@given(seeds)
def test_box_pairs_are_all_that_overlap(seed: int) -> None:
    from pycocotools import mask as codec

    rng = np.random.default_rng(seed)
    p, t = rng.integers(1, 30, 2)
    boxes = [np.concatenate([rng.uniform(-20, 60, (n, 2)), rng.choice([0, 0.3, 5, 7, 40], (n, 2))], 1) for n in (p, t)]
    for some in boxes:
        some[rng.random(len(some)) < 0.5] = np.floor(some[rng.random(len(some)).argmax()])
    group_p, group_t = rng.integers(0, 3, p), rng.integers(0, 3, t)
    crowd = rng.random(t) < 0.3
    found = box_pairs(boxes[0], group_p, boxes[1], group_t, crowd)
    dense = np.zeros((p, t))
    dense[found.predicted, found.truth] = found.iou
    expected = codec.iou(boxes[0], boxes[1], crowd.astype(np.uint8)) * (group_p[:, None] == group_t)
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-12)
    assert len(found) == len(set(zip(found.predicted, found.truth, strict=True)))


@settings(max_examples=40)
@given(seeds, st.booleans(), st.sampled_from([0, 6]))
def test_mask_pairs_are_all_that_overlap_in_one_image_and_class(seed: int, crossing: bool, wound: int) -> None:
    pairs = scenes.pairs(seed)
    batch = replace(Batch.of(0, pairs, ("a", "b")), crossing=crossing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apiece.metrics._kit.overlaps._WOUND", wound)  # 0: one sweep over all masks
        found = batch.mask_pairs
    seen = {}
    for p, t, value in zip(found.predicted, found.truth, found.iou, strict=True):
        side = batch.predicted, batch.truth
        seen[int(side[0].image[p]), int(side[0].index[p]), int(side[1].image[t]), int(side[1].index[t])] = value
    expected = {}
    for i, (truth, predicted) in enumerate(pairs):
        a, b = predicted.masks.to_dense(), truth.masks.to_dense()
        for j in range(len(a)):
            for k in range(len(b)):
                shared = (a[j] & b[k]).sum()
                if shared and predicted.labels[j] == truth.labels[k]:
                    whole = a[j].sum() if truth.crowd[k] else (a[j] | b[k]).sum()
                    expected[i, j, i, k] = shared / whole
    assert seen == expected
    assert ("image_pairs" in vars(batch)) is crossing


def test_predictions_are_ranked_by_score_within_image_and_class() -> None:
    batch = Batch.of(0, scenes.pairs(5, images=6, most=20), ("a", "b"))
    side = batch.predicted
    for group in np.unique(side.group):
        rows = np.flatnonzero(side.group == group)
        assert np.array_equal(side.rank[rows], np.arange(len(rows)))
        order = np.lexsort((side.index[rows], -side.score[rows]))
        assert np.array_equal(order, np.arange(len(rows)))


def test_metrics_together_find_what_each_finds_alone() -> None:
    pairs = [(truth, found, found[found.scores >= 0.5]) for truth, found in scenes.pairs(8, images=5)]
    names = ["coco", "boundary", "confusion", "errors", "panoptic"]
    together = evaluate(pairs, ("a", "b"), metrics=names)
    for name in names:
        alone = evaluate(pairs, ("a", "b"), metrics=[name])
        np.testing.assert_array_equal([together[key] for key in alone], list(alone.numbers.values()))
