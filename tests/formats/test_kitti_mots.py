"""KITTI MOTS: ``instances/`` and ``instances_txt/`` as the data set has them, and MOTS20's ``gt/gt.txt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from pycocotools import mask as coco

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import plain_instances, ref

FIRST = np.array([[0, 1005, 1005, 0], [2000, 2000, 0, 10000], [2000, 0, 10000, 10000]], np.uint16)
SECOND = np.array([[1005, 1005, 0, 0], [0, 2000, 2000, 1006], [0, 0, 0, 1006]], np.uint16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "instances" / "0002"
    folder.mkdir(parents=True)
    for frame, array in enumerate((FIRST, SECOND)):
        Pillow.fromarray(array).save(folder / f"{frame:06d}.png")
    photos = tmp_path / "training" / "image_02" / "0002"
    photos.mkdir(parents=True)
    Pillow.new("RGB", (4, 3)).save(photos / "000001.png")
    return tmp_path


def lines(*frames: tuple[int, np.ndarray]) -> str:
    """As mots_tools writes them, with pycocotools."""
    text = ""
    for frame, array in frames:
        for value in np.unique(array[array > 0]).tolist():
            rle = coco.encode(np.asfortranarray(array == value))["counts"].decode()
            text += f"{frame} {value} {value // 1000} {array.shape[0]} {array.shape[1]} {rle}\n"
    return text


@pytest.mark.parametrize("below", ["", "instances"])
def test_pngs(root: Path, below: str) -> None:
    assert formats.detect(root / below) == "kitti_mots"
    labels = formats.read(root / below)
    assert labels.classes == ("car", "pedestrian")
    assert [r.name for r in labels.refs] == ["0002/000000.png", "0002/000001.png"]
    assert labels.refs[1].path == root / "training" / "image_02" / "0002" / "000001.png"
    (image, first), (_, second) = labels
    assert first.ids is not None
    assert second.ids is not None
    assert first.ids.tolist() == [1005, 2000]
    assert second.ids.tolist() == [1005, 1006, 2000]
    assert second.names == ["car", "car", "pedestrian"]
    np.testing.assert_array_equal(first.masks.to_dense(), [FIRST == 1005, FIRST == 2000])
    ignored = Masks.from_coco([image.attributes["regions"]["ignore"]])
    np.testing.assert_array_equal(ignored.to_dense()[0], FIRST == 10000)


def test_one_sequence(root: Path) -> None:
    labels = formats.read(root / "instances" / "0002", "kitti_mots")
    assert [r.name for r in labels.refs] == ["0002/000000.png", "0002/000001.png"]


def test_round_trip_gives_the_same_pixels(root: Path) -> None:
    labels = formats.read(root)
    formats.write(labels, root / "out", "kitti_mots")
    for frame, wanted in enumerate((FIRST, SECOND)):
        with Pillow.open(root / "out" / "0002" / f"{frame:06d}.png") as image:
            np.testing.assert_array_equal(np.array(image), wanted)


def test_text(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "instances_txt"
    folder.mkdir()
    text = folder / "0002.txt"
    text.write_text(lines((0, FIRST), (1, SECOND), (4, FIRST)))
    for path in (text, folder):
        assert formats.detect(path) == "kitti_mots"
        labels = formats.read(path)
        assert [r.name for r in labels.refs] == [f"0002/00000{k}.png" for k in range(5)]
        assert [len(i) for _, i in labels] == [2, 3, 0, 0, 2]
        assert labels.refs[2].size == (3, 4)
    pngs = formats.read(root / "instances")
    for k in range(2):
        assert labels[k][1] == pngs[k][1]
        assert labels[k][0].attributes == pngs[k][0].attributes
    formats.write(labels, tmp_path / "out" / "0002.txt", "kitti_mots")
    assert (tmp_path / "out" / "0002.txt").read_text() == text.read_text()


def test_layout_of_mots20(tmp_path: Path) -> None:
    text = tmp_path / "MOTS20-02" / "gt" / "gt.txt"
    text.parent.mkdir(parents=True)
    text.write_text(lines((1, SECOND)))
    (tmp_path / "MOTS20-02" / "img1").mkdir()
    Pillow.new("RGB", (4, 3)).save(tmp_path / "MOTS20-02" / "img1" / "000001.jpg")
    (image,) = formats.read(text).refs
    for folder in (text.parent, text.parent.parent, tmp_path):
        assert formats.detect(folder) == "kitti_mots"
        assert [r.name for r in formats.read(folder).refs] == ["MOTS20-02/000001.jpg"]
    assert image.name == "MOTS20-02/000001.jpg"
    assert image.path.resolve() == (tmp_path / "MOTS20-02" / "img1" / "000001.jpg").resolve()


GOOD = "3 1001 1 3 4 147\n"
BAD = {
    "0 1001 1 3 4": "line 2: has 5 fields",
    "0 1001 1 3 x 147": "line 2: frame, id, class, height and width must be integers",
    "0 -1 1 3 4 147": "must be integers",
    "0 1001 5 3 4 147": "line 2: there is no class 5",
    "0 1001 1 3 5 147": "line 2: is of 3 x 5 pixels, others are of 3 x 4",
    "3 1001 1 3 4 147": "line 2: id 1001 is in frame 3 twice",
    "0 1001 1 2000000000 2000000000 147": "height and width must be from 1",
    "3 1002 1 3 4 1": "line 2: ",
    "3 1002 1 3 4 é": "line 2: ",
    "99999999999 1002 1 3 4 147": "beyond any sequence",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "0001.txt"
    path.write_text(GOOD + line + "\n", encoding="utf-8")
    with pytest.raises(FormatError, match=BAD[line]):
        list(formats.read(path))
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    for _ in range(2):
        assert [i.ids.tolist() for _, i in labels] == [[1001]]  # type: ignore[union-attr]
    assert len(told) == 1


def test_bad_pngs(root: Path) -> None:
    file = root / "instances" / "0002" / "000001.png"
    odd = SECOND.copy()
    odd[2, 0] = 3001
    Pillow.fromarray(odd).save(file)
    with pytest.raises(FormatError, match="value 3001: there is no class of objects with the number 3"):
        list(formats.read(root))
    told: list[FormatError] = []
    assert [len(i) for _, i in formats.read(root, on_bad=told.append)] == [2, 3]
    file.write_bytes(file.read_bytes()[:60])
    assert [len(i) for _, i in formats.read(root, on_bad=told.append)] == [2]
    assert [e.path for e in told] == [file, file]


def test_one_id_has_one_value_over_all_frames(tmp_path: Path) -> None:
    found = plain_instances(3).replace(ids=np.array([7, 2**40, 1003]), classes=("car",))
    images = [ref(f"0000/00000{k}.png") for k in range(3)]
    formats.write([(image, found[k:]) for k, image in enumerate(images)], tmp_path / "out", "kitti_mots")
    for k in range(3):
        with Pillow.open(tmp_path / "out" / "0000" / f"00000{k}.png") as image:
            values = np.array(image)
        assert np.unique(values[values > 0]).tolist() == sorted([1007, 1000, 1003][k:])
    assert [i for _, i in formats.read(tmp_path / "out")] == [found[k:] for k in range(3)]


def test_a_value_given_to_one_track_is_no_other_ones(tmp_path: Path) -> None:
    boxes = [Masks.from_boxes([[x, 0, x + 2, 2]], (3, 6)) for x in (0, 3)]
    frames = [Instances(boxes[0], classes=["car"], ids=[5]), Instances(boxes[1], classes=["car"], ids=[1005])]
    records = [(ref(f"0000/{k:06d}.png"), found) for k, found in enumerate([*frames, *frames])]
    formats.write(records, tmp_path / "out", "kitti_mots")
    folder = tmp_path / "out" / "0000"
    values = [int(np.asarray(Pillow.open(file)).max()) for file in sorted(folder.glob("*.png"))]
    assert values == [1005, 1000, 1005, 1000]
    assert [i.ids.tolist() for _, i in formats.read(tmp_path / "out")] == [[5], [1005]] * 2  # type: ignore[union-attr]


def test_a_text_begins_and_ends_with_frames_without_objects(tmp_path: Path) -> None:
    found = plain_instances().replace(classes=("car", "pedestrian"))
    path, none = tmp_path / "0000.txt", found[:0]
    for frames in ([none, found, none, found, none, none], [none], [none, none], [found]):
        records = [(ref(f"0000/{k:06d}.png"), instances) for k, instances in enumerate(frames)]
        formats.write(records, path, "kitti_mots")
        labels = formats.read(path)
        assert [r.name for r in labels.refs] == [r.name for r, _ in records]
        assert [i for _, i in labels] == frames
        assert all("regions" not in r.attributes for r, _ in labels)
    with pytest.raises(LossyFormatError, match="has a frame at least"):
        formats.write([], tmp_path / "no.txt", "kitti_mots")


def test_what_a_text_cannot_hold(tmp_path: Path) -> None:
    found = plain_instances().replace(classes=("car",))
    path = tmp_path / "0000.txt"
    good = ref("0000/000001.png")
    cases: list[tuple[list[tuple[ImageRef, Instances]], type[FormatError], str]] = [
        ([(ref("a.png"), found)], FormatError, "must be called 0000/000000.png"),
        ([(good, found.replace(classes=("dog",)))], LossyFormatError, "not 'dog'"),
        ([(good, found), (good, found)], FormatError, "frame 1 comes twice"),
        ([(good, found), (ref("0000/000000.png"), found)], FormatError, "comes after a later frame"),
        ([(good, found.replace(ids=np.array([-1, 2, 3, 4])))], LossyFormatError, "ids in a text are from 0"),
    ]
    for records, kind, message in cases:
        with pytest.raises(kind, match=message):
            formats.write(records, path, "kitti_mots")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25)
@given(values=st.lists(st.integers(0, 4), min_size=20, max_size=20), ids=st.permutations(range(4)))
def test_text_round_trips(tmp_path_factory: pytest.TempPathFactory, values: list[int], ids: list[int]) -> None:
    found = Instances.from_label_map(np.array([1, *values[1:]]).reshape(4, 5))
    labels = np.arange(len(found)) % 2
    found = found.replace(classes=("car", "pedestrian"), labels=labels, ids=np.array(ids[: len(found)]))
    path = tmp_path_factory.mktemp("mots") / "0003.txt"
    formats.write([(ref("0003/000010.png"), found)], path, "kitti_mots")
    assert formats.read(path)[0][1] == found
