"""COCO results whose ids are those of no file: names of images, positions, numbers as texts."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError
from apiece.formats.coco import is_results, read_results

SIZE = (8, 10)
BOXES = Masks.from_boxes([[1, 1, 4, 3], [5, 2, 9, 7]], SIZE)


def truth_of(folder: Path, names: list[str], format: str = "coco") -> Any:
    records = [
        (ImageRef(folder / name, name, SIZE), Instances(BOXES, [0, 1], ("bolt", "nut"), ids=[2 * k + 1, 2 * k + 2]))
        for k, name in enumerate(names)
    ]
    path = folder / ("truth.json" if format == "coco" else "truth.xml")
    formats.write(records, path, format)
    return formats.read(path)


def results(folder: Path, images: list[Any], categories: list[Any] | None = None, **more: Any) -> Path:
    rle = BOXES.to_coco()[0]
    path = folder / "results.json"
    rows = [
        {"image_id": image, "category_id": category, "segmentation": rle, "score": 0.5} | more
        for image, category in zip(images, categories or [1] * len(images), strict=True)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    "spell", [str, lambda n: Path(n).name, lambda n: Path(n).stem, lambda n: f"D:\\set\\{Path(n).name}"]
)
def test_image_ids_that_are_names(tmp_path: Path, spell: Any, caplog: pytest.LogCaptureFixture) -> None:
    truth = truth_of(tmp_path, ["val/b.png", "val/a.v2.jpg", "val/c.png"])
    names = ["val/a.v2.jpg", "val/c.png", "val/a.v2.jpg"]
    found = read_results(results(tmp_path, [spell(name) for name in names]), truth)
    assert [len(instances) for _, instances in found] == [0, 2, 1]
    assert "image_id is taken as the name of the image's file" in caplog.text


def test_image_ids_that_are_the_numbers_of_names(tmp_path: Path) -> None:
    """Ultralytics writes 42 for 000042.jpg, whatever id the labels give it."""
    truth = truth_of(tmp_path, ["000042.jpg", "000007.jpg", "1.jpg"])  # their ids are 1, 2, 3
    assert [len(i) for _, i in read_results(results(tmp_path, [7, 7, 42, 1]), truth)] == [1, 2, 1]
    # where all of them are ids, they are ids
    assert [len(i) for _, i in read_results(results(tmp_path, [1, 1, 2]), truth)] == [2, 1, 0]


def test_names_that_two_images_share_are_no_ids(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, ["x/a.png", "y/a.png"])
    with pytest.raises(FormatError, match=r"\[0\]\.image_id: there is no image with id 'a'; the ids are 1, 2"):
        read_results(results(tmp_path, ["a"]), truth)
    assert [len(i) for _, i in read_results(results(tmp_path, ["y/a.png"]), truth)] == [0, 1]


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_labels_that_have_none(tmp_path: Path, first: int, caplog: pytest.LogCaptureFixture) -> None:
    truth = truth_of(tmp_path, ["b.png", "a.png"], "cvat")
    with caplog.at_level(logging.WARNING):
        found = read_results(results(tmp_path, ["a", "a"], [first, first + 1]), truth)
    by_name = {ref.name: instances for ref, instances in found}
    assert by_name["a.png"].names == ["bolt", "nut"]
    assert len(by_name["b.png"]) == 0
    assert (
        f"the data has no category ids, so that they are taken in its order of classes: {first} is bolt" in caplog.text
    )


def test_classes_of_panoptic_labels_keep_their_ids(tmp_path: Path) -> None:
    categories = [{"id": 9, "name": "bolt", "isthing": 1}, {"id": 4, "name": "nut", "isthing": 1}]
    records = [(ImageRef(tmp_path / "a.png", "a.png", SIZE, 3), Instances(BOXES, [0, 1], ("bolt", "nut"), ids=[1, 2]))]
    metadata = {"coco_panoptic": {"categories": categories}}
    formats.write(records, tmp_path / "panoptic", "coco_panoptic", metadata=metadata)
    truth = formats.read(tmp_path / "panoptic")
    assert read_results(results(tmp_path, ["a"], [4]), truth)[0][1].names == ["nut"]


def test_results_on_label_maps(tmp_path: Path) -> None:
    """They state no size, and tell no classes apart."""
    formats.write(
        [(ImageRef(tmp_path / "a.png", "a.png", SIZE), Instances(BOXES, [0, 0], ("object",)))],
        tmp_path / "maps",
        "labelmap",
    )
    found = read_results(results(tmp_path, ["a", "a"], [3, 17]), formats.read(tmp_path / "maps"))[0][1]
    assert (found.size, found.names) == (SIZE, ["object", "object"])


@pytest.mark.parametrize("empty", [None, []])
def test_boxes_with_an_empty_segmentation(tmp_path: Path, empty: Any) -> None:
    truth = truth_of(tmp_path, ["a.png"])
    found = read_results(results(tmp_path, [1], segmentation=empty, bbox=[1, 1, 3, 2]), truth)
    assert found.boxes_only
    assert found[0][1].attributes["bbox"].tolist() == [[1, 1, 3, 2]]


def test_numbers_spelled_as_texts(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, ["a.png"])
    plain = json.loads((tmp_path / "truth.json").read_text())
    note = plain["annotations"][0]
    note |= {"area": "7.5", "bbox": [str(v) for v in note["bbox"]], "iscrowd": "1"}
    note["segmentation"] = [["1", "1", "4.0", "1", "4", "3", "1", "3e0"]]
    plain["images"][0] |= {"height": "8", "width": "10"}
    (tmp_path / "spelled.json").write_text(json.dumps(plain))
    spelled = formats.read(tmp_path / "spelled.json")[0][1]
    assert spelled.masks == BOXES
    assert spelled.crowd.tolist() == [True, False]
    assert spelled.attributes["area"].tolist() == [7.5, 20]
    assert read_results(results(tmp_path, [1], score="0.25"), truth)[0][1].scores.tolist() == [0.25]
    for key, value in {
        "area": "big",
        "bbox": ["1", "1", "x", "2"],
        "iscrowd": "yes",
        "segmentation": [["nan"] * 6],
    }.items():
        plain["annotations"][1][key] = value
        (tmp_path / "bad.json").write_text(json.dumps(plain))
        with pytest.raises(FormatError, match=rf"annotations\[1\]\.{key}: "):
            list(formats.read(tmp_path / "bad.json"))
        told: list[FormatError] = []
        assert [len(i) for _, i in formats.read(tmp_path / "bad.json", on_bad=told.append)] == [1]
        plain["annotations"][1].pop(key) if key != "segmentation" else None


def test_one_result_a_line(tmp_path: Path) -> None:
    """JSON lines, as a loop over images writes them."""
    truth = truth_of(tmp_path, ["a.png", "b.png"])
    path = results(tmp_path, [1, 2, 2])
    rows = [json.dumps(row) for row in json.loads(path.read_text())]
    lines = tmp_path / "results.jsonl"
    for text in ("\n".join(rows) + "\n", "\r\n\r\n".join(rows), rows[0]):
        lines.write_text(text, newline="")
        assert is_results(lines)
        assert [len(i) for _, i in read_results(lines, truth)] == [1, 2 if len(text) > len(rows[0]) else 0]
    lines.write_text("\n".join((rows[0], rows[1][:-9], rows[2])))
    with pytest.raises(FormatError, match=r"results\.jsonl: line [23], column"):
        read_results(lines, truth)
    assert not is_results(tmp_path / "truth.json")
