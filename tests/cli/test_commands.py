"""Commands as a person types them, on small data; exit codes, standard output and standard error kept apart."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from apiece import formats, models
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.images import read_image, write_image
from apiece.models.contract import ModelInput

CLASSES = ("bolt", "nut")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def squares(rng: np.random.Generator, count: int, jitter: np.ndarray | None = None) -> np.ndarray:
    corner = rng.integers(0, 50, (count, 2)) if jitter is None else jitter
    return np.concatenate([corner, corner + 12], 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight images, squares of two classes, and predictions that are mostly a pixel or two off."""
    rng = np.random.default_rng(0)
    truth, found = [], []
    (tmp_path / "images").mkdir()
    for i in range(8):
        name = f"{i}.png"
        boxes = squares(rng, 6)
        labels = rng.integers(0, 2, 6)
        instances = Instances(Masks.from_boxes(boxes, (64, 64)), labels, CLASSES)
        pixels = np.full((64, 64), 20, np.uint8)
        pixels[instances.masks.union().to_dense()[0]] = 200
        write_image(tmp_path / "images" / name, pixels)
        ref = ImageRef(tmp_path / "images" / name, name, (64, 64), i + 1)
        truth.append((ref, instances))
        moved = Masks.from_boxes(boxes + np.tile(rng.integers(-2, 3, (6, 2)), 2), (64, 64))
        found.append((ref, Instances(moved, labels, CLASSES, rng.random(6).round(1))))
    formats.write(truth, tmp_path / "truth.json", classes=CLASSES)
    formats.write(found, tmp_path / "found.json", classes=CLASSES)
    return tmp_path


def test_info(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", data / "truth.json", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["train"]
    assert shown["images"] == 8
    assert shown["instances"] == 48
    assert [c["name"] for c in shown["classes"]] == list(CLASSES)
    assert run("info", data / "truth.json") == 0
    out = capsys.readouterr().out
    assert "bolt" in out
    assert "overlapping" in out


def test_evaluate_is_pycocotools(data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("evaluate", "--predictions", data / "found.json", "--data", data / "truth.json", "--json") == 0
    ours = json.loads(capsys.readouterr().out)
    results = [
        {k: a[k] for k in ("image_id", "category_id", "segmentation", "score")}
        for a in json.loads((data / "found.json").read_text())["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert run("evaluate", "--predictions", tmp_path / "results.json", "--data", data / "truth.json", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ours
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "truth.json"))
        for kind, prefix in (("segm", "mask_"), ("bbox", "box_")):
            judge = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), kind)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
            names += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]
            for name, value in zip(names, judge.stats, strict=True):
                assert ours[prefix + name] == pytest.approx(value, abs=1e-9)


def test_evaluate_writes_a_report(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = data / "report.html"
    assert run("evaluate", "--predictions", data / "found.json", "--data", data / "truth.json", "--report", page) == 0
    out, err = capsys.readouterr()
    assert "AP-tau" in out
    assert str(page) in err
    assert page.read_text(encoding="utf-8").count("<svg") >= 2


def test_evaluate_says_what_is_wrong(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--data", data / "truth.json") == 1
    assert "--predictions FILE, or --model FOLDER" in capsys.readouterr().err
    assert run("evaluate", "--predictions", data / "none.json", "--data", data / "truth.json") == 1
    assert "none.json" in capsys.readouterr().err
    broken = data / "broken.json"
    broken.write_text((data / "found.json").read_text()[:-200])
    assert run("evaluate", "--predictions", broken, "--data", data / "truth.json", "--json") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "broken.json" in err
    assert run("evaluate", "--model", data / "found.json", "--data", data / "truth.json") == 1
    assert "a model is a folder with model.json" in capsys.readouterr().err
    assert run("evaluate", "--prediction", broken) == 2


def test_measure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("measure", data / "found.json", "--pixel-size", "0.5 um", "--conf", "0.5") == 0
    out, err = capsys.readouterr()
    assert "area in um2" in out
    assert "equivalent diameter in um\n" in out
    assert {line.split()[0] for line in out.splitlines()} == {"area", "equivalent", "class", "bolt", "nut", "all"}
    assert max(map(len, out.splitlines())) <= 80
    assert "measurements.csv" in err
    with (data / "measurements.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(float(row["score"]) >= 0.5 for row in rows)
    assert {float(row["area_um2"]) for row in rows} <= {h * w / 4 for h in range(13) for w in range(13)}
    assert all(float(row["intensity_max_0"]) in (20, 200) for row in rows)
    assert run("measure", data / "found.json", "--json", "--no-intensities") == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["rows"]) == 48
    assert shown["units"]["area"] == "px2"


def test_measure_says_what_it_goes_without(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "images" / "5.png").unlink()
    assert run("measure", data / "found.json") == 0
    err = capsys.readouterr().err
    assert f"1 of 8 images are not there, such as {data / 'images' / '5.png'}: measuring masks only" in err
    assert "no intensities, no pixel size" in err
    assert run("measure", data / "found.json", "--conf", "50") == 1
    assert "conf must be from 0 to 1, got 50" in capsys.readouterr().err
    assert run("split", data / "truth.json") == 0
    (data / "truth.json").unlink()
    assert run("measure", data) == 1
    assert "is divided into train, val; say which with --split" in capsys.readouterr().err


def test_measure_leaves_out_what_is_broken(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((data / "found.json").read_text())
    document["annotations"][0]["segmentation"]["counts"] = "]]"
    (data / "found.json").write_text(json.dumps(document))
    assert run("measure", data / "found.json", "--json", "--no-intensities") == 1
    assert "annotations[0]" in capsys.readouterr().err
    assert run("measure", data / "found.json", "--json", "--no-intensities", "--skip-bad") == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["rows"]) == 47
    assert "annotations[0]" in shown["bad"][0]["reason"]


def test_measure_names_the_image_of_another_size(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = read_image(data / "images" / "5.png").pixels
    write_image(data / "images" / "5.png", image[:-1])
    assert run("measure", data / "found.json") == 1
    said = f"images/5.png: the image is {len(image) - 1} x {image.shape[1]} pixels (height x width), but its labels"
    assert said in capsys.readouterr().err
    (data / "images" / "3.png").write_bytes(b"no image")
    assert run("measure", data / "found.json", "--skip-bad", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["image"] for row in shown["rows"]} == {f"{k}.png" for k in range(8)} - {"3.png", "5.png"}
    assert [Path(bad["path"]).name for bad in shown["bad"]] == ["3.png", "5.png"]
    for k in range(8):
        (data / "images" / f"{k}.png").write_bytes(b"no image")
    assert run("measure", data / "found.json", "--skip-bad") == 1
    assert "0.png" in capsys.readouterr().err


def test_split(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("split", data / "truth.json", "--fractions", "train=0.5,val=0.25,test=0.25", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: part["images"] for name, part in shown["sets"].items()} == {"train": 4, "val": 2, "test": 2}
    assert run("info", data, "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["train", "val", "test"]
    assert run("split", data / "truth.json", "--fractions", "train=0.5,val=0.5") == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_road(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train for some seconds, then predict on good and bad files, and evaluate."""
    run_folder, out = data / "run", data / "out"
    options = ("--model", "embedding", "--max-time", "20s", "--crop", "64", "--batch", "4", "--workers", "0")
    assert run("train", "--data", data / "truth.json", "--out", run_folder, *options, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["folder"] == str(run_folder)
    assert {"model.json", "model.safetensors", "config.yaml", "log.csv"} <= {p.name for p in run_folder.iterdir()}
    bad = data / "images" / "bad.png"
    bad.write_bytes((data / "images" / "0.png").read_bytes()[:40])
    assert run("predict", "--model", run_folder, data / "images", "--out", out) == 1
    assert "bad.png" in capsys.readouterr().err
    assert not out.exists()
    saved = ("--save", "coco,labelmap,overlay,csv")
    assert run("predict", "--model", run_folder, data / "images", "--out", out, *saved, "--skip-bad", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["images"] == 8
    assert "bad.png" in shown["bad"][0]
    assert run("evaluate", "--model", run_folder, "--data", data / "truth.json", "--json") == 0
    assert 0 <= json.loads(capsys.readouterr().out)["mask_ap"] <= 1
    # the predictions' names are relative to the folder of photos, the truth's to the label file
    assert run("evaluate", "--predictions", out / "predictions.json", "--data", data / "truth.json", "--json") == 0


def test_models_lists_every_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == set(models.names())
    for name, about in found.items():
        architecture = models.load(name)
        built = architecture.build(architecture.config(), ModelInput(), 2)
        assert about["parameters"] == sum(p.numel() for p in built.parameters())
        assert (about["kind"], about["summary"]) == (architecture.kind, architecture.summary)
        assert all(w["name"] and w["licence"] and w["summary"] for w in about["weights"])
    assert run("models") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in found)
    assert "licence" in out


def test_models_describes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "mask_rcnn", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert "anchors" in about["settings"]
    assert about["training"]["lr"] > 0
    assert {w["name"] for w in about["weights"]} >= {
        *("timm", "imagenet", "torchvision:maskrcnn_resnet50_fpn", "torchvision:maskrcnn_resnet50_fpn_v2")
    }
    assert run("models", "mask_rcnn") == 0
    out = capsys.readouterr().out
    for part in ("two-stage", "8,399,783", "anchors", "weight_decay", "BSD-3-Clause", "timm"):
        assert part in out
    assert run("models", "mask_rnn") == 1
    assert "Did you mean 'mask_rcnn'" in capsys.readouterr().err


def test_a_run_goes_on_with_the_settings_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from apiece.errors import TrainingError
    from apiece.training import trainer
    from apiece.training.config import TrainConfig

    asked = []

    def stopped(config: TrainConfig) -> None:
        asked.append(config)
        raise KeyboardInterrupt if len(asked) == 1 else TrainingError("enough")

    monkeypatch.setattr(trainer, "fit", stopped)
    out = tmp_path / "run"
    (out / "last").mkdir(parents=True)
    (out / trainer.STATE).touch()
    assert run("train", "--data", tmp_path, "--imgsz", 128, "--max-time", "60s", "--out", out) == 130
    assert f"interrupted; apiece train --out {out} --resume goes on" in capsys.readouterr().err
    (out / "config.yaml").write_text(asked[0].to_yaml())
    moved = out.rename(tmp_path / "moved")
    assert run("train", "--out", moved, "--resume") == 1
    assert asked[1] == dataclasses.replace(asked[0], out=moved, resume=True)
    assert run("train", "--out", moved, "--resume", "--max-time", "90s") == 1
    assert asked[2] == dataclasses.replace(asked[1], max_time="90s")


def test_train_refuses_what_cannot_be(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--data", data / "truth.json", "--out", data / "run", "--set", "widht=3") == 1
    assert "widht" in capsys.readouterr().err
    twice = ("--weights", "timm", "--set", "weights=timm")
    assert run("train", "--data", data / "truth.json", "--out", data / "run", *twice) == 1
    assert "weights are given twice" in capsys.readouterr().err
    assert run("train", "--data", data / "none", "--out", data / "run") == 1
    assert "none" in capsys.readouterr().err
    assert run("train", "--data", data / "truth.json", "--crop", "100") == 1
    assert "multiple of 32" in capsys.readouterr().err
    config = data / "c.yaml"
    config.write_text("lr: -1\n")
    assert run("train", "--config", config) == 1
    assert "lr must be above 0" in capsys.readouterr().err


def test_what_the_command_line_has_wrong_leads_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "photos", "--modl", "runs/bolts") == 2
    err = capsys.readouterr().err
    assert "Did you mean --model?" in err
    assert err.endswith("apiece predict --help shows examples\n")
    assert run("predikt") == 2
    assert "examples" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "kept"),
    [("train", ["upright", "one-piece"]), ("measure", ["intensities"]), ("check", []), ("merge", [])],
)
def test_help_names_a_negative_only_of_what_is_on_or_open(
    capsys: pytest.CaptureFixture[str], command: str, kept: list[str]
) -> None:
    assert run(command, "--help") == 0
    options = capsys.readouterr().out.partition("Parameters")[2]
    found = re.findall(r"--(?:no|empty)-([\w-]+)", options)
    assert found == (["images"] if command == "check" else kept)
