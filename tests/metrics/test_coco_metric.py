"""COCO numbers against pycocotools and faster-coco-eval, and rules by hand."""

from __future__ import annotations

import coco_oracle as oracle
import metric_scenes as scenes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.metrics import evaluate

LIMITS = [(1, 10, 100), (2, 3, 5), (1, 2)]


def same(pairs: list[oracle.Pair], max_dets: tuple[int, ...] = (1, 10, 100), reference=oracle.pycoco) -> None:
    ours = evaluate(pairs, max_dets=max_dets)
    for kind in ("mask", "box"):
        e = reference(pairs, kind, max_dets).eval
        precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
        expected = oracle.numbers(precision, recall, kind, max_dets)
        assert {k: ours[k] for k in expected} == pytest.approx(expected, abs=1e-12)
        curves = ours.curves[kind]
        np.testing.assert_allclose(curves.precision, precision[..., 0, -1].transpose(2, 0, 1), atol=1e-12)
        for k, name in enumerate(ours.per_class):
            one = oracle.numbers(precision[:, :, k : k + 1], recall[:, k : k + 1], kind, max_dets)
            assert {key: ours.per_class[name][key] for key in one} == pytest.approx(one, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(LIMITS))
def test_equal_to_pycocotools_on_ties_crowds_and_empty_sides(seed: int, limits: tuple[int, ...]) -> None:
    same(scenes.pairs(seed), limits)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equal_to_pycocotools_in_every_area_range(seed: int, stated: bool) -> None:
    same(scenes.pairs(seed, big=True, images=2, stated=stated))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_where_the_file_states_area_and_box(seed: int) -> None:
    same(scenes.pairs(seed, stated=True))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_when_one_class_is_crowded(seed: int) -> None:
    same(scenes.pairs(seed, images=2, most=40, classes=("a",)), (1, 5, 20))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_faster_coco_eval(seed: int) -> None:
    same(scenes.pairs(seed), reference=oracle.faster)
