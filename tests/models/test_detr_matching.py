"""Costs, losses and masks at points: small cases by hand, and dense NumPy or torchvision as oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.ops import generalized_box_iou

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit import detr_matching
from apiece.models._kit.crops import pack_crops
from apiece.models._kit.queries import encode_masks


def test_boxes_become_shares_of_the_input() -> None:
    shares = detr_matching.relative_boxes(torch.tensor([[2.0, 1.0, 6.0, 3.0]]), (4, 8))
    assert shares.tolist() == [[0.5, 0.5, 0.5, 0.5]]


def test_pairs_of_boxes_lose_what_the_table_costs() -> None:
    torch.manual_seed(0)
    a, b = (torch.cat([torch.rand(5, 2), 0.05 + 0.3 * torch.rand(5, 2)], 1) for _ in range(2))
    cost = detr_matching.box_cost(a, b)
    # the table leaves the constant out: the best pair has a loss of 0
    assert torch.allclose(detr_matching.box_loss(a, b), cost.diagonal() + 2, atol=1e-5)
    assert torch.allclose(detr_matching.box_loss(a, a), torch.zeros(5), atol=1e-5)


def test_generalised_iou_of_boxes_apart() -> None:
    left, right = torch.tensor([[0.1, 0.5, 0.2, 1.0]]), torch.tensor([[0.9, 0.5, 0.2, 1.0]])
    corners = torch.tensor([[0.0, 0.0, 0.2, 1.0]]), torch.tensor([[0.8, 0.0, 1.0, 1.0]])
    assert generalized_box_iou(*corners).item() == pytest.approx(-0.6)
    assert detr_matching.box_loss(left, right).item() == pytest.approx(5 * 0.8 + 2 * 1.6, abs=1e-5)


def test_masks_at_points_by_hand() -> None:
    dense = np.zeros((2, 4, 4), bool)
    dense[0, 1:3, 1:3] = True
    dense[1, 0, 0] = True
    crops, layout = pack_crops(Masks.from_dense(dense))
    points = torch.tensor([[2.0, 2.0], [0.9, 1.0], [1.0, 2.9], [0.0, 0.0], [3.0, 1.0], [9.0, 1.0]])
    assert detr_matching.at_points(crops, layout, points).tolist() == [[1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]


def test_masks_at_all_pixel_centres_are_the_dense_masks() -> None:
    dense = np.random.default_rng(3).random((6, 12, 16)) < 0.4
    crops, layout = pack_crops(Masks.from_dense(dense))
    points = detr_matching.draw_points((12, 16), torch.zeros(0, 4), 192)
    np.testing.assert_array_equal(detr_matching.at_points(crops, layout, points).numpy(), dense.reshape(6, -1))


def test_sampling_is_upsampling() -> None:
    maps = torch.randn(3, 5, 4)
    points = detr_matching.draw_points((20, 16), torch.zeros(0, 4), 320)
    wanted = functional.interpolate(maps[None], size=(20, 16), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(detr_matching.sample(maps, points, (20, 16)), wanted.flatten(1), rtol=1e-4, atol=1e-5)


def test_no_masks_at_no_points() -> None:
    crops, layout = pack_crops(Masks.empty((4, 4)))
    assert detr_matching.at_points(crops, layout, torch.rand(3, 2)).shape == (0, 3)


def test_points_in_a_crowd() -> None:
    masks = Masks.from_boxes(np.array([[0, 0, 4, 4], [4, 0, 8, 8]]), (8, 8))
    targets = encode_masks(Instances(masks, crowd=[True, False]))
    points = torch.tensor([[2.0, 2.0], [6.0, 2.0], [2.0, 6.0]])
    assert detr_matching.crowded(targets, points).tolist() == [True, False, False]
    assert not detr_matching.crowded(encode_masks(Instances(masks)), points).any()


def test_few_points_are_all_looked_at_and_many_are_drawn_in_objects_too() -> None:
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    assert detr_matching.draw_points((2, 3), boxes, 6).tolist() == [
        [x + 0.5, y + 0.5] for y in range(2) for x in range(3)
    ]
    torch.manual_seed(1)
    points = detr_matching.draw_points((100, 200), boxes, 400)
    assert points.shape == (400, 2)
    assert (points % 1 == 0.5).all()
    assert (points < 8).all(1).sum() >= 200
    assert (points < torch.tensor([200, 100])).all()
    assert points[:, 0].max() > 150
    assert detr_matching.draw_points((100, 200), boxes[:0], 400).shape == (400, 2)


def test_points_near_a_box() -> None:
    points = torch.tensor([[3.0, 9.0], [2.9, 9.0], [16.9, 9.0], [17.0, 9.0]])
    box = torch.tensor([[6.0, 8.0, 14.0, 10.0]])
    assert detr_matching.near_points(box, points, 1.0).tolist() == [[True, False, True, False]]


def test_costs_of_masks_equal_the_dense_ones() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(4, 30), (torch.rand(3, 30) > 0.5).float()
    found = detr_matching.mask_cost(logits, target)
    for q in range(4):
        for n in range(3):
            crossed = functional.binary_cross_entropy_with_logits(logits[q], target[n])
            p = logits[q].sigmoid()
            dice = 1 - (2 * (p * target[n]).sum() + 1) / (p.sum() + target[n].sum() + 1)
            assert found[q, n].item() == pytest.approx((crossed + dice).item(), abs=1e-5)


def test_a_masks_surroundings_weigh_as_much_as_the_rest_and_crowds_nothing() -> None:
    logits, target = torch.zeros(1, 6), torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    near = torch.tensor([[True, True, False, False, False, False]])
    seen = torch.ones(6)
    half = functional.softplus(torch.zeros(())).item()
    dice = 1 - (2 * 0.5 + 1) / (3 + 1 + 1)
    assert detr_matching.mask_loss(logits, target, near, seen).item() == pytest.approx(half + dice)
    wrong = torch.tensor([[0.0, 0, 0, 0, 0, 50]])
    hidden = torch.tensor([1.0, 1, 1, 1, 1, 0])
    dice = 1 - (2 * 0.5 + 1) / (2.5 + 1 + 1)
    assert detr_matching.mask_loss(wrong, target, near, hidden).item() == pytest.approx(half + dice, abs=1e-6)
    assert detr_matching.mask_loss(wrong, target, near, seen).item() > 5


def test_boxes_move_by_shares_of_their_sides() -> None:
    moved = detr_matching.refine(
        torch.tensor([[0.5, 0.5, 0.2, 0.1]]), torch.tensor([[1.0, -1.0, 0.0, float(np.log(2))]])
    )
    torch.testing.assert_close(moved, torch.tensor([[0.7, 0.4, 0.2, 0.2]]))


def test_a_query_that_says_an_objects_class_costs_less() -> None:
    cost = detr_matching.focal_cost(torch.tensor([[3.0, -3.0], [-3.0, 3.0]]), torch.tensor([0, 1, 1]))
    assert cost.shape == (2, 3)
    assert cost.argmin(0).tolist() == [0, 1, 1]
