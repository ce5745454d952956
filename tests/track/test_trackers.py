"""Every tracker keeps its word; the masks tracker follows through crossings, gaps and a shaking camera."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from apiece import Image, Instances, Masks, track
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.track import follow, start
from apiece.track._kit.assignment import assigned
from apiece.track._kit.motion import camera_shift

SIZE = (120, 200)


def boxes(places: np.ndarray, side: float = 16, scores: float | list[float] | None = None) -> Instances:
    """Return square objects with these centres, (N, 2)."""
    places = np.asarray(places, float).reshape(-1, 2)
    masks = Masks.from_boxes(np.concatenate([places - side / 2, places + side / 2], 1).clip(0), SIZE)
    return Instances(masks, scores=None if scores is None else np.broadcast_to(scores, len(places)))


def straight(frames: int, seed: int = 0) -> Iterator[Instances]:
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform(20, 100, (6, 2)), rng.normal(0, 2, (6, 2))
    for k in range(frames):
        yield boxes(place + k * speed, scores=0.9)


@pytest.mark.parametrize("name", track.names())
def test_a_tracker_gives_part_of_what_it_gets_with_ids_of_its_own(name: str) -> None:
    tracker, again = start(name), start(name)
    for seen in straight(15):
        found = tracker.update(seen)
        assert found.ids is not None
        assert (found.ids > 0).all()
        assert len(set(found.ids.tolist())) == len(found)
        given = {str(one) for one in seen.masks.to_coco()}
        assert {str(one) for one in found.masks.to_coco()} <= given
        same = again.update(seen)
        assert (same.ids == found.ids).all()
        assert same.masks == found.masks


@pytest.mark.parametrize("name", track.names())
def test_a_tracker_goes_on_from_its_state(name: str) -> None:
    frames = list(straight(12))
    whole, first = start(name), start(name)
    expected = [whole.update(seen).ids.tolist() for seen in frames]
    found = [first.update(seen).ids.tolist() for seen in frames[:5]]
    second = start(name, state=first.state())
    found += [second.update(seen).ids.tolist() for seen in frames[5:]]
    assert found == expected
    assert start(name, state=start(name).state()).update(frames[0]).ids.tolist() == expected[0]


@pytest.mark.parametrize("name", track.names())
def test_frames_without_objects_are_ordinary(name: str) -> None:
    tracker = start(name)
    empty = Instances.empty(SIZE, scored=True)
    assert len(tracker.update(empty)) == 0
    assert tracker.update(boxes([[50, 50]], scores=0.9)) is not None
    assert len(tracker.update(empty)) == 0


@pytest.mark.parametrize("name", track.names())
def test_an_object_near_no_other_begins_a_track(name: str) -> None:
    tracker = start(name)
    tracker.update(boxes([[10, 10]], scores=0.9))
    tracker.update(boxes([[110, 110]], scores=0.9))
    assert tracker.update(boxes([[110, 110]], scores=0.9)).ids.tolist() == [2]


def ids_of(tracker: track.Tracker, frames: list[Instances], images: list[Image] | None = None) -> list[list[int]]:
    shown = images or [None] * len(frames)
    return [tracker.update(seen, image).ids.tolist() for seen, image in zip(frames, shown, strict=True)]


def test_two_that_cross_keep_their_ids() -> None:
    frames = [boxes([[20 + 8 * k, 50], [180 - 8 * k, 56]]) for k in range(20)]
    assert ids_of(start("masks"), frames) == [[1, 2]] * 20


def test_a_lost_object_is_found_where_it_went() -> None:
    frames = [boxes([[20 + 5 * k, 50], [100, 100]]) for k in range(30)]
    for k in range(10, 16):
        frames[k] = frames[k][1:]
    assert ids_of(start("masks"), frames)[-1] == [1, 2]
    assert ids_of(start("masks", {"patience": 3}), frames)[-1] != [1, 2]


def test_a_shaking_camera_is_seen_by_all_objects() -> None:
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(30, 190, 32), np.arange(25, 110, 32)), -1).reshape(-1, 2)
    grid = grid + rng.uniform(-9, 9, grid.shape)  # no grid: it would look the same moved by one place
    frames = [boxes(grid + rng.normal(0, 5, 2), side=8) for _ in range(15)]
    expected = [list(range(1, len(grid) + 1))] * 15
    assert ids_of(start("masks"), frames) == expected
    assert ids_of(start("masks", {"camera": False}), frames) != expected


def test_false_detections_of_one_frame_do_not_count_but_low_scores_go_on() -> None:
    frames = [boxes([[50 + k, 50]], scores=0.9 if k < 3 else 0.2) for k in range(6)]
    frames[2] = Instances.concatenate([frames[2], boxes([[150, 90]], scores=0.9)])
    assert ids_of(start("masks"), frames) == [[1]] * 6


def test_colours_tell_apart_what_comes_back() -> None:
    def image(colour: int) -> Image:
        return Image(np.full((*SIZE, 3), colour, np.uint8))

    frames = [boxes([[100, 50]]) for _ in range(20)]
    for k in range(5, 12):
        frames[k] = frames[k][:0]
    same = ids_of(start("masks"), frames, [image(200)] * 20)
    other = ids_of(start("masks"), frames, [image(200)] * 12 + [image(20)] * 8)
    assert same[-1] == [1]
    assert other[-1] == [2]


def test_classes_stay_apart_unless_told() -> None:
    def seen(label: int) -> Instances:
        return Instances(Masks.from_boxes([[50, 50, 70, 70]], SIZE), [label], ("a", "b"))

    frames = [seen(0), seen(1), seen(1)]
    assert ids_of(start("masks"), frames)[-1] == [2]
    assert ids_of(start("masks", {"same_class": False}), frames)[-1] == [1]


def test_gaps_are_filled_but_not_behind_others() -> None:
    frames = [boxes([[20 + 5 * k, 50]], scores=0.9) for k in range(8)]
    expected = frames[4].masks
    for k in (3, 4):
        frames[k] = frames[k][:0]
    found = [one for _, one in follow(enumerate(frames), start("masks"))]
    assert [one.ids.tolist() for one in found] == [[1]] * 8
    assert [one.attributes["filled"].tolist() for one in found[2:6]] == [[False], [True], [True], [False]]
    assert found[4].masks == expected
    assert [len(one) for _, one in follow(enumerate(frames), start("masks"), fill=1)] == [1, 1, 1, 0, 0, 1, 1, 1]
    wall = boxes([[100, 60]], side=160, scores=0.9)
    walled = [Instances.concatenate([wall, one]) for one in frames]
    assert [len(one) for _, one in follow(enumerate(walled), start("masks"))] == [2, 2, 2, 1, 1, 2, 2, 2]


def test_the_first_frame_of_a_track_counts_once_it_is_sure() -> None:
    one = boxes([[20, 20]], scores=0.9)
    frames = [one, one, *[boxes([[20, 20], [80 + k, 80]], scores=0.9) for k in range(3)], one, one]
    frames[5] = boxes([[20, 20], [83, 80], [50, 20]], scores=0.9)  # the third is seen in this frame alone
    found = [seen for _, seen in follow(enumerate(frames), start("masks"))]
    assert [sorted(seen.ids.tolist()) for seen in found] == [[1], [1], [1, 2], [1, 2], [1, 2], [1, 2], [1]]
    assert not any(seen.attributes["filled"].any() for seen in found)
    assert [len(seen) for _, seen in follow(enumerate(frames), start("masks"), fill=0)] == [1, 1, 1, 2, 2, 2, 1]


def test_frames_come_out_in_order_and_all_of_them() -> None:
    frames = list(straight(9))
    assert [k for k, _ in follow(enumerate(frames), start("masks"), fill=3)] == list(range(9))


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_assignment_is_the_cheapest(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 1.2, (rows, columns))
    there = rng.random((rows, columns)) < 0.5
    row, column = there.nonzero()
    i, j = assigned(row, column, table[there], (rows, columns))
    assert len(set(i.tolist())) == len(i)
    assert len(set(j.tolist())) == len(j)
    full = np.where(there, np.minimum(table, 1.0), 1.0)
    first, second = linear_sum_assignment(full)
    best = full[first, second].sum() + max(rows - columns, 0)
    assert table[i, j].sum() + (rows - len(i)) == pytest.approx(best)


def test_the_camera_moves_only_where_most_agree() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 100, (20, 2))
    assert camera_shift(before, before + np.array([7, -3]), 30, 2).tolist() == pytest.approx([7, -3])
    apart = before + rng.normal(0, 1, (20, 2)) * 20
    assert camera_shift(before, apart, 30, 2).tolist() == [0, 0]
    assert camera_shift(before[:3], before[:3] + 5, 30, 2).tolist() == [0, 0]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(UnknownNameError, match="mask"):
        start("mask")
    with pytest.raises(ConfigError, match=r"no setting 'patients'; it has .*patience"):
        start("masks", {"patients": 3})
    with pytest.raises(ConfigError, match="from 0 to 1"):
        start("masks", {"sure": 2})
    tracker = start("masks")
    tracker.update(boxes([[50, 50]]))
    with pytest.raises(DataError, match="frames of"):
        tracker.update(Instances.empty((10, 10)))
