"""``apiece evaluate --metrics all`` end to end on the kinds of labels that have metrics of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiece import cli, formats
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks

SIZE = (30, 40)


def boxes(*corners: tuple[int, int, int, int]) -> Masks:
    return Masks.from_boxes(corners, SIZE)


def evaluate(predictions: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    asked = [
        "evaluate",
        "--predictions",
        str(predictions),
        "--data",
        str(data),
        "--metrics",
        "all",
        "--bootstrap",
        "20",
    ]
    with pytest.raises(SystemExit) as end:
        cli.main(asked)
    assert end.value.code == 0
    assert "further metrics" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*asked, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_lvis_judges_what_was_searched_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = {"height": SIZE[0], "width": SIZE[1], "not_exhaustive_category_ids": []}
    truth = {
        "images": [
            {"id": 1, "coco_url": "http://x/val2017/a.jpg", "neg_category_ids": [5], **image},
            {"id": 2, "coco_url": "http://x/val2017/b.jpg", "neg_category_ids": [], **image},
        ],
        "annotations": [],
        "categories": [
            {"id": 3, "name": "yak", "frequency": "r", "synset": "yak.n.01"},
            {"id": 5, "name": "cup", "frequency": "f", "synset": "cup.n.01"},
        ],
    }
    masks = boxes((2, 2, 12, 12), (20, 10, 34, 24)).to_coco()
    found = []
    for number, (owner, category) in enumerate(((1, 3), (2, 5)), 1):
        note = {"id": number, "image_id": owner, "category_id": category, "area": 100.0, "bbox": [2, 2, 10, 10]}
        truth["annotations"].append(note | {"segmentation": masks[0]})  # type: ignore[attr-defined]
        found.append({"image_id": owner, "category_id": category, "segmentation": masks[0], "score": 0.5})
    # image 2 was never searched for yaks, image 1 was for cups and has none
    found.append({"image_id": 2, "category_id": 3, "segmentation": masks[1], "score": 0.9})
    found.append({"image_id": 1, "category_id": 5, "segmentation": masks[1], "score": 0.9})
    for name, document in (("truth", truth), ("found", found)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    shown = evaluate(tmp_path / "found.json", tmp_path / "truth.json", capsys)
    assert shown["lvis_mask_ap_rare"] == pytest.approx(1)
    assert shown["lvis_mask_ap_frequent"] == pytest.approx(0.5)
    assert shown["mask_ap"] == pytest.approx(0.5)
    assert shown["lvis_mask_ap_low"] is shown["lvis_mask_ap_high"] is None  # two images say nothing of others


def test_panoptic_judges_things_and_stuff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("car", "road")
    ref = ImageRef(tmp_path / "a.png", "a.png", SIZE, 1)
    categories = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}]
    metadata = {"coco_panoptic": {"categories": categories}}
    for name, road in (("truth", (0, 20, 40, 30)), ("found", (0, 20, 30, 30))):
        one = Instances(boxes((2, 2, 12, 12), (20, 2, 30, 12), road), [0, 0, 1], classes, ids=[1, 2, 3])
        formats.write([(ref, one)], tmp_path / f"{name}.json", "coco_panoptic", classes=classes, metadata=metadata)
    shown = evaluate(tmp_path / "found.json", tmp_path / "truth.json", capsys)
    assert shown["pq_things"] == pytest.approx(1)
    assert shown["pq_stuff"] == pytest.approx(0.75)
    assert "pq_low" not in shown  # one image shows nothing of how far others lie apart
    # where nothing is labelled nothing is wrong
    assert shown["pixel_accuracy"] == pytest.approx(500 / 600)
    assert any("coco" in note and "no scores" in note for note in shown["notes"])


def test_mots_leaves_out_what_lies_in_ignored_regions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("car", "pedestrian")
    crowd = {"ignore": boxes((20, 0, 40, 30)).to_coco()[0]}
    truth, found = [], []
    for k in range(4):
        name = f"0002/{k:06d}.png"
        car = boxes((2 + k, 2, 12 + k, 12))
        ref = ImageRef(tmp_path / name, name, SIZE, attributes={"regions": crowd})
        truth.append((ref, Instances(car, [0], classes, ids=[1001])))
        stray = boxes((2 + k, 3, 12 + k, 13), (25, 5 + k, 35, 15 + k))  # one row too low; in the ignored region
        ids = [1001 if k < 2 else 1002, 1003]
        found.append((ImageRef(tmp_path / name, name, SIZE), Instances(stray, [0, 0], classes, ids=ids)))
    formats.write(truth, tmp_path / "instances", "kitti_mots", classes=classes)
    formats.write(found, tmp_path / "0002.txt", "kitti_mots", classes=classes)
    shown = evaluate(tmp_path / "0002.txt", tmp_path / "instances", capsys)
    assert (shown["mots_tp"], shown["mots_fp"], shown["id_switches"]) == (4, 0, 1)
    assert shown["motsa"] == pytest.approx(0.75)
    assert shown["idf1"] == pytest.approx(0.5)
    assert shown["detpr"] > 0.7
