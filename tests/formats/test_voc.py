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
        "part": [None, [{"name": "head", "bndbox": {"xmin": 4, "ymin": 3, "xmax": 4, "ymax": 3}}]],
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


def test_a_set_that_names_no_image(tmp_path: Path) -> None:
    """As datumaro writes polygons: the folders and the photos, but no mask."""
    (tmp_path / "SegmentationObject").mkdir()
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nnut:128,0,0::\n")
    with pytest.raises(FormatError, match=r"names no image: SegmentationObject/ is empty.*export the objects as masks"):
        formats.read(tmp_path)


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


INSTANCES = np.array([[0, 1, 1, 0], [2, 2, 0, 3]], np.uint8)
KINDS = np.array([[0, 2, 2, 0], [1, 1, 0, 2]], np.uint8)
PALETTE = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
OWN = [(0, 0, 0), (1, 2, 3), (200, 10, 20)]
NO_COLOURS = "background:::\nnut:::\nO ring:::\n"
COLOURS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nnut:1,2,3:head,hand:\nO ring:200,10,20::run\n"
SHUFFLED = "O ring:200,10,20::run\nbackground:0,0,0::\nignored:224,224,192::\nnut:1,2,3:head,hand:\n"


def coloured(path: Path, array: np.ndarray, colours: list[tuple[int, int, int]], mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Pillow.fromarray(np.array(colours, np.uint8)[array])
    (image.quantize(256) if mode == "P" else image.convert(mode)).save(path)


def exported(root: Path, labelmap: str, colours: list[tuple[int, int, int]], mode: str = "RGB") -> Path:
    """Write a folder as CVAT and datumaro do, with one image of three objects, and one without."""
    coloured(root / "SegmentationObject" / "a.png", INSTANCES, PALETTE, mode)
    coloured(root / "SegmentationClass" / "a.png", KINDS, colours, mode)
    (root / "labelmap.txt").write_text(labelmap)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("a\nempty\n")
    (root / "JPEGImages").mkdir()
    Pillow.new("RGB", (4, 2)).save(root / "JPEGImages" / "empty.png")
    return root


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize(("labelmap", "colours"), [(NO_COLOURS, PALETTE), (COLOURS, OWN), (SHUFFLED, OWN)])
def test_colours_of_cvat_and_datumaro(
    tmp_path: Path, labelmap: str, colours: list[tuple[int, int, int]], mode: str
) -> None:
    labels = formats.read(exported(tmp_path, labelmap, colours, mode))
    assert formats.detect(tmp_path) == "voc"
    assert sorted(labels.classes) == ["O ring", "nut"]
    (_, found), (other, nothing) = labels
    assert (other.name, len(nothing), nothing.size) == ("empty.png", 0, (2, 4))
    assert found.names == ["O ring", "nut", "O ring"]
    assert found.ids is not None
    assert found.ids.tolist() == [1, 2, 3]
    formats.write(labels, tmp_path / "out", "voc")
    assert formats.read(tmp_path / "out")[0][1].masks == found.masks
    with Pillow.open(tmp_path / "out" / "SegmentationClass" / "a.png") as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), np.array(colours, np.uint8)[KINDS])
    assert ("nut:1,2,3:head,hand:" in (tmp_path / "out" / "labelmap.txt").read_text()) == (colours == OWN)


def test_values_without_colours_are_lines_of_the_list(tmp_path: Path) -> None:
    root = exported(tmp_path, "background:0,0,0::\nnut:9,9,9::\nO ring:8,8,8::\n", PALETTE)
    Pillow.fromarray(INSTANCES).save(root / "SegmentationObject" / "a.png")
    Pillow.fromarray(KINDS).save(root / "SegmentationClass" / "a.png")
    assert formats.read(root)[0][1].names == ["O ring", "nut", "O ring"]


def test_boxes_in_the_xml_of_datumaro_are_no_list_of_the_objects(tmp_path: Path) -> None:
    root = exported(tmp_path, NO_COLOURS, PALETTE)
    (root / "Annotations").mkdir()
    box = "<object><name>{}</name><difficult>1</difficult></object>"
    for names, difficult in ((["nut"], False), (["O ring", "nut", "O ring"], True)):
        objects = "".join(map(box.format, names))
        (root / "Annotations" / "a.xml").write_text(f"<annotation>{objects}</annotation>")
        found = formats.read(root)[0][1]
        assert found.names == ["O ring", "nut", "O ring"]
        assert ("difficult" in found.attributes) == difficult


def test_objects_may_have_any_colours(tmp_path: Path) -> None:
    root = exported(tmp_path, NO_COLOURS, PALETTE)
    numbers = np.arange(600).reshape(20, 30)
    colours = np.stack([numbers % 7, numbers // 7, numbers * 0], -1).astype(np.uint8)
    Pillow.fromarray(colours).save(root / "SegmentationObject" / "a.png")
    coloured(root / "SegmentationClass" / "a.png", np.ones((20, 30), int), PALETTE)
    found = formats.read(root)[0][1]
    assert len(found) == 599
    assert found.ids is not None
    assert 255 not in found.ids


@pytest.mark.parametrize(
    ("labelmap", "message"),
    [
        ("nut:1,2:a\n", "line 1: must be name:r,g,b:parts:actions"),
        ("nut:1,2,256::\n", "line 1: a colour is r,g,b of 0 to 255"),
        ("nut:::\nnut:::\n", "line 2: must be .* with a new name"),
        ("nut:1,2,3::\nbolt:1,2,3::\n", "one colour for two classes"),
        (
            "background:0,0,0::\nnut:5,5,5::\n",
            "has pixels of the colour (0,128,0|128,0,0), which",
        ),
    ],
)
def test_broken_lists_of_colours(tmp_path: Path, labelmap: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        formats.read(exported(tmp_path, labelmap, PALETTE))[0]


@pytest.mark.slow
def test_datumaro_reads_ours_with_our_classes(tmp_path: Path) -> None:
    """Also where colours are the palette's, and where an image has nothing on it."""
    package = pytest.importorskip("datumaro", reason="pip install datumaro==1.13.12")
    found = Instances.from_label_map(INSTANCES).replace(labels=np.array([1, 0, 1]), classes=("nut", "O ring"))
    pictures = [tmp_path / f"{name}.png" for name in "ab"]
    for picture in pictures:
        Pillow.new("RGB", INSTANCES.shape[::-1]).save(picture)
    records = [(ImageRef(p, p.name), own) for p, own in zip(pictures, (found, found[:0]), strict=True)]
    formats.write(records, tmp_path / "voc", "voc")
    (tmp_path / "voc" / "JPEGImages").mkdir(exist_ok=True)
    for picture in pictures:
        picture.rename(tmp_path / "voc" / "JPEGImages" / picture.name)
    theirs = package.Dataset.import_from(str(tmp_path / "voc"), "voc_segmentation")
    listed = [label.name for label in theirs.categories()[package.AnnotationType.label]]
    assert [name for name in listed if name != "background"] == ["nut", "O ring"]
    masks = {(item.id, m.group): (listed[m.label], m.image.astype(bool)) for item in theirs for m in item.annotations}
    assert {item.id for item in theirs} == {"a", "b"}
    assert sorted(masks) == [("a", 1), ("a", 2), ("a", 3)]
    for k, (name, dense) in enumerate(zip(found.names, found.masks.to_dense(), strict=True), 1):
        assert masks["a", k][0] == name
        np.testing.assert_array_equal(masks["a", k][1], dense)
