"""Releases of Segments.ai: the documented JSON, bitmaps as they are served and as its SDK 1.33 saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apiece import formats
from apiece.datasets import open_data
from apiece.errors import FormatError

IDS = np.zeros((6, 8), np.int64)
IDS[1:3, 2:5], IDS[4:6, 0:3], IDS[0] = 1, 70_000, 3
URL = "https://segmentsai-prod.s3.eu-west-2.amazonaws.com/assets/jane"


def served(ids: np.ndarray) -> np.ndarray:
    """RGBA whose alpha is 255 and whose colours are the bytes of the ids."""
    rgba = ids.astype("<u4")[..., None].view(np.uint8).copy()
    rgba[..., 3] = 255
    return rgba


def sample(name: str, objects: list[Any] | None) -> dict[str, Any]:
    label = {
        "label_status": "LABELED",
        "attributes": {
            "format_version": "0.1",
            "annotations": objects,
            "segmentation_bitmap": {"url": f"{URL}/{name}-bitmap.png"},
        },
    }
    return {
        "uuid": f"uuid-{name}",
        "name": f"{name}.jpg",
        "attributes": {"image": {"url": f"{URL}/ddf55e99.png?token=1"}},
        "metadata": {"camera": 2},
        "labels": {"ground-truth": None if objects is None else label, "model": None},
    }


OBJECTS: list[dict[str, Any]] = [
    {"id": 1, "category_id": 7, "track_id": 4, "attributes": {"colour": "red"}},
    {"id": 70_000, "category_id": 7},
    {"id": 3, "category_id": 9},
]
CATEGORIES = [{"id": 7, "name": "nut", "color": [1, 2, 3]}, {"id": 9, "name": "sky", "has_instances": False}]


def release(root: Path, *samples: dict[str, Any], **changed: Any) -> Path:
    said = {
        "name": "v1.0",
        "description": "",
        "created_at": "2020-07-09 10:20:19.888887+00:00",
        "dataset": {
            "name": "bolts",
            "owner": "jane",
            "task_type": "segmentation-bitmap",
            "task_attributes": {"format_version": "0.1", "categories": CATEGORIES},
            "labelsets": [{"name": "ground-truth", "description": ""}, {"name": "model", "description": ""}],
            "samples": list(samples),
            **changed,
        },
    }
    file = root / "bolts-v1.0.json"
    file.write_text(json.dumps(said))
    return file


@pytest.mark.parametrize("saved", ["a-bitmap.png", "segments/jane_bolts/v1.0/a_label_ground-truth.png"])
def test_ids_have_the_classes_of_the_json(tmp_path: Path, saved: str) -> None:
    file = release(tmp_path, sample("a", OBJECTS), sample("b", None))
    place = tmp_path / saved
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(served(IDS)).save(place)
    Image.new("RGB", (8, 6)).save(place.with_name("a.png"))
    assert formats.detect(file) == "coco_panoptic"
    labels = formats.read(file)
    ((ref, found),) = labels  # b has no label
    assert (ref.path, ref.id, ref.attributes["camera"]) == (place.with_name("a.png"), "uuid-a", 2)
    assert found.ids is not None
    assert (found.ids.tolist(), found.names) == ([1, 3, 70_000], ["nut", "sky", "nut"])
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), IDS)
    assert found.attributes["colour"].tolist() == ["red", None, None]
    assert found.attributes["track_id"].tolist() == [4, None, None]
    assert formats.stuff_classes(labels) == ("sky",)
    assert list(open_data(tmp_path)) == ["train"]


def test_bitmaps_of_numbers(tmp_path: Path) -> None:
    """As the SDK saves them with Pillow: one channel."""
    ids = np.where(IDS == 70_000, 300, IDS)
    Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "a_label_ground-truth.png")
    ((_, found),) = formats.read(release(tmp_path, sample("a", [{**o, "id": min(o["id"], 300)} for o in OBJECTS])))
    assert found.ids is not None
    np.testing.assert_array_equal(found.masks.to_label_map(found.ids), ids)


BAD = {
    "pixel": ([*OBJECTS, {"id": 5, "category_id": 7}], r"annotations\[3\]: id 5 has no pixel in the bitmap"),
    "twice": ([*OBJECTS, OBJECTS[0]], r"annotations\[3\]: id 1 is another annotation's already"),
    "class": ([*OBJECTS[1:], {"id": 1, "category_id": 1}], r"annotations\[2\]: category_id 1 is none of the categ"),
    "none": (OBJECTS[1:], r"a-bitmap\.png: id 1 has no annotation in dataset\.samples\[0\]\.labels\.ground-truth"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_objects_are_named(tmp_path: Path, case: str) -> None:
    objects, message = BAD[case]
    Image.fromarray(served(IDS)).save(tmp_path / "a-bitmap.png")
    file = release(tmp_path, sample("a", objects))
    with pytest.raises(FormatError, match=message):
        list(formats.read(file))
    told: list[FormatError] = []
    ((_, found),) = formats.read(file, on_bad=told.append)
    assert len(found) >= 2
    assert told


def test_bitmaps_that_are_not_there(tmp_path: Path) -> None:
    Image.fromarray(served(IDS)).save(tmp_path / "a-bitmap.png")
    file = release(tmp_path, sample("a", OBJECTS), sample("b", OBJECTS))
    message = r"samples\[1\]: segmentation_bitmap: neither b_label_ground-truth\.png nor b-bitmap\.png lies below"
    with pytest.raises(FormatError, match=message):
        formats.read(file)
    told: list[FormatError] = []
    assert [ref.name for ref in formats.read(file, on_bad=told.append).refs] == ["a.png"]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task_type": "vector"}, "the task type segmentation-bitmap; of other types write COCO"),
        ({"task_attributes": {}}, r"dataset\.task_attributes\.categories: must be a list"),
        ({"task_attributes": {"categories": [{"id": "x", "name": "y"}]}}, r"categories\[0\]: must be an object with"),
        ({"labelsets": [{"name": "x"}, {"name": "y"}]}, "has several, and none is 'ground-truth': x, y"),
    ],
)
def test_releases_that_are_wrong(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        formats.read(release(tmp_path, **changed))
