"""``apiece monitor`` as a person types it, on a model that calls bright blobs objects."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from apiece import _plugins, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.images import write_image
from apiece.models._engine.folder import save_model
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput

CLASSES = ("blob",)


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
    """Connected pixels above a half are one instance; the brighter, the higher its score."""
    found = []
    for values, frame in zip(outputs.numpy(), frames, strict=True):
        height, width = frame.input_size
        grey = values[0, :height, :width]
        label_map, count = scipy.ndimage.label(grey > 0.5)
        masks = Masks.from_label_map(label_map)
        scores = np.asarray(scipy.ndimage.mean(grey, label_map, np.arange(1, count + 1))).reshape(-1)
        labels = np.zeros(count, np.int64)
        keep = scores >= options.threshold(labels)
        found.append(Instances(masks[keep], labels[keep], classes, scores[keep]))
    return found


def _unused(*_: Any) -> Any:
    raise AssertionError("not called in prediction")


ARCHITECTURE = Architecture("a test", "bottom-up", Settings, lambda *_: Same(), _unused, _unused, decode, stride=8)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the architecture above."""
    monkeypatch.setitem(
        _plugins.foreign("apiece.models"), "blobs", EntryPoint("blobs", f"{__name__}:ARCHITECTURE", "apiece.models")
    )
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    save_model(tmp_path / "model", Same(), architecture="blobs", config=Settings(), input=spec, classes=CLASSES,
               thresholds=(0.6,), provenance={"seed": 0})  # fmt: skip
    return tmp_path / "model"


def drawn(rng: np.random.Generator) -> np.ndarray:
    grey = rng.normal(60, 3, (64, 64))
    for _ in range(int(rng.integers(3, 8))):
        x, y = rng.integers(8, 56, 2).tolist()
        cv2.circle(grey, (x, y), int(rng.integers(3, 7)), 210.0, -1)
    return np.clip(cv2.GaussianBlur(grey, (0, 0), 0.6), 0, 255).astype(np.uint8)


def write_photos(folder: Path, rng: np.random.Generator, count: int, blurred: int = 0) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = drawn(rng)
        if i < blurred:
            pixels = cv2.GaussianBlur(pixels, (0, 0), 2)
        write_image(folder / f"{folder.name}{i}.png", pixels)


def write_labels(folder: Path, rng: np.random.Generator, count: int) -> Path:
    """Photos with labels that are right."""
    write_photos(folder, rng, count)
    records = []
    for path in sorted(folder.glob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        masks = Masks.from_label_map(scipy.ndimage.label(pixels > 127)[0])
        records.append((ImageRef(path, path.name, masks.size), Instances(masks, classes=CLASSES)))
    formats.write(records, folder / "labels.json", "coco")
    return folder / "labels.json"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


def test_a_baseline_is_kept_and_blur_is_noticed(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = write_labels(tmp_path / "val", rng, 40)
    good = tmp_path / "good.json"
    assert run("monitor", "--model", model, "--baseline", labels, "--save-baseline", good) == 0
    capsys.readouterr()
    write_photos(tmp_path / "same", rng, 40)
    assert run("monitor", tmp_path / "same", "--model", model, "--baseline", good, "--json") == 0
    assert json.loads(capsys.readouterr().out)["alarm"] is False
    write_photos(tmp_path / "blur", rng, 40, 8)
    out = tmp_path / "blur.html", tmp_path / "blur.prom"
    code = run(
        "monitor", tmp_path / "blur", "--model", model, "--baseline", good, "--html", out[0], "--prometheus", out[1],
        "--json", "--limit", 8,
    )  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert code == 1
    assert told["alarm"] is True
    assert {u["name"] for u in told["unlike"]} == {f"blur{i}.png" for i in range(8)}
    assert "apiece_drift_alarm" in out[1].read_text()
    assert out[0].read_text().count("<img ") == 24


def test_predictions_with_scores_are_a_baseline_too(model, tmp_path, capsys):
    rng = np.random.default_rng(1)
    write_labels(tmp_path / "val", rng, 12)
    write_photos(tmp_path / "new", rng, 12)
    assert run("predict", tmp_path / "val", "--model", model, "--out", tmp_path / "p") == 0
    saved = [tmp_path / "labels.json", tmp_path / "predictions.json"]
    for path, more in ((saved[0], []), (saved[1], ["--images", tmp_path / "val"])):
        source = tmp_path / "val" / "labels.json" if not more else tmp_path / "p" / "predictions.json"
        assert run("monitor", "--model", model, "--baseline", source, *more, "--save-baseline", path) == 0
    made = [json.loads(path.read_text()) for path in saved]
    values = [dict(zip(told["images"], told["values"], strict=True)) for told in made]
    assert values[0] == values[1]
    assert "reliability" in made[0]
    assert "reliability" not in made[1]


def test_predictions_named_from_another_folder_are_found(model, tmp_path, capsys):
    labels = write_labels(tmp_path / "val", np.random.default_rng(4), 12)
    assert run("predict", tmp_path / "val", "--model", model, "--out", tmp_path / "p") == 0
    document = json.loads(labels.read_text())
    for row in document["images"]:
        row["file_name"] = f"val/{row['file_name']}"
    (tmp_path / "labels.json").write_text(json.dumps(document))
    given = ("--predictions", tmp_path / "p" / "predictions.json")
    for path, more in ((tmp_path / "made.json", ()), (tmp_path / "filed.json", given)):
        baseline = ("--baseline", tmp_path / "labels.json", "--save-baseline", path)
        assert run("monitor", "--model", model, *baseline, *more) == 0
    made, filed = (json.loads((tmp_path / name).read_text()) for name in ("made.json", "filed.json"))
    assert made["counts"] == filed["counts"]
    assert made["values"] == filed["values"]


def test_labels_of_some_new_photos_tell_of_calibration(model, tmp_path, capsys):
    rng = np.random.default_rng(2)
    labels = write_labels(tmp_path / "val", rng, 12)
    new = write_labels(tmp_path / "new", rng, 12)
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", labels, "--labels", new, "--json") == 0
    assert "right less score" in {t["name"] for t in json.loads(capsys.readouterr().out)["tests"]}
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", labels, "--labels", labels) == 2
    assert "none of the photos" in capsys.readouterr().err


def test_a_model_without_classes_is_watched_by_labels_with_any(model, tmp_path, capsys):
    plain = model / "model.json"
    plain.write_text(plain.read_text().replace('"blob"', '"object"'))
    rng = np.random.default_rng(2)
    labels = write_labels(tmp_path / "val", rng, 12)
    new = write_labels(tmp_path / "new", rng, 12)
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", labels, "--labels", new, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "right less score" in {t["name"] for t in told["tests"]}


def test_what_cannot_be_told_is_code_2(model, tmp_path, capsys):
    rng = np.random.default_rng(3)
    labels = write_labels(tmp_path / "val", rng, 12)
    write_photos(tmp_path / "new", rng, 12)
    (tmp_path / "new" / "bad.png").write_bytes(b"no image")
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", labels) == 2
    assert "bad.png" in capsys.readouterr().err
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", labels, "--skip-bad", "--json") == 0
    assert json.loads(capsys.readouterr().out)["bad"] == ["bad.png"]
    renamed = labels.with_name("renamed.json")
    renamed.write_text(labels.read_text().replace('"name": "', '"name": "a '))
    assert run("monitor", tmp_path / "new", "--model", model, "--baseline", renamed, "--skip-bad") == 2
    assert "renamed.json has labels of class 'a " in capsys.readouterr().err
    assert run("monitor", "--model", model, "--baseline", labels) == 2
    assert "--save-baseline" in capsys.readouterr().err
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a.png").write_bytes((tmp_path / "new" / "new0.png").read_bytes())
    assert run("monitor", tmp_path / "few", "--model", model, "--baseline", labels) == 2
    assert "too few" in capsys.readouterr().err
