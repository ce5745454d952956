"""Every architecture that adopts checkpoints of another library: from a folder as that library writes it to a network
that learns other classes, with more channels and more room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn

from apiece import models
from apiece.errors import ApieceError
from apiece.models._kit.fill import dependent, fill
from apiece.models._kit.weights import open_checkpoint
from apiece.models.contract import Architecture, Checkpoint, ModelInput
from apiece.training import TrainConfig
from apiece.training._pretrained import begin

_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_RESNET = transformers.ResNetConfig(
    embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic", out_features=_STAGES
)
_SWIN = transformers.SwinConfig(
    embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 4], window_size=4, out_features=_STAGES
)


def _mask2former() -> nn.Module:
    config = transformers.Mask2FormerConfig(
        backbone_config=_RESNET, feature_size=32, mask_feature_size=32, hidden_dim=32, num_attention_heads=4,
        encoder_layers=1, decoder_layers=4, encoder_feedforward_dim=40, dim_feedforward=56, num_queries=11,
        num_labels=5,
    )  # fmt: skip
    return transformers.Mask2FormerForUniversalSegmentation(config)


def _maskformer() -> nn.Module:
    decoder = transformers.DetrConfig(
        d_model=32, decoder_layers=1, decoder_ffn_dim=32, decoder_attention_heads=4, num_queries=11
    )
    config = transformers.MaskFormerConfig(
        backbone_config=_SWIN, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, num_labels=5
    )
    return transformers.MaskFormerForInstanceSegmentation(config)


def _detr() -> nn.Module:
    encoder = {
        "model_type": "timm_backbone", "backbone": "resnet10t", "features_only": True, "num_channels": 3,
        "use_pretrained_backbone": False, "out_indices": [1, 2, 3, 4],
    }  # fmt: skip
    config = transformers.DetrConfig(
        backbone_config=encoder, d_model=64, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=11, num_labels=5,
    )  # fmt: skip
    return transformers.DetrForSegmentation(config)


def _rf_detr() -> nn.Module:
    encoder = {
        "model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "patch_size": 8, "image_size": 64, "num_windows": 2, "out_features": ["stage1", "stage2"],
    }  # fmt: skip
    config = transformers.RfDetrConfig(
        backbone_config=encoder, num_labels=5, d_model=32, decoder_layers=1, decoder_ffn_dim=64, num_queries=11,
        group_detr=2, decoder_self_attention_heads=2, decoder_cross_attention_heads=4, intermediate_size=64,
    )  # fmt: skip
    return transformers.RfDetrForInstanceSegmentation(config)


def _eomt() -> nn.Module:
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=8, num_blocks=2,
        num_upscale_blocks=1, num_queries=11, num_labels=5,
    )  # fmt: skip
    return transformers.EomtForUniversalSegmentation(config)


def _torchvision() -> nn.Module:
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=6)


# a small random model, as its own library makes it, of each architecture that has an `adopt`
LIBRARIES: dict[str, Callable[[], nn.Module]] = {
    "detr_mask": _detr,
    "eomt": _eomt,
    "mask2former": _mask2former,
    "mask_rcnn": _torchvision,
    "maskformer": _maskformer,
    "rf_detr": _rf_detr,
}


def architecture(name: str) -> Architecture:
    return models.load(name)


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=pytest.mark.slow if n == "mask_rcnn" else ()) for n in LIBRARIES]
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The architecture's name, and where its library has written the model."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = LIBRARIES[request.param]()
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(folder)
        return request.param, folder
    torch.save(model.state_dict(), folder / "model.pth")
    return request.param, folder / "model.pth"


def plain(channels: int) -> ModelInput:
    return ModelInput(channels, mean=(0.0,) * channels, std=(1.0,) * channels)


def test_every_architecture_that_adopts_is_tested_here() -> None:
    assert {n for n in models.names() if architecture(n).adopt is not None} == set(LIBRARIES)


@pytest.mark.parametrize(("channels", "classes"), [(3, 5), (1, 2), (4, 7)])
def test_from_the_librarys_folder_to_other_classes_and_channels(
    written: tuple[str, Path], channels: int, classes: int
) -> None:
    name, path = written
    model = architecture(name)
    assert model.adopt is not None
    few = {"proposals": 100} if name == "mask_rcnn" else {}  # each of them goes through a wide mask head
    config, tensors = model.adopt(open_checkpoint(path), model.config(**few))
    module = model.build(config, plain(channels), classes)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    varying = dependent(model, config, plain(channels), classes)
    left = fill(module, tensors, "test", varying)
    assert set(left) <= varying.classes
    assert bool(left) == (classes != 5)
    after = module.state_dict()
    for key, value in after.items():
        if key in left:
            assert torch.equal(value, before[key]), key
        elif tensors[key].shape == value.shape:
            assert torch.equal(value, tensors[key].to(value.dtype)), key
        else:
            assert key in varying.channels, key
    image = torch.rand(1, channels, 64, 64)
    with torch.inference_mode():
        module.eval()(image)


def test_training_begins_from_the_librarys_folder(written: tuple[str, Path]) -> None:
    name, path = written
    model = architecture(name)
    start = begin(
        TrainConfig(model=name, weights=str(path)), model, model.config(), 1, 10, torch.zeros(1).numpy().dtype
    )
    spec = start.input(3, None)
    assert spec.mean == (0.485, 0.456, 0.406)
    first, second = start.build(model, spec, 2).state_dict(), start.tensors
    same = [k for k in first if first[k].shape == second[k].shape]
    assert all(torch.equal(first[k], second[k].to(first[k].dtype)) for k in same)
    assert len(same) >= len(first) - 8
    again = replace(start.config, **{f.name: getattr(start.config, f.name) for f in fields(start.config)})
    assert again == start.config


def test_more_objects_than_the_weights_have_room_for(written: tuple[str, Path]) -> None:
    name, path = written
    model = architecture(name)
    if not model.slots:
        pytest.skip("nothing bounds the number of objects")
    config = TrainConfig(model=name, weights=str(path))
    start = begin(config, model, model.config(), 1, 60, torch.zeros(1).numpy().dtype)
    assert getattr(start.config, model.slots) == 96
    module = start.build(model, start.input(3, None), 2)
    with torch.inference_mode():
        module.eval()(torch.rand(1, 3, 64, 64))


def test_a_checkpoint_of_another_kind_is_refused(written: tuple[str, Path]) -> None:
    model = architecture(written[0])
    assert model.adopt is not None
    with pytest.raises(ApieceError):
        model.adopt(Checkpoint({"a": torch.ones(1)}, {"model_type": "bert"}, "x"), model.config())
    settings: dict[str, Any] = dict(open_checkpoint(written[1]).settings)
    with pytest.raises(ApieceError):
        model.adopt(Checkpoint({"a": torch.ones(1)}, settings, "x"), model.config())
