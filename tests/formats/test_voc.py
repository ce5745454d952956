"""Pascal VOC: the layout of the VOC2012 devkit, written by hand, and labelme2voc's ``class_names.txt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import plain_instances, ref

V = 255
OBJECTS = np.array([[V, V, V, 0, 0], [V, 1, V, V, V], [V, V, V, 2, V], [0, 0, V, V, V]], np.uint8)
CLASSES = np.array([[V, V, V, 0, 0], [V, 1, V, V, V], [V, V, V, 15, V], [0, 0, V, V, V]], np.uint8)
XML = """<annotation>
	<folder>VOC2012</folder>
	<filename>2007_000032.jpg</filename>
	<source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation></source>
	<size><width>5</width><height>4</height><depth>3</depth></size>
	<segmented>1</segmented>
	<object>
		<name>aeroplane</name>
		<pose>Frontal</pose>
		<truncated>0</truncated>
		<difficult>1</difficult>
		<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox>
	</object>
	<object>
		<name>person</name>
		<pose>Left</pose>
		<truncated>1</truncated>
		<difficult>0</difficult>
		<bndbox><xmin>3</xmin><ymin>2</ymin><xmax>5</xmax><ymax>4</ymax></bndbox>
		<part><name>head</name><bndbox><xmin>4</xmin><ymin>3</ymin><xmax>4</xmax><ymax>3</ymax></bndbox></part>
	</object>
</annotation>
"""


def palette_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Pillow.fromarray(array)
    image.putpalette([i for k in range(256) for i in (k, 0, 255 - k)])
    image.save(path)


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    root = tmp_path / "VOC2012"
    palette_png(root / "SegmentationObject" / "2007_000032.png", OBJECTS)
    palette_png(root / "SegmentationClass" / "2007_000032.png", CLASSES)
    (root / "Annotations").mkdir()
    (root / "Annotations" / "2007_000032.xml").write_text(XML)
    (root / "JPEGImages").mkdir()
    Pillow.new("RGB", (5, 4)).save(root / "JPEGImages" / "2007_000032.jpg")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("")
    (lists / "test.txt").write_text("2008_000006\n")
    return root


def test_devkit(devkit: Path) -> None:
    assert formats.detect(devkit) == "voc"
    labels = formats.read(devkit)
    assert len(labels.classes) == 20
    assert labels.refs == (ImageRef(devkit / "JPEGImages" / "2007_000032.jpg", "2007_000032.jpg"),)
    image, found = labels[0]
    assert found.names == ["aeroplane", "person"]
    assert found.ids is not None
    assert found.ids.tolist() == [1, 2]
    np.testing.assert_array_equal(found.masks.to_dense(), [OBJECTS == 1, OBJECTS == 2])
    assert {k: v.tolist() for k, v in found.attributes.items()} == {
        "pose": ["Frontal", "Left"], "truncated": [False, True], "difficult": [True, False],
    }  # fmt: skip
    void = Masks.from_coco([image.attributes["regions"]["void"]])
    np.testing.assert_array_equal(void.to_dense()[0], OBJECTS == V)


def test_round_trip_gives_the_same_pixels(devkit: Path, tmp_path: Path) -> None:
    labels = formats.read(devkit)
    formats.write(labels, tmp_path / "out", "voc")
    for name, wanted in (("SegmentationObject", OBJECTS), ("SegmentationClass", CLASSES)):
        with Pillow.open(tmp_path / "out" / name / "2007_000032.png") as image:
            assert image.mode == "P"
            assert image.getpalette()[3 * 15 : 3 * 16] == [192, 128, 128]  # type: ignore[index]
            np.testing.assert_array_equal(np.array(image), wanted)
    again = formats.read(tmp_path / "out")
    assert again[0][1] == labels[0][1]
    assert again[0][0].attributes == labels[0][0].attributes
    # through COCO, which knows nothing of void
    formats.write(labels, tmp_path / "out.json")
    formats.write(formats.read(tmp_path / "out.json"), tmp_path / "third", "voc")
    with Pillow.open(tmp_path / "third" / "SegmentationObject" / "2007_000032.png") as image:
        np.testing.assert_array_equal(np.array(image), OBJECTS)


def test_one_list(devkit: Path) -> None:
    train = devkit / "ImageSets" / "Segmentation" / "train.txt"
    assert formats.detect(train) == "voc"
    assert [r.name for r in formats.read(train).refs] == ["2007_000032.jpg"]
    train.write_text("2007_000032\n../../etc\nabsent\n")
    told: list[FormatError] = []
    assert len(formats.read(train, on_bad=told.append)) == 1
    assert [e.reason for e in told] == [
        "line 2: '../../etc' leaves the folder; images must lie below it, named by a relative path",
        "'absent': there is no SegmentationObject/absent.png",
    ]
    with pytest.raises(FormatError, match="leaves the folder"):
        formats.read(train)


def test_classes_of_labelme2voc(devkit: Path) -> None:
    for file in (devkit / "Annotations").iterdir():
        file.unlink()
    (devkit / "class_names.txt").write_text("_background_\n" + "\n".join(f"thing {k}" for k in range(1, 16)))
    found = formats.read(devkit)[0][1]
    assert found.names == ["thing 1", "thing 15"]
    assert found.attributes == {}
    (devkit / "class_names.txt").write_text("cat\ndog\n")
    with pytest.raises(FormatError, match="line 1: must be _background_"):
        formats.read(devkit)
    (devkit / "class_names.txt").write_bytes("_background_\nKäfer\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"class_names\.txt: is not UTF-8 \(byte 14\); save it as UTF-8"):
        formats.read(devkit)


BROKEN = {
    "class": (XML.replace("person", "cat"), "object 2: is 'person' in SegmentationClass and 'cat' in the XML"),
    "flag": (
        XML.replace("<difficult>0", "<difficult>maybe"),
        "object 2: line .* difficult must be 0 or 1",
    ),
    "fewer": (XML[: XML.rindex("\t<object>")] + "</annotation>", "object 2: is not in the XML, which has 1"),
    "more": (XML[:-14] + "<object><name>cat</name></object></annotation>", "object 3 has no pixel"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_objects(devkit: Path, case: str) -> None:
    text, message = BROKEN[case]
    (devkit / "Annotations" / "2007_000032.xml").write_text(text)
    with pytest.raises(FormatError, match=message):
        list(formats.read(devkit))
    told: list[FormatError] = []
    labels = formats.read(devkit, on_bad=told.append)
    for _ in range(2):
        assert [i.names for _, i in labels] == [["aeroplane", "person"] if case == "more" else ["aeroplane"]]
    assert len(told) == 1


def test_bad_images(devkit: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
    cases = [
        ("Annotations/2007_000032.xml", bomb.encode(), "document type"),
        ("Annotations/2007_000032.xml", b"<annotation>" * 4000, "nested too deep"),
        ("Annotations/2007_000032.xml", b"<data/>", "begins with <data>"),
        ("SegmentationClass/2007_000032.png", b"\x89PNG", "damaged|cannot be read"),
    ]
    for name, content, message in cases:
        file = devkit / name
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(FormatError, match=message):
            list(formats.read(devkit))
        told: list[FormatError] = []
        assert list(formats.read(devkit, on_bad=told.append)) == []
        assert len(told) == 1
        file.write_bytes(before)
    palette_png(devkit / "SegmentationClass" / "2007_000032.png", CLASSES[:3])
    with pytest.raises(FormatError, match="pixels"):
        list(formats.read(devkit))


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    a = np.arange(1, 257, dtype=np.int64).reshape(16, 16)
    a[0, 0] = 2
    many = Instances.from_label_map(a)
    with pytest.raises(LossyFormatError, match="id 3 are more than fit on an image"):
        formats.write([(ref(), many)], tmp_path / "out", "voc")
    assert len(formats.write([(ref(), many)], tmp_path / "folder" / "lossy", "voc", allow_lossy=True)) == 1
    ((_, kept),) = formats.read(tmp_path / "folder" / "lossy")
    assert kept.ids is not None
    assert kept.ids.tolist() == [2, *range(4, 257)]
    found = plain_instances()
    image = ImageRef(Path("a.png"), "a.png", attributes={"regions": {"void": found.masks[:1].to_coco()[0]}})
    with pytest.raises(LossyFormatError, match="'regions' region covers instances"):
        formats.write([(image, found)], tmp_path / "out", "voc")
    with pytest.raises(LossyFormatError, match="XML cannot hold the character"):
        formats.write([(ref(), found.replace(classes=("a\x01",)))], tmp_path / "out", "voc")
    assert [place.name for place in tmp_path.iterdir()] == ["folder"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    names=st.lists(st.text("aß <&>'\"é", min_size=1, max_size=5), min_size=1, max_size=3, unique=True),
    first=st.integers(-(2**63), 2**63 - 10),
)
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, values: list[int], names: list[str], first: int) -> None:
    found = Instances.from_label_map(np.array(values).reshape(3, 4))
    labels = np.arange(len(found)) % len(names)
    found = found.replace(classes=tuple(names), labels=labels, ids=np.arange(len(found))[::-1] + first)
    found = found.replace(attributes={"x": np.arange(len(found)) / 3, "pose": np.array(["a "] * len(found))})
    path = tmp_path_factory.mktemp("voc") / "out"
    formats.write([(ref(), found)], path, "voc")
    again = formats.read(path)[0][1]
    assert again == (found if len(found) else found.replace(attributes={}))
