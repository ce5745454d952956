"""What tools do to every object of a set: crowd, outlines through pixel centres, filled holes, split objects, boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apiece import formats
from apiece.check import Finding, check, fix, open_labels
from apiece.formats import coco

SIZE = (90, 120)
KINDS = ("all_crowd", "half_pixel", "cut_fractions", "filled_hole", "split_parts", "short_box")


def blobs(count: int = 16) -> list[np.ndarray]:
    rng, drawn = np.random.default_rng(0), []
    for _ in range(count):
        one = np.zeros(SIZE, np.uint8)
        middle, axes = rng.integers(40, 60, 2).tolist(), rng.integers(10, 30, 2).tolist()
        cv2.ellipse(one, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        drawn.append(one)
    return drawn


def contour(mask: np.ndarray) -> list[float]:
    found = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    return max(found, key=len).ravel().astype(float).tolist()  # type: ignore[no-any-return]


def rle(mask: np.ndarray) -> dict[str, Any]:
    steps = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel(), [0]])))
    return {"size": list(SIZE), "counts": np.diff(np.concatenate([[0], steps, [mask.size]])).tolist()}


def box(mask: np.ndarray) -> list[int]:
    return list(cv2.boundingRect(mask))


def written(folder: Path, entries: list[dict[str, Any]]) -> Path:
    """Two objects an image."""
    images = [{"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]} for k in range(len(entries) // 2)]
    common = {"category_id": 1, "iscrowd": 0}
    annotations = [{"id": k + 1, "image_id": k // 2, **common, **entry} for k, entry in enumerate(entries)]
    path = folder / "train.json"
    categories = [{"id": 1, "name": "part"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def found(path: Path) -> list[Finding]:
    return [f for f in check({"train": path}, images=False, only=["file"]).findings if f.kind in KINDS]


def repaired(path: Path, folder: Path) -> list[np.ndarray]:
    source = open_labels(path)
    made = fix({"train": source}, check({"train": source}, images=False, only=["file"]), folder / "out")
    assert found(made.files["train"]) == []
    return [mask for _, own in formats.read(made.files["train"]) for mask in own.masks.to_dense()]


def test_a_set_of_crowds_and_its_repair(tmp_path: Path) -> None:
    path = written(tmp_path, [{"segmentation": rle(m), "iscrowd": 1} for m in blobs()])
    (one,) = found(path)
    assert (one.kind, one.message) == ("all_crowd", "all 16 objects are marked as crowd")
    assert all((a == b).all() for a, b in zip(blobs(), repaired(path, tmp_path), strict=True))
    assert not any(own.crowd.any() for _, own in formats.read(tmp_path / "out" / "train.json"))
    assert [f.kind for f in found(written(tmp_path, [{"segmentation": rle(m), "iscrowd": 1} for m in blobs(2)]))] == [
        "all_crowd"
    ]
    some = [{"segmentation": rle(m), "iscrowd": int(k > 0)} for k, m in enumerate(blobs())]
    assert found(written(tmp_path, some)) == []


def test_outlines_through_pixel_centres_and_their_repair(tmp_path: Path) -> None:
    path = written(tmp_path, [{"segmentation": [contour(m)]} for m in blobs()])
    (one,) = found(path)
    assert (one.kind, one.repair) == ("half_pixel", "widen")
    before = [mask for _, own in formats.read(path) for mask in own.masks.to_dense()]
    assert all(b.sum() < a.sum() for a, b in zip(blobs(), before, strict=True))
    assert all((a == b).all() for a, b in zip(blobs(), repaired(path, tmp_path), strict=True))


def yolo(folder: Path, outline: Any) -> Path:
    (folder / "labels").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "data.yaml").write_text("train: images\nnames: [part]\n")
    for k, mask in enumerate(blobs()):
        cv2.imwrite(str(folder / f"images/{k:02d}.png"), mask)
        shares = np.array(outline(mask)).reshape(-1, 2) / SIZE[::-1]
        (folder / f"labels/{k:02d}.txt").write_text("0 " + " ".join(f"{v:.5f}" for v in shares.ravel()))
    return folder


def labelme(folder: Path, outline: Any) -> Path:
    folder.mkdir()
    for k, mask in enumerate(blobs()):
        points = np.array(outline(mask)).reshape(-1, 2).tolist()
        shape = {"label": "part", "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
        sides = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        image = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [shape],
            "imagePath": f"{k:02d}.png",
            "imageData": None,
            **sides,
        }
        (folder / f"{k:02d}.json").write_text(json.dumps(image))
    return folder


def points_of(outline: Any, mask: np.ndarray) -> list[list[float]]:
    return np.array(outline(mask), float).reshape(-1, 2).tolist()  # type: ignore[no-any-return]


def cvat(folder: Path, outline: Any) -> Path:
    folder.mkdir()
    rows = []
    for k, mask in enumerate(blobs()):
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in points_of(outline, mask))
        rows.append(
            f'<image id="{k}" name="{k:02d}.png" width="{SIZE[1]}" height="{SIZE[0]}">'
            f'<polygon label="part" occluded="0" points="{points}" z_order="0"></polygon></image>'
        )
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{''.join(rows)}</annotations>")
    return folder / "annotations.xml"


def via(folder: Path, outline: Any) -> Path:
    folder.mkdir()
    pictures = {}
    for k, mask in enumerate(blobs()):
        cv2.imwrite(str(folder / f"{k:02d}.png"), mask)
        x, y = zip(*points_of(outline, mask), strict=True)
        shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        regions = [{"shape_attributes": shape, "region_attributes": {"class": "part"}}]
        picture = {"filename": f"{k:02d}.png", "size": -1, "regions": regions, "file_attributes": {}}
        pictures[f"{k:02d}.png-1"] = picture
    (folder / "via.json").write_text(json.dumps(pictures))
    return folder / "via.json"


def datumaro(folder: Path, outline: Any) -> Path:
    folder.mkdir()
    items = []
    for k, mask in enumerate(blobs()):
        points = np.array(outline(mask), float).ravel().tolist()
        note = {"id": 0, "type": "polygon", "attributes": {}, "group": 0, "label_id": 0, "points": points, "z_order": 0}
        items.append({"id": f"{k:02d}", "annotations": [note], "image": {"path": f"{k:02d}.png", "size": SIZE}})
    labels = {"label": {"labels": [{"name": "part", "parent": "", "attributes": []}], "attributes": []}}
    (folder / "train.json").write_text(json.dumps({"info": {}, "categories": labels, "items": items}))
    return folder / "train.json"


def label_studio(folder: Path, outline: Any) -> Path:
    folder.mkdir()
    tasks = []
    for k, mask in enumerate(blobs()):
        shares = [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in points_of(outline, mask)]
        result = {
            "id": f"r{k}",
            "type": "polygonlabels",
            "original_width": SIZE[1],
            "original_height": SIZE[0],
            "value": {"points": shares, "closed": True, "polygonlabels": ["part"]},
        }
        tasks.append({"id": k, "data": {"image": f"{k:02d}.png"}, "annotations": [{"id": k, "result": [result]}]})
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def geojson(folder: Path, outline: Any) -> Path:
    """One file an image, the image beside it."""
    folder.mkdir()
    for k, mask in enumerate(blobs()):
        cv2.imwrite(str(folder / f"{k:02d}.png"), np.dstack([mask] * 3))
        ring = points_of(outline, mask)
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"objectType": "annotation", "classification": {"name": "part", "color": [255, 0, 0]}},
        }
        (folder / f"{k:02d}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder


@pytest.mark.parametrize("write", [yolo, labelme, cvat, via, datumaro, label_studio, geojson])
def test_other_formats_with_polygons(tmp_path: Path, write: Any) -> None:
    source = open_labels(write(tmp_path / "labels", contour))
    report = check({"train": source}, images=False, only=["file"])
    assert [(f.kind, f.repair) for f in report.findings if f.kind in KINDS] == [("half_pixel", "widen")]
    made = fix({"train": source}, report, tmp_path / "out")
    again = [mask for _, own in formats.read(made.files["train"]) for mask in own.masks.to_dense()]
    assert all((a == b).all() for a, b in zip(blobs(), again, strict=True))
    assert found(made.files["train"]) == []
    for number, outline in enumerate([drawn_by_hand, along_edges]):
        assert found(write(tmp_path / f"other{number}", outline)) == []


def test_a_labelme_polygon_inside_another_of_its_group(tmp_path: Path) -> None:
    folder = labelme(tmp_path / "labels", contour)
    path = folder / "03.json"
    image = json.loads(path.read_text())
    rings = ([[10, 10], [40, 10], [40, 40], [10, 40]], [[20, 20], [30, 20], [30, 30], [20, 30]])
    alone, *both = (
        {**image["shapes"][0], "points": points, "group_id": k}
        for k, points in ((1, rings[0]), (2, rings[0]), (2, rings[1]))
    )
    path.write_text(json.dumps({**image, "shapes": [alone, *both]}))
    (hole,) = [f for f in found(folder) if f.kind == "filled_hole"]
    assert (hole.place.image, hole.place.instances) == ("03.png", (1,))


def drawn_by_hand(mask: np.ndarray) -> list[float]:
    return cv2.approxPolyDP(np.array(contour(mask), np.float32).reshape(-1, 1, 2), 1.0, True).ravel().tolist()  # type: ignore[no-any-return]


def along_edges(mask: np.ndarray) -> list[float]:
    """The outline along pixel edges, step by step."""
    ring = formats_outline(mask)
    return ring.ravel().tolist()  # type: ignore[no-any-return]


def formats_outline(mask: np.ndarray) -> np.ndarray:
    from apiece import Masks

    return np.asarray(Masks.from_dense(mask[None] > 0).to_polygons()[0][0])


@pytest.mark.parametrize(
    "outline",
    [
        drawn_by_hand,
        along_edges,
        lambda m: (np.array(contour(m)) + 0.5).tolist(),
        lambda m: [5, 5, 60, 5, 60, 40, 5, 40],
    ],
    ids=["whole numbers by hand", "pixel edges", "half pixels", "rectangles"],
)
def test_other_outlines_are_not_accused(tmp_path: Path, outline: Any) -> None:
    assert found(written(tmp_path, [{"segmentation": [outline(m)]} for m in blobs()])) == []


def test_a_polygon_inside_another_of_its_object(tmp_path: Path) -> None:
    outer, hole, beside = ([10, 10, 40, 10, 40, 40, 10, 40], [20, 20, 30, 20, 30, 30, 20, 30], [50, 5, 60, 5, 60, 15])
    drawn = [[outer, hole], [outer, beside], [outer], [beside, hole, outer]]
    entries = [{"segmentation": rings} for rings in drawn]
    faults = found(written(tmp_path, entries))
    assert [(f.kind, f.place.index, f.place.instances) for f in faults] == [
        ("filled_hole", 0, (0,)),
        ("filled_hole", 1, (1,)),
    ]
    assert faults[0].message == "a polygon of 100 pixels lies inside another one of the same object"


def test_boxes_a_pixel_short_and_their_repair(tmp_path: Path) -> None:
    short = [[x, y, w - 1, h - 1] for x, y, w, h in map(box, blobs())]
    entries = [{"segmentation": rle(m), "bbox": b, "area": int(m.sum())} for m, b in zip(blobs(), short, strict=True)]
    path = written(tmp_path, entries)
    (one,) = found(path)
    assert (one.kind, one.message) == (
        "short_box",
        "16 of 16 stated boxes are one pixel narrower and lower than their masks",
    )
    repaired(path, tmp_path)
    right = [{**entry, "bbox": box(m)} for entry, m in zip(entries, blobs(), strict=True)]
    assert found(written(tmp_path, right)) == []
    assert found(written(tmp_path, [entries[0], *right[1:]])) == []


def disc(*circles: tuple[int, int, int]) -> np.ndarray:
    drawn = np.zeros(SIZE, np.uint8)
    for x, y, radius in circles:
        cv2.circle(drawn, (x, y), radius, 1, -1)
    return drawn


def brush_export(folder: Path, images: list[list[np.ndarray]], info: bool = True) -> Path:
    """Write brush masks as Label Studio's SDK 2.1 does: each outer contour of each mask as an annotation."""
    notes: list[dict[str, Any]] = []
    for k, masks in enumerate(images):
        for mask in masks:
            for outline in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
                common = {"id": len(notes), "image_id": k, "category_id": 1, "iscrowd": 0, "annotator": "unknown"}
                area, rect = int(cv2.contourArea(outline)), list(cv2.boundingRect(outline))
                notes.append({**common, "segmentation": [outline.ravel().tolist()], "area": area, "bbox": rect})
    listed = [{"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]} for k in range(len(images))]
    data: dict[str, Any] = {"images": listed, "annotations": notes, "categories": [{"id": 1, "name": "part"}]}
    if info:
        data["info"] = {"description": "Converted from Label Studio", "contributor": "Label Studio Converter"}
    path = folder / "result_coco.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("at_once", [1, 2, 1 << 14])
def test_parts_of_a_brush_mask_as_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(coco, "_OUTLINES", at_once)
    three, one = disc((20, 30, 8), (50, 34, 10), (80, 30, 7)), disc((60, 70, 9))
    (found_one,) = found(brush_export(tmp_path, [[one], [three, one]]))
    assert (found_one.kind, found_one.place.index, found_one.place.instances) == ("split_parts", 1, (0, 1))
    assert found_one.message.startswith("3 annotations may be parts of 1 object: Label Studio's export")
    assert found(brush_export(tmp_path, [[one], [three, one]], info=False)) == []


def test_brush_masks_of_one_part_are_not_accused(tmp_path: Path) -> None:
    far = disc((12, 12, 6), (108, 76, 6))
    ring = disc((40, 40, 25)) - disc((40, 40, 12))
    touching = [disc((40, 50, 10)), disc((40, 29, 10))]  # as one mask these were one part
    for masks in ([far], [ring, disc((90, 70, 9))], touching):
        assert found(brush_export(tmp_path, [masks])) == []
    rng = np.random.default_rng(0)
    rows = [[disc((12 + 24 * k, int(rng.integers(15, 75)), 9)) for k in range(5)] for _ in range(12)]
    assert {f.kind for f in found(brush_export(tmp_path, rows))} == {"half_pixel"}


def test_outlines_of_whole_numbers_beside_boxes_with_fractions(tmp_path: Path) -> None:
    """SAHI's `slice_coco` cuts fractions off outlines, and keeps them in boxes."""
    turn, entries, rounded = np.linspace(0, 2 * np.pi, 9)[:-1], [], []
    for k in range(12):
        ring = np.stack([50 + k * 0.3 + 20 * np.cos(turn), 40.4 + 12 * np.sin(turn)], 1)
        box = [*ring.min(0), *np.ptp(ring, axis=0)]
        entries.append({"segmentation": [ring.astype(int).ravel().tolist()], "bbox": box})
        rounded.append({"segmentation": [ring.ravel().tolist()], "bbox": box})
    (one,) = found(written(tmp_path, entries))
    assert (one.kind, one.repair) == ("cut_fractions", None)
    assert one.message.startswith("12 of 12 polygons have whole numbers alone, though their boxes have fractions")
    assert found(written(tmp_path, rounded)) == []


def test_a_hole_that_the_file_states_stays_when_outlines_are_widened(tmp_path: Path) -> None:
    folder = geojson(tmp_path / "labels", contour)
    ring_shaped = blobs()[3]
    ring_shaped[40:50, 50:56] = 0
    rings, kept = cv2.findContours(ring_shaped, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert kept[0, :, 3].tolist() == [-1, 0]
    path = folder / "03.geojson"
    said = json.loads(path.read_text())
    said["features"][0]["geometry"]["coordinates"] = [np.concatenate([r, r[:1]])[:, 0].tolist() for r in rings]
    path.write_text(json.dumps(said))
    source = open_labels(folder)
    report = check({"train": source}, images=False, only=["file"])
    assert [f.kind for f in report.findings if f.kind in KINDS] == ["half_pixel"]
    made = fix({"train": source}, report, tmp_path / "out")
    again = formats.read(made.files["train"], images=folder)[3][1].masks.to_dense()[0]
    assert (again == ring_shaped).all()


def test_shapes_drawn_otherwise_are_not_widened(tmp_path: Path) -> None:
    by_hand = [5.25, 5, 60.5, 5, 60, 40.75, 5, 40]
    entries = [{"segmentation": [contour(m) if k else by_hand]} for k, m in enumerate(blobs())]
    path = written(tmp_path, entries)
    before = formats.read(path)[0][1].masks.to_dense()[0]
    assert (repaired(path, tmp_path)[0] == before).all()


def test_parts_of_one_group_in_cvat(tmp_path: Path) -> None:
    """datumaro writes each part of an object as a polygon, and gives them one group."""
    path = cvat(tmp_path / "labels", drawn_by_hand)
    group = '<polygon label="part" group_id="{}" points="5,5;20,5;20,20"></polygon>'
    text = path.read_text()
    path.write_text(text.replace("</image>", group.format(2) * 2 + group.format(0) * 2 + "</image>", 1))
    (one,) = found(path)
    assert (one.kind, one.place.image, one.place.instances) == ("split_parts", "00.png", (1, 2))
    assert one.message.startswith("2 objects share class and group with another one (1 groups)")
    path.write_text(text.replace("</image>", group.format(2) + group.format(3) + "</image>", 1))
    assert found(path) == []
