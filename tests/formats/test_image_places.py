"""Images are found in the layouts of all tools and under the names of all machines, and never taken for another."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError
from apiece.formats._kit.image_names import called, common_tail, spelled


def coco(path: Path, *names: str, **more: Any) -> Path:
    """Write a COCO file with one square on each image."""
    images = [{"id": i, "file_name": name, "width": 12, "height": 10} | more for i, name in enumerate(names)]
    square = {"category_id": 1, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]], "iscrowd": 0}
    notes = [square | {"id": i + 1, "image_id": i} for i in range(len(names))]
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "nut"}]}
    path.write_text(json.dumps({k: document[k] for k in document}))
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.zeros((10, 12), np.uint8)).save(path)
    return path


LAYOUTS = [
    ("annotations/instances_train2017.json", "train2017/a.png", "val2017/a.png"),
    ("annotations/instances_val2014.json", "images/val2014/a.png", "images/train2014/a.png"),
    ("annotations/instances_default.json", "images/default/a.png", "images/other/a.png"),
    ("annotations/instances_Train.json", "images/Train/a.png", "images/Validation/a.png"),
    ("annotations/train.json", "train/a.png", "valid/a.png"),
    ("annotations/val.json", "images/validation/a.png", "images/training/a.png"),
    ("annotations/train/instances.json", "images/train/a.png", "images/val/a.png"),
    ("annotations/image_info_test-dev2017.json", "test2017/a.png", "train2017/a.png"),
    ("train/_annotations.coco.json", "train/a.png", "valid/a.png"),
    ("train/labels.json", "train/data/a.png", "validation/data/a.png"),
    ("train.json", "train/images/a.png", "val/images/a.png"),
    ("labels.json", "data/a.png", None),
    ("result.json", "images/a.png", None),
    ("labels/coco.json", "photos/a.png", None),
    ("set.json", "of any name/a.png", None),
]


@pytest.mark.parametrize(("label", "image", "other"), LAYOUTS)
def test_layouts(tmp_path: Path, label: str, image: str, other: str | None) -> None:
    path, found = coco(tmp_path / label, "a.png"), picture(tmp_path / image)
    if other is not None:
        picture(tmp_path / other)
    assert [ref.path.resolve() for ref in formats.read(path).refs] == [found.resolve()]
    # the folder of the whole set, named for it, gives the same
    assert formats.read(path, images=tmp_path).refs[0].path.resolve() == found.resolve()


def test_a_label_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco(tmp_path / "annotations" / "instances_train2017.json", "a.png")
    picture(tmp_path / "train2017" / "a.png")
    monkeypatch.chdir(tmp_path / "annotations")
    assert formats.read("instances_train2017.json").refs[0].path.is_file()


STATED = {
    "photos\\sub\\a.png": "photos/sub/a.png",
    "D:\\data\\photos\\sub\\a.png": "a.png",
    "\\\\server\\share\\photos\\a.png": "a.png",
    "/home/else/photos/sub/a.png": "a.png",
    "file:///C:/else/sub/a.png": "a.png",
    "https://host/bucket/sub/a.png?sig=1": "a.png",
    "/data/upload/3/0123abcd-a.png": "0123abcd-a.png",
    "/data/local-files/?d=else/sub/a.png": "else/sub/a.png",
    "../../upload/a.png": "a.png",
    "sub%2Fa.png": "sub%2Fa.png",
    "SUB/A.PNG": "SUB/A.PNG",
}


@pytest.mark.parametrize(("stated", "name"), STATED.items())
def test_names_of_other_machines(tmp_path: Path, stated: str, name: str) -> None:
    found = picture(tmp_path / "set" / "photos" / "sub" / "a.png")
    path = coco(tmp_path / "set" / "labels.json", stated)
    for images in (None, tmp_path / "set", found.parent):
        ref = formats.read(path, images=images).refs[0]
        assert (ref.path, ref.name) == (found, name)
    assert formats.write(formats.read(path), tmp_path / "out.json", "coco") == []
    assert formats.read(tmp_path / "out.json").refs[0].name == name


def test_a_name_with_spaces_as_an_address_has_it(tmp_path: Path) -> None:
    found = picture(tmp_path / "photos" / "a b.png")
    assert formats.read(coco(tmp_path / "labels.json", "photos/a%20b.png")).refs[0].path == found
    assert formats.read(coco(tmp_path / "labels.json", "file:///x/a%20b.png")).refs[0].path == found


def test_nothing_outside_the_folder_given(tmp_path: Path) -> None:
    picture(tmp_path / "secret" / "a.png")
    inside = picture(tmp_path / "given" / "b.png").parent
    for stated in ("../secret/a.png", str(tmp_path / "secret" / "a.png"), "..\\secret\\a.png"):
        ref = formats.read(coco(tmp_path / "given" / "labels.json", stated), images=inside).refs[0]
        assert ref.path == inside / "a.png"
        assert not ref.path.exists()


def test_nothing_outside_the_set_unasked(tmp_path: Path) -> None:
    secret = picture(tmp_path / "private" / "a.png")
    for stated in (str(secret), "../private/a.png", "../../private/a.png"):
        assert not formats.read(coco(tmp_path / "set" / "labels.json", stated)).refs[0].path.exists()
    found = picture(tmp_path / "images" / "b.png")  # beside a folder of label files, of whatever name
    assert formats.read(coco(tmp_path / "set" / "labels.json", "../images/b.png")).refs[0].path.samefile(found)


def test_label_maps_are_no_images(tmp_path: Path) -> None:
    found = picture(tmp_path / "photos of today" / "a.png")
    picture(tmp_path / "masks" / "a.png")
    path = coco(tmp_path / "labels.json", "D:\\a.png")
    assert [formats.read(path, images=i).refs[0].path for i in (None, tmp_path)] == [found, found]
    picture(tmp_path / "labels" / "b.png")
    assert not formats.read(coco(tmp_path / "labels.json", "b.png")).refs[0].path.exists()


def test_the_longest_tail_decides(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "1" / "a.png"), picture(tmp_path / "2" / "a.png")
    labels = formats.read(coco(tmp_path / "labels.json", "D:\\x\\2\\a.png", "D:\\x\\1\\a.png"), images=tmp_path)
    assert [(ref.path, ref.name) for ref in labels.refs] == [(second, "x/2/a.png"), (first, "x/1/a.png")]


def test_several_files_of_one_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in "12":
        picture(tmp_path / folder / "a.png")
    path = coco(tmp_path / "labels.json", "D:\\x\\a.png", "D:\\x\\b.png")
    picture(tmp_path / "1" / "b.png")
    with pytest.raises(FormatError, match=r"images\[0\]\.file_name: .*1.a\.png and .*2.a\.png could both be it"):
        formats.read(path, images=tmp_path)
    told: list[FormatError] = []
    assert [ref.name for ref in formats.read(path, images=tmp_path, on_bad=told.append).refs] == ["b.png"]
    assert len(told) == 1
    with caplog.at_level(logging.WARNING, "apiece"):
        assert not formats.read(path).refs[0].path.exists()  # unasked, nothing is guessed
    assert "images that are unclear: 1" in caplog.text


def test_two_images_of_one_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    path = coco(tmp_path / "labels.json", "D:\\1\\a.png", "D:\\2\\a.png")
    with pytest.raises(FormatError, match=r"'1/a\.png' and image '2/a\.png' could both be .*a\.png"):
        formats.read(path, images=tmp_path)


def test_a_missing_image_is_no_other(tmp_path: Path) -> None:
    """Where some images are in their place, the ones that are not are missing, even if a file has their name."""
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "thumbnails" / "b.png")
    labels = formats.read(coco(tmp_path / "labels.json", "a.png", "b.png"))
    assert [ref.path.is_file() for ref in labels.refs] == [True, False]
    labels = formats.read(coco(tmp_path / "instances_val2017.json", "b.png"))
    picture(tmp_path / "train2017" / "b.png")
    (tmp_path / "thumbnails" / "b.png").unlink()
    assert not formats.read(coco(tmp_path / "instances_val2017.json", "b.png")).refs[0].path.is_file()


def test_many_images_are_found_by_lists(tmp_path: Path) -> None:
    names = [f"{k % 3}/{k}.png" for k in range(100)]
    for name in names:
        picture(tmp_path / "images" / name)
    labels = formats.read(coco(tmp_path / "annotations" / "instances_train.json", *names))
    assert [ref.path for ref in labels.refs] == [tmp_path / "images" / name for name in names]


@pytest.mark.parametrize("name", ["", "..", "/", "C:\\", "a\0.png"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"images\[0\]\.file_name: .*(is empty|is no file name)"):
        formats.read(coco(tmp_path / "labels.json", name))


@pytest.mark.parametrize("stated", [{}, {"width": 12}, {"height": 0}])
def test_sizes_come_from_the_files(tmp_path: Path, caplog: pytest.LogCaptureFixture, stated: dict[str, object]) -> None:
    path = coco(tmp_path / "labels.json", "a.png", "b.png", **{"width": None, "height": None} | stated)
    with pytest.raises(FormatError, match=r"images\[0\]\.height: .*its size is not stated.*does not exist"):
        formats.read(path)
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    assert [ref.size for ref in formats.read(path).refs] == [(10, 12), (10, 12)]
    assert "images without height and width, which their files tell: 2" in caplog.text


def test_annotations_without_an_id_are_numbered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = coco(tmp_path / "labels.json", "a.png", "b.png", "c.png")
    document = json.loads(path.read_text())
    del document["annotations"][0]["id"]
    document["annotations"][2]["id"] = None
    path.write_text(json.dumps(document))
    assert [i.ids.tolist() for _, i in formats.read(path) if i.ids is not None] == [[3], [2], [4]]
    assert "annotations without an id, which are numbered from 3: 2" in caplog.text


def test_names_as_one_form() -> None:
    assert [spelled(name) for name in ("a.png", "x/./b/../a.png", "C:a.png", "xy: z/a.png")] == [
        "a.png", "x/a.png", "/a.png", "xy: z/a.png"
    ]  # fmt: skip
    assert called(["/x/a.png", "x/a.png"]) == ["elsewhere/x/a.png", "x/a.png"]
    assert common_tail("/x/Ä.png", "y/a\u0308.PNG") == 1


@pytest.mark.parametrize(
    "name", ["coco", "coco_panoptic", "lvis", "cvat", "datumaro", "label_studio", "via", "rle_csv"]
)
@pytest.mark.parametrize("stated", ["D:\\x\\sub\\a.png", "/home/x/sub/a.png", "../x/sub/a.png"])
def test_every_format_of_one_file(tmp_path: Path, name: str, stated: str) -> None:
    """All find images of other machines, and call them by the last part of their names."""
    ending = formats.load(name).ending or ".json"
    mask = Instances(Masks.from_boxes([[2, 2, 6, 6]], (10, 12)), classes=("object",), labels=[0])
    path = tmp_path / "set" / f"labels{ending}"
    formats.write([("sub/a.png", mask)], path, name, allow_lossy=True)
    spelled_in_file = stated if ending in (".xml", ".csv") else json.dumps(stated)[1:-1]
    path.write_text(path.read_text().replace("sub/a.png", spelled_in_file).replace('"sub/a"', '"a"'))
    found = picture(tmp_path / "set" / "photos" / "sub" / "a.png")
    if name == "coco_panoptic":
        (tmp_path / "set" / "labels" / "sub" / "a.png").rename(tmp_path / "set" / "labels" / "a.png")
    for images in (None, tmp_path / "set" / "photos"):
        ((ref, instances),) = formats.read(path, name, images)
        assert (ref.path, ref.name, len(instances)) == (found, "a.png", 1)


@pytest.mark.parametrize("folder", ["labelmaps", "overlays", "semantic", "panoptic/panoptic", "mots"])
def test_results_of_predict_and_track_are_no_photos(tmp_path: Path, folder: str) -> None:
    picture(tmp_path / folder / "a.png")
    (tmp_path / "mots").mkdir(exist_ok=True)
    (tmp_path / "mots" / "apiece.json").write_text("{}")
    path = coco(tmp_path / "tracks.json", "a.png")
    assert [ref.path for ref in formats.read(path).refs] == [tmp_path / "a.png"]
