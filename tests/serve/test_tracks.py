"""Frames with tracks: whether ids follow objects, in which frames each is, and what a copy into the next one keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.images import VideoWriter, write_image
from apiece.serve.studio.edits import copied
from apiece.serve.studio.frames import frames_of
from apiece.serve.studio.sets import Source
from apiece.serve.studio.sheet import Delta, Put
from apiece.serve.studio.tracks import has_tracks, tracks_of
from apiece.serve.studio.workspace import Workspace

SIZE = (20, 30)


def opened(folder: Path, ids: list[list[int]]) -> Workspace:
    records = []
    for k, own in enumerate(ids):
        write_image(folder / f"{k}.png", np.zeros(SIZE, np.uint8))
        boxes = [[2 * n, 3, 2 * n + 2, 9] for n in range(len(own))]
        found = Instances(Masks.from_boxes(boxes, SIZE) if own else Masks.empty(SIZE), ids=own)
        records.append((ImageRef(folder / f"{k}.png", f"{k}.png", SIZE), found))
    apiece.write(records, folder / "labels.json", format="coco")
    return Workspace(Source(folder / "labels.json"), folder / "work")


@pytest.mark.parametrize(
    ("ids", "tracked"),
    [
        ([[4, 5], [], [5, 4], [4]], True),
        ([[1, 2], [3, 4], [5, 6]], False),
        ([[1, 2], [2, 3, 4], [5, 6]], False),
        ([[], []], False),
    ],
)
def test_ids_that_return_are_tracks(tmp_path: Path, ids: list[list[int]], tracked: bool) -> None:
    assert has_tracks(opened(tmp_path, ids)) is tracked


def test_a_track_is_told_with_the_runs_of_frames_in_which_it_is(tmp_path: Path) -> None:
    told = tracks_of(opened(tmp_path, [[9], [9, 4], [4], [9, 4], [], [4]]))
    assert [(track.id, track.spans) for track in told] == [(9, [[0, 1], [3, 3]]), (4, [[1, 3], [5, 5]])]


def test_a_copy_into_the_next_frame_goes_on_the_track_where_it_can(tmp_path: Path) -> None:
    space = opened(tmp_path, [[7, 8], [8]])
    source = space.sheet(0)[0]
    space.change(1, 0, "", lambda sheet: copied(sheet, source, [0, 1], tracked=True))
    ids = space.sheet(1)[0].instances.ids
    assert ids is not None
    assert ids[:2].tolist() == [8, 7]
    assert ids[2] not in (7, 8)
    space.step(1, 1, "", back=True)
    space.change(1, 2, "", lambda sheet: copied(sheet, source, [0]))
    ids = space.sheet(1)[0].instances.ids
    assert ids is not None
    assert ids[1] != 7


def filmed(path: Path, frames: int) -> Path:
    pytest.importorskip("av")
    with VideoWriter(path) as video:
        for k in range(frames):
            video.write(np.full((32, 48, 3), 40 * k, np.uint8), k / 25)
    return path


def test_a_video_opens_as_frames_in_order_with_a_timeline_and_keeps_what_is_drawn_in_a_frame(tmp_path: Path) -> None:
    film = filmed(tmp_path / "line.mp4", 5)
    source = Source(frames_of(film, tmp_path / "work" / "frames"), film=True)
    space = Workspace(source, tmp_path / "work")
    assert [item.ref.name for item in space.items] == [f"line.mp4/{k:06d}.png" for k in range(5)]
    assert has_tracks(space)
    shades = [float(space.image(k).pixels.mean()) for k in range(5)]
    np.testing.assert_allclose(shades, [0, 40, 80, 120, 160], atol=6)
    put = Put(0, "object", Masks.from_boxes([[2, 3, 9, 9]], (32, 48)))
    space.change(3, 0, "", lambda sheet: Delta(put=(put,)))
    space.journal.close()
    again = Workspace(Source(frames_of(film, tmp_path / "work" / "frames"), film=True), tmp_path / "work")
    assert [len(again.sheet(k)[0].instances) for k in range(5)] == [0, 0, 0, 1, 0]


def test_labels_that_name_frames_find_them_in_the_video(tmp_path: Path) -> None:
    film = filmed(tmp_path / "line.mp4", 3)
    names = [f"line.mp4/{k:06d}.png" for k in range(3)]
    found = Instances(Masks.from_boxes([[2, 3, 9, 9]], (32, 48)), ids=[7])
    apiece.write([(ImageRef(film, name, (32, 48)), found) for name in names], tmp_path / "tracks.json", format="coco")
    space = Workspace(Source(tmp_path / "tracks.json", frames_of(film, tmp_path / "frames")), tmp_path / "work")
    assert [track.spans for track in tracks_of(space)] == [[[0, 2]]]
    assert space.image(2).pixels.mean() > 60


def test_frames_are_written_again_only_for_another_video(tmp_path: Path) -> None:
    wrote: list[int] = []
    frames_of(filmed(tmp_path / "line.mp4", 3), tmp_path / "frames", wrote.append)
    frames_of(tmp_path / "line.mp4", tmp_path / "frames", wrote.append)
    assert wrote == [1, 2, 3]
    root = frames_of(filmed(tmp_path / "line.mp4", 2), tmp_path / "frames", wrote.append)
    assert len(list(root.rglob("*.png"))) == 2
    assert frames_of(tmp_path, tmp_path / "frames") == tmp_path
