"""Prompts and words: what they hold, what they refuse, and their way to JSON and back."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiece import Masks
from apiece.core.prompts import Prompts, Words
from apiece.errors import PromptError

SIZE = (40, 60)


def some(count: int, seed: int = 0) -> Prompts:
    """Every object has points; the even ones a box, the third ones an earlier mask."""
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(count), rng.integers(0, count, count)])
    points = rng.uniform(0, 40, (2 * count, 2)).round(2)
    boxes = np.where((np.arange(count) % 2 == 0)[:, None], [1.5, 2, 30, 30], np.nan)
    masks = Masks.from_boxes([[0, 0, 5, 5 * (k % 3 == 0)] for k in range(count)], SIZE)
    return Prompts.of(points, np.arange(2 * count) < count, owner, boxes, masks)


def same(a: Prompts, b: Prompts) -> bool:
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        for name in ("points", "positive", "owner", "boxes")
    )
    return arrays and (a.masks == b.masks or not (a.masked.any() or b.masked.any()))


@given(st.integers(1, 9), st.integers(0, 5), st.randoms(use_true_random=False))
def test_choosing_objects_keeps_what_is_theirs(count: int, seed: int, random: Any) -> None:
    prompts = some(count, seed)
    order = random.sample(range(count), random.randint(0, count))
    chosen = prompts[np.array(order, np.int64)]
    assert len(chosen) == len(order)
    for place, k in enumerate(order):
        assert np.array_equal(chosen.points[chosen.owner == place], prompts.points[prompts.owner == k])
        assert np.array_equal(chosen.positive[chosen.owner == place], prompts.positive[prompts.owner == k])
        assert same(chosen[place], prompts[k])


@given(st.integers(1, 9), st.integers(0, 5))
def test_json_and_back(count: int, seed: int) -> None:
    prompts = some(count, seed)
    assert same(Prompts.from_json(prompts.to_json(), SIZE), prompts)


def test_points_of_one_object_are_sorted_to_it() -> None:
    prompts = Prompts.of([(1, 1), (2, 2), (3, 3)], [1, 1, 0], [1, 0, 1])
    assert prompts.points.tolist() == [[2, 2], [1, 1], [3, 3]]
    assert prompts.counts.tolist() == [1, 2]
    assert repr(prompts) == "Prompts(2 objects, 3 points)"
    assert same(pickle.loads(pickle.dumps(prompts)), prompts)
    with pytest.raises(ValueError, match="read-only"):
        prompts.points[0] = 5


def test_boxes_are_cut_at_the_border_and_points_on_its_last_pixel_are_inside() -> None:
    on = Prompts.of([(59.9, 0)], boxes=[-1, -0.5, 60.9, 20]).on(SIZE)
    assert on.boxes.tolist() == [[0, 0, 60, 20]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"points": [(60, 3)]}, r"object 1: the point 60, 3 lies outside the image, which has 60 x 40 .* 0 to 59"),
        ({"points": [(3, 3), (3, -0.5)], "objects": [0, 1]}, r"object 2: the point 3, -0.5 lies outside"),
        ({"boxes": [[1, 1, 5, 5], [3, 3, 3, 9]]}, r"object 2: the box 3, 3, 3, 9 has no area"),
        ({"boxes": [[70, 1, 90, 5]]}, r"object 1: the box 70, 1, 90, 5 has no area on the image"),
        ({"masks": Masks.from_boxes([[0, 0, 2, 2]], (9, 9))}, r"masks of 9 x 9 pixels do not fit the image"),
    ],
)
def test_what_does_not_fit_the_image(given: dict[str, Any], told: str) -> None:
    with pytest.raises(PromptError, match=told):
        Prompts.of(**given).on(SIZE)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"points": [(1, 2, 3)]}, r"points must be numbers of shape \(N, 2\)"),
        ({"points": ["here"]}, "points must be numbers"),
        ({"points": [(1, np.nan)]}, "the point 1, nan is no place"),
        ({"points": [(1, 1)], "positive": [2]}, "positive must be 1 truth values"),
        ({"points": [(1, 1)], "objects": [0.5]}, "objects must be 1 integers"),
        ({"points": [(1, 1)], "objects": [-1]}, "objects are counted from 0; got -1"),
        ({"points": [(1, 1)], "positive": [False]}, "object 1: nothing says where it is"),
        ({"points": [(1, 1)], "objects": [1]}, "object 1: nothing says where it is"),
        ({"boxes": [[1, 1, np.nan, 5]]}, "object 1: the box 1, 1, nan, 5 is no place"),
        ({"boxes": [1, 2, 3]}, "boxes must be numbers of shape"),
    ],
)
def test_what_is_no_prompt(given: dict[str, Any], told: str) -> None:
    with pytest.raises(PromptError, match=told):
        Prompts.of(**given)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"points": [[1]]}], r"object 1: a point is \[x, y\] or"),
        ([{"points": [[1, 2]]}, {"dots": []}], "object 2: has points, box and mask, not dots"),
        ([{"box": "all"}], "box must be numbers"),
        ([{"mask": {"size": [2, 2], "counts": [9]}}], "object 1: mask: "),
        ([3], "object 1: has points"),
    ],
)
def test_what_is_no_json_of_prompts(entries: Any, told: str) -> None:
    with pytest.raises(PromptError, match=told):
        Prompts.from_json(entries)


def test_an_error_keeps_its_object_over_processes() -> None:
    with pytest.raises(PromptError) as caught:
        Prompts.of([(1, 1), (99, 1)], objects=[0, 1]).on(SIZE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.object) == (str(caught.value), 1)


@pytest.mark.parametrize("texts", [(), ("",), ("  ",), ("a", "a "), "bolt", (3,)])
def test_words_that_name_nothing(texts: Any) -> None:
    with pytest.raises(PromptError):
        Words(texts)


def test_ten_thousand_points_are_no_loop() -> None:
    prompts = Prompts.of(np.tile([[5.0, 5.0]], (10_000, 1)), objects=np.arange(10_000))
    assert len(prompts.on(SIZE)[:5000]) == 5000
