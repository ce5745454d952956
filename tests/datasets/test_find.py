"""Label files are found split by split in the layouts of the field's tools, and images per split where named."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece.cli import main
from apiece.datasets import image_folders, open_data, open_sources
from apiece.errors import ConfigError, DataError, FormatError
from apiece.training.config import TrainConfig


def labels(path: Path, *names: str, **more: Any) -> Path:
    images = [{"id": i, "file_name": name, "width": 12, "height": 10} for i, name in enumerate(names)]
    square = {"category_id": 1, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]], "iscrowd": 0, "image_id": 0} | more
    notes = [{"id": i + 1} | square for i in range(len(names))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [{"id": 1, "name": "nut"}]}))
    return path


def picture(path: Path, size: tuple[int, int] = (10, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.zeros(size, np.uint8)).save(path)
    return path


def panoptic(folder: Path, split: str) -> None:
    """Write a panoptic file and its one image of segments, as COCO names them."""
    path = labels(folder / f"panoptic_{split}.json", "a.jpg")
    document = json.loads(path.read_text())
    segment = {"id": 5, "category_id": 1, "iscrowd": 0}
    document["annotations"] = [{"image_id": 0, "file_name": "a.png", "segments_info": [segment]}]
    document["categories"][0]["isthing"] = 1
    path.write_text(json.dumps(document))
    ids = np.zeros((10, 12, 3), np.uint8)
    ids[2:4, 3:6, 0] = 5
    (folder / f"panoptic_{split}").mkdir()
    Pillow.fromarray(ids).save(folder / f"panoptic_{split}" / "a.png")


@pytest.mark.parametrize(
    "files",
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        ("annotations/train.json", "annotations/val.json"),
        ("annotations/lvis_v1_train.json", "annotations/lvis_v1_val.json"),
        ("annotations/train/labels.json", "annotations/val/labels.json"),
        ("labels/train_coco.json", "labels/valid_coco.json"),
        ("train_annotations.json", "val_annotations.json"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
        ("train/Annotations/iSAID_train.json", "val/Annotations/iSAID_val.json"),
    ],
)
def test_splits(tmp_path: Path, files: tuple[str, str]) -> None:
    for file in files:
        labels(tmp_path / file, "a.png")
    found = open_sources(tmp_path)
    assert {split: one.path for split, one in found.items()} == {
        "train": tmp_path / files[0],
        "val": tmp_path / files[1],
    }


def test_files_of_other_kinds_are_passed_over_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "annotations"
    labels(folder / "instances_val2017.json", "a.png")
    labels(folder / "person_keypoints_val2017.json", "a.png", keypoints=[1, 2, 2])
    labels(folder / "stuff_val2017.json", "a.png")
    labels(folder / "labels_val2017.json", "a.png")  # datumaro's tags of whole images
    (folder / "captions_val2017.json").write_text('{"images": [], "annotations": [{"caption": "a nut"}]}')
    panoptic(folder, "val2017")
    with caplog.at_level(logging.INFO, "apiece"):
        found = open_sources(tmp_path)
    assert {split: one.path.name for split, one in found.items()} == {"val": "instances_val2017.json"}
    assert "captions_val2017.json, labels_val2017.json, panoptic_val2017.json" in caplog.text
    found = open_sources(tmp_path, format="coco_panoptic")
    assert {split: one.path.name for split, one in found.items()} == {"val": "panoptic_val2017.json"}


def test_panoptic_as_a_folder(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        panoptic(tmp_path / "annotations", split)
        picture(tmp_path / split / "a.jpg")
    found = open_data(tmp_path)
    assert [data.refs[0].path for data in found.values()] == [
        tmp_path / split / "a.jpg" for split in ("train2017", "val2017")
    ]
    assert [data[0][1].masks.area.tolist() for data in found.values()] == [[6], [6]]


def test_one_file_without_split(tmp_path: Path) -> None:
    path = labels(tmp_path / "annotations" / "instances_default.json", "a.png")
    labels(tmp_path / "annotations" / "person_keypoints_default.json", "a.png", keypoints=[1, 2, 2])
    picture(tmp_path / "images" / "default" / "a.png")
    (only,) = open_sources(tmp_path).values()
    assert only.path == path
    assert only.labels.refs[0].path.is_file()
    labels(tmp_path / "annotations" / "more.json", "a.png")
    with pytest.raises(DataError, match="several label files"):
        open_sources(tmp_path)


def test_a_folder_of_files_of_one_image_each_has_no_splits(tmp_path: Path) -> None:
    for name in ("train_1", "test_2"):
        shape = {"label": "nut", "points": [[1, 1], [5, 1], [5, 5]], "shape_type": "polygon"}
        document = {"version": "5", "shapes": [shape], "imagePath": f"{name}.png", "imageHeight": 10, "imageWidth": 12}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    assert {split: (one.format, len(one.labels)) for split, one in open_sources(tmp_path).items()} == {
        "": ("labelme", 2)
    }


def test_a_folder_of_images_for_each_split(tmp_path: Path) -> None:
    for split, place in (("train", "first"), ("val", "second")):
        labels(tmp_path / "set" / f"{split}.json", "a.png")
        picture(tmp_path / place / "a.png")
    folders = {"train": tmp_path / "first", "val": tmp_path / "second"}
    for images in (folders, [f"{split}={folder}" for split, folder in folders.items()]):
        found = open_data(tmp_path / "set", images)
        assert {split: data.refs[0].path.parent for split, data in found.items()} == folders
    one_file = open_data(tmp_path / "set" / "val.json", {"val": tmp_path / "second"})
    assert one_file["train"].refs[0].path.is_file()
    with pytest.raises(ConfigError, match="has no test, which images="):
        open_data(tmp_path / "set", {**folders, "test": tmp_path})


def test_a_folder_for_each_split_of_a_set_that_is_divided(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / "set" / "labels" / split).mkdir(parents=True)
        (tmp_path / "set" / "labels" / split / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
        picture(tmp_path / f"{split}-photos" / "a.png")
    (tmp_path / "set" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [nut]\n")
    found = open_data(tmp_path / "set", {split: tmp_path / f"{split}-photos" for split in ("train", "val")})
    assert {split: data.refs[0].path.parent.name for split, data in found.items()} == {
        "train": "train-photos",
        "val": "val-photos",
    }


def test_words_of_images() -> None:
    assert image_folders(()) is None
    assert image_folders("a") == image_folders(["a"]) == Path("a")
    assert image_folders(["x=a"]) == Path("x=a")
    for words in (["a", "b"], ["train=a", "b"], ["train=a", "all=b"]):
        with pytest.raises(ConfigError, match="name one folder, or one for each split"):
            image_folders(words)


def test_settings_keep_folders() -> None:
    config = TrainConfig(images=["train=a", "val=b"])  # type: ignore[arg-type]
    assert config.images == {"train": Path("a"), "val": Path("b")}
    assert TrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("way", ["--images {0} {1}", "--images {0} --images {1}", "--images {0},{1}"])
def test_folders_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    for split, place in (("train", "first"), ("val", "second")):
        labels(tmp_path / "set" / f"{split}.json", "a.png")
        picture(tmp_path / place / "a.png")
    words = way.format(f"train={tmp_path / 'first'}", f"val={tmp_path / 'second'}").split()
    with pytest.raises(SystemExit) as left:
        main(["info", *words, str(tmp_path / "set"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (left.value.code, told["train"]["missing_images"], told["val"]["missing_images"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_to_be_unpacked(tmp_path: Path, kind: str) -> None:
    labels(tmp_path / "set" / "annotations" / "instances_default.json", "a.png")
    (tmp_path / "exports").mkdir()
    packed = Path(shutil.make_archive(str(tmp_path / "exports" / "my export"), kind, tmp_path / "set"))
    for path, format in ((packed, None), (packed, "coco"), (packed.parent, None)):
        with pytest.raises(FormatError, match=r"archive; unpack it \((.*)\) and name the folder") as caught:
            open_sources(path, format=format)
    command = re.search(r"\(python (.*)\)", str(caught.value))
    assert command is not None
    subprocess.run([sys.executable, *shlex.split(command[1])], cwd=packed.parent, check=True)
    assert list(open_sources(packed.parent / "my export")) == [""]


def test_another_archive_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(300))
    with pytest.raises(FormatError, match="is a 7z archive; unpack it and name the folder"):
        open_sources(tmp_path / "a.7z")


def test_labels_a_folder_further_down_are_named(tmp_path: Path) -> None:
    labels(tmp_path / "stage1" / "train.json", "a.png")
    with pytest.raises(DataError, match=r"no labels here, but in .*stage1; name that folder"):
        open_data(tmp_path)
    labels(tmp_path / "stage2" / "annotations" / "instances.json", "a.png")
    with pytest.raises(DataError, match=r"but in .*stage1, .*stage2; name one of them, or join them"):
        open_data(tmp_path)


def test_labels_two_folders_down_are_named_before_files_that_are_no_labels(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    labels(root / "train.json", "a.png")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text("<annotation><folder>x</folder><filename>a.png</filename></annotation>")
    with pytest.raises(DataError, match=r"no labels here, but in .*VOC2012; name that folder"):
        open_data(tmp_path)


def test_endings_in_capitals(tmp_path: Path) -> None:
    labels(tmp_path / "L.JSON", "a.png")
    picture(tmp_path / "A.PNG")
    ((image, found),) = open_data(tmp_path)["train"]
    assert (image.size, len(found)) == ((10, 12), 1)
