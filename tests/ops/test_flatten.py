"""One owner for each pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiece import Instances, Masks
from apiece.errors import ConfigError
from apiece.ops import flattened


@given(st.integers(0, 2**32), st.booleans())
def test_against_painting_one_after_the_other(seed: int, scored: bool) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((6, 9, 11)) < rng.random((6, 1, 1))
    instances = Instances(Masks.from_dense(dense), scores=rng.permutation(6) / 6 if scored else None)
    order = np.argsort(-instances.scores if scored else instances.masks.area, kind="stable")
    left, free = np.zeros_like(dense), np.ones(dense.shape[1:], bool)
    for i in order:
        left[i] = dense[i] & free
        free &= ~dense[i]
    stays = left.any((1, 2))
    found = flattened(instances)
    assert (found.masks.to_dense() == left[stays]).all()
    if scored:
        assert (found.scores == instances.scores[stays]).all()


def test_a_mask_that_keeps_too_little_hides_nothing() -> None:
    boxes = Masks.from_boxes([[0, 0, 4, 1], [1, 0, 6, 1], [4, 0, 8, 1]], (1, 8))
    found = flattened(Instances(boxes, scores=[0.9, 0.8, 0.7]), remain=0.5)
    assert found.boxes.tolist() == [[0, 0, 4, 1], [4, 0, 8, 1]]


def test_stuff_lies_below_objects_whatever_its_score() -> None:
    boxes = Masks.from_boxes([[0, 0, 8, 1], [1, 0, 3, 1], [2, 0, 6, 1]], (1, 8))
    found = Instances(boxes, [0, 1, 1], ("sky", "bird"), [0.99, 0.6, 0.5])
    flat = flattened(found, 0.5, ("sky",))
    assert flat.names == ["sky", "bird", "bird"]
    assert flat.masks.area.tolist() == [3, 2, 3]
    flat = flattened(found, 0.9, ("sky",))
    assert flat.names == ["sky", "bird"]  # stuff needs to keep no share of itself
    assert flat.masks.area.tolist() == [6, 2]
    assert flattened(found, 0.0).names == ["sky"]


@pytest.mark.parametrize("remain", [-0.1, 1.5])
def test_no_share(remain: float) -> None:
    with pytest.raises(ConfigError, match="remain"):
        flattened(Instances(Masks.from_boxes([[0, 0, 1, 1]], (1, 1))), remain)
