"""Frames with tracks: whether ids follow objects, in which frames each is, and what a copy into the next one keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.cli import main
from apiece.images import VideoWriter, write_image
from apiece.serve import Guard, studio_app
from apiece.serve.studio import routes, workspace
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


def frames(folder: Path, count: int = 3) -> Workspace:
    """Return frames of a video without labels."""
    for k in range(count):
        write_image(folder / "film" / f"{k}.png", np.zeros(SIZE, np.uint8))
    return Workspace(Source(folder / "film", film=True), folder / "work")


def drawn(space: Workspace, image: int) -> int:
    """Draw an object, and return its id."""
    box = Masks.from_boxes([[2, 12, 9, 15]], SIZE)
    _, sheet = space.change(
        image, space.revision(image), "", lambda now: Delta(put=(Put(now.next_key, space.classes[0], box),))
    )
    assert sheet.instances.ids is not None
    return int(sheet.instances.ids[-1])


def ids_of(space: Workspace) -> list[list[int]]:
    found = [space.sheet(k)[0].instances.ids for k in range(len(space.items))]
    return [[] if ids is None else ids.tolist() for ids in found]


def test_a_new_object_gets_an_id_that_no_track_of_the_set_has(tmp_path: Path) -> None:
    space = opened(tmp_path, [[1, 2], [1, 2], [2, 5]])
    assert [drawn(space, image) for image in (0, 1, 0)] == [6, 7, 8]
    space.step(0, 2, "", back=True)
    assert drawn(space, 2) == 9  # the one that was undone can come back
    space.step(0, 3, "", back=False)
    assert ids_of(space) == [[1, 2, 6, 8], [1, 2, 7], [2, 5, 9]]
    space.journal.close()
    again = Workspace(Source(tmp_path / "labels.json"), tmp_path / "work")
    assert ids_of(again) == [[1, 2, 6, 8], [1, 2, 7], [2, 5, 9]]
    assert drawn(again, 1) == 10


def test_all_frames_are_read_for_their_ids_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = opened(tmp_path, [[1], [1], [1, 5]])
    drawn(space, 0)
    base, read = Workspace.base, set()

    def noted(self: Workspace, number: int) -> Instances:
        read.add(number)
        return base(self, number)

    monkeypatch.setattr(Workspace, "base", noted)
    assert drawn(space, 1) == 7
    assert read == {1}


def test_tracks_that_a_label_file_gets_meanwhile_are_told_apart_from_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "_LOOKS", -1.0)
    space = opened(tmp_path, [[1], [1], [1]])
    assert drawn(space, 0) == 2
    records = list(apiece.read(tmp_path / "labels.json"))
    records[2] = (records[2][0], records[2][1].replace(ids=np.array([30])))
    apiece.write(records, tmp_path / "labels.json", format="coco")
    space.refresh()
    assert drawn(space, 1) == 31


def test_objects_of_two_tabs_get_different_ids(tmp_path: Path) -> None:
    space = frames(tmp_path, 12)
    with ThreadPoolExecutor(4) as tabs:
        given = list(tabs.map(lambda image: drawn(space, image), range(12)))
    assert sorted(given) == list(range(1, 13))


def test_objects_drawn_on_a_video_without_labels_begin_tracks(tmp_path: Path) -> None:
    space = frames(tmp_path)
    assert (drawn(space, 0), drawn(space, 2)) == (1, 2)
    source = space.sheet(0)[0]
    space.change(1, 0, "", lambda sheet: copied(sheet, source, [0], space.tracked))
    space.step(0, 1, "", back=True)
    assert ids_of(space) == [[], [1], [2]]
    space.step(0, 2, "", back=False)
    assert ids_of(space) == [[1], [1], [2]]
    assert [track.spans for track in tracks_of(space)] == [[[0, 1]], [[2, 2]]]
    written = next(iter(space.export("out", "coco", allow_lossy=False).values()))
    back = [found.ids for _, found in apiece.read(written.path)]
    assert [ids.tolist() for ids in back if ids is not None] == [[1], [1], [2]]


def test_a_frame_drawn_on_before_objects_of_videos_had_ids_keeps_its_ids_apart(tmp_path: Path) -> None:
    space = frames(tmp_path)
    space.__dict__["tracked"] = False
    put = Put(0, "object", Masks.from_boxes([[2, 3, 9, 9]], SIZE))
    space.change(0, 0, "", lambda sheet: Delta(put=(put,)))
    space.journal.close()
    again = frames(tmp_path)
    assert drawn(again, 0) not in ids_of(again)[0][:-1]
    assert len(set(ids_of(again)[0])) == 2


def test_the_page_copies_an_object_into_the_next_frame_of_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    monkeypatch.setattr(routes, "static_folder", lambda: tmp_path)
    space = frames(tmp_path)
    asked = TestClient(studio_app(space, Guard(), "a film"), base_url="http://127.0.0.1:8000")
    assert asked.get("/api/set").json()["tracks"] is True
    edit = {"op": "draw", "how": "new", "points": [[2, 2], [9, 2], [9, 9]]}
    answers = [
        asked.post("/api/images/0/edits", json={"edit": edit}, headers={"if-match": "0"}),
        asked.post("/api/images/1/copied", json={"source": 0, "keys": [0]}, headers={"if-match": "0"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert asked.get("/api/tracks").json()["tracks"] == [{"id": 1, "label": "object", "spans": [[0, 1]]}]


KILLED = """
import os, sys
from pathlib import Path
from apiece import Masks
from apiece.serve.studio.sets import Source
from apiece.serve.studio.sheet import Delta, Put
from apiece.serve.studio.workspace import Workspace
space = Workspace(Source(Path(sys.argv[1]) / "film", film=True), Path(sys.argv[1]) / "work")
box = Masks.from_boxes([[2, 3, 9, 9]], (20, 30))
for n in range(10**6):
    k = n % 3
    _, now = space.change(k, n // 3, "", lambda sheet: Delta(put=(Put(sheet.next_key, "object", box),)))
    os.write(1, b"%d %d\\n" % (k, now.instances.ids[-1]))
"""


def test_ids_outlive_kill_9(tmp_path: Path) -> None:
    frames(tmp_path).journal.close()
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(7)]
        os.kill(child.pid, signal.SIGKILL)
        told += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    again = frames(tmp_path)
    stand = ids_of(again)
    assert len(told) >= 7
    assert all(own in stand[image] for image, own in (map(int, line.split()) for line in told))
    every = [own for ids in stand for own in ids]
    assert len(set(every)) == len(every)
    assert drawn(again, 0) == max(every) + 1


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
    (tmp_path / "b").mkdir()
    other = frames_of(filmed(tmp_path / "b" / "line.mp4", 3), tmp_path / "frames")
    assert [len(list(one.rglob("*.png"))) for one in (root, other)] == [2, 3]  # of one name, from two folders


@pytest.mark.parametrize("followed", [True, False])
def test_labels_beside_a_video_whose_ids_follow_nothing_are_told_how_to_get_tracks(
    followed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = filmed(tmp_path / "line.mp4", 3)
    found = Instances(Masks.from_boxes([[2, 3, 9, 9]], (32, 48)))
    records = [
        (ImageRef(film, f"line.mp4/{k:06d}.png", (32, 48)), found.replace(ids=[7 if followed else k + 1]))
        for k in range(3)
    ]
    apiece.write(records, tmp_path / "labels.json", format="coco")
    opened: list[FastAPI] = []
    monkeypatch.setattr("apiece.serve.run", lambda app, *_: opened.append(app))
    monkeypatch.setattr("apiece.serve.studio.routes.static_folder", lambda: tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["studio", str(tmp_path / "labels.json"), "--images", str(film)])
    assert not ended.value.code
    notice = opened[0].state.workspace.notice
    assert ("apiece track --detections labels.json" in notice) != followed
