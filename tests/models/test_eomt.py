"""EoMT's own parts: the library's outputs, with and without masked attention, other sizes than the learned one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch.nn import functional

from apiece import models
from apiece.errors import ConfigError
from apiece.models._kit.fill import fill
from apiece.models._kit.weights import open_checkpoint
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.eomt import ARCHITECTURE, Eomt, EomtSettings, adopt

INPUT = ModelInput(3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.25))
SMALL = EomtSettings(size=64, width=32, depth=2, heads=2, blocks=1, queries=7)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[transformers.EomtForUniversalSegmentation, Eomt]:
    """The library's model with random weights, and ours with the same, from its folder."""
    torch.manual_seed(0)
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=64, patch_size=16, num_blocks=2,
        num_upscale_blocks=2, num_queries=9, num_labels=3, layerscale_value=0.7,
    )  # fmt: skip
    theirs = transformers.EomtForUniversalSegmentation(config).eval()
    theirs.save_pretrained(tmp_path)
    settings, tensors = adopt(open_checkpoint(tmp_path), ARCHITECTURE.config())
    ours = ARCHITECTURE.build(settings, INPUT, 3)
    assert isinstance(ours, Eomt)
    assert fill(ours, tensors, "test") == ()
    return theirs, ours.eval()


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_equal_to_the_library(pair: tuple[transformers.EomtForUniversalSegmentation, Eomt], chance: float) -> None:
    theirs, ours = pair
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        theirs.attn_mask_probs.fill_(chance)
        ours.net.attn_mask_probs.fill_(chance)
        expected, found = theirs(images), ours(images)
    assert torch.allclose(found["classes"], expected.class_queries_logits, atol=1e-5)
    assert torch.allclose(found["masks"], expected.masks_queries_logits, atol=1e-4)


def test_smaller_inputs_are_padded_with_black_as_the_library_does(
    pair: tuple[transformers.EomtForUniversalSegmentation, Eomt],
) -> None:
    theirs, ours = pair
    raw = torch.rand(1, 3, 48, 32)
    mean, std = (torch.tensor(v)[:, None, None] for v in (INPUT.mean, INPUT.std))
    with torch.inference_mode():
        expected = theirs((functional.pad(raw, (0, 32, 0, 16)) - mean) / std)
        found = ours((raw - mean) / std)
    assert found["masks"].shape == (1, 9, 12, 8)
    assert torch.allclose(found["masks"], expected.masks_queries_logits[..., :12, :8], atol=1e-4)
    assert torch.allclose(found["classes"], expected.class_queries_logits, atol=1e-5)


def test_larger_inputs_of_any_shape() -> None:
    module = Eomt(SMALL, INPUT, 2).eval()
    with torch.inference_mode():
        found = module(torch.rand(1, 3, 96, 160))
    assert found["masks"].shape == (1, 7, 24, 40)
    (one,) = ARCHITECTURE.decode(found, [Frame((90, 155), (90, 155))], ("a", "b"), DecodeOptions(conf=0.0))
    assert one.size == (90, 155)


def test_what_is_hidden_from_a_query() -> None:
    module = Eomt(SMALL, INPUT, 2)
    maps = torch.full((1, 7, 16, 16), -1.0)
    maps[0, 2, :2, 4:6] = 1.0  # a patch: row 0, column 2
    seen = module._seen(maps, (8, 8), torch.tensor(1.0))[0, 0]
    before = 7 + 5
    assert seen[7:].all()
    assert seen[:, :before].all()
    assert seen[2, before:].nonzero().flatten().tolist() == [2]
    assert not seen[1, before:].any()
    assert module._seen(maps, (8, 8), torch.tensor(0.0)).all()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("patch", 12), ("size", 60), ("heads", 5), ("blocks", 7), ("queries", 0), ("none_weight", 0.0)],
)
def test_the_config_names_what_is_wrong(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        EomtSettings(**{setting: value})  # type: ignore[arg-type]


def test_a_checkpoint_that_cannot_be_expressed_is_refused(tmp_path: Path) -> None:
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16, num_blocks=1,
        num_upscale_blocks=1, num_queries=9, num_labels=3,
    )  # fmt: skip
    transformers.EomtForUniversalSegmentation(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="num_upscale_blocks is 1; only 2 is supported"):
        adopt(open_checkpoint(tmp_path), models.load("eomt").config())
