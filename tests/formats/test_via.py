"""VGG Image Annotator: projects and exports as VIA 2.0.10 and 1.0 write them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import ref

POLYGON = {"name": "polygon", "all_points_x": [1, 4, 4, 1], "all_points_y": [1, 1, 3, 3]}
RECT = {"name": "rect", "x": 5, "y": 4, "width": 3, "height": 2}
CIRCLE = {"name": "circle", "cx": 3, "cy": 5, "r": 2}
ELLIPSE = {"name": "ellipse", "cx": 7, "cy": 3, "rx": 3, "ry": 1.5, "theta": 0.6}


def region(shape: Any, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def entry(*regions: Any, name: Any = "a.png", **attributes: Any) -> dict[str, Any]:
    return {"filename": name, "size": 77, "regions": list(regions), "file_attributes": attributes}


def project(*entries: Any, region: Any = None, folder: str = "") -> dict[str, Any]:
    keys = [f"{e.get('filename') if isinstance(e, dict) else 0}{i}" for i, e in enumerate(entries)]
    return {
        "_via_settings": {"ui": {}, "core": {"buffer_size": 18, "filepath": {}, "default_filepath": folder}},
        "_via_img_metadata": dict(zip(keys, entries, strict=True)),
        "_via_attributes": {"region": region or {}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": keys,
    }


def save(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def image(path: Path, size: tuple[int, int] = (8, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("L", size[::-1]).save(path)


def as_csv(*rows: list[Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    out.write(names + "\n")
    for row in rows:
        writer.writerow([json.dumps(v) if isinstance(v, dict) else v for v in row])
    return out.getvalue()


def wanted() -> np.ndarray:
    y, x = np.mgrid[:8, :10] + 0.5
    stack = np.zeros((4, 8, 10), bool)
    stack[0, 1:3, 1:4] = True
    stack[1, 4:6, 5:8] = True
    stack[2] = (x - 3) ** 2 + (y - 5) ** 2 <= 4
    u, v = (x - 7) * np.cos(0.6) + (y - 3) * np.sin(0.6), (y - 3) * np.cos(0.6) - (x - 7) * np.sin(0.6)
    stack[3] = (u / 3) ** 2 + (v / 1.5) ** 2 <= 1
    return stack


REGIONS = [
    region(POLYGON, kind="nut"),
    region(RECT, kind="bolt"),
    region(CIRCLE, kind="nut"),
    region(ELLIPSE, kind="nut"),
]


def forms() -> dict[str, Any]:
    rows = [
        ["a.png", 77, {"by": "eve"}, 4, k, r["shape_attributes"], r["region_attributes"]] for k, r in enumerate(REGIONS)
    ]
    old = entry(by="eve") | {"fileref": "", "base64_img_data": "", "regions": dict(enumerate(REGIONS))}
    return {
        "project": project(entry(*REGIONS, by="eve")),
        "export": {"a.png77": entry(*REGIONS, by="eve")},
        "version 1": {"a.png77": {"fileref": "", "size": 77} | old},
        "csv": as_csv(*rows),
        "old csv": "#" + as_csv(*rows),
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_and_shape(tmp_path: Path, form: str) -> None:
    path = save(tmp_path / ("a.csv" if "csv" in form else "a.json"), forms()[form])
    image(tmp_path / "images" / "a.png")
    assert formats.detect(path) == "via"
    labels = formats.read(path)
    found_ref, found = labels[0]
    assert labels.classes == ("bolt", "nut")
    assert found.names == ["nut", "bolt", "nut", "nut"]
    assert (found_ref.name, found_ref.path, found_ref.size) == ("a.png", tmp_path / "images" / "a.png", None)
    assert dict(found_ref.attributes) == {"by": "eve"}
    assert (found.ids, found.scores, dict(found.attributes)) == (None, None, {})
    np.testing.assert_array_equal(found.masks.to_dense(), wanted())


def test_which_attribute_is_the_class(tmp_path: Path) -> None:
    def classes(defined: Any, **attributes: Any) -> tuple[str, ...]:
        size = {"image_height": "8", "image_width": "10"}
        return formats.read(
            save(tmp_path / "a.json", project(entry(region(POLYGON, **attributes), **size), region=defined))
        ).classes

    text, choice = {"type": "text"}, {"type": "dropdown", "options": {"z": "", "y": "Why"}}
    assert classes({}, anything="a") == ("a",)
    assert classes({}, Label="b", note="x") == ("b",)
    assert classes({}, type="c", label="d") == ("d",)
    assert classes({"part": choice, "note": text}, part="z", note="x") == ("z", "y")
    assert classes({}) == ("object",)
    with pytest.raises(FormatError, match="attributes 'part', 'note'; rename the one that is the class to 'class'"):
        classes({}, part="z", note="x")


def test_values_beside_the_class(tmp_path: Path) -> None:
    first, second = region(POLYGON, name="nut", note="left", size=3), region(RECT, name="nut", note="")
    path = save(tmp_path / "a.json", project(entry(first, second, image_height="8", image_width=10, weather="rain")))
    labels = formats.read(path)
    image_ref, found = labels[0]
    assert (image_ref.size, dict(image_ref.attributes)) == ((8, 10), {"weather": "rain"})
    assert {k: v.tolist() for k, v in found.attributes.items()} == {"note": ["left", ""], "size": [3, None]}
    formats.write(labels, tmp_path / "out.json", "via")
    again = formats.read(tmp_path / "out.json")
    assert again[0][1] == found
    assert again.refs[0].attributes == image_ref.attributes
    attributes = json.loads((tmp_path / "out.json").read_text())["_via_attributes"]
    assert attributes["region"]["name"]["options"] == {"nut": ""}
    assert set(attributes["region"]) == {"name", "note", "size"}
    assert set(attributes["file"]) == {"image_height", "image_width", "weather"}


def version_3(*metadata: Any) -> dict[str, Any]:
    """A project of VIA 3.1 with a local image, one on a disk elsewhere, and a video."""
    kinds = {"type": 4, "options": {"0": "nut", "1": "bolt"}}
    files = [("a.png", 2, 1, ""), ("b.png", 2, 3, "/home/eve/b.png"), ("c.mp4", 4, 1, "")]
    keys = ("fname", "type", "loc", "src")
    return {
        "project": {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1", "vid_list": ["1", "2", "3"]},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}},
        "attribute": {
            "1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "desc": "", "default_option_id": "", **kinds},
            "2": {"aname": "by", "anchor_id": "FILE1_Z0_XY0", "type": 1, "desc": "", "options": {}},
        },
        "file": {str(k): {"fid": k, **dict(zip(keys, f, strict=True))} for k, f in enumerate(files, 1)},
        "view": {str(k): {"fid_list": [str(k)]} for k in (1, 2, 3)},
        "metadata": {f"{m['vid']}_{k}": {"flg": 0, "z": [], "xy": [], "av": {}} | m for k, m in enumerate(metadata)},
    }


def test_projects_of_version_3(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    image(tmp_path / "photos" / "b.png")
    shapes: list[tuple[list[float], str]] = [
        ([7, 1, 1, 4, 1, 4, 3, 1, 3], "0"),
        ([2, 5, 4, 3, 2], "1"),
        ([3, 3, 5, 2], "0"),
        ([1, 2, 2], "0"),
        ([6, 1, 1, 4, 4, 5, 5], "1"),
    ]
    drawn = [{"vid": "1", "xy": xy, "av": {"1": kind}} for xy, kind in shapes]
    ellipse = {"vid": "2", "xy": [4, 7, 3, 3, 1.5], "av": {"1": "1"}}
    path = save(tmp_path / "p.json", version_3(*drawn, {"vid": "1", "av": {"2": "eve"}}, ellipse))
    assert formats.detect(path) == "via"
    with pytest.raises(FormatError, match=r"view\['3'\]: shows 'c\.mp4', which is no image"):
        formats.read(path)
    bad: list[FormatError] = []
    labels = formats.read(path, on_bad=bad.append)
    assert (len(bad), labels.classes) == (1, ("nut", "bolt"))
    (a, first), (b, second) = labels
    np.testing.assert_array_equal(first.masks.to_dense(), wanted()[:3])
    assert (first.names, second.names) == (["nut", "bolt", "nut"], ["bolt"])
    assert second.masks.area.tolist() == [12]  # two rows of six pixel centres lie in it
    assert (a.attributes, b.path) == ({"by": "eve"}, tmp_path / "photos" / "b.png")
    assert [shape.kind for shape in a.shapes] == ["point", "polyline"]
    formats.write(labels, tmp_path / "out.json", "via")
    out = json.loads((tmp_path / "out.json").read_text())["_via_img_metadata"]
    points = next(iter(out.values()))["regions"][3:]
    assert [p["shape_attributes"]["name"] for p in points] == ["point", "polyline"]
    assert points[0]["shape_attributes"] == {"name": "point", "cx": 2, "cy": 2}


BAD_3 = {
    "no view": ({"vid": "9", "xy": [2, 5, 4, 3, 2]}, "there is no view '9'"),
    "a moment": ({"vid": "1", "z": [0.5], "xy": [2, 5, 4, 3, 2]}, "is of a moment in a video"),
    "no numbers": ({"vid": "1", "xy": ["rect", 5]}, "xy: must be a list"),
    "extreme": ({"vid": "1", "xy": [9, 5, 4, 3, 2, 1, 1], "av": {"1": "0"}}, "extreme circle has no inside"),
    "cut": ({"vid": "1", "xy": [2, 5, 4, 3], "av": {"1": "0"}}, "height"),
    "half a point": ({"vid": "1", "xy": [7, 1, 1, 4, 1, 4], "av": {"1": "0"}}, "lists of one length"),
}


@pytest.mark.parametrize("name", BAD_3)
def test_bad_regions_of_version_3(tmp_path: Path, name: str) -> None:
    image(tmp_path / "a.png")
    entry, reason = BAD_3[name]
    document = version_3(entry, {"vid": "1", "xy": [2, 5, 4, 3, 2], "av": {"1": "0"}})
    path = save(tmp_path / "p.json", document | {"view": {"1": {"fid_list": [1]}}})
    with pytest.raises(FormatError, match=reason):
        list(formats.read(path))
    bad: list[FormatError] = []
    ((_, found),) = list(formats.read(path, on_bad=bad.append))
    assert (len(bad), found.masks.area.tolist()) == (1, [6])


def test_where_images_are(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", project(entry(region(POLYGON)), folder="photos/today"))
    image(tmp_path / "photos" / "today" / "a.png")
    assert formats.read(path)[0][1].size == (8, 10)
    path = save(tmp_path / "p.json", project(entry(region(POLYGON)), folder="/elsewhere"))
    assert formats.read(path)[0][1].size == (8, 10)  # found all the same
    (tmp_path / "photos").rename(tmp_path / ".photos")
    with pytest.raises(FormatError, match=r"'a\.png': its size is not stated.*images="):
        formats.read(path)[0]
    assert len(formats.read(path, images=tmp_path / ".photos" / "today")[0][1]) == 1


def test_ids_that_were_edited_in_via(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2], [1, 1, 3, 3]], (4, 4))
    formats.write([(ref(), Instances(masks, ids=np.array([2**40, -3]), scores=[0.25, 1]))], tmp_path / "a.json", "via")
    text = (tmp_path / "a.json").read_text()
    save(tmp_path / "a.json", text.replace('"id": -3, "score": 1.0', '"id": "8", "score": "0.5"'))
    found = formats.read(tmp_path / "a.json")[0][1]
    assert found.ids is not None
    assert found.scores is not None
    assert (found.ids.tolist(), found.scores.tolist()) == ([2**40, 8], [0.25, 0.5])


BAD = {
    "unknown kind": (region({"name": "blob", "cx": 1, "cy": 2}, kind="nut"), "a blob has no inside"),
    "two points": (
        region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, kind="nut"),
        "has 2 points",
    ),
    "lengths": (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, kind="nut"), "of one length"),
    "outside": (region(RECT | {"x": 90}, kind="nut"), "outside the image"),
    "no width": (region({"name": "rect", "x": 1, "y": 1}, kind="nut"), "width must be a number"),
    "flat": (region(RECT | {"width": 0}, kind="nut"), "both must be more than 0"),
    "far circle": (region(CIRCLE | {"cx": 900}, kind="nut"), "lies wholly outside"),
    "nan": (region(CIRCLE | {"r": float("nan")}, kind="nut"), "not finite"),
    "nan value": (region(CIRCLE, kind="nut", x=float("nan")), "NaN or Infinity"),
    "no class": (region(CIRCLE), "has no 'kind', so it has no class"),
    "empty class": (region(CIRCLE, kind=""), "has no class"),
    "several classes": (region(CIRCLE, kind={"nut": True}), "must be one class name"),
    "no region": (3, "must be objects"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_regions_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    bad, reason = BAD[name]
    good = region(POLYGON, kind="nut")
    choice = {"kind": {"type": "dropdown", "options": {"nut": ""}}}
    path = save(tmp_path / "a.json", project(entry(good, bad, good, image_height=8, image_width=10), region=choice))
    with pytest.raises(FormatError, match=rf"a\.json: _via_img_metadata\['a.png0'\]\.regions\[1\].*{reason}"):
        list(formats.read(path))
    told: list[FormatError] = []
    found = formats.read(path, on_bad=told.append)[0][1]
    assert len(told) == 1
    assert found.masks.area.tolist() == [6, 6]


def test_a_class_that_is_no_choice(tmp_path: Path) -> None:
    choice = {"kind": {"type": "radio", "options": {"nut": ""}}}
    path = save(
        tmp_path / "a.json", project(entry(region(RECT, kind="bolt"), image_height=8, image_width=10), region=choice)
    )
    with pytest.raises(FormatError, match="'kind' is 'bolt', which is none of its choices"):
        list(formats.read(path))


IMAGES = {
    "no name": (entry(name=None), "filename: must be a name"),
    "leaves": (entry(name="../.."), "is no file name"),
    "twice": (entry(), "is .*already"),
    "regions": (entry() | {"regions": 3}, "regions must be a list"),
    "no object": (7, "must be an object"),
    "size": (entry(name="b.png", image_height="x", image_width="3"), "image_height must be an integer"),
    "giant": (entry(name="b.png", image_height=10**9, image_width="3"), "height must be an integer from 1"),
    "missing": (entry(name="b.png"), "its size is not stated"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_bad_images_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    bad, reason = IMAGES[name]
    path = save(tmp_path / "a.json", project(entry(region(RECT, kind="x"), image_height=8, image_width=10), bad))
    with pytest.raises(FormatError, match=rf"a\.json: .*{reason}"):
        list(formats.read(path))
    told: list[FormatError] = []
    assert [r.name for r, _ in formats.read(path, on_bad=told.append)] == ["a.png"]
    assert len(told) == 1


def test_bad_rows_of_a_csv(tmp_path: Path) -> None:
    size = {"image_height": 8, "image_width": 10}
    good = ["a.png", 1, size, 2, 0, RECT, {"class": "x"}]
    for bad, reason in (
        (["a.png", 1, size, 2, 1, "{'name'", {}], "line 3: region_shape_attributes: is no JSON"),
        (
            ["a.png", 1, size, 2, 1, '{"name": NaN}', {}],
            "line 3: region_shape_attributes: is no JSON .line 1, column 10: holds NaN",
        ),
        (["a.png", 1, size, "many", 1, RECT, {}], "line 3: region_count"),
        (["a.png", 1, size, 2], "line 3: has 4 columns of 7"),
        (
            ["b.png", 1, size, 2, 0, RECT, {"class": "x"}],
            "line 3: 'b.png' has 2 regions by .*, but 1 good",
        ),
    ):
        path = save(tmp_path / "a.csv", as_csv(good, bad))
        with pytest.raises(FormatError, match=reason):
            list(formats.read(path))
        told: list[FormatError] = []
        assert len(formats.read(path, on_bad=told.append)[0][1]) == 1
        assert told
    for text, reason in (("a,b\n", "VIA's header"), ('"', "is no CSV|header"), ("\udcff", "UTF-8")):
        (tmp_path / "a.csv").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(FormatError, match=reason):
            formats.read(tmp_path / "a.csv", "via")
    for text, reason in (("{}", "neither a VIA project"), ('{"_via_img_metadata": 3}', "must be an object of images"),
                         ("[1]", "must be an object"), ('{"a":' * 99_999, "deep")):  # fmt: skip
        with pytest.raises(FormatError, match=reason):
            formats.read(save(tmp_path / "a.json", text), "via")


def test_a_region_count_that_is_off_is_told_and_the_rows_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = {"image_height": 8, "image_width": 10}
    rows = [
        ["a.png", 1, size, 3, 0, RECT, {"class": "x"}],  # a row was taken out by hand
        ["b.png", 1, size, 1, 0, RECT, {"class": "x"}],
        ["b.png", 1, size, 1, 1, RECT, {"class": "y"}],
        ["c.png", 1, size, 0, 0, RECT, {"class": "x"}],
    ]
    labels = formats.read(save(tmp_path / "a.csv", as_csv(*rows)))
    assert [len(found) for _, found in labels] == [1, 2, 1]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "'c.png' has 0 regions by its region_count, but 1 good rows, and so for 3 images" in line


def test_numbers_as_the_only_attribute(tmp_path: Path) -> None:
    size = {"image_height": 8, "image_width": 10}
    path = save(tmp_path / "a.json", project(entry(region(RECT, diameter=3), region(RECT, diameter=4.5), **size)))
    labels = formats.read(path)
    assert labels.classes == ("object",)
    assert labels[0][1].attributes["diameter"].tolist() == [3, 4.5]
    formats.write(labels, tmp_path / "again.json", "via")
    assert formats.read(tmp_path / "again.json")[0][1].attributes["diameter"].tolist() == [3, 4.5]
    # but a class may be called by a number
    path = save(tmp_path / "a.json", project(entry(region(RECT, label=10), region(RECT, label=9.0), **size)))
    labels = formats.read(path)
    assert (labels.classes, labels[0][1].names) == (("10", "9"), ["10", "9"])


def test_images_without_regions(tmp_path: Path) -> None:
    size = {"image_height": 8, "image_width": 10}
    path = save(tmp_path / "a.csv", as_csv(["a.png", 1, size, 0, 0, {}, {}]))
    assert len(formats.read(path)[0][1]) == 0
    path = save(tmp_path / "a.json", project(entry(**size)))
    assert formats.read(path)[0][1].size == (8, 10)


def test_what_is_written(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    instances = Instances(Masks.from_boxes([[1, 1, 4, 3]], (8, 10)), [1], ("nut", "bolt"))
    formats.write([(tmp_path / "a.png", instances)], tmp_path / "out.json", "via")
    found = json.loads((tmp_path / "out.json").read_text())
    size = (tmp_path / "a.png").stat().st_size
    assert found["_via_image_id_list"] == list(found["_via_img_metadata"]) == [f"a.png{size}"]
    kept = found["_via_img_metadata"][f"a.png{size}"]
    assert kept["regions"] == [region(POLYGON, **{"class": "bolt"})]
    assert found["_via_attributes"]["region"]["class"]["options"] == {"nut": "", "bolt": ""}


def test_what_cannot_be_written(tmp_path: Path) -> None:
    one = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    for changes, reason in (
        ({"attributes": {"class": ["x"]}}, "'class' has a use"),
        ({"attributes": {"id": [1]}, "ids": [1]}, "'id' has a use"),
        ({"attributes": {"x": [np.nan]}}, "JSON cannot hold"),
    ):
        with pytest.raises(LossyFormatError, match=reason):
            formats.write([(ref(), one.replace(**changes))], tmp_path / "out", "via")
    with pytest.raises(FormatError, match="comes twice"):
        formats.write([(ref(), one)] * 2, tmp_path / "out", "via")
    with pytest.raises(FormatError, match="export the CSV from VIA"):
        formats.write([(ref(), one)], tmp_path / "out.csv", "via")
    assert list(tmp_path.iterdir()) == []


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 6)] * 2), max_size=5), NAMES)
def test_any_boxes_and_names_come_back(tmp_path: Path, boxes: list[tuple[int, ...]], name: str) -> None:
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes]).reshape(-1, 4)
    instances = Instances(
        Masks.from_boxes(corners, (16, 16)), classes=(name,), attributes={"note": [name] * len(boxes)}
    )
    formats.write([(ref(), instances)], tmp_path / "out", "via")
    found = formats.read(tmp_path / "out")[0][1]
    assert found.replace(attributes={}) == instances.replace(attributes={})
    assert found.attributes.get("note", np.zeros(0)).tolist() == [name] * len(boxes)
