"""LVIS: files laid out as lvis_v1_val.json and lvis_v0.5_val.json are, which lvis-api 0.5.3 reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import hard_instances, ref

Save = Callable[..., Path]


@pytest.fixture
def lvis() -> dict[str, Any]:
    """The keys and their order as in version 1: annotations first, images named by address."""
    return {
        "info": {"description": "LVIS v1 validation set", "version": "v1"},
        "annotations": [
            {"area": 12.5, "id": 4, "segmentation": [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]], "image_id": 446522,
             "bbox": [2.0, 1.0, 4.0, 3.0], "category_id": 34},
            {"area": 4.0, "id": 9, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "image_id": 446522,
             "bbox": [0.0, 0.0, 2.0, 2.0], "category_id": 2},
        ],
        "images": [
            {"date_captured": "2013-11-25", "neg_category_ids": [2, 7], "id": 446522, "license": 4, "height": 8,
             "width": 10, "flickr_url": "http://farm4.example/a.jpg", "not_exhaustive_category_ids": [34],
             "coco_url": "http://images.cocodataset.org/train2017/000000446522.jpg"},
            {"neg_category_ids": [], "id": 5, "license": 1, "height": 4, "width": 4, "not_exhaustive_category_ids": [],
             "coco_url": "http://images.cocodataset.org/val2017/000000000005.jpg"},
        ],
        "licenses": [{"id": 4, "name": "CC"}],
        "categories": [
            {"name": "aerosol_can", "instance_count": 109, "def": "a dispenser", "synonyms": ["aerosol_can"],
             "image_count": 64, "id": 2, "frequency": "c", "synset": "aerosol.n.02"},
            {"name": "apple", "instance_count": 9999, "def": "fruit", "synonyms": ["apple"], "image_count": 1207,
             "id": 34, "frequency": "f", "synset": "apple.n.01"},
            {"name": "eye", "instance_count": 3, "def": "x", "synonyms": ["eye"], "image_count": 2, "id": 7,
             "frequency": "r", "synset": "eye.n.01"},
        ],
    }  # fmt: skip


def test_reads_version_one(lvis: dict[str, Any], saved: Save, tmp_path: Path) -> None:
    path = saved(lvis)
    assert formats.detect(path) == "lvis"
    labels = formats.read(path)
    assert labels.classes == ("aerosol_can", "apple", "eye")
    assert [r.name for r in labels.refs] == ["train2017/000000446522.jpg", "val2017/000000000005.jpg"]
    assert labels.refs[0].path == tmp_path / "train2017" / "000000446522.jpg"
    said = labels.refs[0].attributes
    assert (said["neg_category_ids"], said["not_exhaustive_category_ids"]) == ([2, 7], [34])
    assert [c["frequency"] for c in labels.metadata["lvis"]["categories"]] == ["c", "f", "r"]
    _, found = labels[0]
    expected = np.zeros((2, 8, 10), bool)
    expected[0, 1:4, 2:6] = True
    expected[1, :2, :2] = True
    np.testing.assert_array_equal(found.masks.to_dense(), expected)
    assert found.labels.tolist() == [1, 0]
    assert found.ids is not None
    assert found.ids.tolist() == [4, 9]
    assert found.attributes["area"].tolist() == [12.5, 4.0]
    assert len(labels[1][1]) == 0


def test_write_then_read_is_the_identity(lvis: dict[str, Any], saved: Save, tmp_path: Path) -> None:
    labels = formats.read(saved(lvis))
    formats.write(labels, tmp_path / "out" / "again.json", "lvis")
    assert formats.detect(tmp_path / "out" / "again.json") == "lvis"
    again = formats.read(tmp_path / "out" / "again.json")
    assert [i for _, i in again] == [i for _, i in labels]
    assert [r.attributes for r in again.refs] == [r.attributes for r in labels.refs]
    assert again.metadata == labels.metadata
    document = json.loads((tmp_path / "out" / "again.json").read_text())
    assert document["images"][0]["coco_url"] == lvis["images"][0]["coco_url"]
    assert all("iscrowd" not in a for a in document["annotations"])


def test_version_half_has_file_names(lvis: dict[str, Any], saved: Save) -> None:
    for i, image in enumerate(lvis["images"]):
        image["file_name"] = f"{i:012d}.jpg"
    assert [r.name for r in formats.read(saved(lvis)).refs] == ["000000000000.jpg", "000000000001.jpg"]


def test_neither_takes_the_others_files(lvis: dict[str, Any], document: dict[str, Any], saved: Save) -> None:
    assert formats.load("coco").detect(saved(lvis, "lvis.json")) is False
    assert formats.load("lvis").detect(saved(document, "coco.json")) is False
    # keys in any order, and long lists before the telling one
    lvis["annotations"] *= 3000
    turned = dict(reversed(lvis.items()))
    for name, given_ in (("a.json", lvis), ("b.json", turned)):
        assert formats.detect(saved(given_, name)) == "lvis"
    document["annotations"] *= 3000
    assert formats.detect(saved(document, "c.json")) == "coco"
    document["info"]["neg_category_ids"] = [1]
    assert formats.detect(saved(document, "d.json")) == "coco"


def test_what_lvis_needs_is_filled_in(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 2, 2]], (4, 4))
    records = [(ref(f"{i}.png"), Instances(masks, [int(i < 11)], ("a", "b", "c"))) for i in range(112)]
    formats.write(records, tmp_path / "out.json", "lvis")
    document = json.loads((tmp_path / "out.json").read_text())
    assert [c["frequency"] for c in document["categories"]] == ["f", "c", "r"]
    assert [c["image_count"] for c in document["categories"]] == [101, 11, 0]
    assert document["images"][0]["neg_category_ids"] == document["images"][0]["not_exhaustive_category_ids"] == []
    assert formats.read(tmp_path / "out.json").classes == ("a", "b", "c")


def test_lists_of_categories_that_are_not_written(tmp_path: Path) -> None:
    image = ImageRef(Path("a.png"), "a.png", None, None, {"neg_category_ids": [9]})
    with pytest.raises(LossyFormatError, match="neg_category_ids holds 9, the id of no category that is written"):
        formats.write([(image, Instances.empty((4, 4), ("a",)))], tmp_path / "out.json", "lvis")
    assert list(tmp_path.iterdir()) == []


def test_crowds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LossyFormatError, match="crowd"):
        formats.write([(ref(), hard_instances())], tmp_path / "out.json", "lvis")


BROKEN = {
    "unknown": ("neg_category_ids", [2, 8], r"images\[0\]\.neg_category_ids: there is no category with id 8"),
    "no list": ("not_exhaustive_category_ids", 3, r"images\[0\]\.not_exhaustive_category_ids: must be a list"),
    "text": ("neg_category_ids", ["2"], r"there is no category with id 2"),
    "leaves": ("coco_url", "http://x/../..", "is no file name"),
    "no name": ("coco_url", 3, r"images\[0\]\.file_name: is missing"),
    "size": ("height", 0, "height: must lie in"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images(lvis: dict[str, Any], saved: Save, name: str) -> None:
    key, value, message = BROKEN[name]
    good = copy.deepcopy(lvis)
    lvis["images"][0][key] = value
    with pytest.raises(FormatError, match=message):
        formats.read(saved(lvis), "lvis")
    told: list[FormatError] = []
    labels = formats.read(saved(lvis), "lvis", on_bad=told.append)
    assert len(told) == 1
    assert [r.id for r, _ in labels] == [5]
    assert len(formats.read(saved(good), "lvis")) == 2


def test_bad_annotations_are_left_out(lvis: dict[str, Any], saved: Save) -> None:
    lvis["annotations"][0]["segmentation"] = []
    told: list[FormatError] = []
    labels = formats.read(saved(lvis), on_bad=told.append)
    assert [len(i) for _, i in labels] == [1, 0]
    assert "annotations[0].segmentation: there is no mask" in str(told[0])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=8, max_size=8)), max_size=5))
def test_any_masks_come_back(tmp_path: Path, rows: list[tuple[int, bytes]]) -> None:
    stack = np.array([np.unpackbits(np.frombuffer(b, np.uint8)).reshape(8, 8) for _, b in rows]).reshape(-1, 8, 8)
    instances = Instances(Masks.from_dense(stack), [k for k, _ in rows] or np.zeros(0, int), ("a", "b", "ç"))
    formats.write([(ref("x/ü.png"), instances)], tmp_path / "out.json", "lvis")
    image, found = formats.read(tmp_path / "out.json", "lvis")[0]
    assert found.replace(ids=None) == instances
    assert image.name == "x/ü.png"
