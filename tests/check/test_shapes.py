"""Shapes of masks, against SciPy, scikit-image and shapely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.morphology import convex_hull_image
from tests.check.drawn_labels import disc

from apiece import Masks
from apiece.check._kit import shapes
from apiece.check._kit.shapes import bare_on_lines, bridged, dilated, hulls, nearest_pixels
from apiece.ops.parts import filled

DENSE = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)))
EIGHT = np.ones((3, 3), int)


@settings(max_examples=60)
@given(DENSE)
def test_filled_and_dilated(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    solid = np.stack([ndimage.binary_fill_holes(mask, EIGHT) for mask in dense])
    np.testing.assert_array_equal(filled(masks).to_dense(), solid)
    wide = np.stack([ndimage.binary_dilation(mask) for mask in dense])
    np.testing.assert_array_equal(dilated(masks).to_dense(), wide)


def test_hulls_are_those_of_the_pixel_centres() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = np.any([disc((40, 50), *rng.uniform(8, 32, 2), rng.uniform(2, 8)) for _ in range(3)], 0)
        ours = hulls(Masks.from_dense(mask[None])).to_dense()[0]
        theirs = convex_hull_image(mask, offset_coordinates=False)
        # the two differ in pixels whose centre lies on the hull's own edge only
        ring = ndimage.binary_dilation(theirs) & ~ndimage.binary_erosion(theirs)
        assert not ((ours != theirs) & ~ring).any()
        assert abs(int(ours.sum()) - int(theirs.sum())) <= 0.2 * theirs.sum()


def test_what_is_too_thin_has_no_hull_and_an_empty_mask_neither() -> None:
    dense = np.zeros((3, 6, 6), bool)
    dense[0, 2, 2] = dense[1, 1:5, 3] = True
    assert hulls(Masks.from_dense(dense)).area.max() <= 4


@settings(max_examples=60)
@given(hnp.arrays(bool, (2, 9, 11)))
def test_nearest_pixels(dense: np.ndarray) -> None:
    if not dense.any((1, 2)).all():
        return
    masks = Masks.from_dense(dense)
    split = int(masks.offsets[1])
    first, second = np.arange(split), np.arange(split, len(masks.x))
    begin, end, run = nearest_pixels(masks, first, second)
    there = np.argwhere(dense[1])[:, ::-1]
    for k in first.tolist():
        own = np.array([(masks.x[k], y) for y in range(masks.y0[k], masks.y1[k])])
        assert np.hypot(*(end[k] - begin[k])) == cdist(own, there).min()
        assert dense[0, begin[k, 1], begin[k, 0]]
        assert dense[1, end[k, 1], end[k, 0]]
        assert masks.x[run[k]] == end[k, 0]


def test_bare_pixels_on_lines() -> None:
    cover = Masks.from_boxes([[4, 0, 7, 10]], (10, 12))
    begin, end = np.array([[1, 5], [1, 5], [5, 1], [0, 0]]), np.array([[10, 5], [2, 5], [5, 8], [9, 9]])
    between, bare = bare_on_lines(cover, begin, end)
    assert between.tolist() == [8, 0, 6, 8]
    assert bare.tolist() == [5, 0, 0, 5]
    assert bare_on_lines(Masks.empty((10, 12), 1), begin, end)[1].tolist() == [8, 0, 6, 8]


def test_an_open_ring_is_bridged_along_each_border() -> None:
    for turns in range(4):
        ring = np.rot90(disc((41, 41), 20.5, 0, 12) & ~disc((41, 41), 20.5, 0, 6), turns)
        whole = filled(bridged(Masks.from_dense(ring[None]))).to_dense()[0]
        wanted = np.rot90(disc((41, 41), 20.5, 0, 12), turns)
        np.testing.assert_array_equal(whole, wanted)
    inner = Masks.from_boxes([[3, 3, 6, 6]], (10, 10))
    assert bridged(inner) == inner


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_one_mask_is_the_same_some_columns_at_a_time(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    rng, change = np.random.default_rng(0), {"bridged": bridged, "dilated": dilated}
    for share in (0.0, 0.02, 0.1, 0.6):
        mask = Masks.from_dense((rng.random((1, 30, 40)) < share) & (rng.random(40) < 0.5))
        whole = {name: function(mask) for name, function in change.items()}
        with monkeypatch.context() as few:
            few.setattr(shapes, "AT_ONCE", at_once)
            for name, function in change.items():
                assert function(mask) == whole[name]
                assert function(Masks.stored(mask.size, [mask.runs])) == whole[name]
