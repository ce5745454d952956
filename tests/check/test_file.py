"""Mistakes of the label file itself: each is found once, where it is, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.check.faulty_labels import FAULTS, HEIGHT, WIDTH, annotation, clean_set, faulty_set, pixels

from apiece import Instances, Masks, formats
from apiece.check import Labelled, Report, Settings, check, load, open_labels
from apiece.core.image import ImageRef
from apiece.images import write_image

LOOK = load("file").look
assert LOOK is not None


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return check({"train": faulty_set(tmp_path)}, only=["file"])


def ids(report: Report, kind: str) -> list[list[int | None]]:
    return [f["ids"] for f in report.to_dict()["findings"] if f["kind"] == kind]


def test_every_fault_is_found_and_nothing_else(report: Report) -> None:
    assert report.counts == FAULTS


def test_images_that_cannot_be_used_are_told_apart(report: Report) -> None:
    by_kind = {f.kind: f for f in report.findings}
    where = {kind: sorted(str(f.place.image) for f in report.findings if f.kind == kind) for kind in by_kind}
    assert where["missing_image"] == ["absent.png"]
    assert where["unreadable_image"] == ["cut.png", "damaged.png"]
    assert where["image_size"] == ["large.png"]
    assert where["rotated_image"] == ["turned.png"]
    assert "160 x 128 pixels, its labels were drawn on 80 x 64" in by_kind["image_size"].message
    twice = by_kind["image_twice"]
    assert (twice.place.index, twice.others[0].index) == (6, 0)


def test_what_is_stated_is_held_against_the_mask(report: Report) -> None:
    assert ids(report, "stated_area") == [[3]]
    assert ids(report, "stated_box") == [[4]]
    assert ids(report, "outside") == [[5]]
    assert sorted(ids(report, "empty_mask")) == [[6], [7]]
    repairs = {f.repair for f in report.findings if f.kind == "empty_mask"}
    assert repairs == {"drop", None}  # a stated box is the last trace of an object
    (area,) = (f for f in report.findings if f.kind == "stated_area")
    assert area.message == "hex nut: the stated area is 1,200, the mask has 400 pixels"
    assert area.place.box == (40, 40, 60, 60)


def test_refused_entries_say_why(report: Report) -> None:
    said = " ".join(f.message for f in report.findings if f.kind == "refused")
    for word in ("annotations[7].category_id", "no category with id 77", "no image with id 99"):
        assert word in said
    assert "annotations[10].segmentation" in said


def test_class_names_within_and_between_splits(tmp_path: Path) -> None:
    paths = {}
    for split, names in {"train": ("nut", "bolt"), "val": ("Nut", "bolt"), "test": ("bolt", "nut")}.items():
        labels = Instances.empty((8, 8), names)
        formats.write([(ImageRef(tmp_path / "a.png", "a.png", (8, 8)), labels)], tmp_path / f"{split}.json")
        paths[split] = tmp_path / f"{split}.json"
    found = check(paths, images=False, only=["file"]).findings
    assert [f.kind for f in found] == ["class_name", "class_sets"]
    assert found[0].message == "'nut' (train, test) and 'Nut' (val) are one name but for case or space"
    assert "train and test have different classes; the same names in another order" in found[1].message


def test_one_rule_of_a_tool_is_one_finding(tmp_path: Path) -> None:
    path = clean_set(tmp_path, images=8)
    said = json.loads(path.read_text())
    for entry in said["annotations"]:
        entry["area"] = 4 * entry["area"]
    path.write_text(json.dumps(said))
    (found,) = check({"train": path}, images=False, only=["stated_area"]).findings
    assert found.message.startswith("32 of 32 instances state another area")
    assert found.place.index is None
    assert found.repair == "rewrite"


@pytest.mark.parametrize("points", [8, 40])
def test_polygons_may_differ_from_their_pixels(tmp_path: Path, points: int) -> None:
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    annotations = []
    for number, radius in enumerate((2.5, 6, 12, 25)):
        ring = np.stack([40 + radius * np.cos(turn), 32 + radius * np.sin(turn)], 1)
        x, y = ring.T
        shoelace = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
        own = {"segmentation": [ring.ravel().tolist()], "area": shoelace, "bbox": box}
        annotations.append(annotation(number + 1, 1, (0, 0, 1, 1)) | own)
    images = [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    path = tmp_path / "a.json"
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]}
    path.write_text(json.dumps(document))
    assert check({"train": path}, images=False, only=["file"]).counts == {}
    annotations[2]["area"] *= 1.5
    path.write_text(json.dumps(document))
    assert check({"train": path}, images=False, only=["file"]).counts == {"stated_area": 1}


def test_polygons_outside_are_found_though_masks_are_cut(tmp_path: Path) -> None:
    ring = [[60, 10, 95, 10, 95, 30, 60, 30]]
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)]
    annotations = [
        annotation(1, 2, (0, 0, 9, 9), segmentation={"size": [HEIGHT, WIDTH], "counts": [1, 2]}),  # cannot be decoded
        annotation(2, 2, (0, 0, 9, 9)),
        {"id": 3, "image_id": 2, "category_id": 1, "segmentation": ring},
        annotation(4, 2, (60, 10, 80, 30), segmentation=ring, bbox=[60, 10, 35, 20], area=400),
        annotation(5, 1, (0, 0, 9, 9), segmentation=[[-1, -1, 9, 0, 9, 9]], area=50),
    ]
    path = tmp_path / "a.json"
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}
    path.write_text(json.dumps(document))
    report = check({"train": open_labels(path, clip_outlines=True)}, images=False, only=["file"])
    assert report.counts == {"outside": 2, "refused": 1, "over_edge": 1}
    assert sorted(ids(report, "outside")) == [[3], [4]]
    (polygon,) = (f for f in report.findings if f.message == "an outline reaches 15 pixels outside the image")
    assert (polygon.place.index, polygon.place.instances, polygon.place.box) == (1, (1,), (60, 10, 80, 30))
    assert ids(report, "over_edge") == [[5]]
    refused = check({"train": path}, images=False, only=["file"])
    assert refused.counts == {"refused": 3, "over_edge": 1}
    assert any("reaches 15 pixels outside the image" in f.message for f in refused.findings)


def test_ids_are_of_one_instance_each() -> None:
    masks = Masks.from_boxes([[0, 0, 4, 4], [5, 5, 8, 8], [9, 9, 12, 12]], (16, 16))
    ref = ImageRef(Path("a.png"), "a.png", (16, 16))
    labelled = Labelled("train", 0, ref, Instances(masks, ids=[7, 3, 7]))
    (found,) = LOOK(labelled, Settings())
    assert (found.kind, found.place.instances) == ("duplicate_id", (0, 2))
    assert not list(LOOK(Labelled("train", 0, ref, Instances(masks, ids=[7, 3, 8])), Settings()))


def test_labels_that_need_a_missing_image_for_their_size(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", pixels(0))
    shape = {"name": "polygon", "all_points_x": [1, 20, 20], "all_points_y": [1, 1, 20]}
    regions = [{"shape_attributes": shape, "region_attributes": {"name": "nut"}}]
    said = {n: {"filename": n, "size": 1, "regions": regions, "file_attributes": {}} for n in ("a.png", "b.png")}
    (tmp_path / "via.json").write_text(json.dumps(said))
    report = check({"train": tmp_path / "via.json"}, only=["file"])
    (found,) = report.findings
    assert (found.kind, found.place.image, found.place.index) == ("missing_image", "b.png", 1)
    assert "its size is not stated" in found.message
    assert report.instances == {"train": 1}
