"""Cell Tracking Challenge: the layout of its training data (``01``, ``01_GT``) and of results (``01_RES``), by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece import ImageRef, Instances, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import plain_instances, ref

SEG = np.zeros((3, 6, 8), np.uint16)
SEG[0, 0:4, 0:4] = 1
SEG[0, 4:6, 4:8] = 2
SEG[2, 0:3, 0:3] = 7
SEG[2, 0:3, 4:8] = 8
TRA = np.zeros((3, 6, 8), np.uint16)
TRA[0, 1:3, 1:3] = 5
TRA[0, 5, 5:7] = 2
TRA[1, 1:3, 1:3] = 5
TRA[2, 1, 1] = 10
TRA[2, 1, 5:7] = 9
TRACKS = "2 0 0 0\n5 0 1 0\n9 2 2 5\n10 2 2 5\n"


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for k in range(3):
        save(tmp_path / "01" / f"t{k:03d}.tif", np.zeros((6, 8), np.uint8))
        save(tmp_path / "01_GT" / "TRA" / f"man_track{k:03d}.tif", TRA[k])
        save(tmp_path / "01_RES" / f"mask{k:03d}.tif", TRA[k])
    for k in (0, 2):  # not every frame is outlined
        save(tmp_path / "01_GT" / "SEG" / f"man_seg{k:03d}.tif", SEG[k])
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text(TRACKS)
    (tmp_path / "01_RES" / "res_track.txt").write_text(TRACKS)
    return tmp_path


@pytest.mark.parametrize("below", ["", "01_GT"])
def test_outlines_with_the_ids_of_their_tracks(root: Path, below: str) -> None:
    assert formats.detect(root / below) == "ctc"
    labels = formats.read(root / below)
    assert [r.name for r in labels.refs] == ["01/t000.tif", "01/t002.tif"]
    assert labels.refs[0].path.samefile(root / "01" / "t000.tif")
    assert labels.metadata == {"ctc": {"01": {9: 5, 10: 5}}}
    first, last = (i for _, i in labels)
    assert first.ids is not None
    assert last.ids is not None
    assert first.ids.tolist() == [2, 5]
    assert last.ids.tolist() == [9, 10]
    np.testing.assert_array_equal(first.masks.to_dense(), [SEG[0] == 2, SEG[0] == 1])
    np.testing.assert_array_equal(last.masks.to_dense(), [SEG[2] == 8, SEG[2] == 7])


@pytest.mark.parametrize("below", ["01_RES", "01_GT/TRA"])
def test_tracks(root: Path, below: str) -> None:
    assert formats.detect(root / below) == "ctc"
    labels = formats.read(root / below)
    assert [r.name for r in labels.refs] == ["01/t000.tif", "01/t001.tif", "01/t002.tif"]
    assert labels.metadata == {"ctc": {"01": {9: 5, 10: 5}}}
    for k, (_, found) in enumerate(labels):
        np.testing.assert_array_equal(found.masks.to_label_map(found.ids), TRA[k])


def test_outlines_alone(root: Path) -> None:
    labels = formats.read(root / "01_GT" / "SEG")
    assert [i.ids.tolist() for _, i in labels] == [[1, 2], [7, 8]]  # type: ignore[union-attr]
    assert labels.metadata == {}


def test_round_trip(root: Path) -> None:
    labels = formats.read(root / "01_RES")
    formats.write(labels, root / "out", "ctc")
    for k in range(3):
        for name in (f"SEG/man_seg{k:03d}.tif", f"TRA/man_track{k:03d}.tif"):
            np.testing.assert_array_equal(tifffile.imread(root / "out" / "01_GT" / name), TRA[k])
    assert (root / "out" / "01_GT" / "TRA" / "man_track.txt").read_text() == TRACKS
    again = formats.read(root / "out")
    assert [i for _, i in again] == [i for _, i in labels]
    assert [r.name for r in again.refs] == [r.name for r in labels.refs]
    assert again.metadata == labels.metadata


LINES = {
    "1 0 0": "line 5: must be four integers",
    "a 0 0 0": "line 5: must be four integers",
    "5 0 0 0": "line 5: label 5 is in the table twice",
    "3 4 1 0": "line 5: track 3 ends in frame 1, before its first, 4",
    "3 1 1 3": "line 5: track 3 is its own parent",
    "3 1 1 44": "line 5: the parent 44 of 3 is not in the table",
    "3 1 1 5": "line 5: the parent 5 of 3 still lives in frame 1",
    "70000 1 1 0": "line 5: label 70000 must be from 1 to 65535",
}


@pytest.mark.parametrize("line", LINES)
def test_bad_tables(root: Path, line: str) -> None:
    (root / "01_RES" / "res_track.txt").write_text(TRACKS + line + "\n")
    with pytest.raises(FormatError, match=LINES[line]):
        formats.read(root / "01_RES")
    told: list[FormatError] = []
    assert [len(i) for _, i in formats.read(root / "01_RES", on_bad=told.append)] == [2, 1, 2]
    assert len(told) == 1


def test_bad_labels(root: Path) -> None:
    odd = TRA[1].copy()
    odd[5, 7], odd[5, 0] = 44, 9
    save(root / "01_RES" / "mask001.tif", odd)
    with pytest.raises(FormatError, match="label 9: the table of tracks has none of this label in frame 1"):
        list(formats.read(root / "01_RES"))
    told: list[FormatError] = []
    assert [len(i) for _, i in formats.read(root / "01_RES", on_bad=told.append)] == [2, 1, 2]
    assert len(told) == 2
    both = SEG[2].copy()
    both[both > 0] = 7
    both[5, 5] = 3
    save(root / "01_GT" / "SEG" / "man_seg002.tif", both)
    told = []
    assert [len(i) for _, i in formats.read(root, on_bad=told.append)] == [2, 0]
    assert [e.reason[:40] for e in told] == [
        "label 3: covers no marker in TRA; read S",
        "label 7: covers the markers 9, 10 in TRA",
    ]


def test_layouts_that_cannot_be_read(root: Path) -> None:
    (root / "01_GT" / "TRA" / "man_track.txt").write_bytes(b"1 0 1 0\n\xff")
    with pytest.raises(FormatError, match=r"man_track\.txt: is not UTF-8 \(byte 8\); save it as UTF-8"):
        formats.read(root)
    (root / "01_RES" / "res_track.txt").unlink()
    (root / "01_GT" / "TRA" / "man_track.txt").unlink()
    with pytest.raises(FormatError, match=r"but no man_track\.txt"):
        formats.read(root)
    save(root / "02_GT" / "SEG" / "man_seg_000_012.tif", SEG[0])
    with pytest.raises(FormatError, match="slice of a volume"):
        formats.read(root / "02_GT", "ctc")
    volume = root / "03_GT" / "SEG" / "man_seg000.tif"
    volume.parent.mkdir(parents=True)
    tifffile.imwrite(volume, SEG, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(FormatError, match="is a stack of 3 planes"):
        list(formats.read(root / "03_GT", "ctc"))
    save(root / "04_GT" / "SEG" / "man_seg000.tif", SEG[0])
    save(root / "04_GT" / "SEG" / "man_seg0000.tif", SEG[0])
    with pytest.raises(FormatError, match="are of the same frame"):
        formats.read(root / "04_GT", "ctc")


def test_parents_without_a_track(tmp_path: Path) -> None:
    found = plain_instances()
    with pytest.raises(LossyFormatError, match="the parent 77 of track 5 has no frame here"):
        formats.write([(ref(), found)], tmp_path / "out", "ctc", metadata={"ctc": {"01": {5: 77}}})
    assert list(tmp_path.iterdir()) == []


def test_folders_become_sequences(tmp_path: Path) -> None:
    found = plain_instances()
    names = ["b/2.png", "a/1.png", "b/1.png", "02/t007.tif"]
    formats.write([(ref(n), found) for n in names], tmp_path / "out", "ctc")
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("man_seg*"))
    assert files == [f"0{k}_GT/SEG/man_seg00{f}.tif" for k, f in ((1, 0), (1, 1), (2, 0), (2, 7))]
    assert [r.name for r in formats.read(tmp_path / "out").refs] == names
    clash: list[tuple[ImageRef, Instances]] = [(ref("a/1.png"), found), (ref("01/t000.tif"), found)]
    with pytest.raises(FormatError, match="would share 01/000"):
        formats.write(clash, tmp_path / "o2", "ctc")


@settings(max_examples=15)
@given(values=st.lists(st.lists(st.integers(0, 4), min_size=12, max_size=12), min_size=1, max_size=4))
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, values: list[list[int]]) -> None:
    sets = [Instances.from_label_map(np.array(v).reshape(3, 4)) for v in values]
    path = tmp_path_factory.mktemp("ctc") / "out"
    formats.write([(ref(f"03/t{k:03d}.tif"), found) for k, found in enumerate(sets)], path, "ctc")
    assert [i for _, i in formats.read(path)] == sets
