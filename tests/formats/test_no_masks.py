"""Shapes that are no masks: kept with their image, told, written again by the same format, a loss for any other."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.no_masks import COUNTS, FILES, elements

from apiece import formats
from apiece.datasets import Dropped, map_classes, merge, split
from apiece.errors import LossyFormatError

every = pytest.mark.parametrize("name", FILES)


def out_of(name: str, folder: Path) -> Path:
    return folder / f"out{'.zip' if name == 'imagej_roi' else formats.load(name).ending}"


def test_every_format_that_writes_shapes_is_tried() -> None:
    writers = {name for name in formats.names() if formats.load(name).shapes}
    assert writers == {*FILES, "lvis"}  # which is COCO's code


@every
def test_they_are_counted_and_told_in_one_line(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = FILES[name](tmp_path)
    assert formats.detect(path) == name
    with caplog.at_level(logging.WARNING):
        labels = formats.read(path)
    assert labels.shape_counts() == COUNTS[name]
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith(f"{path}: the reader passes over what is no mask: ")
    assert all(f"{count} {kind}" in line for kind, count in COUNTS[name].items())
    ((ref, found),) = list(labels)
    assert found.names == ["object" if name == "imagej_roi" else "nut"]
    assert found.masks.area.tolist() == [12 if name == "supervisely" else 6]
    assert elements(labels) == {ref.name: elements(labels)[ref.name]}


@every
def test_the_same_format_writes_them_as_they_were(name: str, tmp_path: Path) -> None:
    labels = formats.read(FILES[name](tmp_path))
    path = out_of(name, tmp_path)
    assert formats.write(labels, path, name) == []
    again = formats.read(path, name)
    assert elements(again) == elements(labels)
    assert [i.masks for _, i in again] == [i.masks for _, i in labels]


@every
def test_another_format_refuses_them_unless_they_are_dropped(name: str, tmp_path: Path) -> None:
    labels = formats.read(FILES[name](tmp_path))
    other = "cvat" if name != "cvat" else "coco"
    path = tmp_path / f"other{formats.load(other).ending}"
    with pytest.raises(LossyFormatError, match=r"image 'a\.png', \d+ .*no masks") as caught:
        formats.write(labels, path, other)
    assert caught.value.field == "shapes"
    assert not path.exists()
    (line,) = formats.write(labels, path, other, allow_lossy=True)
    assert line.endswith(": no masks, left out")
    assert formats.write(Dropped(labels, ("shapes",)), path, other) == []
    assert not any(ref.shapes for ref in formats.read(path).refs)


@every
def test_splitting_and_merging_keeps_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one, two = (formats.read(FILES[name](tmp_path / k)) for k in "12")
    joined, _ = merge({"one": one, "two": two}, "unite", distinct_ids=False)
    whole = elements(one)["a.png"]
    if len(joined) == 1:  # equal image files: one image, with what both have
        assert elements(joined) == {"a.png": whole}
        return
    assert elements(joined) == {"a.png": whole, "two/a.png": whole}
    parts = split(joined, {"train": 0.5, "val": 0.5})
    assert [list(elements(part).values()) for part in parts.values()] == [[whole], [whole]]
    path = tmp_path / ("all" + formats.load(name).ending)
    assert formats.write(joined, path, name) == []
    assert sum(formats.read(path, name).shape_counts().values()) == 2 * whole.total()


@pytest.mark.parametrize("name", [n for n in FILES if n != "imagej_roi"])  # ROIs name no classes
def test_their_classes_get_the_new_names(name: str, tmp_path: Path) -> None:
    labels = formats.read(FILES[name](tmp_path))
    renamed = map_classes(labels, ["nut=washer"], keep_others=True)
    path = out_of(name, tmp_path)
    formats.write(renamed, path, name)
    again = formats.read(path, name)
    before, after = ([n for ref in some.refs for s in ref.shapes for n in s.labels] for some in (labels, again))
    assert "nut" in before
    assert sorted(after) == sorted("washer" if name == "nut" else name for name in before)
    if len(labels.classes) > 1:
        kept = map_classes(labels, [c for c in labels.classes if c != "nut"])
        assert not any("nut" in shape.labels for ref in kept.refs for shape in ref.shapes)


def test_a_track_of_points_is_on_every_frame_it_is_seen_on(tmp_path: Path) -> None:
    path = tmp_path / "video.xml"
    path.write_text("""<annotations><version>1.1</version><meta><task><size>4</size><mode>interpolation</mode><labels>
        <label><name>nut</name></label></labels><original_size><width>10</width><height>8</height></original_size>
        </task></meta><track id="7" label="nut" source="manual">
        <points frame="0" keyframe="1" outside="0" points="1.0,2.0" z_order="0"></points>
        <points frame="2" keyframe="1" outside="0" points="3.0,2.0" z_order="0"></points>
        <points frame="3" keyframe="1" outside="1" points="3.0,2.0" z_order="0"></points></track></annotations>""")
    labels = formats.read(path)
    seen = [[shape.content.attributes["points"] for shape in ref.shapes] for ref in labels.refs]
    assert seen == [["1.0,2.0"], ["2.0,2.0"], ["3.0,2.0"], []]
    formats.write(labels, tmp_path / "images.xml")
    again = formats.read(tmp_path / "images.xml")
    assert elements(again) == elements(labels)
    assert again.refs[0].shapes[0].content.children[0].text == "7"
