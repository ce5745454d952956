"""labelme: files as labelme 5.4 and 4.5 write them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.datasets import Dataset, WriteOptions
from apiece.datasets.write import write_sets
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import ref


def shape(label: str, points: Any, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    """One shape with the keys and in the order of labelme 5.4."""
    own = {"label": label, "points": points, "group_id": None, "description": "", "shape_type": kind, "flags": {}}
    return own | {"mask": None} | more


def document(*shapes: Any, **more: Any) -> dict[str, Any]:
    own = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return own | {"imageHeight": 8, "imageWidth": 10} | more


def save(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2), encoding="utf-8")
    return path


def png(mask: Any, mode: str = "L") -> str:
    out = io.BytesIO()
    Pillow.fromarray(np.asarray(mask, np.uint8)).convert(mode).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def dense(path: Path) -> np.ndarray:
    return formats.read(path)[0][1].masks.to_dense()


def test_every_kind_of_shape(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.json",
        document(
            shape("nut", [[1, 1], [4, 1], [4, 3], [1, 3]]),
            shape("bolt", [[9.0, 7.0], [6.0, 5.0]], "rectangle"),
            shape("nut", [[3.0, 5.0], [5.0, 5.0]], "circle"),
            shape("hole", [[5.0, 0.0], [7.0, 1.0]], "mask", mask=png([[1, 0, 1], [0, 1, 1]])),
        ),
    )
    assert formats.detect(path) == "labelme"
    labels = formats.read(path)
    image, found = labels[0]
    assert labels.classes == ("bolt", "hole", "nut")
    assert found.names == ["nut", "bolt", "nut", "hole"]
    assert (image.name, image.size, found.ids, found.scores, dict(found.attributes)) == (
        "a.jpg",
        (8, 10),
        None,
        None,
        {},
    )
    wanted = np.zeros((4, 8, 10), bool)
    wanted[0, 1:3, 1:4] = True
    wanted[1, 5:7, 6:9] = True
    y, x = np.mgrid[:8, :10] + 0.5
    wanted[2] = (x - 3) ** 2 + (y - 5) ** 2 <= 4
    wanted[3, :2, 5:8] = [[1, 0, 1], [0, 1, 1]]
    np.testing.assert_array_equal(found.masks.to_dense(), wanted)


def test_a_rectangle_around_its_group_is_no_part(tmp_path: Path) -> None:
    triangle = shape("nut", [[0, 0], [8, 0], [0, 8]], group_id=7)
    around = shape("nut", [[0, 0], [8, 8]], "rectangle", group_id=7)
    found = formats.read(save(tmp_path / "a.json", document(around, triangle)))[0][1]
    assert found.masks.area.tolist() == formats.read(save(tmp_path / "a.json", document(triangle)))[0][1].masks.area
    part = shape("nut", [[5, 5], [8, 8]], "rectangle", group_id=7)
    found = formats.read(save(tmp_path / "a.json", document(part, triangle)))[0][1]
    assert found.masks.parts.tolist() == [2]


def test_groups_join_parts_and_give_ids(tmp_path: Path) -> None:
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    far = [[6, 6], [8, 6], [8, 8], [6, 8]]
    mask = shape("nut", [[4, 0], [5, 1]], "mask", mask=png([[1, 1], [0, 1]]), group_id=7)
    shapes = [shape("nut", square, group_id=7), shape("nut", square, group_id=2), shape("nut", far, group_id=7)]
    found = formats.read(save(tmp_path / "a.json", document(*shapes, mask)))[0][1]
    assert found.ids is not None
    assert found.ids.tolist() == [7, 2]
    assert found.masks.area.tolist() == [11, 4]
    assert found.masks.parts.tolist() == [3, 1]
    # one number for two labels, or none for some: the numbers are no ids, but kept
    found = formats.read(save(tmp_path / "a.json", document(*shapes, shape("bolt", far, group_id=2))))[0][1]
    assert (found.ids, found.attributes["group_id"].tolist()) == (None, [7, 2, 2])
    labels = formats.read(save(tmp_path / "a.json", document(*shapes, shape("nut", far))))
    assert labels[0][1].attributes["group_id"].tolist() == [7, 2, None]
    formats.write(labels, tmp_path / "again", "labelme")
    assert formats.read(tmp_path / "again")[0][1] == labels[0][1]


def test_flags_descriptions_scores_and_keys_of_other_tools(tmp_path: Path) -> None:
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    path = save(
        tmp_path / "sub" / "b.json",
        document(
            shape("nut", square, flags={"hidden": True, "old": False}, description="left", score=0.5, difficult=False),
            shape("nut", square, flags={"hidden": False, "old": False}, description="", score=1, attributes={}),
            flags={"checked": True},
            imagePath="..\\b.png",
            camera=3,
            imageHeight=None,
            imageWidth=None,
        ),
    )
    Pillow.new("L", (10, 8)).save(tmp_path / "b.png")
    labels = formats.read(tmp_path, "labelme")
    image, found = labels[0]
    assert (image.name, image.path, image.size) == ("b.png", tmp_path / "b.png", None)
    assert dict(image.attributes) == {"flags": {"checked": True}, "camera": 3}
    assert found.size == (8, 10)
    assert found.scores is not None
    assert found.scores.tolist() == [0.5, 1]
    assert {k: v.tolist() for k, v in found.attributes.items()} == {
        "hidden": [True, False], "old": [False, False], "description": ["left", ""], "difficult": [False, None],
    }  # fmt: skip
    formats.write(labels, tmp_path / "out", "labelme")
    again = formats.read(tmp_path / "out", images=tmp_path)
    assert again[0][1] == found
    assert again.refs[0].attributes == image.attributes
    assert path.exists()


def test_labels_of_version_4(tmp_path: Path) -> None:
    old = {"label": "x", "points": [[0, 0], [3, 0], [3, 3]], "group_id": None, "shape_type": "polygon", "flags": {}}
    save(tmp_path / "a.json", {"version": "4.5.6", "flags": {}, "shapes": [old], "imagePath": "a.jpg",
                               "imageData": "x" * 500_000, "imageHeight": 4, "imageWidth": 4})  # fmt: skip
    assert formats.detect(tmp_path) == "labelme"
    assert len(formats.read(tmp_path)[0][1]) == 1


def test_labels_of_version_2(tmp_path: Path) -> None:
    """Neither a version, nor flags, nor the image's size; the image is in the file."""
    Pillow.new("L", (10, 8)).save(tmp_path / "a.jpg")
    data = base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode()
    old = {"label": "nut", "line_color": None, "fill_color": None, "points": [[1, 1], [4, 1], [4, 3], [1, 3]]}
    own = {"shapes": [old], "lineColor": [0, 255, 0, 128], "fillColor": [255, 0, 0, 128], "imagePath": "a.jpg"}
    path = save(tmp_path / "a.json", own | {"imageData": data})
    assert formats.detect(path) == formats.detect(tmp_path) == "labelme"
    assert formats.read(path)[0][1].masks.area.tolist() == [6]


def test_a_list_of_labels_gives_the_order(tmp_path: Path) -> None:
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    save(tmp_path / "a.json", document(shape("nut", square), shape("gasket", square)))
    save(tmp_path / "labels.txt", "__ignore__\n_background_\nwasher\nnut\n")
    bad: list[FormatError] = []
    labels = formats.read(tmp_path, on_bad=bad.append)
    assert labels.classes == ("washer", "nut")
    assert labels[0][1].names == ["nut"]
    assert [e.reason for e in bad] == [
        "shapes[1]: label: 'gasket' is no class; labels.txt lists the labels: add it there"
    ]
    save(tmp_path / "labels.txt", "nut\nnut\n")
    with pytest.raises(FormatError, match=r"labels\.txt: 'nut' is there twice"):
        formats.read(tmp_path)
    (tmp_path / "labels.txt").write_bytes("Mütter\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"labels\.txt: is not UTF-8 \(byte 1\); save it as UTF-8"):
        formats.read(tmp_path)


SQUARE = [[1, 1], [4, 1], [4, 3], [1, 3]]
BAD = {
    "two points": (shape("nut", [[1, 1], [2, 2]]), "polygon has 2 points; at least 3"),
    "no points": (shape("nut", "x"), "at least 3|must be|list"),
    "outside": (shape("nut", [[1, 1], [40, 1], [4, 3]]), "reaches 30 pixels outside the image of 10 x 8"),
    "huge": (shape("nut", [[1, 1], [10**400, 1], [4, 3]]), "not finite"),
    "unknown kind": (shape("nut", SQUARE, "blob"), "'blob' is unknown"),
    "no label": (shape("", SQUARE), "label: '' is no class"),
    "group": (shape("nut", SQUARE, group_id="a"), "group_id: must be an integer"),
    "flags": (shape("nut", SQUARE, flags={"a": 1}), "flags: must be"),
    "flag like a key": (shape("nut", SQUARE, flags={"label": True}), "'label' is the name of another key"),
    "rectangle": (shape("nut", SQUARE[:3], "rectangle"), "has two points .* or four"),
    "far circle": (shape("nut", [[90, 1], [91, 1]], "circle"), "lies wholly outside"),
    "flat circle": (shape("nut", [[3, 3], [3, 3]], "circle"), "radii"),
    "no mask": (shape("nut", SQUARE[:2], "mask"), "must be a base64 text"),
    "no base64": (shape("nut", SQUARE[:2], "mask", mask="%%%"), "is no base64 text"),
    "no png": (shape("nut", SQUARE[:2], "mask", mask="AAAA"), "is no PNG or damaged"),
    "cut png": (shape("nut", [[0, 0], [3, 3]], "mask", mask=png(np.ones((4, 4)))[:80]), "is no PNG or damaged"),
    "wrong box": (shape("nut", [[0, 0], [6, 6]], "mask", mask=png(np.ones((4, 4)))), "its points say otherwise"),
    "mask outside": (shape("nut", [[8, 6], [13, 9]], "mask", mask=png(np.ones((4, 6)))), "reaches 4 pixels outside"),
    "mask too large": (shape("nut", [[0, 0], [98, 98]], "mask", mask=png(np.ones((99, 99)))), "more than the image's"),
    "no object": (17, "must be an object"),
    "nan": (shape("nut", [[1, 1], [float("nan"), 1], [4, 3]]), "NaN or Infinity"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_shapes_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    entry, reason = BAD[name]
    path = save(tmp_path / "a.json", document(shape("nut", SQUARE), entry, shape("nut", SQUARE)))
    with pytest.raises(FormatError, match=rf"a\.json: shapes\[1\].*({reason})"):
        list(formats.read(path))
    told: list[FormatError] = []
    found = formats.read(path, on_bad=told.append)[0][1]
    assert len(told) == 1
    assert found.masks.area.tolist() == [6, 6]


FILES = {
    "no image": (document(imagePath=None), "imagePath: must be"),
    "leaves": (document(imagePath="../.."), "is no file name"),
    "absolute": (document(imagePath="C:\\"), "is no file name"),
    "size": (document(imageHeight=-3), "height must be"),
    "giant": (document(imageWidth=2**40), "width must be"),
    "no shapes": ({"version": "5", "shapes": {}}, "shapes: must be a list"),
    "list": ([1], "must be an object"),
    "deep": ("[" * 100_000, "deep"),
    "cut": ('{"version": "5.4.1", "shapes": [{"la', "cut short|line 1"),
    "same image": (document(), "is about image 'a.jpg' too"),
    "no size": (document(imagePath="c.jpg", imageHeight=None, imageWidth=None), "size is not stated"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    content, reason = FILES[name]
    save(tmp_path / "a.json", document(shape("nut", SQUARE)))
    save(tmp_path / "b.json", content)
    with pytest.raises(FormatError, match=rf"b\.json: .*({reason})"):
        list(formats.read(tmp_path, "labelme"))
    told: list[FormatError] = []
    assert [r.name for r, _ in formats.read(tmp_path, "labelme", on_bad=told.append)] == ["a.jpg"]
    assert len(told) == 1


def test_images_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Pillow.new("L", (10, 8)).save(tmp_path / "photos" / "a.jpg")
    save(tmp_path / "j" / "a.json", document(shape("nut", SQUARE), imagePath="../photos/a.jpg"))
    assert formats.read(tmp_path / "j").refs[0].path.samefile(tmp_path / "photos" / "a.jpg")
    assert formats.read(tmp_path / "j", images=tmp_path / "photos").refs[0].path == tmp_path / "photos" / "a.jpg"


@pytest.mark.parametrize("stated", ["..\\photos\\a.jpg", "D:\\x\\photos\\a.jpg", "/home/x/photos/a.jpg"])
def test_images_of_another_machine(tmp_path: Path, stated: str) -> None:
    (tmp_path / "photos").mkdir()
    Pillow.new("L", (10, 8)).save(tmp_path / "photos" / "a.jpg")
    for folder in ("labels", "any"):
        save(tmp_path / folder / "a.json", document(shape("nut", SQUARE), imagePath=stated))
        (ref,) = formats.read(tmp_path / folder).refs
        assert ref.path.samefile(tmp_path / "photos" / "a.jpg")
        assert ref.name == "a.jpg"


def test_the_copy_in_the_file_is_used_where_the_image_is_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = png(np.full((8, 10), 7))
    save(tmp_path / "in" / "a.json", document(shape("nut", SQUARE), imageData=copy, imageHeight=None, imageWidth=None))
    save(tmp_path / "in" / "b.json", document(shape("nut", SQUARE), imageData=copy, imagePath="C:\\x\\b.png"))
    data = Dataset(formats.read(tmp_path / "in"))
    assert [(image.pixels.max(), image.size) for image, _ in data] == [(7, (8, 10))] * 2
    assert "the files of 2 images are absent; the copies in the label files are used" in caplog.text
    written = write_sets({".": data.labels}, tmp_path / "out", "yolo", WriteOptions(allow_lossy=True))
    assert written["."].placed == {"taken out of the label files": 2}
    assert not (tmp_path / "out" / "images" / "a.jpg").is_symlink()
    assert (tmp_path / "out" / "images" / "b.png").read_bytes() == base64.b64decode(copy)
    Pillow.new("L", (10, 8)).save(tmp_path / "in" / "a.jpg")
    assert formats.read(tmp_path / "in").refs[0].path == tmp_path / "in" / "a.jpg"  # the file, where there is one
    save(tmp_path / "in" / "c.json", document(imageData="no base64!", imagePath="c.jpg"))
    with pytest.raises(FormatError, match=r"c\.json: imageData: .*no base64"):
        formats.read(tmp_path / "in")


def test_what_is_written(tmp_path: Path) -> None:
    stack = np.zeros((2, 8, 10), bool)
    stack[0, 1:3, 1:4] = True
    stack[1, 4:8, 5:9] = True
    stack[1, 5, 6] = False
    instances = Instances(Masks.from_dense(stack), [1, 0], ("nut", "bolt"), ids=np.array([4, 9]))
    formats.write([(ref("x/y/z/b.png"), instances)], tmp_path / "deep", "labelme")
    assert formats.detect(tmp_path / "deep") == "labelme"
    formats.write([(ref("x/a.png"), instances)], tmp_path / "out", "labelme")
    assert (tmp_path / "out" / "labels.txt").read_text() == "__ignore__\nnut\nbolt\n"
    found = json.loads((tmp_path / "out" / "x" / "a.json").read_text())
    assert list(found) == ["version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"]
    assert (found["imagePath"], found["imageHeight"], found["imageWidth"]) == ("a.png", 8, 10)
    assert found["shapes"][0] == shape("bolt", [[1, 1], [4, 1], [4, 3], [1, 3]], group_id=4)
    assert found["shapes"][1]["points"] == [[5, 4], [8, 7]]
    assert found["shapes"][1]["shape_type"] == "mask"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    one = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    for attributes, reason in (({"label": [1]}, "'label' is a key"), ({"a": [np.nan]}, "JSON cannot hold")):
        with pytest.raises(LossyFormatError, match=reason):
            formats.write([(ref(), one.replace(attributes=attributes))], tmp_path / "out", "labelme")
    with pytest.raises(FormatError, match=r"would share a\.json"):
        formats.write([(ref("a.png"), one), (ref("a.jpg"), one)], tmp_path / "out", "labelme")
    with pytest.raises(FormatError, match="name a folder"):
        formats.write([(ref(), one)], tmp_path / "out.json", "labelme")
    with pytest.raises(LossyFormatError, match="cannot stand in labels"):
        formats.write([(ref(), one.replace(classes=("a\nb",)))], tmp_path / "out", "labelme")
    twins = Instances.concatenate([one, one]).replace(attributes={"group_id": [3, 3]})
    with pytest.raises(LossyFormatError, match="would become one"):
        formats.write([(ref(), twins)], tmp_path / "out", "labelme")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["oriented_rectangle", "rotation", "rectangle"])
def test_turned_rectangles_are_their_four_corners(tmp_path: Path, kind: str) -> None:
    corners = [[4, 0], [8, 4], [4, 8], [0, 4]]
    ((_, turned),) = formats.read(save(tmp_path / "a.json", document(shape("nut", corners, kind))))
    ((_, drawn),) = formats.read(save(tmp_path / "b.json", document(shape("nut", corners))))
    assert turned.masks == drawn.masks
    with pytest.raises(FormatError, match=r"is unknown|or four"):
        list(formats.read(save(tmp_path / "c.json", document(shape("nut", corners[:3], kind)))))
