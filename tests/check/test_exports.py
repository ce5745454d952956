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

SIZE = (90, 120)
KINDS = ("all_crowd", "half_pixel", "filled_hole", "split_parts", "short_box")


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


@pytest.mark.parametrize("write", [yolo, labelme])
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


def test_parts_of_a_brush_mask_as_annotations(tmp_path: Path) -> None:
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
