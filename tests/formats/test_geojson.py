"""GeoJSON, in the layouts that QuPath 0.5 ("Export as GeoJSON", FeatureCollection) and GDAL's GeoJSON driver write."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats
from apiece.datasets import Dropped, map_classes, summarise
from apiece.errors import FormatError, LossyFormatError
from apiece.formats import geojson
from apiece.formats._kit import json_stream
from apiece.formats.contract import in_pieces
from apiece.formats.geojson._objects import Reader, Table

Save = Callable[..., Path]
OUTER = [[1, 1], [6, 1], [6, 5], [1, 5], [1, 1]]
HOLE = [[3, 4], [5, 4], [5, 2], [3, 2], [3, 4]]
ISLAND = [[4, 2], [5, 2], [5, 3], [4, 3], [4, 2]]


def feature(coordinates: Any, kind: str = "Polygon", of: str | None = "Tumor", **more: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation", "isLocked": False}
    if of is not None:
        properties["classification"] = {"name": of, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "8b5b33f6-0a5e-4f3f-b3e5-30c9d1d22a0e",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties | more,
    }


def collection(*features: Any, **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)} | more


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Pillow.new("L", (8, 6)).save(tmp_path / "slide 1.png")
    return tmp_path / "slide 1.png"


def ringed() -> np.ndarray:
    a = np.zeros((6, 8), bool)
    a[1:5, 1:6] = True
    a[2:4, 3:5] = False
    return a


def test_what_qupath_writes(saved: Save, picture: Path) -> None:
    path = saved(
        collection(
            feature([OUTER, HOLE]),
            feature([[OUTER, HOLE], [ISLAND]], "MultiPolygon", "Stroma", name="region", isLocked=True),
            feature([OUTER], of=None, objectType="detection", measurements={"Area": 3.5}),
            feature([1, 1], "Point"),
            {"type": "Feature", "geometry": None, "properties": {}},
        ),
        "slide 1.geojson",
    )
    assert formats.detect(path) == "geojson"
    assert formats.detect(path.parent) == "geojson"
    labels = formats.read(path)
    assert labels.classes == ("Tumor", "Stroma", "Unclassified")
    assert labels.shape_counts() == {"Point": 1, "null": 1}
    assert labels.metadata["geojson"]["colors"]["Tumor"] == [200, 0, 0]
    ref, found = labels[0]
    assert (ref.name, ref.path) == ("slide 1.png", picture)
    dense = found.masks.to_dense()
    assert (dense[0] == ringed()).all()
    island = ringed()
    island[2, 4] = True
    assert (dense[1] == island).all()
    assert dense[2].sum() == 20
    assert found.names == ["Tumor", "Stroma", "Unclassified"]
    assert found.attributes["objectType"].tolist() == [None, None, "detection"]
    assert found.attributes["name"].tolist() == [None, "region", None]
    assert found.attributes["isLocked"].tolist() == [None, True, None]
    assert found.attributes["measurements"].tolist() == [None, None, {"Area": 3.5}]
    assert set(found.attributes["feature_id"]) == {"8b5b33f6-0a5e-4f3f-b3e5-30c9d1d22a0e"}


def test_it_comes_back(saved: Save, picture: Path, tmp_path: Path) -> None:
    document = collection(feature([OUTER, HOLE], name="region"), feature([OUTER], score=0.5, objectType="tile"))
    labels = formats.read(saved(document, "slide 1.geojson"))
    formats.write(labels, tmp_path / "again.geojson")
    assert formats.read(tmp_path / "again.geojson")[0][1] == labels[0][1]
    again = json.loads((tmp_path / "again.geojson").read_text())
    assert again["features"][0]["id"] == document["features"][0]["id"]
    assert again["features"][0]["properties"] == document["features"][0]["properties"]
    assert again["features"][0]["geometry"] == document["features"][0]["geometry"]


@pytest.mark.parametrize("of", [None, "Tumor"])
def test_features_without_a_class_stay_without(of: str | None, saved: Save, picture: Path, tmp_path: Path) -> None:
    document = collection(feature([OUTER], of=of), feature([OUTER], of=None))
    labels = formats.read(saved(document, "slide 1.geojson"))
    formats.write(labels, tmp_path / "again.geojson")
    again = json.loads((tmp_path / "again.geojson").read_text())
    assert [("classification" in f["properties"]) for f in again["features"]] == [of is not None, False]
    assert formats.read(tmp_path / "again.geojson")[0][1] == labels[0][1]
    renamed = [(ref, own.replace(classes=tuple(f"my {c}" for c in own.classes))) for ref, own in labels]
    formats.write(renamed, tmp_path / "named.geojson", metadata=labels.metadata)
    named = json.loads((tmp_path / "named.geojson").read_text())
    assert all("classification" in f["properties"] for f in named["features"])


def test_derived_classes_and_colors_of_every_qupath(saved: Save, picture: Path, tmp_path: Path) -> None:
    """A derived class has ``names`` since 0.4; before, its name and the color packed into an integer."""
    said = [
        {"name": "Stroma", "color": [0, 0, 200]},
        {"names": ["Tumor", "Positive"], "color": [200, 0, 0]},
        {"name": "Tumor: Negative", "colorRGB": -9408287},
        {"names": ["CD3", "CD8", "Ki67"], "color": [1, 2, 3]},
        {"names": ["Tumor"]},
        {"names": []},
        {"name": "odd: "},
    ]
    features = [feature([OUTER], classification=one) for one in said]
    features.append(feature([1, 1], "Point", classification=said[1]))
    labels = formats.read(saved(collection(*features), "slide 1.geojson"))
    names = ["Stroma", "Tumor: Positive", "Tumor: Negative", "CD3: CD8: Ki67", "Tumor", "Unclassified", "odd: "]
    assert labels[0][1].names == names
    colors = labels.metadata["geojson"]["colors"]
    assert colors["Tumor: Negative"] == [0x70, 0x70, 0xE1]
    formats.write(labels, tmp_path / "again.geojson")
    again = formats.read(tmp_path / "again.geojson")
    assert again[0][1] == labels[0][1]
    written = json.loads((tmp_path / "again.geojson").read_text())["features"]
    classes = [f["properties"].get("classification") for f in written]
    assert classes[:4] == [said[0], said[1], {"names": ["Tumor", "Negative"], "color": [112, 112, 225]}, said[3]]
    assert classes[5] is None
    assert classes[6]["name"] == "odd: "
    assert classes[7] == said[1]
    renamed = map_classes(labels, ["Tumor: Positive=Tumor: hot"], keep_others=True)
    formats.write(renamed, tmp_path / "renamed.geojson")
    point = json.loads((tmp_path / "renamed.geojson").read_text())["features"][-1]
    assert point["properties"]["classification"] == {"names": ["Tumor", "hot"], "color": [200, 0, 0]}


@pytest.mark.parametrize("document", [[feature([OUTER])], feature([OUTER])])
def test_other_wholes(saved: Save, picture: Path, document: Any) -> None:
    path = saved(document, "slide 1.geojson")
    assert formats.detect(path) == "geojson"
    assert formats.read(path)[0][1].masks.area.tolist() == [20]


def test_fractions_by_cocos_rule(saved: Save, picture: Path) -> None:
    points = [[1.3, 0.7], [6.2, 1.1], [4.9, 5.3]]
    _, found = formats.read(saved(collection(feature([[*points, points[0]]])), "slide 1.geojson"))[0]
    assert found.masks == Masks.from_polygons([[np.array(points)]], (6, 8))


def test_windings(tmp_path: Path) -> None:
    formats.write([("a.png", Instances(Masks.from_dense(ringed()[None])))], tmp_path / "a.geojson")
    rings = json.loads((tmp_path / "a.geojson").read_text())["features"][0]["geometry"]["coordinates"]

    def area(points: list[list[float]]) -> float:
        return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(points)) / 2

    assert [area(r) for r in rings] == [20, -4]
    assert all(r[0] == r[-1] for r in rings)
    # north up: rows run against y, and the sense of the rings turns with them
    ref = ImageRef(Path("a.png"), "a.png", None, None, {"geotransform": [7e5, 0.5, 0, 5.2e6, 0, -0.5]})
    formats.write([(ref, Instances(Masks.from_dense(ringed()[None])))], tmp_path / "b.geojson")
    rings = json.loads((tmp_path / "b.geojson").read_text())["features"][0]["geometry"]["coordinates"]
    assert [area(r) for r in rings] == [5, -1]


def test_world_coordinates(saved: Save, picture: Path, tmp_path: Path) -> None:
    transform = [700000.5, 0.25, 0.0, 5200000.25, 0.0, -0.25]
    world = [[[700000.5 + 0.25 * x, 5200000.25 - 0.25 * y] for x, y in r] for r in (OUTER, HOLE)]
    gdal = {"type": "Feature", "properties": {"class": "roof", "fid": 3}, "geometry": {"type": "Polygon"}}
    gdal["geometry"]["coordinates"] = world
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    labels = formats.read(saved(collection(gdal, geotransform=transform, crs=crs), "slide 1.geojson"))
    ref, found = labels[0]
    assert ref.attributes["geotransform"] == transform
    assert (found.masks.to_dense()[0] == ringed()).all()
    assert found.names == ["roof"]
    formats.write(labels, tmp_path / "out", "geojson")
    document = json.loads((tmp_path / "out" / "slide 1.geojson").read_text())
    assert document["crs"] == crs
    assert document["features"][0]["geometry"]["coordinates"][0][0] in world[0]
    assert formats.read(tmp_path / "out")[0][1] == found
    # the same from a world file, which speaks of the first pixel's centre
    (tmp_path / "slide 1.pgw").write_text("0.25\n0\n0\n-0.25\n700000.625\n5200000.125\n")
    again = formats.read(saved(collection(gdal), "slide 1.geojson"))
    assert (again[0][1].masks.to_dense()[0] == ringed()).all()
    # but QuPath's are pixels whatever lies beside the image
    qupath = formats.read(saved(collection(feature([OUTER, HOLE])), "slide 1.geojson"))
    assert (qupath[0][1].masks.to_dense()[0] == ringed()).all()
    (tmp_path / "slide 1.pgw").write_text("0.25\n0\n0\n")
    with pytest.raises(FormatError, match="six numbers"):
        formats.read(saved(collection(gdal), "slide 1.geojson"))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_any_masks_come_back_in_any_world(tmp_path_factory: pytest.TempPathFactory, seed: int, world: bool) -> None:
    rng = np.random.default_rng(seed)
    masks = Masks.from_dense(rng.random((4, 12, 9)) < rng.random((4, 1, 1)))
    instances = Instances(masks, rng.integers(0, 2, 4), ("a", "b"), rng.random(4), rng.integers(0, 9, 4))
    turn, scale = rng.random() * 7, rng.random() * 9 + 0.01
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    transform = [4.2e6, float(c), float(-s), -5.1e6, float(s), float(-c) if seed % 2 else float(c)]
    keep = world and abs(transform[1] * transform[5] - transform[2] * transform[4]) > 1e-3
    ref = ImageRef(Path("ä.tif"), "ä.tif", None, None, {"geotransform": transform} if keep else {})
    path = tmp_path_factory.mktemp("d") / "out.geojson"
    formats.write([(ref, instances)], path)
    assert formats.read(path)[0][1] == instances


BROKEN = {
    "two points": (feature([[[1, 1], [2, 2], [1, 1]]]), "outer ring has 2 points"),
    "outside": (feature([[[1, 1], [90, 1], [1, 4], [1, 1]]]), "reaches 82 pixels outside the image of 8 x 6"),
    "text": (feature([[["x", 1], [5, 1], [1, 4]]]), "pairs of numbers"),
    "huge": (feature([[[1, 10**400], [5, 1], [1, 4]]]), "not finite"),
    "flat": (feature([1, 2]), "list of positions"),
    "no rings": (feature([]), "lists of rings"),
    "null": (feature(None), "lists of rings"),
    "ring": (feature(["abc"]), "list of positions"),
    "kind": (feature([OUTER], "Circle"), "type 'Circle' is not read"),
    "score": (feature([OUTER], score="high"), "score must be a number"),
    "no geometry": ({"type": "Feature", "geometry": 3, "properties": {}}, "with a geometry"),
    "no feature": (3, "must be an object"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_feature(saved: Save, picture: Path, case: str) -> None:
    bad, reason = BROKEN[case]
    path = saved(collection(bad, feature([OUTER])), "slide 1.geojson")
    with pytest.raises(FormatError, match=rf"features\[0\]: .*{reason}"):
        list(formats.read(path))
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append)[0]
    assert found.masks.area.tolist() == [20]
    assert len(told) == 1


# all pixels on one line, but for the rounding of the product
BY_ROUNDING = [0, 7.1, 2.8, 0, 4.3, 4.3 * (2.8 / 7.1)]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"geotransform": [1, 2, 3]}, "geotransform: must be six numbers"),
        ({"geotransform": [0, 1, 2, 0, 2, 4]}, "on one line"),
        ({"geotransform": [0, 1e-320, 0, 0, 0, 1]}, "on one line"),
        ({"geotransform": BY_ROUNDING}, "on one line"),
        ({"apiece": {"image": "../.."}}, "is no file name"),
        ({"apiece": {"size": [2**40, 3]}}, "image height"),
    ],
)
def test_a_bad_collection(saved: Save, picture: Path, tmp_path: Path, more: dict[str, Any], reason: str) -> None:
    path = saved(collection(feature([OUTER]), **more), "slide 1.geojson")
    with pytest.raises(FormatError, match=reason):
        formats.read(path)
    Pillow.new("L", (8, 6)).save(tmp_path / "b.png")
    saved(collection(feature([OUTER])), "b.geojson")
    told: list[FormatError] = []
    assert [r.name for r in formats.read(tmp_path, on_bad=told.append).refs] == ["b.png"]
    assert len(told) == 1


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_doubles(saved: Save, picture: Path, tmp_path: Path) -> None:
    far = collection(feature([[[x * 1e200, y] for x, y in OUTER]]), geotransform=[0, 1e-200, 0, 0, 0, 1])
    with pytest.raises(FormatError, match=r"features\[0\]: outer ring has a coordinate that is not finite"):
        formats.read(saved(far, "slide 1.geojson"))[0]
    masks = Masks.from_boxes([[0, 0, 2, 2]], (2, 2))
    wide = ImageRef(Path("a.png"), "a.png", None, None, {"geotransform": [1e308, 1e308, 0, 0, 0, 1]})
    with pytest.raises(LossyFormatError, match="too coarse"):
        formats.write([(wide, Instances(masks))], tmp_path / "o.geojson")


def test_an_image_that_is_missing(saved: Save) -> None:
    labels = formats.read(saved(collection(feature([OUTER])), "x.geojson"))
    with pytest.raises(FormatError, match=r"x\.geojson: image 'x\.png': its size is not stated"):
        labels[0]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    masks, out = Masks.from_boxes([[0, 0, 1, 1]], (2, 2)), tmp_path / "o.geojson"
    for name, value, reason in (
        ("x", np.inf, "JSON cannot hold"),
        ("score", 1, "rename it"),
        ("isLocked", False, "goes without saying"),
        ("objectType", "annotation", "goes without saying"),
    ):
        with pytest.raises(LossyFormatError, match=reason):
            formats.write([("a.png", Instances(masks, attributes={name: [value]}))], out)
    with pytest.raises(FormatError, match="holds one image, got several"):
        formats.write([("a.png", Instances(masks)), ("b.png", Instances(masks))], out)
    with pytest.raises(FormatError, match=r"would share a\.geojson"):
        formats.write([("a.png", Instances(masks)), ("a.jpg", Instances(masks))], tmp_path / "folder", "geojson")
    coarse = ImageRef(Path("a.png"), "a.png", None, None, {"geotransform": [1e16, 1, 0, 0, 0, 1]})
    with pytest.raises(LossyFormatError, match="too coarse"):
        formats.write([(coarse, Instances(masks))], out)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_BLOCK", 2000)
    rng = np.random.default_rng(0)
    features = []
    for k in range(40):
        x, y = rng.integers(0, 90, 2).tolist()
        ring = [[x, y], [x + 8, y], [x + 8, y + 6.5], [x, y + 6.5], [x, y]]
        hole = [[x + 2, y + 2], [x + 2, y + 4], [x + 5, y + 4], [x + 2, y + 2]]
        features.append(feature([ring, hole][: 1 + k % 2], of="AB"[k % 2], score=0.5))
        features[-1]["id"] = [f"u{k}", k][k % 3 == 0]
    features.insert(5, feature([3, 4], "Point"))
    features.insert(
        20, feature([[[[2, 2], [9, 2], [9, 9]]], [[[20, 20], [30, 20], [30, 29]]]], "MultiPolygon", score=1)
    )
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(collection(*features, apiece={"image": "a.png", "size": [100, 100]})))
    labels = formats.read(path)
    (whole,) = labels
    assert [len(one) for _, one in in_pieces(labels)] == [41]
    monkeypatch.setattr(geojson, "_LARGE", 0)
    records = list(in_pieces(labels))
    assert len(records) > 5
    assert all(ref is whole[0] for ref, _ in records)
    joined = Instances.concatenate([one for _, one in records])
    assert joined.masks == whole[1].masks
    assert joined.ids is not None
    assert joined.ids.tolist() == whole[1].ids.tolist()
    assert joined.labels.tolist() == whole[1].labels.tolist()
    assert joined.scores.tolist() == whole[1].scores.tolist()
    assert summarise(labels) == summarise(formats.read(path))
    dropped = Dropped(map_classes(labels, ["B", "*"]), ("ids",))
    formats.write(in_pieces(dropped), tmp_path / "b.geojson", classes=dropped.classes)
    formats.write(dropped, tmp_path / "c.geojson", classes=dropped.classes)
    assert formats.read(tmp_path / "b.geojson")[0][1].masks == formats.read(tmp_path / "c.geojson")[0][1].masks


@pytest.mark.parametrize("seed", range(6))
def test_objects_drawn_at_once_are_those_drawn_one_by_one(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    reach, named, scored = rng.choice([-9, -2, 3]), rng.random() < 0.5, rng.random() < 0.5
    features, path = [], tmp_path / "a.geojson"
    for k in range(60):
        x, y = rng.uniform(reach, 90 - reach, 2).round(2).tolist()
        ring = [[x, y], [x + 8, y], [x + 8, y + 6.5], [x, y + 6.5], [x, y]]
        hole = [[x + 2, y + 2], [x + 2, y + 4], [x + 5, y + 4], [x + 2, y + 2]]
        parts: list[Any] = [[ring], [ring, hole], [[ring, hole], [[[1, 1], [4, 1], [4, 5]]]]][k % 3 if seed % 2 else 0]
        more: dict[str, Any] = {"score": 0.5} if scored else {}
        more |= {"grade": k % 2, "iscrowd": k % 5 == 0} if seed % 3 else {"feature_id": "own"}
        kind = "MultiPolygon" if len(np.shape(parts[0][0])) == 2 else "Polygon"
        features.append(feature(parts, kind, of="AB"[k % 2], **more))
        if k % 7:
            features[-1]["id"] = f"u{k}" if named else k
    features.insert(9, feature([3, 4], "Point"))
    path.write_text(json.dumps(collection(*features, apiece={"image": "a.png", "size": [100, 90]})))
    monkeypatch.setattr(json_stream, "_BLOCK", 4000)
    monkeypatch.setattr(geojson, "_LARGE", 0)

    def outcome() -> Any:
        bad: list[FormatError] = []
        labels: Any = formats.read(path, on_bad=bad.append)
        found = [one for _, one in in_pieces(labels)]
        said = [
            (one.scores, one.ids, one.labels.tolist(), one.crowd.tolist(), list(one.attributes.items()))
            for one in found
        ]
        return [one.masks for one in found], repr(said), labels.cut, list(map(str, bad))

    read, drawn = Reader.table, [False]

    def noted(*given: Any) -> Table | None:
        found = read(*given)
        drawn.append(found is not None)
        return found

    monkeypatch.setattr(Reader, "table", noted)
    once = outcome()
    assert any(drawn)
    monkeypatch.setattr(Reader, "table", lambda *given: None)
    assert once == outcome()
