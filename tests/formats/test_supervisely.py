"""Supervisely: projects as the platform exports them (SDK 6.73)."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import ref

META = {
    "classes": [
        {"title": "nut", "shape": "polygon", "color": "#8A0F59", "geometry_config": {}, "id": 21, "hotkey": ""},
        {"title": "bolt", "shape": "bitmap", "color": "#1CAF0B", "geometry_config": {}, "id": 22, "hotkey": "b"},
    ],
    "tags": [
        {"name": "worn", "value_type": "none", "color": "#0F138A", "id": 1, "hotkey": "", "classes": []},
        {"name": "grade", "value_type": "oneof_string", "color": "#0F138A", "values": ["A", "B"], "id": 2},
        {"name": "angle", "value_type": "any_number", "color": "#0F138A", "id": 3},
    ],
    "projectType": "images",
}


def figure(kind: str, title: str = "nut", number: int | None = None, tags: Any = (), **more: Any) -> dict[str, Any]:
    found = {
        "id": number, "classId": 21, "description": "", "geometryType": kind, "labelerLogin": "eve",
        "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z", "tags": list(tags),
        "classTitle": title,
    }  # fmt: skip
    return {k: v for k, v in found.items() if v is not None} | more


def polygon(exterior: Any, interior: Any = (), **more: Any) -> dict[str, Any]:
    return figure("polygon", points={"exterior": exterior, "interior": list(interior)}, **more)


def packed(mask: Any, mode: str = "P") -> str:
    """A mask as the SDK packs it: two colours, the first transparent."""
    image, out = Pillow.fromarray(np.asarray(mask, np.uint8)), io.BytesIO()
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(out, "PNG", transparency=0, optimize=0)
    else:
        image.save(out, "PNG")
    return base64.b64encode(zlib.compress(out.getvalue())).decode()


def bitmap(mask: Any, origin: Any, **more: Any) -> dict[str, Any]:
    return figure("bitmap", bitmap={"data": packed(mask), "origin": origin}, **more)


def annotation(*objects: Any, **more: Any) -> dict[str, Any]:
    return {"description": "", "tags": [], "size": {"height": 8, "width": 10}, "objects": list(objects)} | more


def save(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def project(root: Path, **files: Any) -> Path:
    save(root / "meta.json", META)
    for name, value in files.items():
        save(root / "ds0" / "ann" / f"{name}.png.json", value)
    return root


def test_every_geometry(tmp_path: Path) -> None:
    square = [[1, 1], [6, 1], [6, 6], [1, 6]]
    project(
        tmp_path,
        a=annotation(
            polygon(square, [[[3, 3], [4, 3], [4, 4], [3, 4]]], number=5),
            figure("rectangle", "bolt", 6, points={"exterior": [[7, 2], [9, 3]], "interior": []}),
            bitmap([[1, 0, 1], [0, 1, 1]], [7, 6], title="bolt", number=7),
        ),
    )
    assert formats.detect(tmp_path) == "supervisely"
    assert formats.detect(tmp_path / "meta.json") == "supervisely"
    labels = formats.read(tmp_path)
    image, found = labels[0]
    assert labels.classes == ("nut", "bolt")
    assert labels.metadata == {"supervisely": META}
    assert (image.name, image.path, image.size) == ("a.png", tmp_path / "ds0" / "img" / "a.png", (8, 10))
    assert found.names == ["nut", "bolt", "bolt"]
    assert found.ids is not None
    assert found.ids.tolist() == [5, 6, 7]
    wanted = np.zeros((3, 8, 10), bool)
    wanted[0, 1:7, 1:7] = True
    wanted[0, 3:5, 3:5] = False
    wanted[1, 2:4, 7:10] = True
    wanted[2, 6:, 7:] = [[1, 0, 1], [0, 1, 1]]
    np.testing.assert_array_equal(found.masks.to_dense(), wanted)


def test_tags_and_descriptions(tmp_path: Path) -> None:
    tags = [{"name": "worn", "value": None}, {"name": "grade", "value": "A", "id": 3}, {"name": "angle", "value": 1.5}]
    first = bitmap([[1]], [0, 0], tags=tags, description="left one")
    image_tags = [{"name": "worn", "value": None}]
    project(tmp_path, a=annotation(first, bitmap([[1]], [2, 2]), tags=image_tags, description="dark"))
    labels = formats.read(tmp_path)
    image, found = labels[0]
    assert dict(image.attributes) == {"tags": image_tags, "description": "dark"}
    assert {k: v.tolist() for k, v in found.attributes.items()} == {
        "worn": [True, None], "grade": ["A", None], "angle": [1.5, None], "description": ["left one", None],
    }  # fmt: skip
    formats.write(labels, tmp_path / "out", "supervisely")
    again = formats.read(tmp_path / "out")
    assert again[0] == (again.refs[0], found)
    assert dict(again.refs[0].attributes) == dict(image.attributes)
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert [(c["title"], c["shape"], c["id"]) for c in meta["classes"]] == [
        ("nut", "bitmap", 21),
        ("bolt", "bitmap", 22),
    ]
    assert meta["tags"][:3] == META["tags"]
    written = json.loads((tmp_path / "out" / "ds0" / "ann" / "a.png.json").read_text())["objects"][0]["tags"]
    assert {"name": "worn"} in written
    assert {"name": "grade", "value": "A"} in written


def test_values_that_no_tag_holds(tmp_path: Path) -> None:
    attributes = {"seen": [True, False], "grade": ["A", "Z"], "point": [[1, 2], [3, 4]], "angle": [1, 2.5]}
    instances = Instances(Masks.from_boxes([[0, 0, 2, 2], [1, 1, 3, 3]], (4, 4)), attributes=attributes)
    formats.write([(ref(), instances)], tmp_path / "out", "supervisely", metadata={"supervisely": META})
    assert formats.read(tmp_path / "out")[0][1] == instances
    objects = json.loads((tmp_path / "out" / "ds0" / "ann" / "a.png.json").read_text())["objects"]
    assert objects[1]["tags"] == [{"name": "angle", "value": 2.5}]
    assert objects[1]["apiece"] == {"seen": False, "grade": "Z", "point": [3, 4]}


def test_datasets_and_names(tmp_path: Path) -> None:
    names = ["a.png", "train/a.png", "train/night/a.png", "val/b.png"]
    one = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)))
    formats.write([(ref(n), one) for n in names], tmp_path / "out", "supervisely")
    assert (tmp_path / "out" / "train" / "datasets" / "night" / "ann" / "a.png.json").is_file()
    labels = formats.read(tmp_path / "out", images=tmp_path)
    assert sorted(r.name for r in labels.refs) == names
    assert all(r.path == tmp_path / r.name for r in labels.refs)
    for wrong, reason in (("ds0/a.png", "rename the folder"), ("../a.png", "leaves"), (".a.png", "hidden")):
        with pytest.raises(FormatError, match=reason):
            formats.write([(ref(wrong), one)], tmp_path / "no", "supervisely")
    with pytest.raises(FormatError, match="comes twice"):
        formats.write([(ref("a.png"), one)] * 2, tmp_path / "no", "supervisely")
    with pytest.raises(LossyFormatError, match="JSON cannot hold"):
        formats.write([(ref(), one.replace(attributes={"x": [np.inf]}))], tmp_path / "no", "supervisely")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_written_opens_as_the_sdk_opens_it(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    stack = np.zeros((1, 6, 9), bool)
    stack[0, 1:5, 2:8] = np.arange(24).reshape(4, 6) % 3 > 0
    formats.write([(ref(), Instances(Masks.from_dense(stack)))], tmp_path / "out", "supervisely")
    found = json.loads((tmp_path / "out" / "ds0" / "ann" / "a.png.json").read_text())["objects"][0]["bitmap"]
    data = np.frombuffer(zlib.decompress(base64.b64decode(found["data"])), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert pixels.shape[2] == 4  # the SDK takes the last of four channels for the mask
    x, y = found["origin"]
    np.testing.assert_array_equal(pixels[..., 3] > 0, stack[0, y : y + pixels.shape[0], x : x + pixels.shape[1]])


def bomb() -> str:
    return base64.b64encode(zlib.compress(b"\0" * (1 << 27), 9)).decode()


def liar() -> str:
    head = b"IHDR" + struct.pack(">IIBBBBB", 1 << 13, 1 << 13, 1, 0, 0, 0, 0)
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    data = b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + struct.pack(">I", zlib.crc32(head)) + end
    return base64.b64encode(zlib.compress(data)).decode()


GOOD = bitmap([[1, 1]], [0, 0])
SQUARE = [[1, 1], [6, 1], [6, 6], [1, 6]]
BAD = {
    "class": (bitmap([[1]], [0, 0], title="gasket"), "'gasket' is no class of meta.json"),
    "blob": (figure("blob", points={"exterior": SQUARE, "interior": []}), "a blob has no inside"),
    "two points": (polygon(SQUARE[:2]), "has 2 points"),
    "hole of two": (polygon(SQUARE, [SQUARE[:2]]), r"points\.interior\[0\] has 2 points"),
    "outside": (polygon([[0, 0], [50, 0], [0, 5]]), "outside the image"),
    "no points": (figure("polygon"), "points: must be"),
    "nan": (polygon([[0, 0], [float("nan"), 0], [0, 5]]), "NaN or Infinity"),
    "rectangle": (figure("rectangle", points={"exterior": SQUARE, "interior": []}), "two corners"),
    "rectangle outside": (figure("rectangle", points={"exterior": [[0, 0], [30, 3]]}), "outside the image"),
    "no bitmap": (figure("bitmap"), "bitmap: must be"),
    "origin": (bitmap([[1]], [0.5, 0]), "origin: must be"),
    "beyond": (bitmap([[1, 1, 1]], [20, 0]), "lies wholly outside"),
    "no base64": (figure("bitmap", bitmap={"data": "§", "origin": [0, 0]}), "base64"),
    "no zlib": (figure("bitmap", bitmap={"data": "AAAA", "origin": [0, 0]}), "no zlib stream"),
    "cut": (figure("bitmap", bitmap={"data": packed(np.ones((4, 4)))[:40], "origin": [0, 0]}), "cut short"),
    "bomb": (figure("bitmap", bitmap={"data": bomb(), "origin": [0, 0]}), "more than"),
    "liar": (figure("bitmap", bitmap={"data": liar(), "origin": [0, 0]}), "more than the image's"),
    "id twice": (bitmap([[1]], [0, 0], number=4), r"id: 4 is objects\[0\]'s already"),
    "id": (bitmap([[1]], [0, 0], number=2**70), "id: must be an integer"),
    "tags": (bitmap([[1]], [0, 0], tags=[{}]), "tags: must be"),
    "tag twice": (bitmap([[1]], [0, 0], tags=[{"name": "a"}, {"name": "a"}]), "'a' is there twice"),
    "no object": ([], "must be an object"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_objects_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    entry, reason = BAD[name]
    project(tmp_path, a=annotation(GOOD | {"id": 4}, entry, GOOD | {"id": 5}))
    with pytest.raises(FormatError, match=rf"a\.png\.json: objects\[1\].*{reason}"):
        list(formats.read(tmp_path))
    told: list[FormatError] = []
    found = formats.read(tmp_path, on_bad=told.append)[0][1]
    assert len(told) == 1
    assert found.masks.area.tolist() == [2, 2]


FILES = {
    "no size": (annotation(GOOD, size=None), "size: must be"),
    "giant": (annotation(GOOD, size={"height": 8, "width": 10**9}), "width must be"),
    "no objects": ({"size": {"height": 8, "width": 10}}, "objects: must be a list"),
    "cut": ('{"description": "", "tags": [', "cut short"),
    "deep": ('{"a":' * 100_000, "deep"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_named_and_left_out(tmp_path: Path, name: str) -> None:
    content, reason = FILES[name]
    project(tmp_path, a=annotation(GOOD), b=content)
    with pytest.raises(FormatError, match=rf"b\.png\.json: .*{reason}"):
        list(formats.read(tmp_path))
    told: list[FormatError] = []
    assert [r.name for r, _ in formats.read(tmp_path, on_bad=told.append)] == ["a.png"]
    assert len(told) == 1


METAS = {
    "missing": (None, "is missing"),
    "no classes": ({"tags": []}, "classes: must be a list"),
    "twice": (META | {"classes": META["classes"] * 2}, "'nut' is there twice"),  # type: ignore[operator]
    "untyped tag": (META | {"tags": [{"name": "a"}]}, "'a' has no value_type"),
}


@pytest.mark.parametrize("name", METAS)
def test_a_project_without_a_good_meta(tmp_path: Path, name: str) -> None:
    content, reason = METAS[name]
    if content is not None:
        save(tmp_path / "meta.json", content)
    with pytest.raises(FormatError, match=rf"meta\.json: .*{reason}"):
        formats.read(tmp_path, "supervisely")
