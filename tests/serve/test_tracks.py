"""Frames with tracks: whether ids follow objects, in which frames each is, and what a copy into the next one keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.images import write_image
from apiece.serve.studio.edits import copied
from apiece.serve.studio.sets import Source
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
