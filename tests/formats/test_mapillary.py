"""Mapillary Vistas: classes and stuff by the list, objects by class * 256 + n, both versions' folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apiece import formats
from apiece.datasets import open_data
from apiece.errors import FormatError

LISTED = [
    {"name": "animal--bird", "readable": "Bird", "instances": True},
    {"name": "construction--road", "readable": "Road", "instances": False},
    {"name": "object--vehicle--car", "readable": "Car", "instances": True},
]
VALUES = np.array(
    [
        [0, 0, 256, 256, 512, 513],
        [1, 1, 256, 256, 512, 513],
    ]
)  # two birds, road, two cars


def split(root: Path, name: str, version: str = "") -> Path:
    for folder, ending, array in (
        (root / name / "images", ".jpg", np.zeros((*VALUES.shape, 3), np.uint8)),
        (root / name / version / "instances", ".png", VALUES.astype(np.uint16)),
        (root / name / version / "labels", ".png", (VALUES // 256).astype(np.uint8)),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / f"a{ending}")
    return root / name


@pytest.mark.parametrize(
    ("version", "config"), [("", "config.json"), ("v1.2", "config_v1.2.json"), ("v2.0", "config_v2.0.json")]
)
def test_objects_have_the_classes_of_the_list(tmp_path: Path, version: str, config: str) -> None:
    (tmp_path / config).write_text(json.dumps({"labels": LISTED, "version": version}))
    folder = split(tmp_path, "training", version)
    split(tmp_path, "validation", version)
    assert formats.detect(folder) == "mapillary"
    ((ref, instances),) = formats.read(folder)
    assert ref.path == folder / "images" / "a.jpg"
    assert instances.classes == ("Bird", "Car")
    assert (instances.names, instances.ids.tolist()) == (["Bird", "Bird", "Car", "Car"], [0, 1, 512, 513])
    assert instances.masks.area.tolist() == [2, 2, 2, 2]
    assert list(ref.attributes["stuff"]) == ["Road"]
    assert set(open_data(tmp_path)) == {"train", "val"}
    assert formats.read(folder / version / "instances").classes == ("Bird", "Car")


def test_the_newest_version_is_read_unless_the_other_is_named(tmp_path: Path) -> None:
    (tmp_path / "config_v1.2.json").write_text(json.dumps({"labels": LISTED}))
    (tmp_path / "config_v2.0.json").write_text(json.dumps({"labels": [*LISTED[:2], {**LISTED[2], "readable": "Van"}]}))
    for version in ("v1.2", "v2.0"):
        folder = split(tmp_path, "training", version)
    assert formats.read(folder).classes == ("Bird", "Van")
    labels = formats.read(folder / "v1.2")
    assert labels.classes == ("Bird", "Car")
    assert labels.refs[0].path == folder / "images" / "a.jpg"


def test_values_and_lists_that_are_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"labels": LISTED[:2]}))
    folder = split(tmp_path, "training")
    with pytest.raises(FormatError, match=r"a\.png: value 512: the list has no class 2"):
        list(formats.read(folder))
    told: list[FormatError] = []
    ((_, instances),) = formats.read(folder, on_bad=told.append)
    assert (len(instances), len(told)) == (2, 1)
    config.write_text(json.dumps({"labels": [*LISTED, LISTED[0]]}))
    with pytest.raises(FormatError, match=r"labels\[3\]\.readable: 'Bird' is no name, or another's"):
        formats.read(folder)


def test_label_maps_beside_another_json_stay_label_maps(tmp_path: Path) -> None:
    folder = split(tmp_path, "training")
    (tmp_path / "config.json").write_text(json.dumps({"batch": 4}))
    assert formats.detect(folder) == "labelmap"
