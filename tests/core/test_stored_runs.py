"""Masks whose runs lie in a file are equal to those in memory in all they do."""

import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apiece import Masks
from apiece.check._kit.shapes import bridged, dilated
from apiece.core import runs, stored_runs
from apiece.core.runs import Runs, stripes
from apiece.core.stored_runs import StoredRuns
from apiece.ops import parts
from apiece.ops.parts import filled, holes_of, parts_of

SIZE = (40, 60)


def drawn(seed: int, count: int = 30) -> Masks:
    """Return masks with holes, in several parts, overlapping, and empty."""
    rng = np.random.default_rng(seed)
    stack = np.zeros((count, *SIZE), bool)
    for one in stack:
        y, x = rng.integers(0, SIZE[0] - 8), rng.integers(0, SIZE[1] - 8)
        height, width = rng.integers(0, 9, 2)
        one[y : y + height, x : x + width] = rng.random((height, width)) < 0.7
    return Masks.from_dense(stack)


@pytest.fixture(params=[1, 7, 1 << 18])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Masks, Masks]:
    """Masks in memory and the same in a file, of which a few runs are read at a time."""
    monkeypatch.setattr(StoredRuns.parts, "__defaults__", (request.param,))
    masks = drawn(0)
    return masks, Masks.stored(SIZE, (masks[a:b].runs for a, b in ((0, 4), (4, 4), (4, 29), (29, 30))))


def test_stored_masks_are_the_masks(both: tuple[Masks, Masks]) -> None:
    masks, stored = both
    assert stored == masks
    assert len(stored) == len(masks)
    assert (stored.to_dense() == masks.to_dense()).all()
    assert (stored.area == masks.area).all()
    assert (stored.boxes == masks.boxes).all()
    assert np.array_equal(stored.centroids, masks.centroids, equal_nan=True)
    assert (stored.parts == masks.parts).all()


def test_some_of_the_masks_are_in_memory(both: tuple[Masks, Masks]) -> None:
    masks, stored = both
    chosen = np.random.default_rng(1).integers(0, len(masks), 50)
    for index in (chosen, slice(3, 9), slice(9, 3), masks.area > 20, 5):
        assert stored[index] == masks[index]
        assert type(stored[index].runs) is Runs
    for left, right in ((0, 60), (10, 11), (20, 45), (60, 70)):
        pairs = zip(stored.runs.between(left, right), masks.runs.between(left, right), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)


def test_what_is_made_of_stored_masks_is_what_is_made_of_masks(both: tuple[Masks, Masks]) -> None:
    masks, stored = both
    group = np.random.default_rng(2).integers(0, 8, len(masks))
    assert stored.merge(group, 9) == masks.merge(group, 9)
    assert stored.union() == masks.union()
    assert stored.crop(5, 5, 50, 30) == masks.crop(5, 5, 50, 30)
    assert stored.flip("horizontal") == masks.flip("horizontal")
    assert (stored.layer_of() == masks.layer_of()).all()
    assert list(stripes((stored.runs,), 20)) == list(stripes((masks.runs,), 20))
    assert Masks.concatenate([stored, stored]) == Masks.concatenate([masks, masks])


def test_what_is_made_of_masks_in_a_file_lies_in_one(
    both: tuple[Masks, Masks], monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, stored = both
    monkeypatch.setattr(parts, "_RUNS", 5)
    monkeypatch.setattr(runs, "_RUNS", 5)
    monkeypatch.setattr(stored_runs, "_HELD", 20)
    group = np.arange(len(masks)) // 2
    changes: dict[str, Callable[[Masks], Masks]] = {
        "merge": lambda a: a.merge(group, 15),
        "union": Masks.union,
        "joined": lambda a: Masks.concatenate([masks[:2], a]),
        "taken": lambda a: a[group],
        "cut": lambda a: a[2:],
        "parts": lambda a: parts_of(a)[0],
        "holes": lambda a: holes_of(a)[0],
        "filled": filled,
        "union filled": lambda a: filled(a.union()),
        "bridged": bridged,
        "dilated": dilated,
        "mapped": lambda a: a.mapped(lambda some: some.shift(3, 1), 5),
    }
    for name, change in changes.items():
        assert change(stored) == change(masks), name
        assert type(change(stored).runs) is StoredRuns, name
    assert (parts_of(stored)[1] == parts_of(masks)[1]).all()
    assert (holes_of(stored)[1] == holes_of(masks)[1]).all()


def test_a_mask_of_more_runs_than_are_held_is_taken(both: tuple[Masks, Masks], monkeypatch: pytest.MonkeyPatch) -> None:
    masks, stored = both
    monkeypatch.setattr(stored_runs, "_HELD", 1)
    monkeypatch.setattr(stored_runs, "_RUNS", 1)
    assert stored[np.array([3, 0])] == masks[np.array([3, 0])]


def test_stored_masks_travel_between_processes(both: tuple[Masks, Masks]) -> None:
    masks, stored = both
    assert pickle.loads(pickle.dumps(stored)) == masks


@pytest.mark.parametrize("count", [0, 3])
def test_masks_without_a_pixel_can_be_stored(count: int) -> None:
    empty = Masks.empty(SIZE, count)
    stored = Masks.stored(SIZE, [empty.runs])
    assert stored == empty
    assert stored.area.tolist() == [0] * count
    assert stored[:1] == empty[:1]


def test_where_pages_cannot_be_let_go_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_runs, "_DROP", None)
    masks = drawn(3)
    assert Masks.stored(SIZE, [masks.runs])[2:9] == masks[2:9]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes to set")
def test_where_files_have_no_room_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import resource

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    masks = Masks.from_boxes([[0, 0, 2000, 1]] * 10, (4, 2000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(OSError, match="TMPDIR names another folder") as raised:
            StoredRuns.write([masks.runs])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.filename == str(tmp_path)
