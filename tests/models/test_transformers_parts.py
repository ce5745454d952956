"""Parts of transformers: what a description may ask of the library, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from transformers import modeling_utils

from apiece import models
from apiece.errors import ConfigError, ModelFileError, UnknownNameError
from apiece.models._kit.transformers_parts import LibraryBackbone, backbone_settings, library_config, library_tensors
from apiece.models.contract import Architecture, Checkpoint

SWIN: dict[str, Any] = {
    "model_type": "swin", "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 4], "window_size": 4,
}  # fmt: skip
KERNEL = "kernels-community/any"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the compiled code that the library was made to fetch and load."""
    names: list[str] = []

    def fetch(name: str, *_: Any, **__: Any) -> None:
        names.append(name)
        raise ImportError("no such code here")

    monkeypatch.setattr(modeling_utils, "lazy_import_flash_attention", fetch)
    return names


def test_settings_go_to_the_network_and_back() -> None:
    body = LibraryBackbone(SWIN, 3).body
    settings = backbone_settings(body.config)
    assert {k: settings[k] for k in SWIN} == SWIN
    again = LibraryBackbone(settings, 3).body.state_dict()
    assert {k: v.shape for k, v in again.items()} == {k: v.shape for k, v in body.state_dict().items()}


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation", "auto_map", "dtype"])
def test_an_encoder_says_how_it_is_made_and_nothing_else(name: str, fetched: list[str]) -> None:
    with pytest.raises(UnknownNameError, match=name):
        LibraryBackbone({**SWIN, name: KERNEL}, 3)
    with pytest.raises(UnknownNameError, match=r"embed_dims.*embed_dim"):
        LibraryBackbone({**SWIN, "embed_dims": 16}, 3)
    assert fetched == []


@pytest.mark.parametrize(
    "wrong", [{"num_heads": []}, {"patch_size": 0}, {"hidden_act": "nope"}, {"depths": "abc"}, {"embed_dim": -4}]
)
def test_a_backbone_that_cannot_be_is_a_mistake_in_the_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="encoder"):
        LibraryBackbone({**SWIN, **wrong}, 3)


def checkpoint(**changes: Any) -> Checkpoint:
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(
            **{k: v for k, v in SWIN.items() if k != "model_type"}, out_features=[f"stage{k}" for k in range(1, 5)]
        ),
        decoder_config=transformers.DetrConfig(
            d_model=32, decoder_layers=1, decoder_ffn_dim=32, decoder_attention_heads=4, num_queries=11
        ),
        fpn_feature_size=32,
        mask_feature_size=32,
        num_labels=5,
    )
    torch.manual_seed(0)
    model = transformers.MaskFormerForInstanceSegmentation(config)
    return Checkpoint(dict(model.state_dict()), {**config.to_dict(), **changes}, "a/b")


def test_a_checkpoint_brings_numbers_and_no_code(fetched: list[str]) -> None:
    architecture: Architecture = models.load("maskformer")
    assert architecture.adopt is not None
    whole = checkpoint()
    inside = {**whole.settings["backbone_config"], "attn_implementation": KERNEL}
    acting = checkpoint(attn_implementation=KERNEL, backbone_config=inside, auto_map={"AutoModel": "a/b--c.d"})
    config, tensors = architecture.adopt(acting, architecture.config())
    wanted, others = architecture.adopt(whole, architecture.config())
    assert config == wanted
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[k], others[k]) for k in others)
    assert fetched == []


@pytest.mark.parametrize(
    "wrong", [{"fpn_feature_size": "x"}, {"backbone_config": {"model_type": "nope"}}, {"fpn_feature_size": -32}]
)
def test_a_description_that_cannot_be_is_the_files_fault(wrong: dict[str, Any]) -> None:
    given = checkpoint(**wrong)
    with pytest.raises(ModelFileError, match=r"a/b.*config\.json"):
        library_tensors(
            transformers.MaskFormerForInstanceSegmentation,
            library_config(transformers.MaskFormerConfig, given),
            given,
        )
