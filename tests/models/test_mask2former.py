"""Mask2Former's own parts: what it refuses, deep supervision, checkpoints of transformers adopted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from transformers import Mask2FormerConfig as LibraryConfig
from transformers import Mask2FormerForUniversalSegmentation, ResNetConfig, SwinConfig

from apiece import _strict_json as typed_json
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, ModelFileError
from apiece.models import mask2former
from apiece.models._kit.fill import dependent, fill
from apiece.models._kit.queries import encode_masks
from apiece.models.contract import Checkpoint, ModelInput
from apiece.models.mask2former import Mask2FormerConfig, adopt

RGB = ModelInput(3)
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = SwinConfig(
    embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 4, 4], window_size=4, drop_path_rate=0.1, out_features=STAGES
)
RESNET = ResNetConfig(
    embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic", out_features=STAGES
)


def _library(backbone: Any) -> Mask2FormerForUniversalSegmentation:
    config = LibraryConfig(
        backbone_config=backbone, feature_size=64, mask_feature_size=32, hidden_dim=48, num_attention_heads=4,
        encoder_layers=2, decoder_layers=5, encoder_feedforward_dim=40, dim_feedforward=56, num_queries=11,
        num_labels=3,
    )  # fmt: skip
    torch.manual_seed(1)
    return Mask2FormerForUniversalSegmentation(config).eval()


def _checkpoint(model: Any, **changes: Any) -> Checkpoint:
    settings = json.loads(json.dumps(model.config.to_dict())) | changes  # as its config.json comes back
    return Checkpoint(model.state_dict(), settings, "test")


@pytest.mark.parametrize("backbone", [SWIN, RESNET], ids=["swin", "resnet"])
def test_an_adopted_checkpoint_answers_as_in_its_library(backbone: Any) -> None:
    theirs = _library(backbone)
    config, tensors = adopt(_checkpoint(theirs), Mask2FormerConfig())
    again = typed_json.dataclass_from(
        Mask2FormerConfig, json.loads(json.dumps(typed_json.dataclass_to(config))), "config"
    )
    assert again == config
    ours = mask2former.Mask2Former(again, RGB, 3).eval()
    assert fill(ours, tensors, "test") == ()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        want, got = theirs(images), ours(images)
    assert torch.equal(got["classes"], want.class_queries_logits)
    assert torch.equal(got["masks"], want.masks_queries_logits)


def test_names_of_older_files_are_understood() -> None:
    theirs = _library(SWIN)
    _, tensors = adopt(_checkpoint(theirs), Mask2FormerConfig())
    older = {
        name.replace("encoder.swin.", "encoder.")
        .replace("attention.q_proj", "attention.self.query")
        .replace("attention.k_proj", "attention.self.key")
        .replace("attention.v_proj", "attention.self.value")
        if ".pixel_level_module.encoder." in name
        else name: value
        for name, value in theirs.state_dict().items()
        if "swin.layernorm" not in name  # never used, and not in older files
    }
    assert older.keys() != theirs.state_dict().keys()
    _, again = adopt(Checkpoint(older, _checkpoint(theirs).settings, "test"), Mask2FormerConfig())
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[k], tensors[k]) for k in tensors)


def test_other_classes_and_channels_can_be_told_from_the_shape() -> None:
    config, tensors = adopt(_checkpoint(_library(RESNET)), Mask2FormerConfig(dropout=0.1))
    assert config.dropout == 0.1
    spec = ModelInput(4, mean=(0.0,) * 4, std=(1.0,) * 4)
    varying = dependent(mask2former.ARCHITECTURE, config, spec, 7)
    assert varying.classes == {"head.class_predictor.weight", "head.class_predictor.bias"}
    assert len(varying.channels) == 1
    assert varying.slots == {"head.transformer.queries_embedder.weight", "head.transformer.queries_features.weight"}
    more = dataclasses.replace(config, queries=20)
    assert set(fill(mask2former.Mask2Former(more, spec, 7), tensors, "test", varying)) >= varying.classes


def test_adopting_changes_no_random_state() -> None:
    checkpoint = _checkpoint(_library(RESNET))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    adopt(checkpoint, Mask2FormerConfig())
    assert torch.equal(torch.get_rng_state(), before)


def test_checkpoints_that_do_not_fit_are_refused() -> None:
    theirs = _library(RESNET)
    with pytest.raises(ConfigError, match="'detr'"):
        adopt(_checkpoint(theirs, model_type="detr"), Mask2FormerConfig())
    with pytest.raises(ConfigError, match="pre_norm"):
        adopt(_checkpoint(theirs, pre_norm=True), Mask2FormerConfig())
    tensors = dict(theirs.state_dict())
    del tensors["class_predictor.bias"]
    with pytest.raises(ModelFileError, match=r"class_predictor\.bias"):
        adopt(Checkpoint(tensors, _checkpoint(theirs).settings, "test"), Mask2FormerConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 48}, "multiple of 32"),
        ({"heads": 5}, "heads"),
        ({"queries": 0}, "queries"),
        ({"points": 4}, "points"),
        ({"none_weight": 0.0}, "none_weight"),
        ({"encoder": {"model_type": "timm_backbone"}}, "timm_backbone"),
        ({"encoder": {"model_type": "resnet"}, "weights": "timm"}, "weights"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mask2former.Mask2Former(Mask2FormerConfig(**settings), RGB, 2)


def test_every_layer_answers_and_learns() -> None:
    torch.manual_seed(0)
    module = mask2former.Mask2Former(Mask2FormerConfig(layers=4), RGB, 2)
    answers = module.answers(torch.rand(1, 3, 64, 64))
    assert [(a.shape, b.shape) for a, b in answers] == [((1, 100, 3), (1, 100, 16, 16))] * 5


def test_dropout_never_drops_a_layer() -> None:
    """The library would, and then fail on an attention mask of another level's size."""
    torch.manual_seed(0)
    config = Mask2FormerConfig(dropout=0.9)
    module = mask2former.Mask2Former(config, RGB, 2).train()
    masks = Masks.from_boxes([[4, 4, 30, 30]], (64, 96))
    targets = [encode_masks(Instances(masks, [0], ("a", "b")), config)]
    for _ in range(3):
        losses = mask2former.loss(module, torch.rand(1, 3, 64, 96), targets)
        assert all(torch.isfinite(v) for v in losses.values())


def test_learns_under_bfloat16() -> None:
    torch.manual_seed(0)
    config = Mask2FormerConfig()
    module = mask2former.Mask2Former(config, RGB, 2).train()
    targets = [encode_masks(Instances(Masks.from_boxes([[4, 4, 30, 30]], (64, 64)), [1], ("a", "b")), config)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = mask2former.loss(module, torch.rand(1, 3, 64, 64), targets)
    assert all(v.dtype == torch.float32 for v in losses.values())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
