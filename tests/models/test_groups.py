"""Tests of masks that hold several better ones."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Masks
from apiece.models._kit.groups import groups

BOXES = [[0, 0, 10, 5], [0, 0, 5, 5], [5, 0, 10, 5]]  # a pair, its left half, its right half


def of(boxes: list[list[int]], scores: list[float], labels: list[int] | None = None) -> list[bool]:
    given = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels)
    return groups(Masks.from_boxes(boxes, (8, 16)), np.array(scores), given).tolist()


def test_a_pair_found_once_more_as_one_object_is_a_group() -> None:
    assert of(BOXES, [0.5, 0.8, 0.6]) == [True, False, False]


@pytest.mark.parametrize(
    ("scores", "labels", "why"),
    [
        ([0.7, 0.8, 0.5], None, "a half scores much less than the whole"),
        ([0.5, 0.8, 0.6], [0, 0, 1], "a half is of another class"),
        ([0.5, 0.8, 0.6], [1, 0, 0], "both halves are of another class"),
    ],
)
def test_no_group(scores: list[float], labels: list[int] | None, why: str) -> None:
    assert not any(of(BOXES, scores, labels)), why


def test_an_object_in_a_larger_one_makes_no_group() -> None:
    assert of([[0, 0, 10, 5], [0, 0, 7, 5]], [0.5, 0.9]) == [False, False]
    # twice the same part covers no more than once
    assert of([[0, 0, 10, 5], [0, 0, 7, 5], [0, 0, 7, 4]], [0.5, 0.9, 0.8]) == [False, False, False]


def test_parts_that_lie_mostly_elsewhere_make_no_group() -> None:
    assert of([[0, 0, 10, 4], [0, 0, 5, 8], [5, 0, 10, 8]], [0.5, 0.9, 0.9]) == [False, False, False]


def test_nothing() -> None:
    assert groups(Masks.empty((4, 4)), np.zeros(0), np.zeros(0, np.int64)).tolist() == []
