"""RF-DETR's own parts: the same outputs as the library with its weights, windows, proposals, losses by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import RfDetrConfig, RfDetrForInstanceSegmentation

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, ModelFileError
from apiece.models._kit import detr_matching, window_attention
from apiece.models._kit.queries import encode_masks
from apiece.models.contract import Checkpoint, DecodeOptions, Frame, ModelInput
from apiece.models.rf_detr import RfDetr, RfDetrSettings, adopt, decode, loss

SMALL = RfDetrSettings(width=32, depth=2, heads=2, taps=(1, 2), hidden=32, feedforward=32, mask_feedforward=32,
                       layers=2, queries=9, groups=2, grid=4)  # fmt: skip


def inputs(channels: int) -> ModelInput:
    return ModelInput(channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)


def library(**changes: object) -> RfDetrForInstanceSegmentation:
    """A small model of transformers with weights that all matter."""
    torch.manual_seed(0)
    encoder = {
        "model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
        "patch_size": 8, "image_size": 64, "num_windows": 2, "out_features": ["stage2", "stage4"],
    }  # fmt: skip
    config = RfDetrConfig(
        backbone_config=encoder, num_labels=3, d_model=32, decoder_layers=2, decoder_ffn_dim=64, num_queries=7,
        group_detr=2, decoder_self_attention_heads=2, decoder_cross_attention_heads=4, intermediate_size=64, **changes,
    )  # fmt: skip
    model = RfDetrForInstanceSegmentation(config).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.1)
    return model


def checkpoint(model: RfDetrForInstanceSegmentation, **changes: object) -> Checkpoint:
    return Checkpoint(model.state_dict(), {**model.config.to_dict(), **changes}, "test")


@pytest.mark.parametrize("grid", [(16, 16), (4, 4), (5, 9), (40, 1)])
def test_positions_are_resized_as_torch_does(grid: tuple[int, int]) -> None:
    learned = torch.randn(1, 1 + 16 * 16, 8, generator=torch.Generator().manual_seed(0))
    found = window_attention.positions_over(learned, grid)
    square = learned[:, 1:].reshape(1, 16, 16, 8).permute(0, 3, 1, 2)
    wanted = functional.interpolate(square, size=grid, mode="bicubic", align_corners=False, antialias=True)
    assert torch.equal(found[:, 0], learned[:, 0])
    assert torch.allclose(found[:, 1:], wanted.flatten(2).transpose(1, 2), atol=1e-5)
    assert grid != (16, 16) or torch.equal(found, learned)


@pytest.mark.parametrize("layout", ["names of today", "names on the hub"])
def test_a_checkpoint_gives_what_the_library_gives(layout: str, tmp_path: Path) -> None:
    model = library()
    given = checkpoint(model)
    if layout == "names on the hub":
        model.save_pretrained(tmp_path)  # writes the names that Roboflow's files have
        given = Checkpoint(load_file(tmp_path / "model.safetensors"), model.config.to_dict(), "test")
        assert "query_feat.weight" in given.tensors
    config, tensors = adopt(given, RfDetrSettings(dropout=0.25))
    assert (config.queries, config.patch, config.taps, config.dropout) == (7, 8, (2, 4), 0.25)
    ours = RfDetr(config, inputs(3), 3).eval()
    ours.load_state_dict(tensors)
    for side in (64, 96):
        images = torch.rand(2, 3, side, side)
        with torch.inference_mode():
            wanted, found = model(images), ours(images)
        for a, b in (("logits", "logits"), ("pred_boxes", "boxes"), ("pred_masks", "masks")):
            torch.testing.assert_close(found[b], wanted[a], rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="model_type 'rf_detr', got 'detr'"):
        adopt(checkpoint(library(), model_type="detr"), RfDetrSettings())
    with pytest.raises(ConfigError, match="mask_downsample_ratio is 8"):
        adopt(checkpoint(library(mask_downsample_ratio=8)), RfDetrSettings())
    whole = checkpoint(library())
    some = {k: v for k, v in whole.tensors.items() if "query_features" not in k}
    with pytest.raises(ModelFileError, match="query_features"):
        adopt(Checkpoint(some, whole.settings, "test"), RfDetrSettings())


def test_windows_come_apart_and_together_on_any_grid() -> None:
    tokens = torch.arange(2 * 25, dtype=torch.float32).view(2, 25, 1)  # a class token and 4 x 6 cells
    parts = window_attention.into_windows(tokens, (4, 6), 2)
    assert parts.shape == (8, 7, 1)
    assert parts[0, :, 0].tolist() == [0, 1, 2, 3, 7, 8, 9]
    assert parts[3, :, 0].tolist() == [0, 16, 17, 18, 22, 23, 24]
    assert window_attention.out_of_windows(parts, (4, 6), 2).flatten(1).tolist() == tokens[:, 1:, 0].tolist()


def test_any_size_goes_in_and_masks_have_a_quarter_of_it() -> None:
    module = RfDetr(SMALL, inputs(2), 3).eval()
    with torch.inference_mode():
        out = module(torch.rand(1, 2, 40, 72))
    assert out["masks"].shape == (1, 9, 12, 20)  # padded to 48 x 80
    assert out["logits"].shape == (1, 9, 3)


def test_more_queries_than_cells_take_the_best_cells_again() -> None:
    module = RfDetr(SMALL, inputs(1), 2).train()
    found, references = module.propose(module.features(torch.rand(1, 1, 16, 16)))  # 4 cells
    assert [tuple(logits.shape) for logits, _, _ in found] == [(1, 4, 2)] * 2
    assert references.shape == (1, 18, 4)
    first = references[0, :9, :2]
    assert torch.allclose(first[:4], first[4:8], atol=0.02)


def test_groups_learn_side_by_side_and_prediction_uses_the_first() -> None:
    module = RfDetr(SMALL, inputs(1), 2)
    images = torch.rand(1, 1, 64, 64)
    last = module.train().answers(images)
    assert [a.logits.shape[1] for a in last] == [18, 18, 18]  # proposals and two layers
    predicted = module.eval().answers(images)
    assert [a.logits.shape[1] for a in predicted] == [9]
    assert torch.allclose(last[-1].logits[:, :9], predicted[0].logits, atol=1e-4)


def test_matching_groups_by_hand() -> None:
    cost = torch.tensor([[0.0, 9], [9, 0], [5, 5], [9, 0], [1, 9], [0, 9]])
    query, target = detr_matching.assign_groups(cost, 2)
    assert list(zip(query.tolist(), target.tolist(), strict=True)) == [(0, 0), (1, 1), (3, 1), (5, 0)]


def test_overlap_of_pairs_by_hand() -> None:
    a = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.1, 0.1, 0.1, 0.1]])
    b = torch.tensor([[0.5, 0.5, 0.5, 1.0], [0.9, 0.9, 0.1, 0.1]])
    assert detr_matching.paired_iou(a, b).tolist() == pytest.approx([1 / 3, 0])


def test_an_objects_weight_scales_its_losses() -> None:
    masks = Masks.from_boxes(np.array([[8, 8, 40, 40]]), (64, 64))
    images = torch.rand(1, 1, 64, 64)
    values = []
    for weight in (1.0, 3.0):
        torch.manual_seed(0)
        module = RfDetr(RfDetrSettings(**{**vars(SMALL), "class_weights": (weight, 1.0)}), inputs(1), 2).train()
        values.append(loss(module, images, [encode_masks(Instances(masks, [0], ("a", "b")), SMALL)]))
    for name in ("box_query", "mask_query", "mask_proposal"):
        assert (values[1][name] / values[0][name]).item() == pytest.approx(3, rel=1e-4)
    assert values[1]["class_query"] > values[0]["class_query"]


def test_nothing_is_learned_where_a_crowd_lies() -> None:
    everywhere = Masks.from_boxes(np.array([[0, 0, 64, 64]]), (64, 64))
    torch.manual_seed(0)
    module = RfDetr(SMALL, inputs(1), 1).train()
    losses = loss(module, torch.rand(1, 1, 64, 64), [encode_masks(Instances(everywhere, crowd=[True]), SMALL)])
    assert {k: v.item() for k, v in losses.items() if v.item() != 0} == {}


def test_learns_in_half_precision() -> None:
    masks = Masks.from_boxes(np.array([[8, 8, 40, 40], [30, 30, 60, 60]]), (64, 64))
    module = RfDetr(SMALL, inputs(1), 1).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = loss(module, torch.rand(1, 1, 64, 64), [encode_masks(Instances(masks), SMALL)])
    assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()


def test_padding_is_cut_off_and_masks_come_out_at_the_images_size() -> None:
    masks = torch.full((1, 2, 16, 16), -8.0)
    masks[0, 0, 4:8, 2:6] = 8.0  # 16 x 16 pixels of the input, from (8, 16)
    masks[0, 1, 12:, :] = 8.0  # padding only
    logits = torch.tensor([[[2.0, -2.0], [3.0, -3.0]]])
    frame = Frame((96, 128), (48, 64))
    (found,) = decode({"logits": logits, "masks": masks}, [frame], ("a", "b"), DecodeOptions(conf=0.5))
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-2))])
    assert found.boxes[0].tolist() == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"taps": (3, 2)}, "taps"),
        ({"taps": (2, 4)}, "taps"),
        ({"heads": 5}, "heads"),
        ({"cross_heads": 3}, "cross_heads"),
        ({"hidden": 130, "self_heads": 5, "cross_heads": 5}, "hidden"),
        ({"queries": 0}, "queries"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RfDetrSettings(**settings)  # type: ignore[arg-type]
