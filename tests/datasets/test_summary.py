"""The summary, by hand and on real labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from apiece import Instances, Masks, formats
from apiece.datasets.summary import summarise


def test_by_hand(tmp_path: Path) -> None:
    stack = np.zeros((5, 10, 12), bool)
    stack[0, 1:6, 1:6] = True
    stack[0, 3, 3] = False
    stack[1, 4:8, 4:9] = True
    stack[2, 9, 0] = stack[2, 9, 11] = True
    stack[3, 0, 11] = True
    labels = [0, 1, 1, 0, 0]
    crowd = np.array([False, False, True, False, False])
    classes = ("nut", "bolt", "pin")
    rows = [
        ("a.png", Instances(Masks.from_dense(stack), labels, classes, crowd=crowd)),
        ("b.png", Instances.empty((10, 12), classes)),
        ("c.png", Instances(Masks.from_dense(stack[:1, :8]), [1], classes)),
    ]
    formats.write(rows, tmp_path / "a.json")
    (tmp_path / "b.png").touch()
    found = summarise(formats.read(tmp_path / "a.json"))
    assert (found.images, found.missing_images, found.empty_images, found.instances) == (3, 2, 1, 6)
    assert [(c.name, c.instances, c.images, c.median_area) for c in found.classes] == [
        ("nut", 3, 1, 1.0),
        ("bolt", 3, 2, 20.0),
        ("pin", 0, 0, None),
    ]
    assert found.image_sizes == ((10, 12, 2), (8, 12, 1))
    assert found.per_image == {"min": 0, "median": 1, "mean": 2, "max": 5}
    assert found.areas["p0"] == 0
    assert found.areas["p100"] == 24
    assert (found.overlapping_images, found.overlapping_instances) == (1, 2)
    assert (found.with_holes, found.several_parts, found.crowd, found.empty_masks) == (2, 1, 1, 1)
    assert found.overlapping_images_share == 1 / 3
    assert not found.scored
    written = json.loads(json.dumps(found.to_dict()))
    assert written["overlapping_instances_share"] == 2 / 6
    assert written["classes"][1]["name"] == "bolt"


def test_nothing(tmp_path: Path) -> None:
    formats.write([], tmp_path / "a.json")
    found = summarise(formats.read(tmp_path / "a.json"))
    assert found.images == found.instances == 0
    assert found.areas == {} == found.per_image
    assert found.overlapping_images_share == found.overlapping_instances_share == 0
    json.dumps(found.to_dict())


def test_facades_overlap_by_design(shared_data: Path) -> None:
    found = summarise(formats.read(shared_data / "facades" / "val.json"))
    assert (found.images, found.instances, found.missing_images) == (30, 880, 0)
    assert found.overlapping_images_share == 1
    assert found.overlapping_instances_share > 0.9
