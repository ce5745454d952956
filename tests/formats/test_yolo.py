"""YOLO segmentation: layouts of the public documentation, of Roboflow's and of CVAT's exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import ref

DATA = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: nut\n  1: bolt\n"
SQUARE = "0 0.1 0.125 0.4 0.125 0.4 0.375 0.1 0.375\n"
TRIANGLE = "1 0.5 0 1 0 1 1\n"


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(errors="surrogateescape"))
    return path


def image(path: Path, size: tuple[int, int] = (8, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("L", size[::-1]).save(path)
    return path


def simple(root: Path, labels: str = SQUARE, data: str = DATA) -> Path:
    text(root / "data.yaml", data)
    image(root / "images" / "train" / "a.png")
    image(root / "images" / "val" / "b.png")
    text(root / "labels" / "train" / "a.txt", labels)
    return root


def test_folders(tmp_path: Path) -> None:
    simple(tmp_path, SQUARE + "\n" + TRIANGLE)
    image(tmp_path / "images" / "train" / "empty.jpg", (4, 4))
    assert formats.detect(tmp_path) == formats.detect(tmp_path / "data.yaml") == "yolo"
    labels = formats.read(tmp_path)
    assert labels.classes == ("nut", "bolt")
    assert [(r.name, r.size, r.attributes["split"]) for r in labels.refs] == [
        ("train/a.png", None, "train"),
        ("train/empty.jpg", None, "train"),
        ("val/b.png", None, "val"),
    ]
    found = labels[0][1]
    wanted = np.zeros((8, 10), bool)
    wanted[1:3, 1:4] = True
    np.testing.assert_array_equal(found.masks.to_dense()[0], wanted)
    assert found.masks[1] == Masks.from_polygons([[[5, 0, 10, 0, 10, 8]]], (8, 10))
    assert found.names == ["nut", "bolt"]
    assert (found.ids, found.scores) == (None, None)
    assert [len(i) for _, i in labels] == [2, 0, 0]
    assert labels[1][1].size == (4, 4)


def test_as_roboflow_lays_it_out(tmp_path: Path) -> None:
    places = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    text(tmp_path / "data.yaml", places + "\nnc: 2\nnames: ['nut', 'bolt']\n\nroboflow:\n  version: 3\n")
    for folder in ("train", "valid", "test"):
        image(tmp_path / folder / "images" / "a.jpg")
        text(tmp_path / folder / "labels" / "a.txt", SQUARE)
    labels = formats.read(tmp_path)
    assert [r.name for r in labels.refs] == ["train/a.jpg", "valid/a.jpg", "test/a.jpg"]
    assert [r.attributes["split"] for r in labels.refs] == ["train", "val", "test"]
    assert [len(i) for _, i in labels] == [1, 1, 1]


@pytest.mark.parametrize(
    "stated",
    [
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images",
        "train: /content/parts/train/images\nval: /content/parts/valid/images\ntest: /content/parts/test/images",
        "train: C:\\\\parts\\\\train\\\\images\nval: C:\\\\parts\\\\valid\\\\images\ntest: [C:/parts/test/images]",
        "path: /content/parts\ntrain: train/images\nval: valid/images\ntest: test/images",
    ],
)
def test_a_split_that_is_not_there(tmp_path: Path, stated: str, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "valid"):
        image(tmp_path / split / "images" / f"{split}.png")
        text(tmp_path / split / "labels" / f"{split}.txt", SQUARE)
    text(tmp_path / "data.yaml", stated.replace("\\\\", "\\") + "\nnames: [a, b]\n")
    labels = formats.read(tmp_path)
    assert [(r.name, r.attributes["split"], len(i)) for r, i in labels] == [
        ("train/train.png", "train", 1),
        ("valid/valid.png", "val", 1),
    ]
    assert "is not there; the other splits are read" in caplog.text
    (tmp_path / "train").rename(tmp_path / "trained")
    (tmp_path / "valid").rename(tmp_path / "other")
    with pytest.raises(FormatError, match=r"data\.yaml: train: .*val: .*test: .* must lie below"):
        formats.read(tmp_path)


def test_lists_of_another_machine(tmp_path: Path) -> None:
    for name in ("a", "b"):
        image(tmp_path / "images" / "train" / f"{name}.png")
        text(tmp_path / "labels" / "train" / f"{name}.txt", SQUARE)
    text(tmp_path / "train.txt", "/content/set/images/train/a.png\nC:\\set\\images\\train\\b.png\n")
    text(tmp_path / "data.yaml", "train: /content/set/train.txt\nnames: [a, b]\n")
    assert [(r.path.is_file(), len(i)) for r, i in formats.read(tmp_path)] == [(True, 1), (True, 1)]


def test_images_in_a_folder_of_another_layout(tmp_path: Path) -> None:
    text(tmp_path / "set" / "labels" / "train" / "a.txt", SQUARE)
    text(tmp_path / "set" / "data.yaml", "train: images/train\nnames: [a, b]\n")
    found = image(tmp_path / "photos" / "all" / "a.png")
    assert formats.read(tmp_path / "set", images=tmp_path / "photos").refs[0].path == found
    image(tmp_path / "photos" / "more" / "a.png")
    with pytest.raises(FormatError, match=r"its image: could be .*a\.png or .*a\.png"):
        formats.read(tmp_path / "set", images=tmp_path / "photos")
    told: list[FormatError] = []
    assert len(formats.read(tmp_path / "set", images=tmp_path / "photos", on_bad=told.append)) == 0
    assert len(told) == 1


def test_as_cvat_lays_it_out(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", "names:\n  0: nut\n  1: bolt\npath: .\ntrain: train.txt\n")
    text(tmp_path / "train.txt", "images/train/sub/a.png\nimages/train/b.png\n")
    text(tmp_path / "labels" / "train" / "sub" / "a.txt", SQUARE)
    text(tmp_path / "labels" / "train" / "b.txt", "")
    image(tmp_path / "photos" / "train" / "sub" / "a.png")
    labels = formats.read(tmp_path, images=tmp_path / "photos")
    assert [r.name for r in labels.refs] == ["train/sub/a.png", "train/b.png"]
    assert labels.refs[0].path == tmp_path / "photos" / "train" / "sub" / "a.png"
    assert len(labels[0][1]) == 1
    with pytest.raises(FormatError, match=r"b\.txt: image 'train/b\.png': its size is not stated"):
        labels[1]
    told: list[FormatError] = []
    assert len(list(formats.read(tmp_path, images=tmp_path / "photos", on_bad=told.append))) == 1
    assert len(told) == 1


def test_lists_and_labels_beside_images(tmp_path: Path) -> None:
    text(tmp_path / "set.yml", f"train: [lists/a.txt, {tmp_path.as_posix()}/more]\nval: more\nnames: [nut, bolt]")
    text(tmp_path / "lists" / "a.txt", f"./x/a.png\n\n{tmp_path.as_posix()}/b.png\r\nx\\a.png\n")
    for place in ("lists/x/a", "b", "x/a", "more/c"):
        image(tmp_path / f"{place}.png")
        text(tmp_path / f"{place}.txt", SQUARE)
    labels = formats.read(tmp_path)
    assert [(r.name, r.attributes["split"]) for r in labels.refs] == [
        ("lists/x/a.png", "train"), ("b.png", "train"), ("x/a.png", "train"), ("more/c.png", "train"),
    ]  # fmt: skip
    assert all(len(i) == 1 for _, i in labels)


def test_labels_whose_images_are_elsewhere(tmp_path: Path) -> None:
    simple(tmp_path / "set")
    (tmp_path / "set" / "images" / "train" / "a.png").unlink()
    labels = formats.read(tmp_path / "set")
    assert labels.refs[0].name == "train/a"
    with pytest.raises(FormatError, match="its size is not stated"):
        labels[0]
    image(tmp_path / "photos" / "train" / "a.tif")
    found_ref, found = formats.read(tmp_path / "set", images=tmp_path / "photos")[0]
    assert (found_ref.name, found.size) == ("train/a.tif", (8, 10))


def test_outlines_joined_by_a_line_are_several_parts(tmp_path: Path) -> None:
    # as trainers' own converters write two parts: out along a line, and back along the same
    points = [(1, 1), (3, 1), (3, 3), (6, 5), (8, 5), (8, 7), (6, 7), (6, 5), (3, 3), (1, 3)]
    simple(tmp_path, "0 " + " ".join(f"{x / 10} {y / 8}" for x, y in points))
    found = formats.read(tmp_path)[0][1]
    assert (found.masks.area.tolist(), found.masks.parts.tolist()) == ([8], [2])


ROWS = {
    "box": ("0 0.5 0.5 0.2 0.2", "is a box"),
    "two points": ("0 0.1", "has 2 numbers"),
    "two and a half": ("0 0.1 0.2 0.3 0.4 0.5", r"is a box with a score \(6 numbers\)"),
    "three and a half": ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "has 8 numbers; it must be a class and x, y pairs"),
    "one point": ("0 0.1 0.2", "has 1 points; at least 3"),
    "words": ("0 a b c d e f", "must be numbers"),
    "nan": ("0 nan 0 1 0 1 1", "not finite"),
    "inf": ("0 inf 0 1 0 1 1", "not finite"),
    "class": ("2 0 0 1 0 1 1", "no class 2"),
    "no class": ("-1 0 0 1 0 1 1", "no class -1"),
    "half class": ("0.5 0 0 1 0 1 1", r"no class 0\.5"),
    "pixels": ("0 1 1 40 1 40 30", "is it normalised"),
    "negative": ("0 -0.9 0 1 0 1 1", "pixels outside the image"),
}


@pytest.mark.parametrize("name", ROWS)
def test_bad_rows_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    row, reason = ROWS[name]
    simple(tmp_path, f"{SQUARE}{row}\n{SQUARE}")
    with pytest.raises(FormatError, match=rf"a\.txt: line 2: .*{reason}"):
        list(formats.read(tmp_path))
    told: list[FormatError] = []
    found = [i for _, i in formats.read(tmp_path, on_bad=told.append)]
    assert len(told) == 1
    assert found[0].masks.area.tolist() == [6, 6]


SCORED = "0 0.1 0.125 0.4 0.125 0.4 0.375 0.1 0.375 0.9\n"


def test_predictions_with_scores(tmp_path: Path) -> None:
    simple(tmp_path / "set", SCORED + "1 0.5 0 1 0 1 1 0.25\n")
    text(tmp_path / "set" / "labels" / "val" / "b.txt", "")
    found = formats.read(tmp_path / "set")
    instances = found[0][1]
    assert instances.scores is not None
    assert (instances.scores.tolist(), instances.names) == ([0.9, 0.25], ["nut", "bolt"])
    assert instances.masks[0] == Masks.from_boxes([[1, 1, 4, 3]], (8, 10))
    formats.write(found, tmp_path / "found.json")
    back = formats.read(tmp_path / "found.json")[0][1]
    assert back.scores is not None
    assert back.scores.tolist() == [0.9, 0.25]
    with pytest.raises(LossyFormatError, match="have scores"):
        formats.write(found, tmp_path / "out", "yolo")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (SCORED + SQUARE, r"a\.txt: line 2: has no score, but line 1 of .*a\.txt has one"),
        (SQUARE + SCORED, r"a\.txt: line 2: has 10 numbers; .* A score may follow"),
        (SCORED + "1 0.5 0 1 0 1 1 1.5\n", r"a\.txt: line 2: its last number, 1\.5, must be a score from 0 to 1"),
        (SCORED + "1 0.5 0 1 0 1 1 nan\n", r"a\.txt: line 2: its last number, nan, must be a score from 0 to 1"),
    ],
)
def test_all_rows_have_a_score_or_none_has(tmp_path: Path, rows: str, reason: str) -> None:
    simple(tmp_path, rows)
    with pytest.raises(FormatError, match=reason):
        formats.read(tmp_path)[0]
    told: list[FormatError] = []
    assert len(formats.read(tmp_path, on_bad=told.append)[0][1]) == 1
    assert len(told) == 1


def test_rounding_at_the_border_is_no_fault(tmp_path: Path) -> None:
    simple(tmp_path, "0.0 -0.000001 0 1.000001 0 1 1 0 1\n")
    assert formats.read(tmp_path)[0][1].masks.area.tolist() == [80]


def test_a_detection_set_is_named(tmp_path: Path) -> None:
    simple(tmp_path, "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    for on_bad in (None, lambda error: None):
        with pytest.raises(FormatError, match=r"is a detection set: all 2 rows of 1 label files are boxes"):
            formats.read(tmp_path, on_bad=on_bad)
    text(tmp_path / "labels" / "train" / "a.txt", "0 0.5 0.5 0.2 0.2 0.9\n")
    with pytest.raises(FormatError, match="is a detection set"):
        formats.read(tmp_path)
    text(tmp_path / "data.yaml", DATA + "kpt_shape: [17, 3]\n")
    with pytest.raises(FormatError, match="set of key points"):
        formats.read(tmp_path)


CONFIGS = {
    "no names": ("train: images/train\n", "names: must be a list"),
    "count": (DATA + "nc: 3\n", "nc: is 3, but there are 2 names"),
    "twice": ("train: images/train\nnames: [a, a]", "'a' is there twice"),
    "yes": ("train: images/train\nnames: [yes, a]", "names: True is no text; put it in quotes"),
    "keys": ("train: images/train\nnames: {a: 1}", "names: must be"),
    "split": ("train: 3\nnames: [a]", "train: must be a folder"),
    "absent": ("train: nothing\nnames: [a]", "train: 'nothing' is not there; images and labels must lie below"),
    "leaves": ("train: ../../nothing\nnames: [a]", "train: '../../nothing' is not there"),
    "aliases": ("a: &a [1]\nb: *a\ntrain: images\nnames: [a]", "aliases"),
    "no yaml": ("train: [\nnames: [a]", "is no YAML"),
    "no object": ("- train: x\n", "is no data.yaml"),
    "bytes": ("names: [\udcff]", "is not UTF-8"),
    "code": ("names: !!python/object/apply:os.getcwd []\ntrain: images", "is no YAML"),
    "deep": ("names: " + "[" * 5000, "too deep"),
    "empty": ("", "is no data.yaml"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_data_yaml(tmp_path: Path, name: str) -> None:
    content, reason = CONFIGS[name]
    simple(tmp_path, data=content)
    with pytest.raises(FormatError, match=rf"data\.yaml: .*({reason})"):
        formats.read(tmp_path / "data.yaml", "yolo")


def test_bad_lists_and_label_files(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", "train: train.txt\nnames: [nut, bolt]\n")
    image(tmp_path / "images" / "a.png")
    for line, reason in (
        ("../x.png", "leaves"),
        ("/etc/x.png", "leaves"),
        ("a.doc", "is no image"),
        ("a.jpg", "label file of both"),
    ):
        text(tmp_path / "train.txt", f"images/a.png\nimages/{line}\n" if line[0] == "a" else f"images/a.png\n{line}\n")
        with pytest.raises(FormatError, match=reason):
            formats.read(tmp_path)
        told: list[FormatError] = []
        assert [r.name for r in formats.read(tmp_path, on_bad=told.append).refs] == ["a.png"]
        assert len(told) == 1
    text(tmp_path / "train.txt", "images/a.png\n")
    text(tmp_path / "labels" / "a.txt", SQUARE + "\udcff")
    with pytest.raises(FormatError, match=r"a\.txt: is not UTF-8"):
        list(formats.read(tmp_path))
    told = []
    assert list(formats.read(tmp_path, on_bad=told.append)) == []
    assert len(told) == 1
    text(tmp_path / "other.yaml", DATA)
    (tmp_path / "data.yaml").rename(tmp_path / "third.yaml")
    with pytest.raises(FormatError, match="several YAML files"):
        formats.read(tmp_path, "yolo")


def test_what_is_written(tmp_path: Path) -> None:
    found = Instances(Masks.from_boxes([[1, 1, 4, 3]], (8, 10)), [1], ("nut", "bolt"))
    records = [
        (ref("x/a.png"), found),
        (ImageRef(Path("b.jpg"), "b.jpg", attributes={"split": "val"}), found[:0]),
        (ImageRef(Path("c.jpg"), "c.jpg", attributes={"split": "test"}), found),
    ]
    formats.write(records, tmp_path / "out", "yolo")
    root = tmp_path / "out"
    assert yaml.safe_load((root / "data.yaml").read_text()) == {
        "nc": 2, "train": "train.txt", "val": "val.txt", "test": "test.txt", "names": {0: "nut", 1: "bolt"},
    }  # fmt: skip
    assert (root / "train.txt").read_text() == "./images/x/a.png\n"
    assert (root / "val.txt").read_text() == "./images/b.jpg\n"
    assert (root / "labels" / "x" / "a.txt").read_text() == "1 0.1 0.125 0.4 0.125 0.4 0.375 0.1 0.375\n"
    assert (root / "labels" / "b.txt").read_text() == ""
    labels = formats.read(root)
    assert [(r.name, r.size, r.attributes["split"]) for r in labels.refs] == [
        ("x/a.png", (8, 10), "train"), ("b.jpg", (8, 10), "val"), ("c.jpg", (8, 10), "test"),
    ]  # fmt: skip
    assert [i for _, i in labels] == [i for _, i in records]
    formats.write(labels, tmp_path / "again", "yolo")
    assert (tmp_path / "again" / "val.txt").read_text() == "./images/b.jpg\n"
    # images put where they belong are found, and a list of nothing but train serves as val too
    image(root / "images" / "x" / "a.png")
    assert formats.read(root).refs[0].path == root / "images" / "x" / "a.png"
    formats.write(records[:1], tmp_path / "one", "yolo")
    assert yaml.safe_load((tmp_path / "one" / "data.yaml").read_text())["val"] == "train.txt"
    assert [r.attributes["split"] for r in formats.read(tmp_path / "one").refs] == ["train"]


def test_class_numbers_with_gaps_are_kept(tmp_path: Path) -> None:
    simple(tmp_path / "in", SQUARE.replace("0 ", "7 ", 1), "train: images/train\nnames: {7: nut, 3: 5}\n")
    labels = formats.read(tmp_path / "in")
    assert labels.classes == ("5", "nut")
    assert labels[0][1].names == ["nut"]
    formats.write(labels, tmp_path / "out", "yolo")
    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"] == {3: "5", 7: "nut"}
    assert formats.read(tmp_path / "out")[0][1] == labels[0][1]


def test_written_labels_that_were_cut_or_edited(tmp_path: Path) -> None:
    root, masks = tmp_path / "out", Masks.from_boxes([[0, 0, 2, 2], [3, 3, 5, 5]], (6, 6))
    formats.write([(ref(), Instances(masks))], root, "yolo")
    rows = (root / "labels" / "a.txt").read_text().splitlines()
    for cut, reason in (
        (rows[0] + "\n", "has 1 rows of labels where 2 were written"),
        ("\n".join(rows), "line 2: is cut short"),
    ):
        text(root / "labels" / "a.txt", cut)
        with pytest.raises(FormatError, match=reason):
            formats.read(root)[0]
    text(root / "labels" / "a.txt", "\n".join([*rows, rows[0], ""]))
    assert len(formats.read(root)[0][1]) == 3
    for notes, reason in (
        ('["images/a.png", 6]', "line 1"),
        ('["images/a.png", 6, 10000000000, 2]', "width must be"),
        ("{", "line 1"),
        ('["images/b.png", 6, 6, 2]', "are in no list of images"),
    ):
        text(root / "apiece.jsonl", notes)
        with pytest.raises(FormatError, match=rf"apiece\.jsonl: .*{reason}"):
            formats.read(root)
    (root / "apiece.jsonl").unlink()
    image(root / "images" / "a.png", (12, 12))
    assert formats.read(root)[0][1].masks.area.tolist() == [16, 16, 16]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    one = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    other = ImageRef(Path("a.png"), "a.png", attributes={"split": "mini"})
    for image_ref, instances, reason in (
        (ref("a.dcm"), one, "is none that trainers take"),
        (ref("a.png"), one.replace(classes=("a\x7fb\x85",)), "cannot stand in YAML"),
        (ref("a\n.png"), one, "cannot stand in a list"),
        (ref(".a.png"), one, "is hidden"),
        (other, one, "its split is 'mini'"),
        (ImageRef(Path("a.png"), "a.png", (5, 5)), one, r"is \(5, 5\), but"),
    ):
        with pytest.raises(FormatError, match=reason):
            formats.write([(image_ref, instances)], tmp_path / "out", "yolo")
    with pytest.raises(FormatError, match=r"would share labels/a\.txt"):
        formats.write([(ref("a.png"), one), (ref("a.jpg"), one)], tmp_path / "out", "yolo")
    ring = np.ones((1, 4, 4), bool)
    ring[0, 1, 1] = False
    with pytest.raises(LossyFormatError, match="instance 0 with holes"):
        formats.write([(ref(), Instances(Masks.from_dense(ring)))], tmp_path / "out", "yolo")
    assert list(tmp_path.iterdir()) == []


def test_names_with_folders_called_images(tmp_path: Path) -> None:
    one = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    names = ["images/a.png", "b/images/c.png", "labels/images.png"]
    formats.write([(ref(n), one) for n in names], tmp_path / "out", "yolo")
    assert [r.name for r in formats.read(tmp_path / "out").refs] == names
    assert (tmp_path / "out" / "images" / "labels" / "a.txt").is_file()  # where trainers look
    notes = [json.loads(line) for line in (tmp_path / "out" / "apiece.jsonl").read_text().splitlines()]
    assert notes[1] == ["images/b/images/c.png", 4, 4, 1, "b/images/c.png"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5000), st.integers(1, 5000), st.data())
def test_boxes_on_images_of_any_size_come_back(tmp_path: Path, height: int, width: int, data: st.DataObject) -> None:
    x = data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True))
    y = data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True))
    masks = Masks.from_boxes([[min(x), min(y), max(x), max(y)]], (height, width))
    path = tmp_path / str(len(list(tmp_path.iterdir())))
    formats.write([(ref(), Instances(masks))], path, "yolo")
    assert formats.read(path)[0][1].masks == masks


def test_a_split_that_names_the_images_of_another_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in coco128.yaml, whose val is its train."""
    image(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [a]\n")
    assert [r.attributes["split"] for r in formats.read(tmp_path).refs] == ["train"]
    assert "val names the images of train" in caplog.text


ROW = "0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4\n"


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt", "obj.names", "data.yaml"])
def test_a_list_of_classes_without_splits(tmp_path: Path, place: str) -> None:
    """As Label Studio exports it: images/, labels/, classes.txt, notes.json; and supervision, a data.yaml of names."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    image(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text(ROW)
    assert not formats.load("yolo").detect(tmp_path)
    (tmp_path / place).write_text("nc: 2\nnames: [nut, bolt]\n" if place == "data.yaml" else "nut\nbolt\n")
    assert formats.detect(tmp_path) == formats.detect(tmp_path / place if place == "data.yaml" else tmp_path) == "yolo"
    ((ref, found),) = formats.read(tmp_path)
    assert (ref.name, found.names, found.classes) == ("a.png", ["nut"], ("nut", "bolt"))


def test_a_list_of_classes_beside_split_folders(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        image(tmp_path / "images" / split / f"{split}.png")
        (tmp_path / "labels" / split / f"{split}.txt").write_text(ROW)
    (tmp_path / "classes.txt").write_text("nut\n")
    assert [ref.attributes["split"] for ref in formats.read(tmp_path).refs] == ["train", "val"]


def test_lists_of_images_that_name_a_folder_above(tmp_path: Path) -> None:
    """CVAT's "Ultralytics YOLO Segmentation": ``data/images/train/a.png`` in a set without a folder data."""
    for folder in ("images", "labels"):
        (tmp_path / folder / "train").mkdir(parents=True)
    image(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train" / "a.txt").write_text(ROW)
    (tmp_path / "train.txt").write_text("data/images/train/a.png\n")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: train.txt\nnames:\n  0: nut\n")
    ((ref, found),) = formats.read(tmp_path)
    assert ref.path == tmp_path / "images" / "train" / "a.png"
    assert len(found) == 1


def test_names_without_splits_or_labels(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", "names: [a]\n")
    assert not formats.load("yolo").detect(tmp_path)
    with pytest.raises(FormatError, match="says neither train, val nor test"):
        formats.read(tmp_path / "data.yaml", "yolo")


@pytest.mark.parametrize("place", ["classes.txt", "data.yaml"])
def test_names_beside_folders_of_splits(tmp_path: Path, place: str) -> None:
    text(tmp_path / place, "names: [nut]\n" if place.endswith("yaml") else "nut\n")
    for folder, split in (("train", "train"), ("valid", "val")):
        image(tmp_path / folder / "images" / f"{split}.png")
        text(tmp_path / folder / "labels" / f"{split}.txt", SQUARE)
    assert formats.detect(tmp_path) == "yolo"
    labels = formats.read(tmp_path)
    assert [(ref.name, ref.attributes["split"], found.names) for ref, found in labels] == [
        ("train/train.png", "train", ["nut"]),
        ("valid/val.png", "val", ["nut"]),
    ]


def test_rows_without_names_say_so(tmp_path: Path) -> None:
    image(tmp_path / "train" / "images" / "a.png")
    row = text(tmp_path / "train" / "labels" / "a.txt", SQUARE)
    with pytest.raises(FormatError, match=r"outlines of YOLO \(train/labels/a\.txt\).* write names: "):
        formats.detect(tmp_path)
    text(tmp_path / "data.yaml", "train: train/images\nnc: 1\n")
    with pytest.raises(FormatError, match="nothing says what their classes are called"):
        formats.detect(tmp_path)
    text(row, "0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(FormatError, match=r"boxes of YOLO .* no masks"):
        formats.detect(tmp_path)
