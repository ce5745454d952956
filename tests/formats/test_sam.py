"""Segment Anything: files as SA-1B and as SAM's own script have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pycocotools import mask as coco_mask

from apiece import Instances, Masks, formats
from apiece.errors import FormatError

SQUARE = np.zeros((6, 8), np.uint8)
SQUARE[1:4, 2:5] = 1


def note(number: int, **more: Any) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(SQUARE))
    return {
        "bbox": [2, 1, 2, 2],  # as SAM says it: the last pixel less the first
        "area": 9,
        "segmentation": {"size": [6, 8], "counts": rle["counts"].decode()},
        "predicted_iou": 0.9,
        "point_coords": [[3.5, 2.0]],
        "crop_box": [0, 0, 8, 6],
        "id": number,
        "stability_score": 0.97,
    } | more


def document(*notes: dict[str, Any]) -> dict[str, Any]:
    image = {"image_id": 7, "width": 8, "height": 6, "file_name": "sa_7.jpg"}
    return {"image": image, "annotations": list(notes)}


@pytest.mark.parametrize("folder", [".", "sa_000000"])
def test_a_file_of_sa_1b_is_read(tmp_path: Path, folder: str) -> None:
    below = tmp_path / folder
    below.mkdir(exist_ok=True)
    (below / "sa_7.json").write_text(json.dumps(document(note(70), note(71, predicted_iou=0.8))))
    Pillow.new("RGB", (8, 6)).save(below / "sa_7.jpg")
    assert formats.detect(tmp_path) == formats.detect(below / "sa_7.json") == "sam"
    ((ref, found),) = formats.read(tmp_path)
    assert (ref.name, ref.id, ref.size) == ((Path(folder) / "sa_7.jpg").as_posix(), 7, (6, 8))
    assert ref.path.is_file()
    np.testing.assert_array_equal(found.masks.to_dense(), [SQUARE, SQUARE])
    assert found.ids is not None
    assert found.scores is not None
    assert (found.ids.tolist(), found.scores.tolist()) == ([70, 71], [0.9, 0.8])
    assert set(found.attributes) == {"bbox", "crop_box", "point_coords", "stability_score"}


def test_the_list_of_the_automatic_mask_generator_is_read(tmp_path: Path) -> None:
    counts = [13, 3, 3, 3, 3, 3, 20]
    rle = {"size": [6, 8], "counts": counts}
    (tmp_path / "a.json").write_text(json.dumps([note(1, segmentation=rle, id=None)]))
    assert formats.detect(tmp_path / "a.json") == "sam"
    ((ref, found),) = formats.read(tmp_path / "a.json")
    assert (ref.name, ref.size) == ("a.png", (6, 8))
    np.testing.assert_array_equal(found.masks.to_dense(), [SQUARE])


def test_a_bad_annotation_is_left_out(tmp_path: Path) -> None:
    notes = (note(1), note(2, segmentation=[]), note(3, predicted_iou="good"), note(4, predicted_iou=None))
    (tmp_path / "a.json").write_text(json.dumps(document(*notes)))
    with pytest.raises(FormatError, match=r"annotations\[1\]: segmentation must be COCO RLE with size \[6, 8\]"):
        list(formats.read(tmp_path))
    told: list[FormatError] = []
    ((_, found),) = formats.read(tmp_path, on_bad=told.append)
    assert len(told) == 2
    assert found.scores is None  # one annotation has none, so they are attributes
    assert found.attributes["predicted_iou"].tolist() == [0.9, None]


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    formats.write([("a.png", Instances(Masks.from_dense(SQUARE[None])))], tmp_path / "out", "sam")
    written = json.loads((tmp_path / "out" / "a.json").read_text())
    assert written["image"] == {"file_name": "a.png", "height": 6, "width": 8}
    (entry,) = written["annotations"]
    np.testing.assert_array_equal(coco_mask.decode(entry["segmentation"]), SQUARE)
    assert (entry["area"], entry["bbox"]) == (9, [2, 1, 3, 3])
