"""Parts of masks, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from apiece import Masks
from apiece.errors import InvalidInstancesError
from apiece.ops import largest_part, parts_of

DENSE = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)))
EIGHT = np.ones((3, 3), int)


@settings(max_examples=60)
@given(DENSE)
def test_parts_over_8_neighbours(dense: np.ndarray) -> None:
    pieces, owner = parts_of(Masks.from_dense(dense))
    wanted = [ndimage.label(mask, EIGHT) for mask in dense]
    assert np.bincount(owner, minlength=len(dense)).tolist() == [n for _, n in wanted]
    ours = {(int(k), piece.tobytes()) for k, piece in zip(owner, pieces.to_dense(), strict=True)}
    theirs = {(k, (labels == n + 1).tobytes()) for k, (labels, count) in enumerate(wanted) for n in range(count)}
    assert ours == theirs
    assert (np.diff(owner) >= 0).all()


@settings(max_examples=60)
@given(DENSE, st.data())
def test_the_largest_part(dense: np.ndarray, data: st.DataObject) -> None:
    which = np.array(data.draw(st.lists(st.booleans(), min_size=len(dense), max_size=len(dense))))
    found = largest_part(Masks.from_dense(dense), which).to_dense()
    for mask, single, one in zip(dense, which, found, strict=True):
        labels, count = ndimage.label(mask, EIGHT)
        sizes = np.bincount(labels.ravel())[1:]
        if not single or count < 2:
            np.testing.assert_array_equal(one, mask)
            continue
        assert one.sum() == sizes.max()
        assert ndimage.label(one, EIGHT)[1] == 1
        assert mask[one].all()


def test_of_equal_parts_the_leftmost_stays() -> None:
    mask = np.array([[[0, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 0]]], bool)
    assert largest_part(Masks.from_dense(mask)).to_dense()[0].tolist() == (mask[0] & (np.arange(5) == 0)).tolist()


def test_one_choice_per_mask() -> None:
    with pytest.raises(InvalidInstancesError, match=r"shape \(2,\)"):
        largest_part(Masks.from_boxes([[0, 0, 1, 1]] * 2, (3, 3)), [True])
