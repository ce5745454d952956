"""Gaps between masks, against every pair of pixels and shapes of known gap; colours, against scikit-image."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from apiece import Masks
from apiece.ops import COLOURS, box_gaps, colour_names, colour_of, gaps, lab, near, nearest

SCALES = [(1.0, 1.0), (0.5, 2.0)]


def _literal(a: np.ndarray, b: np.ndarray, scale: tuple[float, float]) -> float:
    """The least distance of pixel centres, less what lies within the two pixels."""
    (ay, ax), (by, bx) = np.nonzero(a), np.nonzero(b)
    if not len(ay) or not len(by):
        return np.inf
    steps = np.stack((abs(ax[:, None] - bx), abs(ay[:, None] - by)), -1).reshape(-1, 2)
    far = np.hypot(*(steps * scale).T)
    gaps = [
        max(f - step[axis] * scale[axis] ** 2 / max(f, 1e-300), 0)
        for f, step in zip(far, steps, strict=True)
        if f == far.min()
        for axis in [0 if step[0] >= step[1] else 1]
    ]
    return float(min(gaps))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    density=st.sampled_from([0.005, 0.03, 0.3]),
    scale=st.sampled_from(SCALES),
    pairs=st.sampled_from([3, 1 << 20]),
)
def test_gaps_and_nearest_against_every_pair_of_pixels(
    seed: int, density: float, scale: tuple[float, float], pairs: int
) -> None:
    dense = np.random.default_rng(seed).random((5, 14, 17)) < density
    masks, known = Masks.from_dense(dense), near._PAIRS
    i, j = np.array(list(product(range(5), range(5)))).T
    expected = np.array([_literal(dense[a], dense[b], scale) for a, b in zip(i, j, strict=True)])
    near._PAIRS = pairs
    try:
        found = gaps(masks, i, j, scale)
        which, far = nearest(masks, np.arange(5), np.arange(4), scale)
    finally:
        near._PAIRS = known
    np.testing.assert_allclose(found, expected, atol=1e-12)
    if scale == (1.0, 1.0):
        assert (box_gaps(masks, i, j) <= expected + 1e-12).all()
    table = np.where(np.eye(5, 4, dtype=bool), np.inf, found.reshape(5, 5)[:, :4])
    np.testing.assert_array_equal(far, table.min(1))
    some = np.isfinite(far)
    np.testing.assert_array_equal(which, np.where(some, table.argmin(1), -1))


@pytest.mark.parametrize("gap", [1.5, 4.0, 9.0])
def test_the_gap_between_discs_is_nearly_unbiased(gap: float) -> None:
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:60, :60] + 0.5
    off = []
    for turn in rng.uniform(0, np.pi, 80):
        away = (8 + gap / 2) * np.array([np.cos(turn), np.sin(turn)])
        middle = 30 + rng.uniform(-0.5, 0.5, 2)
        discs = [np.hypot(x - cx, y - cy) <= 8 for cx, cy in (middle - away, middle + away)]
        off.append(gaps(Masks.from_dense(np.array(discs)), np.array([0]), np.array([1]))[0] - gap)
    assert abs(np.mean(off)) < 0.35  # pixels as squares: -0.4 to -0.65
    assert np.abs(off).max() < 1.1


def test_no_masks() -> None:
    none = np.zeros(0, np.int64)
    masks = Masks.from_boxes([[0, 0, 2, 2]], (4, 4))
    assert not len(gaps(masks, none, none))
    assert nearest(masks, np.array([0]), none)[0].tolist() == [-1]
    assert nearest(masks, none, np.array([0]))[1].tolist() == []
    assert nearest(masks, np.array([0]), np.array([0]))[0].tolist() == [-1]
    empty = Masks.concatenate([masks, Masks.empty((4, 4), 2)])
    assert np.isinf(nearest(empty, np.arange(3), np.arange(3))[1]).all()


def test_a_far_giant_is_found_beside_small_ones() -> None:
    masks = Masks.from_boxes([(0, 0, 4000, 10), (10, 30, 12, 32), (3000, 14, 3002, 16), (10, 40, 20, 50)], (100, 4000))
    which, gap = nearest(masks, np.arange(4), np.arange(4))
    assert which.tolist() == [2, 3, 0, 1]
    assert gap.tolist() == [4, 8, 4, 8]


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


def test_gaps_along_a_row_at_any_scale_find_their_neighbour() -> None:
    """Of boxes in a row, the gap of masks is the gap of boxes, which rounds otherwise."""
    for distance in range(1, 40):
        masks = Masks.from_boxes([[0, 0, 3, 4], [3 + distance, 0, 7 + distance, 4]], (4, 60))
        for scale in (0.1, 0.07, 1 / 3, 1.7):
            which, gap = nearest(masks, np.array([0, 1]), np.array([0, 1]), (scale, scale))
            assert which.tolist() == [1, 0]
            np.testing.assert_allclose(gap, distance * scale)
