"""Training from pretrained weights: what the settings become, what the input is, what is refused, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from apiece import models
from apiece.errors import ConfigError, ModelFileError
from apiece.models._engine.folder import load_model
from apiece.models._kit.weights import UNKNOWN_LICENCE
from apiece.models.contract import Architecture, Checkpoint, ModelInput
from apiece.training import TrainConfig, train
from apiece.training._pretrained import Start, begin, room
from apiece.training.config import build_model_config

IMAGENET = (0.485, 0.456, 0.406)


def start(model: str, spec: str | None, most: int = 10, dtype: Any = np.uint8, **settings: Any) -> Start:
    architecture: Architecture = models.load(model)
    config = TrainConfig(model=model, weights=spec, model_settings=settings)
    return begin(config, architecture, build_model_config(architecture, model, settings), 2, most, np.dtype(dtype))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of timm's resnet10t, random."""
    path = tmp_path_factory.mktemp("w") / "r.safetensors"
    torch.manual_seed(5)
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), path)
    (path.parent / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return path


def test_from_scratch_nothing_changes() -> None:
    found = start("mask_rcnn", None)
    assert found.input(2, 320) == ModelInput(2, mean=(0, 0), std=(1, 1), imgsz=320)
    assert not found.origin


def test_the_weights_that_ship_with_apiece_are_taken_where_they_fit(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for scratch in (start("mask_rcnn", None), start("swift", "none"), start("swift", None, backbone="resnet10t")):
            assert not scratch.tensors
        assert caplog.text.count("of another shape") == 1
        assert not start("swift", None, size="s", dropout=0.0).tensors
        assert caplog.text.count("of another shape") == 2
        own = start("swift", None, size="m", amodal=True, learn=2)
    assert own.tensors
    assert (own.config.amodal, own.config.learn) == (True, 2)
    assert own.origin == {"source": "default", "licence": "Apache-2.0"}
    assert "weights='none'" in caplog.text


def test_a_pretrained_encoder_sets_the_input(backbone: Path) -> None:
    found = start("mask_rcnn", str(backbone))
    assert found.config.weights == str(backbone)
    assert found.origin == {"source": "r.safetensors", "licence": "apache-2.0"}
    assert found.input(3, None) == ModelInput(3, "range", IMAGENET, (0.229, 0.224, 0.225))
    grey = found.input(1, None)
    assert (grey.channels, grey.mean) == (1, (pytest.approx(np.mean(IMAGENET)),))
    assert len(found.input(5, None).std) == 5
    # values of microscopes seldom reach their type's largest
    assert start("mask_rcnn", str(backbone), dtype=np.uint16).input(3, None).normalise == "percentile"
    module = found.build(models.load("mask_rcnn"), found.input(1, None), 2)
    stem = load_file(backbone)["conv1.0.weight"]
    torch.testing.assert_close(module.state_dict()["encoder.body.conv1.0.weight"], stem.sum(1, keepdim=True))


def test_a_tag_names_the_backbone(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look(name: str, weights: str) -> Checkpoint:
        asked.append((name, weights))
        return Checkpoint({}, {}, weights)

    monkeypatch.setattr("apiece.training._pretrained.backbone_checkpoint", look)
    found = start("mask_rcnn", "timm:resnet18.a1_in1k")
    assert (found.config.backbone, found.config.weights) == ("resnet18", "timm:resnet18.a1_in1k")
    assert found.origin["licence"] == UNKNOWN_LICENCE
    start("mask_rcnn", "timm:resnet18.a1_in1k", backbone="resnet34")
    start("mask_rcnn", None, weights="timm")
    assert asked == [
        ("resnet18", "timm:resnet18.a1_in1k"), ("resnet34", "timm:resnet18.a1_in1k"), ("resnet10t", "timm")
    ]  # fmt: skip


def test_what_cannot_be_is_refused(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        TrainConfig(weights="timm", model_settings={"weights": "timm"})
    with pytest.raises(ConfigError, match="another out"):
        TrainConfig(weights=str(tmp_path), out=tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelFileError, match="maskrcnn_resnet50_fpn"):
        start("mask_rcnn", str(tmp_path / "a.safetensors"))
    with pytest.raises(ConfigError, match=r"not for embedding; it can begin from timm, a model folder"):
        start("embedding", str(tmp_path / "a.safetensors"))
    with pytest.raises(ConfigError, match="no such file"):
        start("embedding", str(tmp_path / "none.safetensors"))


def test_room_for_more_objects_than_the_weights_have() -> None:
    assert room(100) == 128
    assert room(3) == 32


def test_a_model_of_ones_own_goes_on_with_other_classes(tiny: dict[str, Any], tmp_path: Path) -> None:
    first = train(**tiny)
    labels = tmp_path / "three"
    labels.mkdir()
    for split in ("train", "val"):
        content = json.loads((tiny["data"] / f"{split}.json").read_text())
        content["categories"].append({"id": 99, "name": "third"})
        (labels / f"{split}.json").write_text(json.dumps(content))
    for path in tiny["data"].iterdir():
        if path.is_dir():
            (labels / path.name).symlink_to(path)
    again = {**tiny, "data": labels, "out": tmp_path / "b", "weights": str(first.folder), "model_settings": {}}
    second = load_model(train(**again).folder)
    assert second.config.widths == (8, 16)
    assert len(second.classes) == 3
    assert second.provenance["weights"] == {"source": "run", "licence": "your own"}
    with pytest.raises(ConfigError, match="holds a model of 'embedding'"):
        train(**{**again, "model": "mask_rcnn", "out": tmp_path / "c"})
    with pytest.raises(ModelFileError, match="does not fit"):
        train(**{**again, "out": tmp_path / "d", "model_settings": {"widths": [8, 24]}})


def test_without_a_step_the_weights_are_the_ones_given(tiny: dict[str, Any], tmp_path: Path) -> None:
    first = train(**tiny)
    found = start("embedding", str(first.folder))
    module = found.build(models.load("embedding"), found.input(3, None), 2)
    saved = load_file(first.folder / "model.safetensors")
    assert all(torch.equal(v, saved[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("more", [{"amodal": True}, {"stuff": (1,)}])
def test_a_branch_that_the_weights_lack_begins_with_random_values(
    more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = start("swift", "default", **more)
    with caplog.at_level("INFO"):
        module = found.build(models.load("swift"), found.input(3, None), 2)
    assert ("to_full" if "amodal" in more else "branch.last") in caplog.text
    own = module.state_dict()
    assert all(torch.equal(own[k].half(), v.half()) for k, v in found.tensors.items() if own[k].shape == v.shape)
