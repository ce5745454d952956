"""MaskFormer's own parts: what it refuses, deep supervision, checkpoints of transformers adopted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from transformers import DetrConfig, MaskFormerForInstanceSegmentation, ResNetConfig, SwinConfig
from transformers import MaskFormerConfig as LibraryConfig

from apiece import _strict_json as typed_json
from apiece.errors import ConfigError, ModelFileError
from apiece.models import maskformer
from apiece.models._kit.fill import dependent, fill
from apiece.models.contract import Checkpoint, ModelInput
from apiece.models.maskformer import MaskFormerConfig, adopt

RGB = ModelInput(3)
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = SwinConfig(embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 4, 4], window_size=4, out_features=STAGES)
RESNET = ResNetConfig(
    embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic", out_features=STAGES
)


def _library(backbone: Any) -> MaskFormerForInstanceSegmentation:
    decoder = DetrConfig(
        num_queries=11, d_model=48, decoder_layers=3, decoder_attention_heads=4, encoder_attention_heads=4,
        decoder_ffn_dim=56, activation_function="gelu", encoder_layers=0,
    )  # fmt: skip
    config = LibraryConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=64, mask_feature_size=32, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(1)
    return MaskFormerForInstanceSegmentation(config).eval()


def _checkpoint(model: Any, **changes: Any) -> Checkpoint:
    settings = json.loads(json.dumps(model.config.to_dict())) | changes  # as its config.json comes back
    return Checkpoint(model.state_dict(), settings, "test")


@pytest.mark.parametrize("backbone", [SWIN, RESNET], ids=["swin", "resnet"])
def test_an_adopted_checkpoint_answers_as_in_its_library(backbone: Any) -> None:
    theirs = _library(backbone)
    config, tensors = adopt(_checkpoint(theirs), MaskFormerConfig())
    again = typed_json.dataclass_from(
        MaskFormerConfig, json.loads(json.dumps(typed_json.dataclass_to(config))), "config"
    )
    assert again == config
    ours = maskformer.MaskFormer(again, RGB, 3).eval()
    assert fill(ours, tensors, "test") == ()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        want, got, layers = theirs(images), ours(images), ours.answers(images)
    assert torch.equal(got["classes"], want.class_queries_logits)
    assert torch.equal(got["masks"], want.masks_queries_logits)
    assert len(layers) == 3


def test_names_of_older_files_are_understood() -> None:
    theirs = _library(RESNET)
    _, tensors = adopt(_checkpoint(theirs), MaskFormerConfig())
    older = {
        name.replace(".mlp.fc", ".fc").replace("attn.o_proj", "attn.out_proj"): value
        for name, value in theirs.state_dict().items()
    }
    assert older.keys() != theirs.state_dict().keys()
    _, again = adopt(Checkpoint(older, _checkpoint(theirs).settings, "test"), MaskFormerConfig())
    assert all(torch.equal(again[k], tensors[k]) for k in tensors)


def test_what_depends_on_the_data_is_known() -> None:
    config, _ = adopt(_checkpoint(_library(SWIN)), MaskFormerConfig())
    varying = dependent(maskformer.ARCHITECTURE, config, RGB, 7)
    assert varying.classes == {"head.class_predictor.weight", "head.class_predictor.bias"}
    assert varying.slots == {"head.transformer.queries_embedder.weight"}
    assert len(varying.channels) == 1


def test_checkpoints_that_do_not_fit_are_refused() -> None:
    theirs = _library(RESNET)
    with pytest.raises(ConfigError, match="'mask2former'"):
        adopt(_checkpoint(theirs, model_type="mask2former"), MaskFormerConfig())
    tensors = dict(theirs.state_dict())
    del tensors["mask_embedder.0.0.weight"]
    with pytest.raises(ModelFileError, match="mask_embedder"):
        adopt(Checkpoint(tensors, _checkpoint(theirs).settings, "test"), MaskFormerConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 48}, "multiple of 32"),
        ({"heads": 5}, "heads"),
        ({"layers": 0}, "layers"),
        ({"feedforward": 4}, "feedforward"),
        ({"activation": "tanh"}, "activation"),
        ({"none_weight": 0.0}, "none_weight"),
        ({"encoder": {"model_type": "timm_backbone"}}, "timm_backbone"),
        ({"encoder": {"model_type": "resnet"}, "weights": "timm"}, "weights"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        maskformer.MaskFormer(MaskFormerConfig(**settings), RGB, 2)


def test_layers_answer_from_what_the_library_gives() -> None:
    """The states before the last are normed here as the last is by the library."""
    torch.manual_seed(0)
    module = maskformer.MaskFormer(MaskFormerConfig(layers=2), RGB, 2).eval()
    one = maskformer.MaskFormer(MaskFormerConfig(layers=1), RGB, 2).eval()
    one.load_state_dict({k: v for k, v in module.state_dict().items() if k in one.state_dict()})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        (first, _), ((alone, _),) = module.answers(image), one.answers(image)
    assert torch.allclose(first[0], alone, atol=1e-5)
