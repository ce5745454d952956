"""Sets of more runs than are worked on at once: the same as in one go, against dense NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from apiece.core import run_overlap, runs, topology
from apiece.core.masks import Masks
from apiece.ops import intersections
from apiece.ops import parts as parts_module
from apiece.ops.parts import filled, holes_of, parts_of

stacks = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 12)))
CORNERS = np.ones((3, 3))


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (runs, "_RUNS"),
        (runs, "CHUNK"),
        (topology, "_RUNS"),
        (run_overlap, "_STRIPE"),
        (parts_module, "_RUNS"),
    ):
        monkeypatch.setattr(module, name, 3)
    monkeypatch.setattr(run_overlap, "_DENSE", 4)


several = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@several
@given(stacks, st.randoms(use_true_random=False))
def test_masks_are_joined_and_chosen(dense: np.ndarray, random: object) -> None:
    masks = Masks.from_dense(dense)
    group = np.array([random.randrange(3) for _ in dense])  # type: ignore[attr-defined]
    wanted = np.stack([dense[group == k].any(0) for k in range(3)])
    assert np.array_equal(masks.merge(group, 3).to_dense(), wanted)
    assert np.array_equal(masks.union().to_dense()[0], dense.any(0))
    assert np.array_equal(masks[group].to_dense(), dense[group]) if len(dense) >= 3 else True
    for made in (masks.merge(group, 3), masks.union()):
        Masks(made.size, *made.runs)  # of the stored form


@several
@given(stacks)
def test_parts_are_counted_and_taken_apart(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    parts = [ndimage.label(one)[1] for one in dense]
    assert masks.parts.tolist() == parts
    assert topology.run_parts(masks.runs, masks.size)[0].tolist() == parts
    around = np.pad(~dense, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    assert masks.holes.tolist() == [ndimage.label(one, CORNERS)[1] - 1 for one in around]
    pieces, owner = parts_of(masks)
    assert [int((owner == i).sum()) for i in range(len(dense))] == [ndimage.label(one, CORNERS)[1] for one in dense]
    assert all(ndimage.label(one, CORNERS)[1] == 1 for one in pieces.to_dense())
    assert np.array_equal(pieces.merge(owner, len(dense)).to_dense(), dense)


@several
@given(stacks, st.integers(0, 4))
def test_overlaps_are_all_found(dense: np.ndarray, cut: int) -> None:
    masks, flat = Masks.from_dense(dense), dense.reshape(len(dense), -1).astype(int)
    some = slice(cut, None)
    assert np.array_equal(intersections(masks, masks).toarray(), flat @ flat.T)
    assert np.array_equal(intersections(masks[some], masks).toarray(), flat[some] @ flat.T)


@several
@given(stacks)
def test_holes_are_taken_apart_and_filled(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    holes, owner = holes_of(masks)
    assert np.array_equal(np.bincount(owner, minlength=len(dense)), masks.holes)
    solid = np.stack([ndimage.binary_fill_holes(one, CORNERS) for one in dense])
    assert np.array_equal(holes.merge(owner, len(dense)).to_dense(), solid & ~dense)
    assert np.array_equal(filled(masks).to_dense(), solid)


@several
@given(stacks, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9))
def test_what_known_pairs_share(dense: np.ndarray, pairs: list[tuple[int, int]]) -> None:
    masks, flat = Masks.from_dense(dense), dense.reshape(len(dense), -1).astype(int)
    i, j = (np.array(pairs, np.int64).reshape(-1, 2) % len(dense)).T
    wanted = (flat @ flat.T)[i, j]
    assert np.array_equal(run_overlap.shared(masks.runs, i, masks.runs, j), wanted)
