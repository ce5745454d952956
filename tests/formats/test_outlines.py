"""Outlines as label files state them, handed on some at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from apiece import formats
from apiece.formats import coco
from apiece.formats._kit import json_stream, label_sets
from apiece.formats.contract import OpenedLabels, Outlines


def of(path: Path) -> list[Outlines]:
    labels = formats.read(path, on_bad=lambda error: None)
    return list(cast(OpenedLabels, labels).outlines(lambda some: some))


def same(sets: list[Outlines], whole: Outlines) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(Outlines.concatenate(sets), whole, strict=True))


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(*parts: list[list[list[float]]]) -> dict[str, object]:
    geometry = {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": f"c{len(parts)}"}}}


def geojson(path: Path, features: list[dict[str, object]]) -> None:
    head = {"type": "FeatureCollection", "apiece": {"image": f"{path.stem}.png", "size": [60, 60]}}
    path.write_text(json.dumps({**head, "features": features}))


def test_of_geojson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [feature([square(k, 2, 5), square(k + 1, 3, 1)], *[[square(k, 20, 4)]] * (k % 2)) for k in range(20)]
    for name, features in (("a", good), ("b", [*good, feature([square(500, 2, 5)])]), ("c", good[:3])):
        geojson(tmp_path / f"{name}.geojson", features)
    few = of(tmp_path)
    monkeypatch.setattr(json_stream, "_BLOCK", 256)
    many = of(tmp_path)
    assert len(many) > len(few)
    one = Outlines.concatenate(few)
    assert same(many, one)  # an image with a bad feature is left out, however much of it was looked at before
    assert one.image.tolist() == [0] * 20 + [2] * 3
    assert one.place.tolist() == [*range(20), *range(3)]
    assert one.label[:4].tolist() == [0, 1, 0, 1]
    assert one.holes[:5].tolist() == [False, True, False, True, False]
    assert one.of(1)[2].tolist() == square(1, 20, 4)[:-1]


def test_of_coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [{"id": k, "file_name": f"{k}.png", "height": 60, "width": 60} for k in range(3)]
    segmentations = [[np.ravel(square(k, 2, 5)).tolist()] * (1 + k % 2) for k in range(20)]
    notes = [{"id": k, "image_id": k % 3, "category_id": 1, "segmentation": own} for k, own in enumerate(segmentations)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [{"id": 1, "name": "c"}]}))
    (whole,) = of(path)
    assert len(whole.image) == 20
    monkeypatch.setattr(coco, "_OUTLINES", 3)
    parts = of(path)
    assert len(parts) == 7
    assert same(parts, whole)


def test_of_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(5):
        shapes = [{"label": "c", "points": square(3 * j, k, 5)[:-1], "shape_type": "polygon"} for j in range(k)]
        told = {"shapes": shapes, "imagePath": f"{k}.png", "imageHeight": 60, "imageWidth": 60, "imageData": None}
        (tmp_path / f"{k}.json").write_text(json.dumps(told))
    (whole,) = of(tmp_path)
    assert whole.image.tolist() == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]
    monkeypatch.setattr(label_sets, "_RINGS", 2)
    parts = of(tmp_path)
    assert [len(one.image) for one in parts] == [3, 3, 4, 0]
    assert same(parts, whole)
