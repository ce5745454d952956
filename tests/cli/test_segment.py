"""``apiece segment``: points, boxes, earlier masks and files of them; what is written, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests.cli.set_scenes import run
from tests.prompts import small_networks
from tests.prompts.scenes import IMAGE, TRUTH

from apiece import Masks, formats, iou
from apiece.images import write_image


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_image(tmp_path / "photos" / name, IMAGE)
    return tmp_path


def found(folder: Path) -> dict[str, Masks]:
    return {ref.name: instances.masks for ref, instances in formats.read(folder / "predictions.json")}


def overlaps(masks: Masks) -> np.ndarray:
    return iou(masks, TRUTH).toarray()


def test_points_of_two_objects(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = ("--point", "40,40", "--point", "10,90,-", "--point", "90,70,+,2", "--backend", "watershed")
    assert run("segment", "photos/a.png", *points, "--save", "coco,overlay,labelmap,csv", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["images"], shown["instances"], shown["per_class"]) == (1, 2, {"object": 2})
    assert overlaps(found(photos / "segments")["a.png"]).diagonal().min() > 0.9
    assert {p.name for p in (photos / "segments").iterdir()} == {
        "predictions.json", "predictions.csv", "overlays", "labelmaps",
    }  # fmt: skip
    entries = json.loads((photos / "segments" / "predictions.json").read_text())["annotations"]
    assert entries[0]["prompt"] == {"points": [[40.0, 40.0, 1], [10.0, 90.0, 0]], "backend": "watershed"}
    assert "score" not in entries[0]
    assert (photos / "segments" / "predictions.csv").read_text().splitlines()[1].split(",")[3] == ""


def test_what_was_asked_can_be_asked_again(photos: Path) -> None:
    assert run("segment", "photos/b.png", "--box", "20,20,60,60", "--box", "70,50,110,90") == 0
    assert run("segment", "photos", "--points-file", "segments/predictions.json", "--out", "again") == 0
    assert found(photos / "again")["b.png"] == found(photos / "segments")["b.png"]
    assert len(found(photos / "again")["a.png"]) == 0


def test_a_box_with_points_is_one_object_and_a_number_says_which(photos: Path) -> None:
    assert run("segment", "photos/a.png", "--box", "70,50,110,90", "--point", "90,70", "--point", "75,55,-") == 0
    assert overlaps(found(photos / "segments")["a.png"])[0, 1] > 0.9
    two = ("--box", "20,20,60,60,2", "--box", "70,50,110,90,1", "--point", "90,70")
    assert run("segment", "photos/a.png", *two, "--out", "two") == 0
    assert overlaps(found(photos / "two")["a.png"])[:, ::-1].diagonal().min() > 0.9


def test_earlier_masks_are_corrected(photos: Path) -> None:
    write_image(photos / "before.png", TRUTH.shift(3, 2).to_label_map())
    assert run("segment", "photos/a.png", "--mask", "before.png", "--backend", "grabcut") == 0
    assert overlaps(found(photos / "segments")["a.png"]).diagonal().min() > 0.93


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "image,x,y\na.png,40,40\na.png,90,70\nb.png,90,70\n"),
        ("p.csv", "object,image,x,y,sign\n1,a.png,40,40,+\n1,a.png,10,90,-\n2,a.png,90,70,\n1,b.png,90,70,1\n"),
        ("p.csv", "image,x0,y0,x1,y1\na.png,20,20,60,60\na.png,70,50,110,90\nb.png,70,50,110,90\n"),
        (
            "p.json",
            '{"a.png": [{"points": [[40, 40]]}, {"box": [70, 50, 110, 90]}], "b.png": [{"points": [[90, 70]]}]}',
        ),
    ],
)
def test_files_of_many_prompts(photos: Path, name: str, text: str) -> None:
    (photos / name).write_text(text)
    assert run("segment", "photos", "--points-file", name) == 0
    masks = found(photos / "segments")
    assert overlaps(masks["a.png"]).diagonal().min() > 0.9
    assert overlaps(masks["b.png"])[0, 1] > 0.9


BOX = ("--box", "1,1,9,9")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["photos/a.png", "--point", "128,3"], r"a.png, object 1: the point 128, 3 lies outside the image"),
        (["photos/a.png", "--point", "7"], r"cannot read --point 7: a point is X,Y"),
        (["photos/a.png", "--point", "7,7,minus"], r"cannot read --point 7,7,minus"),
        (["photos/a.png", "--point", "7,7,-"], r"object 1: nothing says where it is"),
        (["photos/a.png", "--point", "7,7,+,0"], r"objects are numbered from 1"),
        (["photos/a.png", "--box", "5,5,5,9"], r"object 1: the box 5, 5, 5, 9 has no area"),
        (["photos/a.png", "--box", "5,5,9"], r"cannot read --box 5,5,9: a box is X0,Y0,X1,Y1"),
        (["photos/a.png", *BOX, *BOX, "--point", "3,3"], r"2 boxes are 2 objects, .*--point X,Y,\+,2"),
        (
            ["photos/a.png", *BOX, *BOX, "--point", "3,3,+,1"],
            r"each box needs the number of its own.*--box X0,Y0,X1,Y1,2",
        ),
        (
            ["photos/a.png", "--box", "100,80,140,90"],
            r"object 1: the box .* beyond the image.*would be 100, 80, 128, 90",
        ),
        (["photos/a.png", "--box", "1,1,9,9,1", *BOX], r"some boxes have the number"),
        (["photos/a.png"], r"say what to segment: --point X,Y"),
        (["photos", "--point", "7,7"], r"there are 2; .*--points-file"),
        (["photos/a.png", "--text", "bolt"], r"no backend without weights reads words.*--words"),
        (
            ["photos/a.png", "--everything", "--backend", "wand"],
            r"wand finds no objects by.*--backend click.*--weights",
        ),
        (["photos/a.png", "--backend", "wandd", *BOX], r"no backend named 'wandd'. Did you mean 'wand'"),
        (
            ["photos/a.png", "--backend", "wand", "--weights", "x", *BOX],
            r"wand needs no weights; leave out --weights x",
        ),
        (["photos/a.png", "--embed-only", "--backend", "wand"], r"wand has no embedding to save.*--weights"),
        (["photos/a.png", "--points-file", "nix.csv"], r"nix.csv: does not exist"),
        (["photos/a.png", "--points-file", "p.csv"], r"p.csv: line 2: could not convert"),
        (["photos/a.png", "--points-file", "q.csv"], r"q.csv: needs a header out of"),
        (["photos/a.png", "--points-file", "n.csv"], r"n.csv: line 2: a negative point needs the number"),
        (["photos/a.png", "--points-file", "p.json"], r"p.json: image 'a.png': object 1: a point is"),
        (["photos/a.png", "--points-file", "c.json"], r"there are prompts for 'c.png', which is none of the 1 images"),
        (
            ["photos/a.png", "--mask", "photos/b.png"],
            r"b.png is a photo, not masks.*--mask takes a label image.*--save labelmap",
        ),
        (
            ["photos/a.png", *BOX, "--save", "boxes", "--backend", "wand"],
            r"holds a score for each object, and these have none",
        ),
    ],
)
def test_what_is_refused_writes_nothing(
    photos: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    (photos / "p.csv").write_text("x,y\nhere,3\n")
    (photos / "q.csv").write_text("x,z\n3,3\n")
    (photos / "n.csv").write_text("x,y,sign\n3,3,-\n")
    (photos / "p.json").write_text('{"a.png": [{"points": [[1]]}]}')
    (photos / "c.json").write_text('{"c.png": [{"points": [[1, 1]]}]}')
    before = sorted(photos.rglob("*"))
    assert run("segment", *options) == 1
    shown = capsys.readouterr().err

    assert re.search(told, shown), shown
    assert sorted(photos.rglob("*")) == before


def test_ten_thousand_points(photos: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "\n".join(f"{x:.1f},{y:.1f}" for x, y in rng.uniform((0, 0), (127.9, 95.9), (10_000, 2)))
    (photos / "many.csv").write_text(f"x,y\n{rows}\n")
    assert run("segment", "photos/a.png", "--points-file", "many.csv", "--backend", "wand") == 0
    assert len(found(photos / "segments")["a.png"]) > 9_000


def test_an_object_that_is_not_found_is_told_and_left_out(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = ("--point", "40,40", "--point", "41,40,-", "--point", "90,70,+,2", "--backend", "wand")
    assert run("segment", "photos/a.png", *one) == 0
    assert "a.png, object 1: nothing was found" in capsys.readouterr().err
    assert overlaps(found(photos / "segments")["a.png"])[0, 1] > 0.9


def test_images_that_cannot_be_read_are_named(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "photos" / "c.png").write_bytes(b"no image")
    (photos / "p.csv").write_text("image,x,y\na.png,40,40\nc.png,1,1\n")
    assert run("segment", "photos", "--points-file", "p.csv") == 1
    assert "c.png" in capsys.readouterr().err
    assert run("segment", "photos", "--points-file", "p.csv", "--skip-bad") == 0
    assert set(found(photos / "segments")) == {"a.png", "b.png"}


def test_a_network_embeds_once_and_finds_everything(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_networks.sam2(photos / "sam2")
    given = ("--weights", folder, "--device", "cpu")
    assert run("segment", "photos", *given, "--embed-only", "--json") == 0
    shown = capsys.readouterr()
    assert "sam2 answers with the weights" in shown.err
    assert "licence: Apache-2.0" in shown.err
    files = json.loads(shown.out)["files"]
    assert len(set(files)) == 1  # the two photos have the same pixels
    before = (photos / files[0]).stat().st_mtime_ns
    assert (
        run("segment", "photos/a.png", *given, "--point", "40,40", "--point", "90,70,+,2", "--save", "coco,boxes") == 0
    )
    assert (photos / files[0]).stat().st_mtime_ns == before
    assert len(json.loads((photos / "segments" / "boxes.json").read_text())) == len(found(photos / "segments")["a.png"])
    assert run("segment", "photos", *given, "--everything", "--grid", "3", "--out", "all") == 0
    assert set(found(photos / "all")) == {"a.png", "b.png"}
