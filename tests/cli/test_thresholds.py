"""``apiece thresholds`` as a person types it, on a model whose scores are known beforehand."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apiece import _plugins, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, ModelFileError
from apiece.images import write_image
from apiece.models._engine.card import save_thresholds
from apiece.models._engine.folder import load_model, save_model
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput
from apiece.predict import load

CLASSES = ("bolt", "nut")


@dataclasses.dataclass(frozen=True)
class Settings:
    """None."""


class Same(nn.Module):
    """Passes the image on."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale


def decode(
    outputs: Tensor, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
) -> list[Instances]:
    """Pixels of one value are one instance: the hundreds are its class, the rest is its score in per cent."""
    found = []
    for values, frame in zip(outputs.numpy(), frames, strict=True):
        height, width = frame.input_size
        label_map = np.rint(values[0, :height, :width] * 255).astype(np.int64)
        value = np.unique(label_map[label_map > 0])
        order = np.argsort(-(value % 100), kind="stable")
        labels = np.minimum(value[order] // 100, len(classes) - 1)
        masks, scores = Masks.from_label_map(label_map)[order], value[order] % 100 / 100
        keep = scores >= options.threshold(labels)
        one = Instances(masks[keep], labels[keep], classes, scores[keep])
        if options.edges is not None:
            point, mean = options.edges
            one = one.replace(attributes={"edge": np.full(len(one), point), "edge_mean": np.full(len(one), mean)})
        found.append(one)
    return found


def _unused(*_: Any) -> Any:
    raise AssertionError("not called in prediction")


ARCHITECTURE = Architecture("a test", "bottom-up", Settings, lambda *_: Same(), _unused, _unused, decode, stride=8)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the architecture above."""
    monkeypatch.setitem(
        _plugins.foreign("apiece.models"), "same", EntryPoint("same", f"{__name__}:ARCHITECTURE", "apiece.models")
    )
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    save_model(tmp_path / "model", Same(), architecture="same", config=Settings(), input=spec, classes=CLASSES,
               thresholds=(0.5, 0.5), provenance={"seed": 3})  # fmt: skip
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images with a bolt each; scores of bolts 0.30 to 0.41, of false bolts 0.20 to 0.25; one nut, at 0.8."""
    records = []
    for i in range(12):
        pixels = np.zeros((24, 24), np.uint8)
        pixels[2:8, 2:8] = 30 + i
        if i < 6:
            pixels[14:20, 2:8] = 20 + i
        boxes, labels = [[2, 2, 8, 8]], [0]
        if i == 0:
            pixels[2:8, 14:20] = 180
            boxes, labels = [*boxes, [14, 2, 20, 8]], [0, 1]
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, pixels)
        masks = Masks.from_boxes(np.array(boxes, float), (24, 24))
        records.append((ImageRef(path, path.name, (24, 24), i + 1), Instances(masks, labels, CLASSES)))
    formats.write(records, tmp_path / "val.json", classes=CLASSES)
    return tmp_path / "val.json"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def test_a_model_without_classes_is_fitted_by_labels_with_any(model: Path, data: Path, capsys: Any) -> None:
    records = [(ref, found.replace(labels=np.zeros(len(found), np.int64), classes=("object",)))
               for ref, found in formats.read(data)]  # fmt: skip
    formats.write(records, data.with_name("objects.json"), classes=("object",))
    named = model / "model.json"
    content = json.loads(named.read_text())
    named.write_text(json.dumps(content | {"classes": ["object"], "thresholds": {"object": 0.5}}))
    shown = []
    for labels in (data, data.with_name("objects.json")):
        assert run("thresholds", "--model", model, "--data", labels, "--json", "--dry-run") == 0
        shown.append(json.loads(capsys.readouterr().out)["classes"])
    assert shown[0] == shown[1]
    assert shown[0]["object"]["objects"] == 13


def test_by_f1(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = (model / "model.safetensors").read_bytes()
    picture = data.parent / "images" / "3.png"
    assert len(load(model, "cpu").predict(picture)) == 0
    assert run("thresholds", "--model", model, "--data", data, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    bolt, nut = shown["classes"]["bolt"], shown["classes"]["nut"]
    assert bolt["before"] == {"threshold": 0.5, "precision": None, "recall": 0, "f1": 0}
    assert bolt["after"] == pytest.approx({"threshold": 0.275, "precision": 1, "recall": 1, "f1": 1})
    assert (bolt["objects"], bolt["pooled"]) == (12, False)
    # one nut is too few: it takes the threshold of all classes together, and a note says so
    assert (nut["objects"], nut["pooled"], nut["after"]["threshold"]) == (1, True, pytest.approx(0.275))
    assert shown["notes"][0].startswith("nut: 1 object is too few")
    assert shown["images"] == 12
    # what predict uses from now on; the weights are as they were
    loaded = load_model(model)
    assert loaded.thresholds == pytest.approx((0.275, 0.275))
    assert loaded.provenance["seed"] == 3
    origin = loaded.provenance["thresholds"]
    assert (origin["by"], origin["data"], origin["images"]) == ("f1", "val.json", 12)
    assert (model / "model.safetensors").read_bytes() == tensors
    assert len(load(model, "cpu").predict(picture)) == 1


def test_a_class_that_the_model_does_not_know(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text(data.read_text().replace('"nut"', '"washer"'))
    assert run("thresholds", "--model", model, "--data", data) == 1
    err = capsys.readouterr().err
    assert "val.json has labels of class 'washer', which the model does not know; it knows bolt, nut. " in err


def test_how_far_outlines_are_off_is_learned_and_used(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, records = np.random.default_rng(0), []
    for i in range(50):  # squares of 20 pixels, found up to two pixels too small or too large
        pixels, grown = np.zeros((48, 48), np.uint8), int(rng.integers(-1, 2))
        pixels[10 - grown : 30 + grown, 10 - grown : 30 + grown] = 60
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, pixels)
        masks = Masks.from_boxes([[10.0, 10.0, 30.0, 30.0]], (48, 48))
        records.append((ImageRef(path, path.name, (48, 48), i + 1), Instances(masks, [0], CLASSES)))
    formats.write(records, tmp_path / "val.json", classes=CLASSES)
    table, rules = tmp_path / "t.csv", tmp_path / "rules.yaml"
    measuring = ("measure", path.parent, "--model", model, "--uncertainty", "--out", table, "--conf", 0.1)

    def measured() -> list[dict[str, str]]:
        assert run(*measuring) == 0
        return list(csv.DictReader(table.open()))

    assert run("predict", path.parent, "--model", model, "--edges", "--out", tmp_path / "none") == 1
    assert "does not know how far its outlines are off" in capsys.readouterr().err
    before = measured()
    assert "apiece thresholds LABELS" in capsys.readouterr().err
    assert run("thresholds", "--model", model, "--data", tmp_path / "val.json") == 0
    # what pixels do not explain: of diagonals hypot(0.8, 2 * edge) = 2.83 pixels, and of areas 76 square pixels
    point, mean = load_model(model).edges or (0.0, 0.0)
    assert point == pytest.approx(1.36, abs=0.01)
    assert mean == pytest.approx(1.13, abs=0.01)
    after = measured()
    assert "apiece thresholds LABELS" not in capsys.readouterr().err
    for name, unit, true in (("rect_length", "px", 20.0), ("area", "px2", 400.0)):
        hits = [
            [abs(float(row[f"{name}_{unit}"]) - true) <= float(row[f"{name}_u95_{unit}"]) for row in rows]
            for rows in (before, after)
        ]
        assert np.mean(hits[0]) < 0.5
        assert np.mean(hits[1]) >= 0.95
    # through a file of predictions, the same
    made = tmp_path / "made"
    assert run("predict", path.parent, "--model", model, "--edges", "--out", made, "--save", "coco,geojson,csv") == 0
    assert run("measure", made / "predictions.json", "--no-intensities", "--uncertainty", "--out", table) == 0
    again = list(csv.DictReader(table.open()))
    assert [row["area_u95_px2"] for row in again] == [row["area_u95_px2"] for row in after]
    rules.write_text("rules:\n- dimension: bolt\n  of: rect_length\n  min: 18.5 px\n  max: 21.5 px\n")
    capsys.readouterr()
    run("inspect", path.parent, "--model", model, "--rules", rules, "--json")
    told = json.loads(capsys.readouterr().out)["pictures"]
    assert {one["verdict"] for one in told} == {"unsure"}  # as far as outlines are off, any of them may be wrong


def test_by_price(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (model / "model.json").read_bytes()
    costs = ("--miss", "10", "--false-alarm", "1")
    assert run("thresholds", "--model", model, "--data", data, *costs, "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "cost" in out
    assert "0.500 → 0.275" in out
    assert "120.0 → 0.000" in out
    assert "nothing stored" in err
    assert "nut: 1 object is too few" in err
    assert (model / "model.json").read_bytes() == before
    assert run("thresholds", "--model", model, "--data", data, *costs) == 0
    assert str(model / "model.json") in capsys.readouterr().err
    assert load_model(model).provenance["thresholds"]["miss"] == 10


def test_a_threshold_at_the_lowest_score_is_told(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):  # everything is right and scored 0.05
        pixels = np.zeros((24, 24), np.uint8)
        pixels[2:8, 2:8] = 5
        write_image(data.parent / "images" / f"{i}.png", pixels)
    assert run("thresholds", "--model", model, "--data", data) == 0
    assert "bolt: the best threshold may lie below 0.05" in capsys.readouterr().err


def test_what_cannot_be_is_refused(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--model", model, "--data", data)
    assert run("thresholds", *given, "--by", "f1", "--miss", "2") == 1
    assert "takes no prices" in capsys.readouterr().err
    assert run("thresholds", *given, "--by", "cost") == 1
    assert "--false-alarm" in capsys.readouterr().err
    assert run("thresholds", *given, "--miss", "0") == 1
    assert "price of a miss must be above 0" in capsys.readouterr().err
    assert run("thresholds", "--model", model / "none", "--data", data) == 1
    assert "does not exist" in capsys.readouterr().err
    assert run("thresholds", *given, "--by", "accuracy") == 2
    with pytest.raises(ConfigError, match="2 numbers from 0 to 1"):
        save_thresholds(model, [0.5])
    with pytest.raises(ConfigError, match="from 0 to 1"):
        save_thresholds(model, [0.5, 1.5])
    (model / "model.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"model\.json"):
        save_thresholds(model, [0.5, 0.5])
