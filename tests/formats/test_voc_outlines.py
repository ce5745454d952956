"""XML of outlines: as supervision 0.31 and datumaro 1.13 (LabelMe 3.0) write it, shortened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apiece import formats
from apiece.datasets import open_data
from apiece.errors import FormatError
from apiece.formats.contract import OpenedLabels

HEAD = """<?xml version="1.0" ?>
<annotation>
  <folder>VOC</folder>
  <filename>a.png</filename>
  <source><database>roboflow.ai</database></source>
  <size><width>30</width><height>20</height><depth>3</depth></size>
  <segmented>0</segmented>"""
BOX = "<bndbox><xmin>4</xmin><ymin>3</ymin><xmax>13</xmax><ymax>12</ymax></bndbox>"
SQUARE = "<polygon><x1>4</x1><y1>3</y1><x2>4</x2><y2>13</y2><x3>14</x3><y3>13</y3><x4>14</x4><y4>3</y4></polygon>"
SMALL = "<polygon><x1>21</x1><y1>3</y1><x2>21</x2><y2>5.0</y2><x3>23</x3><y3>5</y3><x4>23</x4><y4>3</y4></polygon>"
LABELME = """<annotation>
  <filename>photo.jpg</filename>
  <folder>train</folder>
  <source><sourceImage></sourceImage><sourceAnnotation>Datumaro</sourceAnnotation></source>
  <imagesize><nrows>20</nrows><ncols>30</ncols></imagesize>
"""


def voc(*objects: str) -> str:
    return "\n".join((HEAD, *(f"<object>{one}</object>" for one in objects), "</annotation>"))


def labelme(*objects: tuple[str, str]) -> str:
    """Each object is a name and what is inside it."""
    made = [
        f"<object><name>{name}</name><deleted>0</deleted><occluded>no</occluded><id>{k}</id>{inner}</object>"
        for k, (name, inner) in enumerate(objects)
    ]
    return "\n".join((LABELME, *made, "</annotation>"))


def points(*pairs: tuple[int, int]) -> str:
    inner = "".join(f"<pt><x>{x}.00</x><y>{y}.00</y></pt>" for x, y in pairs)
    return f"<polygon>{inner}<username></username></polygon>"


def save(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def supervision(tmp_path: Path) -> Path:
    save(tmp_path, "annotations/a.xml", voc(f"<name>bolt</name>{BOX}{SQUARE}", f"<name>nut</name>{BOX}{SMALL}"))
    save(tmp_path, "annotations/b.xml", HEAD.replace("a.png", "b.png") + "</annotation>")
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (30, 20)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("below", ["", "annotations"])
def test_numbered_points_count_pixels_from_1(supervision: Path, below: str) -> None:
    assert formats.detect(supervision / below) == "voc"
    labels = formats.read(supervision / below)
    (ref, found), (_, nothing) = labels
    assert (ref.name, ref.size, ref.path.is_file()) == ("a.png", (20, 30), True)
    assert (labels.classes, found.names, len(nothing)) == (("bolt", "nut"), ["bolt", "nut"], 0)
    wanted = np.zeros((20, 30), int)
    wanted[2:12, 3:13], wanted[2:4, 20:22] = 1, 2
    np.testing.assert_array_equal(found.masks.to_label_map([1, 2]), wanted)
    assert isinstance(labels, OpenedLabels)
    (outlines,) = labels.outlines(lambda some: some)
    assert outlines.of(1)[0].tolist() == [[20, 2], [20, 4], [22, 4], [22, 2]]


def test_files_beside_their_images_split_by_split(supervision: Path, tmp_path: Path) -> None:
    """Roboflow's export."""
    for split in ("train", "valid"):
        save(tmp_path, f"rf/{split}/a.xml", (supervision / "annotations" / "a.xml").read_text())
        Image.new("RGB", (30, 20)).save(tmp_path / "rf" / split / "a.png")
    sets = open_data(tmp_path / "rf")
    assert list(sets) == ["train", "val"]
    ((_, found),) = sets["val"]
    assert found.names == ["bolt", "nut"]


def test_several_polygons_are_parts_and_flags_are_attributes(tmp_path: Path) -> None:
    file = save(tmp_path, "a.xml", voc(f"<name>bolt</name><truncated>1</truncated>{SQUARE}{SMALL}"))
    ((_, found),) = formats.read(file)
    assert (found.masks.area.tolist(), found.attributes["truncated"].tolist()) == ([104], [True])


BAD = {
    "box": (f"<name>nut</name>{BOX}", "line 8: object 'nut' has a box and no polygon"),
    "name": (SMALL, "line 8: name is missing"),
    "hole": (f"<name>nut</name>{SMALL.replace('x2', 'x9')}", "line 8: x2 is missing"),
    "odd": (f"<name>nut</name>{SMALL.replace('<y4>3</y4>', '')}", "line 8: y4 is missing"),
    "few": ("<name>nut</name><polygon><x1>1</x1><y1>2</y1></polygon>", "line 8: polygon has 1 points"),
    "number": (f"<name>nut</name>{SMALL.replace('5.0', 'five')}", "line 8: y2 must be a number, got 'five'"),
    "far": (f"<name>nut</name>{SMALL.replace('21', '99')}", "line 8: reaches 68 pixels outside the image"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_objects_are_named(tmp_path: Path, case: str) -> None:
    inner, message = BAD[case]
    file = save(
        tmp_path,
        "a.xml",
        voc(f"<name>bolt</name>{SQUARE}", inner).replace("\n<object><name>bolt", "<object><name>bolt"),
    )
    with pytest.raises(FormatError, match=r"a\.xml: " + message):
        list(formats.read(file))
    told: list[FormatError] = []
    ((_, found),) = formats.read(file, on_bad=told.append)
    assert (found.names, len(told)) == (["bolt"], 1)


def test_labelme_3(tmp_path: Path) -> None:
    square = points((2, 3), (10, 3), (10, 9), (2, 9))
    parts = ("<parts><hasparts>3,4</hasparts></parts>", "<parts><ispartof>2</ispartof></parts>")
    text = labelme(
        ("nut", "<segm><mask>photo_mask_0.png</mask></segm><attributes>colour=red</attributes>"),
        ("bolt", square.replace("<polygon>", "<type>bounding_box</type><polygon>")),
        ("bolt", parts[0] + points((12, 3), (20, 3), (20, 9), (12, 9))),
        ("bolt", parts[1] + points((22, 3), (25, 3), (25, 9), (22, 9))),
        ("thread", parts[1] + points((22, 13), (25, 13), (25, 19), (22, 19))),
        ("bolt", parts[1].replace("2", "3") + points((26, 3), (28, 3), (28, 5), (26, 5))),
        ("ghost", square),
    ).replace("<name>ghost</name><deleted>0", "<name>ghost</name><deleted>1")
    save(tmp_path, "Annotations/train/photo.xml", text)
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[14:18, 1:5] = 128
    for folder, name, array in (("Masks", "photo_mask_0.png", mask), ("Images", "photo.jpg", mask)):
        (tmp_path / folder / "train").mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / folder / "train" / name)
    for below in ("", "Annotations"):
        assert formats.detect(tmp_path / below) == "voc"
        ((ref, found),) = formats.read(tmp_path / below)
        assert (ref.name, ref.path.is_file()) == ("train/photo.jpg", True)
        assert found.names == ["nut", "bolt", "bolt", "thread"]
        assert found.masks.area.tolist() == [16, 48, 48 + 18 + 4, 18]
        assert found.ids is not None
        assert found.ids.tolist() == [0, 1, 2, 4]
        assert found.attributes["attributes"].tolist() == ["colour=red", None, None, None]
        assert found.attributes["part_of"].tolist() == [None, None, None, 2]
    (tmp_path / "Masks" / "train" / "photo_mask_0.png").unlink()
    with pytest.raises(FormatError, match=r"photo\.xml: line 7: there is no mask 'photo_mask_0\.png' in .*Masks"):
        list(formats.read(tmp_path))


def test_masks_of_another_size(tmp_path: Path) -> None:
    save(tmp_path, "photo.xml", labelme(("nut", "<segm><mask>m.png</mask></segm>")))
    (tmp_path / "Masks").mkdir()
    Image.new("L", (5, 4)).save(tmp_path / "Masks" / "m.png")
    with pytest.raises(FormatError, match=r"m\.png: is of \(4, 5\) pixels, and its image of \(20, 30\)"):
        list(formats.read(tmp_path))


def test_a_box_around_its_object_is_no_part(tmp_path: Path) -> None:
    outline = "<parts><hasparts>1</hasparts></parts>" + points((2, 3), (10, 3), (2, 9))
    box = "<parts><ispartof>0</ispartof></parts><type>bounding_box</type>" + points((2, 3), (10, 3), (10, 9), (2, 9))
    for bodies, count in (((("nut", outline), ("nut", box)), 1), ((("nut", outline), ("bolt", box)), 2)):
        file = save(tmp_path, "a.xml", labelme(*bodies))
        ((_, found),) = formats.read(file)
        assert len(found) == count
        assert found.masks.area[0] < 40
