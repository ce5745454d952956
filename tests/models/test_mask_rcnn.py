"""Mask R-CNN's own parts: matching, mask targets, decoding of boxes made to measure."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou, roi_align

from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models import mask_rcnn
from apiece.models._kit import two_stage
from apiece.models._kit.crops import crop_targets, pack_crops
from apiece.models._kit.two_stage import match_boxes
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.mask_rcnn import MaskRCNNConfig, decode


def _boxes(rng: np.random.Generator, count: int) -> torch.Tensor:
    corner = rng.uniform(0, 50, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + rng.uniform(2, 30, (count, 2))], 1)).float()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 60), st.booleans())
def test_matching_in_parts_equals_torchvisions(seed: int, truths: int, count: int, rescue: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, boxes = _boxes(rng, truths), _boxes(rng, count)
    want = Matcher(0.6, 0.3, allow_low_quality_matches=rescue)(box_iou(truth, boxes))
    whole = two_stage._PART
    try:
        two_stage._PART = 7 * truths
        index, state = match_boxes(truth, torch.zeros(0, 4), boxes, 0.3, 0.6, rescue)
    finally:
        two_stage._PART = whole
    overlap = box_iou(truth, boxes)
    # torchvision also rescues boxes for a truth that nothing overlaps at all
    reachable = overlap.amax(1) > 0
    if reachable.all():
        assert state.tolist() == torch.where(want >= 0, 1, want + 1).sub((want == -2).long() * 0).tolist()
        assert (index[want >= 0] == want[want >= 0]).all()


def test_matching_by_hand_with_a_crowd_and_without_truth() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50.0]])
    crowd = torch.tensor([[15.0, 15, 35, 35]])
    _, state = match_boxes(boxes[:1], crowd, boxes, 0.3, 0.6, rescue=True)
    assert state.tolist() == [1, -1, 0]
    _, state = match_boxes(torch.zeros(0, 4), crowd, boxes, 0.3, 0.6, rescue=True)
    assert state.tolist() == [0, -1, 0]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.9))
def test_packed_crops_hold_the_masks(seed: int, share: float) -> None:
    dense = np.random.default_rng(seed).random((6, 9, 11)) < share
    dense[3] = False
    crops, layout = pack_crops(Masks.from_dense(dense))
    for mask, (start, x, y, width, height) in zip(dense, layout.tolist(), strict=True):
        crop = crops[start : start + width * height].reshape(width, height).T.numpy()
        again = np.zeros_like(mask)
        again[y : y + height, x : x + width] = crop
        assert (again == mask).all()


def test_mask_targets_equal_pooling_the_whole_mask() -> None:
    rng = np.random.default_rng(1)
    dense = np.zeros((5, 40, 50), bool)
    for mask in dense:
        y, x = rng.integers(0, 20, 2)
        mask[y : y + 18, x : x + 15] = rng.random((18, 15))[: 40 - y, : 50 - x] < 0.7
    crops, layout = pack_crops(Masks.from_dense(dense))
    index = torch.tensor([0, 4, 2, 2, 1])
    # inside the image: torchvision repeats the image's edge, here nothing lies beyond a mask
    boxes = torch.tensor([[3, 4, 20, 33], [1.5, 2.2, 40, 30.7], [5, 5, 9, 9], [10, 1, 45, 38], [2, 2, 3, 3]])
    got = crop_targets(crops, layout, index, boxes, 14)
    images = torch.from_numpy(dense).float()[index][:, None]
    want = roi_align(images, [b[None] for b in boxes], 14, sampling_ratio=1, aligned=True)[:, 0]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def _outputs(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, list[torch.Tensor]]:
    masks = torch.full((len(boxes), 28, 28), 5.0)
    return {
        "boxes": [torch.tensor(boxes)],
        "scores": [torch.tensor(scores)],
        "labels": [torch.tensor(labels)],
        "masks": [masks],
    }


def test_decode_scales_suppresses_and_sorts() -> None:
    out = _outputs(
        [[2, 2, 10, 10], [2, 2, 10, 9], [2, 2, 10, 10], [20, 20, 30, 26], [5, 5, 7, 7]],
        [0.5, 0.8, 0.6, 0.9, 0.04],
        [0, 0, 1, 1, 0],
    )
    found = decode(out, [Frame((64, 96), (32, 48))], ("a", "b"), DecodeOptions())[0]
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert found.names == ["b", "a", "b"]
    assert found.boxes.tolist() == [[40, 40, 60, 52], [4, 4, 20, 18], [4, 4, 20, 20]]
    assert found.masks.area.tolist() == [20 * 12, 16 * 14, 16 * 16]


def test_a_box_without_a_pixel_is_no_object() -> None:
    found = decode(_outputs([[3.6, 3.6, 4.4, 4.4]], [0.9], [0]), [Frame((8, 8), (8, 8))], ("a",), DecodeOptions())[0]
    assert len(found) == 0


def test_the_limit_on_proposals_says_when_it_bites(caplog: pytest.LogCaptureFixture) -> None:
    module = mask_rcnn.MaskRCNN(MaskRCNNConfig(proposals=8, conf=0.0, iou=1.0), ModelInput(1, mean=(0,), std=(1,)), 1)
    with caplog.at_level(logging.WARNING, "apiece"), torch.inference_mode():
        module.eval()(torch.rand(1, 1, 64, 64))
    assert "raise proposals" in caplog.text


def test_settings_that_cannot_be_are_refused() -> None:
    for bad in (
        {"anchors": ((8,), (16,))},
        {"anchors": ((8,), (16,), (32,), (64, 128))},
        {"aspects": ()},
        {"proposals": 0},
        {"conf": 1.0},
    ):
        with pytest.raises(ConfigError):
            MaskRCNNConfig(**bad)
    with pytest.raises(ConfigError, match="strides 4 to 32"):
        mask_rcnn.MaskRCNN(MaskRCNNConfig(backbone="xcit_nano_12_p16_224"), ModelInput(), 1)
