"""Losses and ragged windows against plain loops and hand-made numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apiece.errors import ConfigError
from apiece.models._kit import losses
from apiece.models._kit.ragged import segment_sum, window_pixels


def _segments() -> tuple[Tensor, Tensor, Tensor, int]:
    torch.manual_seed(3)
    segment = torch.tensor([0] * 9 + [2] * 5 + [3] * 20)  # 1 and 4 are empty
    return torch.randn(34) * 2, (torch.rand(34) > 0.5).float(), segment, 5


def test_gradients_of_every_mask_loss_are_right() -> None:
    logits, target, segment, count = _segments()
    for loss in (losses.bce, losses.dice):
        x = logits.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda v, f=loss: f(v, target.double(), segment, count), (x,)), loss


def test_bce_and_dice_by_hand() -> None:
    logits = torch.tensor([0.0, 0.0, 100.0])
    target = torch.tensor([1.0, 0.0, 1.0])
    segment = torch.tensor([0, 0, 1])
    assert losses.bce(logits, target, segment, 3).tolist() == pytest.approx([0.693147, 0, 0], abs=1e-5)
    # first: 2 * 0.5 + 1 over (0.5 + 0.5) + 1 + 1; second: (2 + 1) / (2 + 1)
    assert losses.dice(logits, target, segment, 3).tolist() == pytest.approx([1 - 2 / 3, 0, 0], abs=1e-5)


def test_focal_is_zero_at_its_target_and_cross_entropy_without_gamma() -> None:
    target = torch.tensor([0.2, 0.9])
    assert losses.focal(torch.logit(target), target).abs().max() < 1e-6
    assert losses.focal(torch.zeros(1), torch.ones(1), gamma=0).item() == pytest.approx(0.693147, abs=1e-5)
    assert losses.focal(torch.zeros(1), torch.ones(1), gamma=2).item() == pytest.approx(0.693147 / 4, abs=1e-5)


def test_class_weights_are_checked() -> None:
    assert losses.class_weights((), 2).tolist() == [1, 1]
    assert losses.class_weights((0.5, 1.5), 2).tolist() == [0.5, 1.5]
    with pytest.raises(ConfigError, match="2 values"):
        losses.class_weights((1.0,), 2)


def test_window_pixels_lists_each_pixel_once() -> None:
    windows = torch.tensor([[2, 1, 4, 3], [5, 5, 5, 9], [0, 0, 1, 3]])
    got = window_pixels(windows)
    assert got.window.tolist() == [0, 0, 0, 0, 2, 2, 2]
    assert got.x.tolist() == [2, 3, 2, 3, 0, 0, 0]
    assert got.y.tolist() == [1, 1, 2, 2, 0, 1, 2]
    assert got.counts.tolist() == [4, 0, 3]


def test_large_windows_are_sampled_on_a_grid_inside_them() -> None:
    windows = torch.tensor([[10, 20, 110, 220], [0, 0, 5, 5], [0, 0, 1, 5000]])
    for seed in range(5):
        torch.manual_seed(seed)
        got = window_pixels(windows, most=500)
        assert got.counts[0] <= 500 * 1.3
        assert got.counts[1] == 25
        assert got.counts[2] > 0
        first = got.window == 0
        for values, low, high in ((got.x[first], 10, 110), (got.y[first], 20, 220)):
            assert values.min() >= low
            assert values.max() < high
        assert len(torch.unique(got.y * 10000 + got.x + got.window * 10**8)) == len(got.x)


def test_no_windows_have_no_pixels() -> None:
    got = window_pixels(torch.zeros(0, 4, dtype=torch.int64), most=10)
    assert len(got.window) == len(got.x) == len(got.counts) == 0


def test_segment_sum() -> None:
    assert segment_sum(torch.tensor([1.0, 2, 4]), torch.tensor([2, 0, 2]), 4).tolist() == [2, 0, 5, 0]
