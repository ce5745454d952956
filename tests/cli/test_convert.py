"""``apiece convert``: every format there and back, images where formats expect them, nothing lost unsaid."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from tests.cli.set_scenes import CLASSES, NAMES, files, run, save_set

from apiece import ImageRef, Instances, Masks, formats
from apiece.datasets import _place
from apiece.datasets.dataset import open_data
from apiece.images import write_image

every_format = pytest.mark.parametrize("name", [n for n in formats.names() if formats.load(n).write is not None])


def without(found: Instances, holds: formats.Holds) -> Instances:
    """What is left in a format."""
    return found.replace(
        ids=found.ids if holds.ids else None,
        labels=found.labels if holds.classes else np.zeros(len(found), np.int64),
        classes=found.classes if holds.classes else ("object",),
    )


def lossless(name: str) -> tuple[str, ...]:
    """Options with which plain squares with ids and two classes go into a format."""
    return () if formats.load(name).holds.ids else ("--drop", "ids")


@every_format
def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Names in folders, of one stem, beyond ASCII; images found by the reader, and the very same pixels."""
    holds = formats.load(name).holds
    classes = CLASSES if holds.classes else ("object",)
    records = save_set(tmp_path / "in" / "labels.json", classes=classes)
    out, back = tmp_path / "out", tmp_path / "back" / "x.json"
    assert run("convert", tmp_path / "in", out, "--to", name, *lossless(name), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    (one,) = shown["sets"].values()
    assert (one["images"], one["instances"], one["format"], one["lost"]) == (3, 6, name, [])
    assert one["image_files"] == {"hard links": 3}
    assert shown["read"] == ["coco"]
    data = open_data(out)["train"]
    assert {r.name for r in data.refs} == set(NAMES)
    assert all(os.path.samefile(r.path, tmp_path / "in" / r.name) for r in data.refs)
    assert all(image.size == found.size for image, found in data)
    assert run("convert", out, back, "--json") == 0
    assert json.loads(capsys.readouterr().out)["read"] == [name]
    found = {ref.name: (ref, i) for ref, i in formats.read(back)}
    for ref, wanted in records:
        new, got = found[ref.name]
        assert os.path.samefile(new.path, ref.path)
        wanted = without(wanted, holds)
        got = got if holds.ids else got.replace(ids=None)
        order = np.lexsort((got.masks.boxes[:, 1], got.masks.boxes[:, 0]))  # squares come from left to right
        assert got[order].replace(labels=None, classes=("object",)) == wanted.replace(labels=None, classes=("object",))
        assert got[order].names == wanted.names
    assert not list(tmp_path.rglob(".*"))


@every_format
def test_split_by_split(tmp_path: Path, name: str) -> None:
    """The same image names in train and val are other images, and stay so."""
    classes = CLASSES if formats.load(name).holds.classes else ("object",)
    for shade, split in ((0, "train"), (100, "val")):
        save_set(tmp_path / "in" / split / "labels.json", ("a.png", "b/a.png"), classes, shade)
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", name, *lossless(name)) == 0
    data = open_data(tmp_path / "out")
    assert list(data) == ["train", "val"]
    for shade, split in ((0, "train"), (100, "val")):
        assert len(data[split]) == 2
        seen = {(int(np.asarray(image).max()), len(found)) for image, found in data[split]}
        assert seen == {(shade, 3), (shade + 10, 2)}
    assert run("convert", tmp_path / "out", tmp_path / "back", "--to", "coco") == 0
    assert {split: len(d) for split, d in open_data(tmp_path / "back").items()} == {"train": 2, "val": 2}


@every_format
def test_killed_half_way(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither labels nor images are left, whether it ends among labels or among images."""
    classes = CLASSES if formats.load(name).holds.classes else ("object",)
    save_set(tmp_path / "in" / "labels.json", classes=classes)
    before = files(tmp_path)
    put, many = _place._WAYS["hard links"], iter(range(10))

    def second_fails(source: Path, place: Path) -> None:
        if next(many) == 1:
            raise KeyboardInterrupt
        put(source, place)

    monkeypatch.setitem(_place._WAYS, "hard links", second_fails)
    places = ["out", "new/out.json"] if name == "coco" else ["out"]
    for place in places:
        many = iter(range(10))
        assert run("convert", tmp_path / "in", tmp_path / place, "--to", name, *lossless(name)) == 130
        assert files(tmp_path) == before
        assert not (tmp_path / "new").exists()


def test_an_error_among_labels_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json")
    document = json.loads((tmp_path / "in" / "labels.json").read_text())
    document["annotations"][-1]["segmentation"]["counts"] = "]]]"
    (tmp_path / "in" / "labels.json").write_text(json.dumps(document))
    before = files(tmp_path)
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "voc") == 1
    assert "annotations[5].segmentation" in capsys.readouterr().err
    assert files(tmp_path) == before
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "voc", "--skip-bad", "--json") == 0
    out, err = capsys.readouterr()
    (bad,) = json.loads(out)["bad"]
    assert "annotations[5].segmentation" in bad["reason"]
    assert "1 bad entry was left out" in err
    assert json.loads(out)["sets"][""]["instances"] == 5


def test_where_nothing_is_left_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json")
    document = json.loads((tmp_path / "in" / "labels.json").read_text())
    for note in document["annotations"]:
        note["segmentation"] = [[1, 1, 900, 1, 900, 9]]
    (tmp_path / "in" / "labels.json").write_text(json.dumps(document))
    before = files(tmp_path)
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "voc", "--skip-bad") == 1
    assert "nothing is left of the labels without their 6 bad entries; the first: " in capsys.readouterr().err
    assert files(tmp_path) == before
    document["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    (tmp_path / "in" / "labels.json").write_text(json.dumps(document))
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "voc", "--drop", "ids", "--skip-bad") == 0
    said = "5 of these reach beyond the border of their image; --clip-outlines cuts them there instead"
    assert said in capsys.readouterr().err


def test_ids_that_name_objects_are_refused_unless_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    square = Masks.from_boxes(np.array([[2.0, 2, 9, 9]]), (20, 30))
    found = Instances(square, classes=("nut",), ids=[7])
    formats.write([(ImageRef(tmp_path / "a.png", "a.png"), found)], tmp_path / "labels.geojson", "geojson")
    assert run("convert", tmp_path / "labels.geojson", tmp_path / "out", "--to", "yolo") == 1
    assert "--drop ids goes without" in capsys.readouterr().err
    assert run("convert", tmp_path / "labels.geojson", tmp_path / "out", "--to", "yolo", "--drop", "ids", "scores") == 0


def test_what_is_lost_is_refused_checked_or_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = np.zeros((2, 20, 30), bool)
    stack[0, 2:9, 2:9] = True
    stack[0, 4:6, 4:6] = False
    stack[1, 12, 3] = stack[1, 15, 20] = True
    found = Instances(Masks.from_dense(stack), classes=("nut",), ids=[7, 9])
    image = ImageRef(tmp_path / "a.png", "a.png", attributes={"modality": "dark"})
    formats.write([(image, found)], tmp_path / "labels.json")
    out = tmp_path / "out"
    assert run("convert", tmp_path / "labels.json", out, "--to", "yolo") == 1
    err = capsys.readouterr().err
    assert "ids, which only number the annotations, are left out" in err
    assert "image 'a.png', instance 1 in several parts" in err
    assert "--check lists all" in err
    assert str(out) in err
    assert ".part" not in err
    assert run("convert", tmp_path / "labels.json", out, "--to", "yolo", "--check", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["sets"][""]
    lines = [
        "image 'a.png', instance 1: largest part kept, other parts lost",
        "image 'a.png', instance 0: holes filled",
    ]
    assert shown["lost"] == lines
    assert shown["image_values_lost"] == ["modality"]
    assert files(tmp_path) == ["labels.json"]
    assert run("convert", tmp_path / "labels.json", out, "--to", "yolo", "--allow-lossy") == 0
    err = capsys.readouterr().err
    assert all(line in err for line in lines)
    assert "the format does not keep: modality" in err
    assert "1 missing" in err
    assert formats.read(out)[0][1].masks.area.tolist() == [49, 1]
    assert run("convert", tmp_path / "labels.json", tmp_path / "maps", "--to", "labelmap", "--drop", "classes") == 0
    assert formats.read(tmp_path / "maps").classes == ("object",)
    capsys.readouterr()
    assert run("convert", tmp_path / "labels.json", tmp_path / "b.json", "--drop", "ids", "--check") == 0
    assert "nothing of the instances would be lost" in capsys.readouterr().err


def test_stuff_that_becomes_objects_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("car", "road", "sky")
    masks = Masks.from_boxes([[2, 2, 9, 9], [0, 10, 20, 20]], (20, 20))
    found = Instances(masks, [0, 1], classes, ids=[1, 2])
    categories = [{"id": k + 1, "name": name, "isthing": int(name == "car")} for k, name in enumerate(classes)]
    record = (ImageRef(tmp_path / "a.png", "a.png", (20, 20), 1), found)
    whole = {"coco_panoptic": {"categories": categories}}
    formats.write([record], tmp_path / "panoptic.json", "coco_panoptic", classes=classes, metadata=whole)

    def said(source: str, out: str, *options: str) -> list[str]:
        assert run("convert", tmp_path / source, tmp_path / out, "--json", *options) == 0
        told = capsys.readouterr()
        stuff: list[str] = next(iter(json.loads(told.out)["sets"].values()))["stuff_as_objects"]
        assert (f"objects: {', '.join(stuff)}; apiece convert --classes" in told.err) == bool(stuff)
        return stuff

    assert said("panoptic.json", "objects.json", "--to", "coco") == ["road", "sky"]
    assert said("panoptic.json", "yolo", "--to", "yolo", "--drop", "ids") == ["road", "sky"]
    assert said("panoptic.json", "cars.json", "--to", "coco", "--classes", "car") == []
    assert said("panoptic.json", "same.json", "--to", "coco_panoptic") == []
    # COCO keeps what is stuff, and gives it back
    kept = formats.read(tmp_path / "objects.json", "coco")
    assert formats.stuff_classes(kept) == ("road", "sky")
    assert said("objects.json", "again.json", "--to", "coco") == []
    assert said("objects.json", "back.json", "--to", "coco_panoptic") == []
    assert formats.stuff_classes(formats.read(tmp_path / "back.json")) == ("road", "sky")
    assert "isthing" not in (tmp_path / "cars.json").read_text()


def test_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.json"
    save_set(path, classes=("car", "truck", "dog"))
    assert run("convert", path, tmp_path / "b.json", "--classes", "truck=vehicle,car=vehicle", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["classes_left_out"] == {"dog": 1}
    assert "1 instances of class 'dog' left out" in err
    labels = formats.read(tmp_path / "b.json")
    assert labels.classes == ("vehicle",)
    assert [len(i) for _, i in labels] == [2, 2, 1]
    assert run("convert", path, tmp_path / "c.json", "--classes", "dog", "--classes", "*") == 0
    assert formats.read(tmp_path / "c.json").classes == ("dog", "car", "truck")
    assert formats.read(tmp_path / "c.json")[0][1].names == ["car", "truck", "dog"]
    assert run("convert", path, tmp_path / "d.json", "--classes", "cat") == 1
    assert "no class named 'cat'" in capsys.readouterr().err
    assert run("convert", path, tmp_path / "d.json", "--classes", "dog=a,dog=b") == 1
    assert "named twice" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["link", "copy", "leave"])
def test_images(tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str) -> None:
    save_set(tmp_path / "in" / "labels.json")
    out = tmp_path / "out"
    assert run("convert", tmp_path / "in", out, "--to", "voc", "--image-files", mode, "--json") == 0
    text, err = capsys.readouterr()
    placed = {"link": {"hard links": 3}, "copy": {"copies": 3}, "leave": {}}[mode]
    assert json.loads(text)["sets"][""]["image_files"] == placed
    image = out / "JPEGImages" / "c" / "a.png"
    assert image.exists() == (mode != "leave")
    if mode == "leave":
        assert f"read these labels with --images {tmp_path / 'in'}" in err
        data = open_data(out, images=tmp_path / "in")["train"]
        assert sorted(int(np.asarray(i).max()) for i, _ in data) == [0, 10, 20]
        return
    assert os.path.samefile(image, tmp_path / "in" / "c" / "a.png") == (mode == "link")


def test_links_fall_back_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(source: Path, place: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    save_set(tmp_path / "in" / "labels.json")
    monkeypatch.setitem(_place._WAYS, "hard links", cannot)
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "yolo", "--drop", "ids") == 0
    assert "3 symbolic links" in (err := capsys.readouterr().err)
    assert "break when the originals move" in err
    assert (tmp_path / "out" / "images" / "a.png").is_symlink()
    assert len(open_data(tmp_path / "out")["train"][0][0].pixels) == 20
    monkeypatch.setitem(_place._WAYS, "symbolic links", cannot)
    assert run("convert", tmp_path / "in", tmp_path / "third", "--to", "yolo", "--drop", "ids") == 0
    assert "3 copies" in capsys.readouterr().err
    monkeypatch.setitem(_place._WAYS, "copies", cannot)
    assert run("convert", tmp_path / "in", tmp_path / "fourth", "--to", "yolo", "--drop", "ids") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "fourth").exists()


def test_into_a_folder_that_has_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json")
    assert run("convert", tmp_path / "in" / "labels.json", tmp_path / "in" / "labels.xml") == 0
    assert "3 there already" in capsys.readouterr().err
    assert sorted(files(tmp_path / "in")) == sorted([*NAMES, "labels.json", "labels.xml"])
    save_set(tmp_path / "other" / "x.json", ("a.png",), shade=99)
    before = {name: (tmp_path / "other" / name).read_bytes() for name in files(tmp_path / "other")}
    assert run("convert", tmp_path / "in" / "labels.json", tmp_path / "other" / "y.json") == 1
    assert "another image is there" in capsys.readouterr().err
    assert {name: (tmp_path / "other" / name).read_bytes() for name in files(tmp_path / "other")} == before


def test_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "labels.json")
    save_set(tmp_path / "two" / "labels.json", ("x.png",))
    out = tmp_path / "out"
    assert run("convert", tmp_path / "in", out, "--to", "labelme") == 0
    assert run("convert", tmp_path / "two", out, "--to", "labelme") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("convert", tmp_path / "two", out, "--to", "labelme", "--overwrite") == 0
    assert files(out) == ["labels.txt", "x.json", "x.png"]
    assert run("convert", out, out, "--to", "coco", "--overwrite") == 1
    assert "contains the labels to read" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    assert run("convert", tmp_path / "two", tmp_path / "mine", "--to", "labelme", "--overwrite") == 1
    assert "is not replaced" in capsys.readouterr().err
    assert run("convert", tmp_path / "in" / "labels.json", tmp_path / "in" / "labels.json", "--overwrite") == 0
    assert len(formats.read(tmp_path / "in" / "labels.json")) == 3
    # a folder whose images are elsewhere's originals is not thrown away
    document = (tmp_path / "in" / "labels.json").read_text()
    (tmp_path / "labels.json").write_text(document)
    arguments = ("convert", tmp_path / "labels.json", tmp_path / "in", "--to", "voc", "--overwrite")
    assert run(*arguments, "--images", tmp_path / "in") == 1
    assert "holds the images of these labels" in capsys.readouterr().err


def test_pages_of_a_stack_become_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planes = np.zeros((3, 20, 30), np.uint16)
    planes[:, 2:8, 3:9] = np.array([5, 6, 5])[:, None, None]
    for folder, values in (("masks", planes), ("images", planes * 100 + np.arange(3, dtype=np.uint16)[:, None, None])):
        (tmp_path / "in" / folder).mkdir(parents=True)
        tifffile.imwrite(
            tmp_path / "in" / folder / "cells.tif", values, metadata={"axes": "ZYX"}, photometric="minisblack"
        )
    data = open_data(tmp_path / "in")["train"]
    assert [int(np.asarray(image).max()) for image, _ in data] == [500, 601, 502]
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", "coco") == 0
    assert "3 pages of a stack, as files of their own" in capsys.readouterr().err
    data = open_data(tmp_path / "out")["train"]
    assert [int(np.asarray(image).max()) for image, _ in data] == [500, 601, 502]
    assert [found.ids.tolist() for _, found in data] == [[5], [6], [5]]


def test_what_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_set(tmp_path / "in" / "train.json")
    save_set(tmp_path / "in" / "val.json")
    out = tmp_path / "out"
    assert run("convert", tmp_path / "in", out) == 1
    assert "name it with --to: " in capsys.readouterr().err
    assert run("convert", tmp_path / "in", tmp_path / "all.json") == 1
    assert "train and val do not fit into one file" in capsys.readouterr().err
    assert run("convert", tmp_path / "in", out, "--to", "yollo") == 1
    assert "Did you mean 'yolo'" in capsys.readouterr().err
    assert run("convert", tmp_path / "none", out, "--to", "coco") == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert run("convert", tmp_path / "in", out, "--to", "coco", "--image-files", "move") == 2
    assert not out.exists()


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("convert", "merge", "split", "info"):
        assert run(command, "--help") == 0
        assert f"apiece {command} " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro", "geojson", "label_studio", "imagej_roi", "supervisely"])
def test_real_nuclei_there_and_back(tmp_path: Path, shared_data: Path, name: str) -> None:
    labels = formats.read(shared_data / "nuclei" / "val.json")
    few = sorted(range(len(labels)), key=lambda i: (labels.refs[i].size or (0, 0), i))[:3]
    formats.write(
        [(r, i.replace(attributes={})) for r, i in (labels[k] for k in few)],
        tmp_path / "few.json",
        classes=labels.classes,
    )
    source = ("--images", shared_data / "nuclei" / "images")
    assert run("convert", tmp_path / "few.json", tmp_path / "out", "--to", name, *source, "--image-files", "copy") == 0
    assert run("convert", tmp_path / "out", tmp_path / "back.json", "--image-files", "leave") == 0
    found = {r.name: i for r, i in formats.read(tmp_path / "back.json")}
    for ref, wanted in formats.read(tmp_path / "few.json"):
        got = found[ref.name]
        assert wanted.ids is not None
        assert got.ids is not None
        assert got[np.argsort(got.ids)] == wanted[np.argsort(wanted.ids)]
    with Pillow.open(next((tmp_path / "out").rglob(labels.refs[few[0]].name))) as image:
        assert image.size[::-1] == labels.refs[few[0]].size


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("labelmap", "x/map.png"),
        ("geojson", "x/a.geojson"),
        ("imagej_roi", "x/a_rois.zip"),
        ("cellpose", "x/a_seg.npy"),
        ("coco_panoptic", "x/panoptic.json"),
        ("kitti_mots", "x/0001.txt"),
    ],
)
def test_one_file_joins_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, place: str) -> None:
    """A file of one image or one sequence, where formats have such; its folder keeps what it has."""
    image = "0001/000000.png" if name == "kitti_mots" else "a.png"
    holds = formats.load(name).holds
    save_set(tmp_path / "in" / "labels.json", (image,), ("car",) if holds.classes else ("object",))
    (tmp_path / "x" / "0001").mkdir(parents=True)
    (tmp_path / "x" / "notes.txt").write_text("kept")
    for again in (False, True):
        options = ("--overwrite",) if again else ()
        assert run("convert", tmp_path / "in", tmp_path / place, "--to", name, *options) == 0
        assert ("1 there already" if again else "1 hard links") in capsys.readouterr().err
        labels = formats.read(tmp_path / place, name)
        assert len(labels[0][1]) == 3
        assert os.path.samefile(labels.refs[0].path, tmp_path / "in" / image)
        assert (tmp_path / "x" / "notes.txt").read_text() == "kept"
    assert run("convert", tmp_path / "in", tmp_path / place, "--to", name) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "file", "image"),
    [
        ("datumaro", "train.json", "images/train/a.png"),
        ("coco", "instances_train2017.json", "images/train2017/a.png"),
        ("label_studio", "train.json", "images/train/a.png"),
    ],
)
def test_a_file_in_annotations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, file: str, image: str
) -> None:
    """The images go where the field's tools look for them, datumaro among them: beside ``annotations``."""
    save_set(tmp_path / "in" / "labels.json", ("a.png",))
    target = tmp_path / "out" / "annotations" / file
    for again in (False, True):
        options = ("--overwrite",) if again else ()
        assert run("convert", tmp_path / "in", target, "--to", name, *options) == 0
        assert ("1 there already" if again else "1 hard links") in capsys.readouterr().err
        assert files(tmp_path / "out") == sorted((f"annotations/{file}", image))
        for data in (target, tmp_path / "out"):
            assert run("info", data, "--json") == 0
            assert json.loads(capsys.readouterr().out)["train"]["missing_images"] == 0


@pytest.mark.parametrize(
    ("name", "ending", "wanted"),
    [
        (
            "coco_panoptic",
            "",
            ["annotations/panoptic_train.json", "annotations/panoptic_train/a.png", "images/train/a.png"],
        ),
        ("cvat", ".xml", ["images/a.png", "labels.xml"]),
    ],
)
def test_layouts_that_datumaro_reads(tmp_path: Path, name: str, ending: str, wanted: list[str]) -> None:
    """COCO's and CVAT's own, which datumaro 1.13 takes for no others."""
    save_set(tmp_path / "in" / "train.json", ("a.png",))
    save_set(tmp_path / "in" / "val.json", ("b.png",))
    assert run("convert", tmp_path / "in", tmp_path / "out", "--to", name, "--allow-lossy") == 0
    assert files(tmp_path / "out" / "train") == wanted
    sets = open_data(tmp_path / "out")
    assert {split: [ref.path.is_file() for ref in data.refs] for split, data in sets.items()} == {
        "train": [True],
        "val": [True],
    }


def test_images_beside_a_file_stay_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readers look in ``images`` and beside the file, so that no image comes twice."""
    save_set(tmp_path / "labels.json", ("a.png", "sub/b.png"))
    assert run("convert", tmp_path / "labels.json", tmp_path / "labels.xml", "--to", "cvat") == 0
    assert "2 there already" in capsys.readouterr().err
    assert files(tmp_path) == ["a.png", "labels.json", "labels.xml", "sub/b.png"]


@every_format
def test_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Every label file cut short: refused, or with --skip-bad read as far as it goes, and then said."""
    holds = formats.load(name).holds
    save_set(tmp_path / "in" / "labels.json", ("a.png", "b.png"), CLASSES if holds.classes else ("object",))
    labels = tmp_path / "labels"
    assert run("convert", tmp_path / "in", labels, "--to", name, "--image-files", "leave", *lossless(name)) == 0
    # of labelme's list of classes and of YOLO's sizes, which the images have too, some is enough
    for k, file in enumerate(sorted({*files(labels)} - {"labels.txt", "apiece.jsonl"})):
        whole = (labels / file).read_bytes()
        (labels / file).write_bytes(whole[: len(whole) // 2])
        out = tmp_path / f"{k}.json"
        capsys.readouterr()
        target = labels / f"labels{formats.load(name).ending}" if formats.load(name).ending else labels
        arguments = ("convert", target, out, "--format", name, "--images", tmp_path / "in", "--image-files", "leave")
        assert run(*arguments) == 1, file
        assert capsys.readouterr().err.startswith("apiece: ")
        assert not out.exists()
        if run(*arguments, "--skip-bad", "--json") == 0:
            shown = json.loads(capsys.readouterr().out)
            assert shown["bad"], file
            assert shown["sets"].popitem()[1]["images"] == len(formats.read(out))
        else:
            assert not out.exists()
        (labels / file).write_bytes(whole)
