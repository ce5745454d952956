"""DETR's own parts: the same outputs as the library with its weights, masks a few at a time, losses by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import DetrConfig, DetrForSegmentation

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, ModelFileError
from apiece.models import detr_mask
from apiece.models._kit.queries import encode_masks
from apiece.models.contract import Checkpoint, DecodeOptions, Frame, ModelInput
from apiece.models.detr_mask import DetrMask, DetrMaskSettings, adopt, decode, loss

SMALL = DetrMaskSettings(width=64, encoder_layers=1, decoder_layers=2, feedforward=32, queries=9)


def inputs(channels: int) -> ModelInput:
    return ModelInput(channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)


def library(**changes: object) -> DetrForSegmentation:
    """A small model of transformers."""
    torch.manual_seed(0)
    encoder = {
        "model_type": "timm_backbone", "backbone": "resnet10t", "features_only": True, "num_channels": 3,
        "use_pretrained_backbone": False, "out_indices": [1, 2, 3, 4],
    }  # fmt: skip
    settings = {
        "backbone_config": encoder, "d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32, "num_queries": 7, "num_labels": 3,
    }  # fmt: skip
    model = DetrForSegmentation(DetrConfig(**{**settings, **changes})).eval()
    for name, value in model.named_buffers():  # frozen statistics of a trained encoder
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    return model


def checkpoint(model: DetrForSegmentation, **changes: object) -> Checkpoint:
    return Checkpoint(model.state_dict(), {**model.config.to_dict(), **changes}, "test")


@pytest.mark.parametrize("layout", ["names of today", "names on the hub"])
def test_a_checkpoint_gives_what_the_library_gives(layout: str, tmp_path: Path) -> None:
    model = library()
    given = checkpoint(model)
    if layout == "names on the hub":
        model.save_pretrained(tmp_path)  # writes the names that the published files have
        given = Checkpoint(load_file(tmp_path / "model.safetensors"), model.config.to_dict(), "test")
        assert "mask_head.lay1.weight" in given.tensors
    config, tensors = adopt(given, DetrMaskSettings(dropout=0.25))
    assert (config.queries, config.stride, config.backbone, config.dropout) == (7, 32, "resnet10t", 0.25)
    ours = DetrMask(config, inputs(3), 3).eval()
    ours.load_state_dict(tensors)
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        wanted, found = model(images), ours(images)
    for a, b in (("logits", "logits"), ("pred_boxes", "boxes"), ("pred_masks", "masks")):
        torch.testing.assert_close(found[b], wanted[a], rtol=1e-4, atol=1e-4)
    assert found["cell"].tolist() == [[4, 4], [4, 4]]


def test_settings_as_the_published_files_have_them_are_understood() -> None:
    old = {"model_type": "detr", "backbone": "resnet10t", "use_timm_backbone": True, "dilation": False,
           "num_channels": 3, "d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32,
           "decoder_ffn_dim": 32, "num_queries": 7, "id2label": {"0": "a", "1": "b", "2": "c"}}  # fmt: skip
    config, _ = adopt(Checkpoint(library().state_dict(), old, "test"), DetrMaskSettings())
    assert (config.backbone, config.feedforward) == ("resnet10t", 32)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="model_type 'detr', got 'rf_detr'"):
        adopt(checkpoint(library(), model_type="rf_detr"), DetrMaskSettings())
    with pytest.raises(ConfigError, match="dilation is True"):
        adopt(checkpoint(library(), dilation=True), DetrMaskSettings())
    with pytest.raises(ConfigError, match="decoder_ffn_dim is 64"):
        adopt(checkpoint(library(decoder_ffn_dim=64)), DetrMaskSettings())
    whole = checkpoint(library())
    some = {k: v for k, v in whole.tensors.items() if "mask_head" not in k}
    with pytest.raises(ModelFileError, match="mask_head"):
        adopt(Checkpoint(some, whole.settings, "test"), DetrMaskSettings())


def test_masks_made_a_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module = DetrMask(SMALL, inputs(1), 2).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        together = module(images)["masks"]
        monkeypatch.setattr(detr_mask, "_VALUES", 1)
        torch.testing.assert_close(module(images)["masks"], together, rtol=1e-4, atol=1e-4)
    assert together.shape == (2, 9, 32, 32)


def test_an_encoder_without_the_strides_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stride 16 needs features at strides \[16, 8, 4, 2\]"):
        DetrMask(DetrMaskSettings(backbone="convnext_atto"), inputs(3), 2)


def test_classes_lose_the_weighted_mean_of_all_queries() -> None:
    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    boxes = torch.full((1, 2, 4), 0.5)
    targets = encode_masks(Instances(Masks.from_boxes(np.array([[0, 0, 4, 4]]), (8, 8)), [0], ("a", "b")), SMALL)
    pairs = [(torch.tensor([0]), torch.tensor([0]))]
    found = detr_mask._class_loss(logits, boxes, [targets], pairs, torch.tensor([3.0, 1.0]), (8, 8))
    chances = logits.log_softmax(-1)
    assert found.item() == pytest.approx(-((3 * chances[0, 0, 0] + 0.1 * chances[0, 1, 2]) / 3.1).item())


def test_queries_and_objects_pair_by_class_and_box() -> None:
    truth = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]])
    boxes = torch.tensor([[0.8, 0.8, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.2, 0.2]])
    query, target = detr_mask._match(torch.zeros(3, 2), boxes, torch.tensor([0, 0]), truth)
    assert list(zip(query.tolist(), target.tolist(), strict=True)) == [(0, 1), (2, 0)]
    same = truth[:1].expand(2, -1)
    logits = torch.tensor([[0.0, 5.0, 0.0], [5.0, 0.0, 0.0]])
    query, target = detr_mask._match(logits, same, torch.tensor([0]), truth[:1])
    assert (query.tolist(), target.tolist()) == ([1], [0])


def test_nothing_is_learned_where_a_crowd_lies() -> None:
    everywhere = Masks.from_boxes(np.array([[0, 0, 64, 64]]), (64, 64))
    module = DetrMask(SMALL, inputs(1), 1).train()
    images = torch.rand(2, 1, 64, 64)
    losses = loss(module, images, [encode_masks(Instances(everywhere, crowd=[True]), SMALL)] * 2)
    assert [v.item() for v in losses.values()] == [0, 0, 0]


def test_learns_in_half_precision() -> None:
    masks = Masks.from_boxes(np.array([[8, 8, 40, 40], [30, 30, 60, 60]]), (64, 64))
    module = DetrMask(SMALL, inputs(1), 1).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = loss(module, torch.rand(2, 1, 64, 64), [encode_masks(Instances(masks), SMALL)] * 2)
    assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()


def test_the_best_class_counts_and_no_object_never() -> None:
    masks = torch.full((1, 2, 32, 32), -8.0)
    masks[0, 0, 8:16, 4:12] = 8.0
    masks[0, 1, 20:28, 4:12] = 8.0
    logits = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, 9.0]]])
    outputs = {"logits": logits, "masks": masks, "cell": torch.tensor([[2.0, 2.0]])}
    (found,) = decode(outputs, [Frame((128, 128), (64, 64))], ("a", "b"), DecodeOptions(conf=0.05))
    assert found.labels.tolist() == [1]
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([np.exp(2) / (np.exp(1) + np.exp(2) + 1)])
    assert found.boxes[0].tolist() == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"stride": 8}, "stride"),
        ({"width": 192}, "width"),
        ({"heads": 4}, "heads"),
        ({"queries": 0}, "queries"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        DetrMaskSettings(**settings)  # type: ignore[arg-type]
