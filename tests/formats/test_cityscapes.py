"""Cityscapes: ``gtFine`` as the data set has it, label images by hand, polygons as its annotation tool writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import ref

A = np.array(
    [[7, 7, 7, 23, 23, 0], [26000, 26000, 7, 26001, 23, 0], [26000, 26, 26, 26001, 24003, 24003]], np.uint16
)  # fmt: skip
STEM = "aachen_000000_000019"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "gtFine" / "train" / "aachen"
    folder.mkdir(parents=True)
    Pillow.fromarray(A).save(folder / f"{STEM}_gtFine_instanceIds.png")
    Pillow.fromarray((A // 1000 + A % 1000).astype(np.uint8)).save(folder / f"{STEM}_gtFine_labelIds.png")
    photos = tmp_path / "leftImg8bit" / "train" / "aachen"
    photos.mkdir(parents=True)
    Pillow.new("RGB", (6, 3)).save(photos / f"{STEM}_leftImg8bit.png")
    return tmp_path


@pytest.mark.parametrize("below", ["", "gtFine", "gtFine/train", "gtFine/train/aachen"])
def test_layout(root: Path, below: str) -> None:
    assert formats.detect(root / below) == "cityscapes"
    labels = formats.read(root / below)
    assert labels.classes[:3] == ("person", "rider", "car")
    ((image, found),) = labels
    assert image.path.resolve() == (root / "leftImg8bit" / "train" / "aachen" / f"{STEM}_leftImg8bit.png").resolve()
    assert found.ids is not None
    assert found.ids.tolist() == [26, 24003, 26000, 26001]
    assert found.names == ["car", "person", "car", "car"]
    assert found.crowd.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), np.where(A < 24, 0, A))
    assert set(image.attributes["stuff"]) == {"road", "sky"}


def test_round_trip_gives_the_same_pixels(root: Path) -> None:
    labels = formats.read(root)
    formats.write(labels, root / "out", "cityscapes")
    assert formats.detect(root / "out") == "cityscapes"
    with Pillow.open(root / "out" / "train" / "aachen" / f"{STEM}_gtFine_instanceIds.png") as image:
        np.testing.assert_array_equal(np.array(image), A)
    again = formats.read(root / "out")
    assert again[0][1] == labels[0][1]
    assert again.refs[0].name == labels.refs[0].name
    # without the note beside it, the layout says the same
    (root / "out" / "apiece.json").unlink()
    assert formats.read(root / "out")[0][1].masks == labels[0][1].masks


def polygons(*shapes: dict[str, object]) -> str:
    return json.dumps({"imgHeight": 12, "imgWidth": 16, "objects": list(shapes)})


SQUARE = [[1, 1], [8, 1], [8, 7], [1, 7]]


def test_polygons_are_drawn_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a_gtFine_polygons.json"
    top = [[5, 4], [12, 4], [12, 9]]
    path.write_text(
        polygons(
            {"label": "road", "polygon": [[0, 0], [15, 0], [15, 11], [0, 11]]},
            {"label": "car", "polygon": SQUARE},
            {"label": "car", "polygon": SQUARE, "deleted": 1},
            {"label": "car", "polygon": top},
            {"label": "persongroup", "polygon": [[13, 8], [15, 8], [15, 10]]},
            {"label": "license plate", "polygon": SQUARE},
        )
    )
    canvas = Pillow.new("I", (16, 12), 7)
    pen = ImageDraw.Draw(canvas)
    for points, value in ((SQUARE, 26000), (top, 26001), ([[13, 8], [15, 8], [15, 10]], 24)):
        pen.polygon([tuple(p) for p in points], fill=value)
    wanted = np.array(canvas)
    assert formats.detect(path) == "cityscapes"
    image, found = formats.read(path)[0]
    assert found.ids is not None
    assert found.ids.tolist() == [24, 26000, 26001]
    assert found.crowd.tolist() == [True, False, False]
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), np.where(wanted == 7, 0, wanted))
    assert set(image.attributes["stuff"]) == {"road"}


BAD = {
    "label": ({"label": "dragon", "polygon": SQUARE}, r"objects\[1\]: there is no label 'dragon'"),
    "points": ({"label": "car", "polygon": SQUARE[:2]}, r"objects\[1\]: polygon has 2 points"),
    "pairs": ({"label": "car", "polygon": [1, 2, 3]}, r"objects\[1\]: polygon must be a list"),
    "far": ({"label": "car", "polygon": [[0, 0], [10**9, 0], [1, 1]]}, r"far outside"),
    "kind": (3, r"objects\[1\]: must be an object"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_polygons(tmp_path: Path, case: str) -> None:
    shape, message = BAD[case]
    path = tmp_path / "a_gtFine_polygons.json"
    path.write_text(polygons({"label": "bus", "polygon": SQUARE}, shape))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=message):
        list(formats.read(path))
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [i.names for _, i in labels] == [["bus"]]
    assert len(told) == 1


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "a_gtFine_polygons.json"
    for text, message in {
        '{"imgHeight": 2000000000, "imgWidth": 2000000000, "objects": []}': "must be integers from 1",
        '{"imgHeight": 4, "imgWidth": 4, "objects": 3}': "objects: must be a list",
        "[" * 100_000: "nested too deep",
        '{"imgHeight": 4, "imgWidth": NaN, "objects": []}': "NaN",
    }.items():
        path.write_text(text)
        with pytest.raises(FormatError, match=message):
            list(formats.read(path))
    image = np.zeros((3, 4), np.uint16)
    image[0, 0], image[1, 1] = 60001, 25000
    file = tmp_path / "b_gtFine_instanceIds.png"
    Pillow.fromarray(image).save(file)
    with pytest.raises(FormatError, match="value 60001: there is no class of objects with the number 60"):
        list(formats.read(file))
    told: list[FormatError] = []
    assert [i.names for _, i in formats.read(file, on_bad=told.append)] == [["rider"]]
    assert len(told) == 1


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    a = np.zeros((40, 40), np.int64)
    a[:, :26] = np.arange(1, 40 * 26 + 1).reshape(40, 26)
    many = Instances.from_label_map(a).replace(ids=None)
    with pytest.raises(LossyFormatError, match="holds 1000 objects of one class"):
        formats.write([(ref(), many)], tmp_path / "out", "cityscapes")
    crowds = Instances(Masks.from_boxes([[0, 0, 1, 1], [2, 2, 3, 3]], (4, 4)), crowd=np.array([True, True]))
    with pytest.raises(LossyFormatError, match="instances 0, 1 are crowd regions of one class"):
        formats.write([(ref(), crowds)], tmp_path / "out", "cityscapes")
    image = ImageRef(Path("a.png"), "a.png", attributes={"stuff": {"sky": crowds.masks[:1].to_coco()[0]}})
    with pytest.raises(LossyFormatError, match="'stuff' region covers instances"):
        formats.write([(image, crowds[:1])], tmp_path / "out", "cityscapes")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25)
@given(
    values=st.lists(st.integers(0, 6), min_size=20, max_size=20),
    ids=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(26000, 26003), min_size=6, max_size=6, unique=True),
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
def test_round_trips(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], ids: list[int], labels: list[int]
) -> None:
    found = Instances.from_label_map(np.array(values).reshape(4, 5))
    count = len(found)
    found = found.replace(
        classes=("person", "ghost", "car"), labels=np.array(labels[:count], np.int64), ids=ids[:count]
    )
    path = tmp_path_factory.mktemp("cityscapes") / "out"
    formats.write([(ref("a.png"), found), (ref("b.png"), found[::-1])], path, "cityscapes")
    again = formats.read(path)
    assert again[0][1] == found
    assert again[1][1] == found[::-1]


OWN = np.array([[0, 0, 2, 2], [3001, 3001, 0, 1]], np.uint16)
PLAIN = " nut\n bolt\n screw\n"
COLOURED = "# all\n0 0 0 ground\n9 9 9 nut\n8 8 8 bolt\n7 7 7 screw\n"
GROUND = " nut\n bolt\n background\n screw\n"


@pytest.mark.parametrize("below", ["", "gtFine", "gtFine/train"])
@pytest.mark.parametrize("text", [PLAIN, COLOURED, GROUND])
def test_numbers_are_places_in_the_list_of_own_classes_that_datumaro_writes(
    tmp_path: Path, below: str, text: str
) -> None:
    folder = tmp_path / "gtFine" / "train"
    folder.mkdir(parents=True)
    Pillow.fromarray(OWN).save(folder / "a_gtFine_instanceIds.png")
    (tmp_path / "label_colors.txt").write_text(text)
    labels = formats.read(tmp_path / below)
    assert labels.classes == ("nut", "bolt", "screw")
    ((image, found),) = labels
    assert found.names == ["nut", "bolt", "screw"]
    assert found.crowd.tolist() == [True, True, False]
    assert found.masks.area.tolist() == [1, 2, 2]
    assert "stuff" not in image.attributes
    Pillow.fromarray(OWN + 40).save(folder / "a_gtFine_instanceIds.png")
    with pytest.raises(FormatError, match="value 40: there is no class of objects with the number 40"):
        formats.read(tmp_path / below)[0]


def test_a_list_of_cityscapes_own_classes_changes_nothing(root: Path) -> None:
    wanted = list(formats.read(root))
    names = ["unlabeled", "egovehicle", "rectificationborder", "outofroi", "static", "dynamic", "ground", "road"]
    (root / "label_colors.txt").write_text("".join(f"{k} 0 0 {name}\n" for k, name in enumerate(names)))
    assert list(formats.read(root)) == wanted
    (root / "label_colors.txt").write_text("1 2 road\n")
    with pytest.raises(FormatError, match=r"label_colors.txt: line 1: must be a new class"):
        formats.read(root)


def test_polygons_beyond_the_border(tmp_path: Path) -> None:
    path = tmp_path / "a_gtFine_polygons.json"
    far = [[2, 1], [30, 1], [30, 3]]
    path.write_text(polygons({"label": "bus", "polygon": SQUARE}, {"label": "car", "polygon": far}))
    with pytest.raises(FormatError, match=r"objects\[1\]: reaches \d+ pixels outside the image"):
        formats.read(path)[0]
    labels = formats.read(path, clip_outlines=True)
    assert sorted(labels[0][1].names) == ["bus", "car"]
    assert [cut.instance for cut in labels.cut[0]] == [-1]
    told: list[FormatError] = []
    for clip, count in ((True, 0), (False, 1)):
        labels = formats.read(path, on_bad=told.append, clip_outlines=clip)
        assert len(labels[0][1]) == 2 - count
        assert len(told) == count
