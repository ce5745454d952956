"""``apiece check`` as a person types it: exit codes, tables, JSON, page, repairs, a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.check.faulty_labels import FAULTS, clean_set, faulty_set, pixels

from apiece import formats
from apiece.cli import main
from apiece.images import write_image

LABELS = ("--only", "file", "overlaps", "--workers", 1)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty, clean = faulty_set(tmp_path / "faulty"), clean_set(tmp_path / "clean")
    assert run("check", clean, *LABELS, "--fail-on", "note") == 0
    assert capsys.readouterr().out == "3 images, 12 instances: 0 errors, 0 warnings, 0 notes\n"
    assert run("check", faulty, *LABELS) == 1
    assert run("check", faulty, *LABELS, "--fail-on", "never") == 0
    capsys.readouterr()
    for wrong, why in (
        ((tmp_path / "none",), "there is no such file or folder"),
        ((clean, "--only", "duplicat"), "Did you mean 'duplicate'?"),
        ((clean, "--duplicate-iou", 7), "--duplicate-iou must be above 0"),
        ((clean, "--only", "model"), "loose_outline without predictions of a model"),
        ((clean, "--limit", -1), "limit must be 0 or more"),
        ((clean, "--workers", 0), "workers must be at least 1"),
        ((clean, "--folds", 1), "folds must be at least 2"),
        ((clean, "--folds", 2, "--model", tmp_path), "give one of them"),
        ((clean, "--config", tmp_path / "c.yaml"), "give --folds too"),
        ((clean, "--fix", tmp_path / "clean"), "is there already"),
        ((clean, *LABELS, "--html", clean / "check.html"), "train.json"),
    ):
        assert run("check", *wrong) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("apiece: ")
        assert said.err.count("\n") == 1
        assert why in said.err


def test_the_table_is_ranked_and_limited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty_set(tmp_path)
    run("check", path, *LABELS, "--limit", 3)
    out, err = capsys.readouterr()
    total = sum(FAULTS.values()) + 1
    assert f"and {total - 3} more; --limit 0 shows all" in err
    assert f"7 images, 9 instances: {total} errors" in out
    assert "missing_image" in out
    assert "what to do" in out
    run("check", path, *LABELS, "--limit", 0)
    assert "more; --limit" not in capsys.readouterr().err


def test_json_has_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty_set(tmp_path)
    assert run("check", path, *LABELS, "--json", "--limit", 1) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == FAULTS | {"duplicate": 1}
    assert len(said["findings"]) == sum(said["counts"].values())
    (twice,) = (f for f in said["findings"] if f["kind"] == "duplicate")
    assert (twice["split"], twice["image"], twice["ids"], twice["repair"]) == ("train", "whole.png", [2, 1], "drop")
    assert (twice["level"], twice["sure"], twice["box"]) == ("error", 1.0, [10.0, 10.0, 30.0, 30.0])
    assert twice["fix"]


def test_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty_set(tmp_path)
    run("check", path, "--no-images", "--only", "file", "--json")
    said = json.loads(capsys.readouterr().out)
    assert not {"missing_image", "unreadable_image", "image_size", "rotated_image"} & set(said["counts"])


def test_page_and_repaired_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    faulty_set(data)
    before = (data / "train.json").read_bytes()
    page, out = tmp_path / "check.html", tmp_path / "out"
    assert run("check", data, *LABELS, "--html", page, "--fix", out, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert said["fixed"]["files"] == {"train": str(out / "train.json")}
    assert len(said["fixed"]["changes"]) == len(json.loads((out / "changes.json").read_text())["changes"]) == 6
    assert (data / "train.json").read_bytes() == before
    left = ("--only", "duplicate", "stated_area", "stated_box", "refused", "--images", data / "images")
    assert run("check", out / "train.json", *left, "--workers", 1) == 0


def test_splits_of_a_folder_and_what_was_done_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean_set(tmp_path / "data")
    val = clean_set(tmp_path / "data", "val", 2, 3)
    said = json.loads(val.read_text())
    said["annotations"][0]["area"] = 4000
    said["categories"][0]["name"] = "Bolt"
    val.write_text(json.dumps(said))
    assert run("check", tmp_path / "data", "--no-images", "--only", "file", "--fix", tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "one name but for" in out
    assert "computed" in out
    assert "id 30" in out
    assert f"--images {tmp_path / 'data' / 'images'}\n" in err
    assert json.loads((tmp_path / "out" / "val.json").read_text())["annotations"][0]["area"] == 400
    assert (tmp_path / "out" / "train.json").is_file()


def test_a_set_that_says_its_splits_is_repaired_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "yolo"
    for split in ("train", "val"):
        (data / "images" / split).mkdir(parents=True)
        (data / "labels" / split).mkdir(parents=True)
        write_image(data / "images" / split / f"{split}.png", pixels(1))
        row = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
        (data / "labels" / split / f"{split}.txt").write_text(row * 2)
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [nut]\n")
    assert run("check", data, *LABELS, "--json", "--fix", tmp_path / "out") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"duplicate": 2}
    assert {c["split"] for c in said["fixed"]["changes"]} == {"train", "val"}
    (written,) = set(said["fixed"]["files"].values())
    assert formats.detect(written) == "yolo"
    assert sum(len(i) for _, i in formats.read(written, images=data)) == 2


@pytest.mark.slow
def test_a_model_is_asked_about_each_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = clean_set(tmp_path)
    settings = ("--epochs", 1, "--crop", 64, "--workers", 0, "--device", "cpu")
    assert run("train", "--data", path, "--model", "semantic", "--out", tmp_path / "run", *settings) == 0
    (tmp_path / "images" / "1.png").unlink()
    capsys.readouterr()
    only = ("--only", "model", "missing_image", "--workers", 1, "--json")
    assert run("check", path, "--model", tmp_path / "run", *only) == 1
    said = capsys.readouterr().out
    assert json.loads(said)["unasked"] == {}
    assert json.loads(said)["counts"]["missing_image"] == 1
    assert run("check", path, "--model", tmp_path / "none", *only) == 2
    assert "apiece: " in capsys.readouterr().err


@pytest.mark.slow
def test_models_that_have_not_seen_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean_set(tmp_path / "data", images=6)
    clean_set(tmp_path / "data", "val", 2, 6)
    config = tmp_path / "config.yaml"
    config.write_text("model: semantic\nepochs: 1\ncrop: 64\nworkers: 0\ndevice: cpu\n")
    folds = ("--folds", 2, "--config", config, "--runs", tmp_path / "runs", "--only", "model", "--workers", 1)
    assert run("check", tmp_path / "data", *folds, "--fail-on", "never", "--json") == 0
    assert json.loads(capsys.readouterr().out)["unasked"] == {}
    assert (tmp_path / "runs" / "folds.json").is_file()
