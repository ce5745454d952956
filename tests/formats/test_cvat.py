"""CVAT XML 1.1, in the layouts that CVAT 2.x exports as "CVAT for images 1.1" and "CVAT for video 1.1"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError

Save = Callable[..., Path]

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>Übung</name>
      <size>{size}</size>
      <mode>{mode}</mode>
      <overlap>0</overlap>
      <start_frame>{start}</start_frame>
      <frame_filter>{step}</frame_filter>
      <labels>
        <label>
          <name>nut</name>
          <color>#33ddff</color>
          <type>any</type>
          <attributes>
            <attribute>
              <name>worn</name>
              <mutable>False</mutable>
              <input_type>checkbox</input_type>
              <default_value>false</default_value>
              <values>false</values>
            </attribute>
            <attribute>
              <name>teeth</name>
              <mutable>False</mutable>
              <input_type>number</input_type>
              <default_value>1</default_value>
              <values>1
9
1</values>
            </attribute>
          </attributes>
        </label>
        <label>
          <name>Schraube ß</name>
          <attributes>
          </attributes>
        </label>
      </labels>
      <segments>
        <segment>
          <id>3</id>
          <start>0</start>
          <stop>3</stop>
        </segment>
      </segments>
      <owner>
        <username>max</username>
      </owner>
      <original_size>
        <width>10</width>
        <height>8</height>
      </original_size>
    </task>
    <dumped>2023-04-23 09:05:02.335612+00:00</dumped>
  </meta>
"""


def pictures(shapes: str, size: str = 'width="10" height="8"') -> str:
    head = HEAD.format(size=2, mode="annotation", start=0, step="")
    return f"""{head}  <image id="0" name="a b.png" {size}>
{shapes}
  </image>
  <image id="5" name="sub/c.png" width="3" height="2">
  </image>
</annotations>
"""


def video(tracks: str, size: int = 4, start: int = 0, step: str = "") -> str:
    return f"{HEAD.format(size=size, mode='interpolation', start=start, step=step)}{tracks}\n</annotations>\n"


MASK = (
    '<mask label="nut" source="semi-auto" occluded="0" rle="1, 2, 1, 1, 1" left="3" top="2" width="3" height="2" '
    'z_order="1"></mask>'
)
POLYGON = (
    '<polygon label="nut" source="manual" occluded="1" points="1.00,1.00;4.00,1.00;4.00,3.00;1.00,3.00" '
    'z_order="0" group_id="2"><attribute name="worn">true</attribute><attribute name="teeth">7</attribute></polygon>'
)
BOX = '<box label="Schraube ß" source="manual" occluded="0" xtl="1.0" ytl="1.0" xbr="4.0" ybr="3.0" z_order="0"></box>'
ELLIPSE = (
    '<ellipse label="nut" source="manual" occluded="0" cx="5.00" cy="4.00" rx="2.00" ry="2.00" z_order="0"></ellipse>'
)
TURNED = BOX.replace("z_order", 'rotation="90.00" z_order').replace("Schraube ß", "nut")


def square(x: int = 1, y: int = 1) -> np.ndarray:
    a = np.zeros((8, 10), bool)
    a[y : y + 2, x : x + 3] = True
    return a


def test_a_box_around_its_group_is_no_object(saved: Save) -> None:
    group = 'z_order="0" group_id="2"'
    around, away = (BOX.replace("Schraube ß", "nut").replace('z_order="0"', group) for _ in range(2))
    away = away.replace('xbr="4.0" ybr="3.0"', 'xbr="9.0" ybr="7.0"')
    other, single = (box.replace('group_id="2"', f'group_id="{k}"') for box, k in ((around, 3), (around, 0)))
    for shapes, areas in (
        ([POLYGON, around], [6]),
        ([around, MASK, POLYGON], [3, 6]),
        ([POLYGON, away], [6, 48]),
        ([POLYGON, other, single, BOX], [6, 6, 6, 6]),
        ([around, around], [6, 6]),
    ):
        found = formats.read(saved(pictures("\n".join(shapes)), "annotations.xml"))[0][1]
        assert found.masks.area.tolist() == areas


def test_every_kind_of_shape(saved: Save) -> None:
    points = '<points label="nut" occluded="0" points="1.0,2.0" z_order="0"></points>'
    skeleton = '<skeleton label="nut"><points label="1" points="1.0,1.0"></points></skeleton>'
    tag = '<tag label="nut" source="manual"></tag>'
    shapes = "\n".join([MASK, POLYGON, BOX, ELLIPSE, TURNED, points, skeleton, tag])
    path = saved(pictures(shapes), "annotations.xml")
    assert formats.detect(path) == "cvat"
    assert formats.detect(path.parent) == "cvat"
    labels = formats.read(path)
    assert labels.classes == ("nut", "Schraube ß")
    assert labels.shape_counts() == {"points": 1, "skeleton": 1, "tag": 1}
    assert [(r.name, r.size, r.id) for r in labels.refs] == [("a b.png", (8, 10), 0), ("sub/c.png", (2, 3), 5)]
    _, found = labels[0]
    dense = found.masks.to_dense()
    # by rows of the box: one outside, two inside, one outside, one inside, one outside
    assert sorted(map(tuple, np.argwhere(dense[0]).tolist())) == [(2, 4), (2, 5), (3, 4)]
    assert (dense[1] == square()).all()
    assert (dense[2] == square()).all()
    disc = [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert (dense[3, 2:6, 3:7] == disc).all()
    assert dense[3].sum() == 12
    # 3 x 2 turned about its centre (2.5, 2): 2 x 3 from x 1.5, y 0.5; COCO's rule places the halves
    assert found.masks.area[4] == 6
    assert found.ids is None
    assert found.labels.tolist() == [0, 0, 1, 0, 0]
    assert found.attributes["occluded"].tolist() == [None, True, None, None, None]
    assert found.attributes["z_order"].tolist() == [1, None, None, None, None]
    assert found.attributes["group_id"].tolist() == [None, 2, None, None, None]
    assert found.attributes["source"].tolist() == ["semi-auto", None, None, None, None]
    assert found.attributes["worn"].tolist() == [None, True, None, None, None]
    assert found.attributes["teeth"].tolist() == [None, 7, None, None, None]


def test_it_comes_back(saved: Save, tmp_path: Path) -> None:
    labels = formats.read(saved(pictures("\n".join([MASK, POLYGON, BOX])), "annotations.xml"))
    formats.write(labels, tmp_path / "again.xml")
    again = formats.read(tmp_path / "again.xml")
    assert [i for _, i in again] == [i for _, i in labels]
    assert [(r.name, r.id) for r in again.refs] == [(r.name, r.id) for r in labels.refs]
    text = (tmp_path / "again.xml").read_text()
    assert 'source="semi-auto" occluded="0" rle="1, 2, 1, 1" left="4"' not in text
    assert '<mask label="nut" source="semi-auto" occluded="0" rle="0, 3, 1" left="4" top="2" width="2"' in text
    assert 'occluded="1"' in text
    assert 'group_id="2"' in text


def box(frame: int, x: float, outside: int = 0) -> str:
    return (
        f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{x:.2f}" ytl="1.00" '
        f'xbr="{x + 3:.2f}" ybr="3.00" z_order="0"></box>'
    )


def polygon(frame: int, x: float, more: str = "") -> str:
    points = f"{x:.2f},1.00;{x + 3:.2f},1.00;{x + 3:.2f},3.00;{x:.2f},3.00{more}"
    return f'<polygon frame="{frame}" keyframe="1" outside="0" occluded="0" points="{points}" z_order="0"></polygon>'


def test_tracks_between_key_frames(saved: Save) -> None:
    tracks = (
        f'<track id="7" label="nut" source="manual">{box(0, 1)}{box(2, 5)}{box(3, 5, outside=1)}</track>'
        f'<track id="0" label="Schraube ß" source="manual">{polygon(1, 1)}{polygon(3, 3)}</track>'
    )
    labels = formats.read(saved(video(tracks, size=5), "annotations.xml"))
    assert [r.name for r in labels.refs] == [f"frame_{i:06d}.png" for i in range(5)]
    assert [r.size for r in labels.refs] == [(8, 10)] * 5
    ids = [None if i.ids is None else i.ids.tolist() for _, i in labels]
    assert ids == [[7], [7, 0], [7, 0], [0], [0]]
    where = [i.boxes[:, 0].tolist() for _, i in labels]
    assert where == [[1], [3, 1], [5, 2], [3], [3]]  # what comes after the last key frame stays
    assert all((i.masks.area == 6).all() for _, i in labels)
    assert labels[1][1].names == ["nut", "Schraube ß"]


def test_frames_with_a_step(saved: Save) -> None:
    tracks = f'<track id="1" label="nut">{box(10, 1)}{box(16, 3)}{box(19, 3, 1)}</track>'
    labels = formats.read(saved(video(tracks, start=10, step="step=3"), "annotations.xml"))
    assert [r.id for r in labels.refs] == [10, 13, 16, 19]
    assert [i.boxes[:, 0].tolist() for _, i in labels] == [[1], [2], [3], []]


def test_polygons_that_cannot_be_interpolated(saved: Save) -> None:
    tracks = f'<track id="1" label="nut">{polygon(0, 1)}{polygon(2, 1, ";0.5,2")}{polygon(3, 1)}</track>'
    path = saved(video(tracks), "annotations.xml")
    with pytest.raises(FormatError, match="track 1, frames 0 to 2: polygon of 4 points, then 5, cannot be"):
        formats.read(path)
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [len(i) for _, i in labels] == [1, 0, 1, 1]
    assert len(told) == 1


BAD_SHAPES = {
    "unknown label": (BOX.replace("Schraube ß", "bolt"), "label 'bolt' is none of nut"),
    "two points": (POLYGON.replace(";4.00,3.00;1.00,3.00", ""), "has 2 points"),
    "outside": (POLYGON.replace("4.00,1.00", "40,1"), "outside the image of 10 x 8"),
    "not a number": (POLYGON.replace("4.00,1.00", "nan,1"), "not finite"),
    "no number": (POLYGON.replace("4.00,1.00", "a,1"), "points must be numbers"),
    "three": (POLYGON.replace("4.00,1.00", "4,1,2"), "x,y pairs"),
    "no corner": (BOX.replace('xtl="1.0"', ""), "xtl is missing"),
    "infinite": (BOX.replace('xtl="1.0"', 'xtl="-inf"'), "xtl is not finite"),
    "empty box": (BOX.replace('xbr="4.0"', 'xbr="1.0"'), "must be more than 0"),
    "flat ellipse": (ELLIPSE.replace('rx="2.00"', 'rx="0"'), "must be more than 0"),
    "mask beyond": (MASK.replace('left="3"', 'left="11"'), "lies wholly outside"),
    "huge mask": (MASK.replace('width="3"', 'width="2000000000"'), "mask of 2000000000 x 2 pixels"),
    "short rle": (MASK.replace("1, 2, 1, 1, 1", "1, 2"), "rle covers 3 pixels, but its box has 3 x 2"),
    "long rle": (MASK.replace("1, 2", "9999999999999, 2"), "rle covers"),
    "negative rle": (MASK.replace("1, 2", "-1, 2"), "rle covers"),
    "text rle": (MASK.replace("1, 2", "x, 2"), "rle must be integers"),
    "no rle": (MASK.replace('rle="1, 2, 1, 1, 1"', ""), "rle must be integers"),
    "unknown shape": ('<blob label="nut"></blob>', "is no shape"),
    "number": (POLYGON.replace(">7<", ">many<"), "teeth must be a number"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_a_bad_shape(saved: Save, case: str) -> None:
    bad, reason = BAD_SHAPES[case]
    text = pictures(f"{bad}\n{BOX}")
    path = saved(text, "annotations.xml")
    line = text[: text.index(bad)].count("\n") + 1
    with pytest.raises(FormatError, match=rf"line {line}: .*{reason}"):
        list(formats.read(path))
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append)[0]
    assert found.labels.tolist() == [1]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (pictures("").replace("sub/c.png", "a b.png"), "another image's already"),
        (pictures("").replace("sub/c.png", "../.."), "is no file name"),
        (pictures("").replace('width="3"', 'width="0"'), "width must be an integer from 1"),
        (pictures("").replace('width="3"', 'width="2147483647"'), "width must be an integer from 1"),
        (pictures("").replace('width="3"', 'width="wide"'), "width must be an integer, got"),
    ],
)
def test_a_bad_image(saved: Save, text: str, reason: str) -> None:
    path = saved(text, "annotations.xml")
    with pytest.raises(FormatError, match=reason):
        formats.read(path)
    told: list[FormatError] = []
    assert [r.name for r in formats.read(path, on_bad=told.append).refs] == ["a b.png"]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        (f'<track id="1" label="nut">{box(0, 1)}{box(0, 2)}</track>', "two shapes on frame 0"),
        (f'<track id="0" label="nut">{box(0, 1)}</track>', "another track's already"),
        (f'<track id="1" label="nut">{box(-3, 1)}</track>', "frame -3 is no frame"),
        (f'<track label="nut">{box(0, 1)}</track>', "id is missing"),
    ],
)
def test_a_bad_track(saved: Save, tracks: str, reason: str) -> None:
    path = saved(video(f'<track id="0" label="nut">{box(0, 1)}</track>{tracks}'), "annotations.xml")
    with pytest.raises(FormatError, match=rf"line \d+: <track>: .*{reason}"):
        formats.read(path)
    told: list[FormatError] = []
    assert [len(i) for _, i in formats.read(path, on_bad=told.append)] == [1, 1, 1, 1]
    assert len(told) == 1


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, r"has a document type"),
        ("<annotations><version>1.1</version>" + "<a>" * 100_000, "nested too deep"),
        ("<annotations><version>1.1</version></annotation>", "line 1, column 38: no well-formed XML"),
        (pictures("")[:-30], "cut short"),
        ("<annotation></annotation>", "outermost element is <annotation>"),
        (video(f'<track id="0" label="nut">{box(2_000_000_000, 1)}</track>'), "a video of 2000000001 frames"),
        (video("", size=2_000_000_000), "a video of 2000000000 frames"),
        (video("").replace("<width>10</width>", "<width>1e30</width>"), "original_size: image width"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "unknown encoding"),
    ],
)
def test_broken_documents(saved: Save, text: str, reason: str) -> None:
    path = saved(text, "annotations.xml")
    formats.load("cvat").detect(path)
    with pytest.raises(FormatError, match=reason):
        formats.read(path, "cvat")


@pytest.mark.parametrize("place", ["annotations.xml", "", "task.xml"])
def test_a_broken_file_is_no_unknown_format(saved: Save, place: str) -> None:
    path = saved("<annotations><image></annotations>", place or "annotations.xml")
    with pytest.raises(FormatError, match="annotations.xml: line 1, column 23" if not place else "line 1, column 23"):
        formats.detect(path if place else path.parent)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    masks, out = Masks.from_boxes([[0, 0, 1, 1]], (2, 2)), tmp_path / "o.xml"
    for instances, reason in (
        (Instances(masks, classes=("a\0",)), r"XML cannot hold the character '\\x00'"),
        (Instances(masks, attributes={"x": ["\x1b"]}), "XML cannot hold"),
        (Instances(masks, attributes={"x": [np.inf]}), "cannot hold inf"),
        (Instances(masks, scores=[np.inf]), "cannot hold inf"),
        (Instances(masks, attributes={"apiece_id": [1]}), "rename it"),
    ):
        with pytest.raises(LossyFormatError, match=reason):
            formats.write([("a.png", instances)], out)
    two = [("a.png", Instances(masks, attributes={"x": [1]})), ("b.png", Instances(masks, attributes={"x": ["1"]}))]
    with pytest.raises(LossyFormatError, match="number on an earlier image"):
        formats.write(two, out)
    with pytest.raises(FormatError, match="comes twice"):
        formats.write([("a.png", Instances(masks))] * 2, out)
    assert list(tmp_path.iterdir()) == []


def test_odd_values_come_back(tmp_path: Path) -> None:
    values = {
        "occluded": [True, False],
        "z_order": [0, 3],
        "source": ["manual", "\n\t<&>\"'\r"],
        "big": np.array([2**63, 1], np.uint64),
        "mixed": np.array([[1], {"a": None}], object),
        'na"me<': [" x ", ""],
    }
    instances = Instances(Masks.from_boxes([[0, 0, 1, 1], [1, 1, 2, 2]], (2, 2)), attributes=values)
    formats.write([("a.png", instances)], tmp_path / "o.xml")
    _, found = formats.read(tmp_path / "o.xml")[0]
    assert {k: v.tolist() for k, v in found.attributes.items()} == {
        k: v.tolist() for k, v in instances.attributes.items()
    }


def test_a_large_mask_comes_back(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[100, 50, 1500, 1100], [0, 0, 1600, 1200]], (1200, 1600))
    formats.write([("a.png", Instances(masks))], tmp_path / "o.xml")
    assert formats.read(tmp_path / "o.xml")[0][1].masks == masks


PROJECT = """<annotations><version>1.1</version><meta><project><id>1</id><name>both</name><tasks>
<task><id>4</id><name>north</name><size>2</size><mode>{mode}</mode><start_frame>0</start_frame>
<original_size><width>10</width><height>8</height></original_size></task>
<task><id>5</id><name>{other}</name><size>3</size><mode>{mode}</mode><start_frame>0</start_frame>
<original_size><width>12</width><height>6</height></original_size></task></tasks>
<labels><label><name>nut</name></label><label><name>Schraube ß</name></label></labels></project></meta>
{body}</annotations>"""


def test_images_of_one_name_in_two_tasks_of_a_project(saved: Save, tmp_path: Path) -> None:
    images = [
        f'<image id="{k % 2}" name="{name}" subset="Train" task_id="{task}" width="10" height="8">{BOX}</image>'
        for k, (task, name) in enumerate([(4, "a.png"), (4, "b.png"), (5, "a.png"), (5, "c.png")])
    ]
    labels = formats.read(saved(PROJECT.format(mode="annotation", other="south", body="".join(images)), "a.xml"))
    assert [ref.name for ref in labels.refs] == ["north/a.png", "b.png", "south/a.png", "c.png"]
    assert [ref.id for ref in labels.refs] == [0, 1, None, None]  # which CVAT numbers in every task anew
    assert [len(found) for _, found in labels] == [1, 1, 1, 1]
    formats.write(labels, tmp_path / "all.json", "coco")
    unnamed = formats.read(saved(PROJECT.format(mode="annotation", other="north", body="".join(images)), "b.xml"))
    assert [ref.name for ref in unnamed.refs] == ["task_4/a.png", "b.png", "task_5/a.png", "c.png"]
    same = images[0].replace('task_id="4"', 'task_id="5"')
    with pytest.raises(FormatError, match=r"image 0: image name 'south/a\.png' is another image's already"):
        formats.read(saved(PROJECT.format(mode="annotation", other="south", body="".join([*images, same])), "c.xml"))


def test_the_videos_of_a_project_stay_apart(saved: Save) -> None:
    tracks = [
        f'<track id="{k}" label="nut" source="manual" task_id="{task}" subset="Train">{box(0, x)}{box(1, x)}</track>'
        for k, (task, x) in enumerate([(4, 1), (5, 2), (5, 6)])
    ]
    labels = formats.read(saved(PROJECT.format(mode="interpolation", other="south", body="".join(tracks)), "a.xml"))
    assert [ref.name for ref in labels.refs] == [
        *(f"north/frame_00000{k}.png" for k in range(2)),
        *(f"south/frame_00000{k}.png" for k in range(3)),
    ]
    assert [ref.size for ref in labels.refs] == [(8, 10)] * 2 + [(6, 12)] * 3
    found = [instances for _, instances in labels]
    assert [[] if i.ids is None else i.ids.tolist() for i in found] == [[0], [0], [1, 2], [1, 2], [1, 2]]
    assert found[2].boxes[:, 0].tolist() == [2, 6]
