"""Gaps between masks, against every pair of pixels; colours, against scikit-image."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from apiece import Masks
from apiece.ops import COLOURS, apart, box_gaps, colour_names, colour_of, gaps, lab, nearest


def _literal(a: np.ndarray, b: np.ndarray) -> float:
    one, two = np.argwhere(a), np.argwhere(b)
    if not len(one) or not len(two):
        return np.inf
    between = np.maximum(np.abs(one[:, None] - two[None]) - 1, 0)
    return float(np.sqrt((between**2).sum(-1).min()))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), density=st.sampled_from([0.005, 0.03, 0.3]), chunk=st.sampled_from([3, 1 << 21]))
def test_gaps_and_nearest_against_every_pair_of_pixels(seed: int, density: float, chunk: int) -> None:
    dense = np.random.default_rng(seed).random((5, 14, 17)) < density
    masks, known = Masks.from_dense(dense), apart.CHUNK
    i, j = np.array(list(product(range(5), range(5)))).T
    expected = np.array([_literal(dense[a], dense[b]) for a, b in zip(i, j, strict=True)])
    apart.CHUNK = chunk
    try:
        found = gaps(masks, i, j)
    finally:
        apart.CHUNK = known
    np.testing.assert_array_equal(found, expected)
    assert (box_gaps(masks, i, j) <= expected).all()
    which, far = nearest(masks, np.arange(5), np.arange(4))
    table = np.where(np.eye(5, 4, dtype=bool), np.inf, expected.reshape(5, 5)[:, :4])
    np.testing.assert_array_equal(far, table.min(1))
    some = np.isfinite(far)
    np.testing.assert_array_equal(which, np.where(some, table.argmin(1), -1))


def test_no_masks() -> None:
    none = np.zeros(0, np.int64)
    masks = Masks.from_boxes([[0, 0, 2, 2]], (4, 4))
    assert not len(gaps(masks, none, none))
    assert nearest(masks, np.array([0]), none)[0].tolist() == [-1]
    assert nearest(masks, np.array([0]), np.array([0]))[0].tolist() == [-1]


def test_lab_is_that_of_scikit_image() -> None:
    rgb = np.random.default_rng(0).random((200, 3))
    np.testing.assert_allclose(lab(rgb), rgb2lab(rgb[None])[0], atol=0.05)


def test_each_name_names_its_own_colour_and_neighbours_of_it() -> None:
    own = lab(np.array(list(COLOURS.values())) / 255)
    assert colour_names(own) == list(COLOURS)
    assert colour_names(np.full((1, 3), np.nan)) == [""]
    assert colour_names(np.zeros((0, 3))) == []
    assert colour_of("crimson") is None
    assert colour_of("#12345g") is None
    assert colour_of("red") == pytest.approx(own[0])
