"""A model is exported, answers as before in each runtime, and is refused where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import apiece
from apiece import models
from apiece.cli import main
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError
from apiece.export._engine.trace import trace
from apiece.models import LoadedModel, ModelInput


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn scenes of two shapes."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        pixels = any_scene(AnythingConfig((320, 320)), seed)[0].pixels
        cv2.imwrite(str(folder / f"{seed}.png"), pixels[: 200 if seed % 2 else None, :, ::-1])
    return folder


def random_model(name: str, imgsz: int | None, **settings: object) -> LoadedModel:
    """Return a network with random weights."""
    torch.manual_seed(0)
    architecture, spec = models.load(name), ModelInput(3, imgsz=imgsz)
    config = architecture.config(**settings)
    return LoadedModel(
        module=architecture.build(config, spec, 2).eval(), architecture=architecture, name=name, config=config,
        input=spec, classes=("a", "b"), thresholds=None, one_piece=(False, False), provenance={}, metrics={},
    )  # fmt: skip


@pytest.mark.slow
def test_the_default_model_answers_as_before(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["export", "default", "--to", "onnx,openvino", "--photos", str(photos), "--out", str(tmp_path), "--json"]
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 0
    made = json.loads(capsys.readouterr().out)["exported"]
    assert [(one["target"], one["written"], one["alone"]) for one in made] == [
        ("onnx", True, 0.0), ("openvino", True, 0.0),
    ]  # fmt: skip
    assert all(one["iou"] > 0.9999 for one in made)
    original = apiece.load()
    for one in made:
        folder = Path(one["folder"])
        assert {"parity.json", "parity.html", "model.json"} <= {p.name for p in folder.iterdir()}
        found, wanted = (m.predict(photos / "1.png") for m in (apiece.load(folder), original))
        assert len(found) == len(wanted) > 0
        assert found.scores == pytest.approx(wanted.scores, abs=1e-4)
    with pytest.raises(SystemExit) as left:  # nothing is replaced unasked
        main(line)
    assert left.value.code == 1


def test_two_stage_models_are_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="mask_rcnn cannot be exported: between the parts of its network"):
        trace(random_model("mask_rcnn", 64, width=16, hidden=16, proposals=10))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embedding", "semantic", "yolact"])
def test_other_architectures_make_graphs(name: str) -> None:
    """`trace` holds each graph against the network, on sizes that it was not traced with where it takes any."""
    found = trace(random_model(name, 128))
    assert found.size in (None, (128, 128))
    assert bool(found.why) == (found.size is not None)
    assert np.frombuffer(found.data, np.uint8).size > 1000
