"""Masks on a coarse grid against dense NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.cell_targets import CellTruth, cell_targets, encode_cells, pack_cells, region_losses
from apiece.models._kit.ragged import window_pixels


def test_a_mask_drawn_by_hand() -> None:
    drawn = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    cells, layout = pack_cells(Masks.from_dense(drawn[None]), 2)
    assert layout.tolist() == [[0, 0, 0, 2, 2]]
    assert cells.reshape(2, 2).T.tolist() == [[1, 2], [1, 1]]  # packed column by column


@pytest.mark.parametrize("stride", [1, 2, 4])
@given(st.integers(0, 2**32))
def test_cells_are_means_of_pixels(stride: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2).tolist()
    dense = rng.random((4, height, width)) < rng.random((4, 1, 1))
    dense[1] = False
    cells, layout = pack_cells(Masks.from_dense(dense), stride)
    rows, columns = -(-height // stride) + 1, -(-width // stride) + 1
    # windows reach beyond the masks' own boxes and beyond the image
    near = window_pixels(torch.tensor([[0, 0, columns, rows]] * 3))
    order = torch.tensor([2, 0, 1])
    found = np.zeros((3, rows, columns), np.float32)
    found[near.window, near.y, near.x] = cell_targets(cells, layout, order, near, stride)
    canvas = np.zeros((4, rows * stride, columns * stride))
    canvas[:, :height, :width] = dense
    wanted = canvas.reshape(4, rows, stride, columns, stride).mean((2, 4))[order]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_no_masks() -> None:
    cells, layout = pack_cells(Masks.empty((8, 8), 2), 4)
    assert (len(cells), layout[:, 3:].sum()) == (0, 0)
    near = window_pixels(torch.tensor([[0, 0, 2, 2]]))
    assert cell_targets(cells, layout, torch.tensor([1]), near, 4).tolist() == [0, 0, 0, 0]


def test_regions_are_the_union_of_a_class_and_crowds_are_not_heard() -> None:
    boxes = np.array([[0, 0, 8, 8], [4, 0, 12, 4], [0, 8, 16, 16], [8, 8, 16, 16]])
    crowd = [False, False, False, True]
    scene = Instances(Masks.from_boxes(boxes, (16, 16)), [0, 0, 1, 1], ("a", "b"), crowd=crowd)
    nothing = Instances.empty((16, 16), ("a", "b"))
    truth = CellTruth.join([encode_cells(nothing, 4), encode_cells(scene, 4)], torch.device("cpu"), 4)
    assert (truth.image.tolist(), truth.crowd_image.tolist()) == ([1, 1, 1], [1])
    logits = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(2, 2, 4, 4)
    target[1, 0, :2, :2] = target[1, 0, 0, 2] = target[1, 1, 2:] = 1
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    each[1, 0, 2:, 2:] = 0  # under the crowd nothing of class a is to be seen; class b has an object there
    assert torch.allclose(region_losses(logits, truth), each.mean((0, 2, 3)))
