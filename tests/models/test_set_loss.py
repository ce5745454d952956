"""The loss of sets of masks: reading masks at points, costs of pairs, what is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.mask2former import modeling_mask2former as cheng22
from transformers.models.maskformer import modeling_maskformer as cheng21

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit import set_loss
from apiece.models._kit.crops import pack_crops
from apiece.models._kit.queries import encode_masks
from apiece.models._kit.set_loss import SetLoss, answers_at, masks_at, pair_costs, pair_losses, set_losses

SIZE = (16, 24)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_masks_are_read_at_the_pixel_a_point_lies_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((4, *SIZE)) < 0.3
    dense[2] = False
    crops, layout = pack_crops(Masks.from_dense(dense))
    index, where = torch.tensor([3, 0, 2]), torch.from_numpy(rng.random((3, 50, 2)))
    where[0, 0], where[1, 1] = 0.0, 1.0  # corners, the last of them just outside
    got = masks_at(crops, layout, index, where, SIZE)
    x = np.minimum((where[..., 0].numpy() * SIZE[1]).astype(int), SIZE[1] - 1)
    y = np.minimum((where[..., 1].numpy() * SIZE[0]).astype(int), SIZE[0] - 1)
    assert (got.numpy() == dense[index.numpy()[:, None], y, x]).all()


def test_answers_between_centres_of_cells() -> None:
    maps = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    where = torch.tensor([[[0.25, 0.25], [0.5, 0.25], [0.25, 0.5], [0.5, 0.5], [0.0, 0.0], [1.0, 1.0]]])
    assert answers_at(maps, where).flatten().tolist() == pytest.approx([0, 2, 4, 6, 0, 12])


def _random_pairs(same: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    found = torch.randn(same, 40, generator=generator) * 3
    return found, (torch.rand(same, 40, generator=generator) < 0.4).float()


def test_costs_are_those_of_the_papers() -> None:
    found, truth = _random_pairs(7)
    truth = truth[:4]
    want = 5 * cheng22.pair_wise_sigmoid_cross_entropy_loss(found, truth) + 5 * cheng22.pair_wise_dice_loss(
        found, truth
    )
    assert torch.allclose(pair_costs(found, truth, SetLoss(mask=5, dice=5)), want, atol=1e-5)
    want = 20 * cheng21.pair_wise_sigmoid_focal_loss(found, truth) + cheng21.pair_wise_dice_loss(found, truth)
    assert torch.allclose(pair_costs(found, truth, SetLoss(mask=20, dice=1, focal=True)), want, atol=1e-5)


def test_losses_of_pairs_are_those_of_the_papers() -> None:
    found, truth = _random_pairs(5)
    point, dice = pair_losses(found, truth, torch.ones_like(truth), focal=False)
    assert float(point.sum()) == pytest.approx(float(cheng22.sigmoid_cross_entropy_loss(found, truth, 1)), rel=1e-5)
    assert float(dice.sum()) == pytest.approx(float(cheng22.dice_loss(found, truth, 1)), rel=1e-5)
    point, _ = pair_losses(found, truth, torch.ones_like(truth), focal=True)
    assert float(point.sum()) == pytest.approx(float(cheng21.sigmoid_focal_loss(found, truth, 1)), rel=1e-5)


def test_points_of_no_weight_count_nothing() -> None:
    found, truth = _random_pairs(5)
    weight = torch.ones_like(truth)
    weight[:, 25:] = 0
    some = pair_losses(found[:, :25], truth[:, :25], weight[:, :25], focal=False)
    all_ = pair_losses(found, truth, weight, focal=False)
    assert all(torch.allclose(a, b) for a, b in zip(some, all_, strict=True))


def _two_squares(crowd: bool = False) -> Instances:
    boxes = np.array([[0, 0, 8, 8], [12, 4, 20, 12], [2, 10, 10, 16]][: 3 if crowd else 2])
    return Instances(
        Masks.from_boxes(boxes, SIZE), [0, 1, 0][: len(boxes)], ("a", "b"), crowd=[False] * 2 + [True] * crowd
    )


def _perfect(instances: Instances, order: list[int], queries: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers that are right: query ``order[i]`` takes object i, the others say that there is none."""
    logits = torch.full((1, queries, 3), -20.0)
    logits[..., 2] = 20.0
    maps = torch.full((1, queries, *SIZE), -20.0)
    for i, q in enumerate(order):
        logits[0, q] = -20.0
        logits[0, q, int(instances.labels[i])] = 20.0
        maps[0, q][torch.from_numpy(instances.masks[i].to_dense()[0])] = 20.0
    return logits, maps


def _total(answers: list[tuple[torch.Tensor, torch.Tensor]], instances: Instances, **rule: float) -> dict[str, float]:
    torch.manual_seed(0)
    losses = set_losses(answers, [encode_masks(instances)], SIZE, torch.ones(2), SetLoss(points=400, **rule))  # type: ignore[arg-type]
    return {k: float(v) for k, v in losses.items()}


def test_a_right_answer_costs_next_to_nothing_whichever_query_gives_it() -> None:
    truth = _two_squares()
    for order in ([0, 1], [4, 2]):
        losses = _total([_perfect(truth, order, 6)], truth)
        assert losses["class_query"] < 1e-6
        # between two cells the upsampled answer crosses 0 while the truth is a step
        assert losses["mask_point"] < 0.7
        assert losses["mask_dice"] < 0.35


def test_an_answer_in_the_wrong_place_or_class_costs() -> None:
    truth = _two_squares()
    logits, maps = _perfect(truth, [0, 1], 4)
    right = _total([(logits, maps)], truth)
    moved = _total([(logits, maps.roll(5, -1))], truth)
    assert moved["mask_dice"] > 3 * right["mask_dice"]
    assert _total([(logits[..., [1, 0, 2]], maps)], truth)["class_query"] > 10


def test_each_layer_is_matched_by_itself() -> None:
    truth = _two_squares()
    layers = [_perfect(truth, [0, 1], 4), _perfect(truth, [3, 2], 4)]
    assert _total(layers, truth)["class_query"] < 1e-6


def test_a_query_on_a_crowd_is_not_told_that_it_is_none() -> None:
    truth = _two_squares(crowd=True)
    logits, maps = _perfect(truth, [0, 1, 2], 4)  # one more than there are objects: it answers for the crowd
    assert _total([(logits, maps)], truth)["class_query"] < 1e-6
    apart = _two_squares()
    assert _total([(logits, maps)], apart)["class_query"] > 1


def test_what_an_object_answers_inside_a_crowd_does_not_count() -> None:
    truth = _two_squares(crowd=True)
    logits, maps = _perfect(truth, [0, 1], 4)
    before = _total([(logits, maps)], truth)
    spread = maps.clone()
    spread[0, 0, 11:15, 3:9] = 20.0  # well inside the crowd
    after = _total([(logits, spread)], truth)
    assert after["mask_point"] < before["mask_point"] + 0.3
    assert _total([(logits, spread)], _two_squares())["mask_point"] > before["mask_point"] + 1


def test_class_weights_and_images_without_objects() -> None:
    truth = _two_squares()
    none = truth[np.zeros(2, bool)]
    logits, maps = torch.zeros(2, 4, 3), torch.zeros(2, 4, *SIZE)
    targets = [encode_masks(truth), encode_masks(none)]
    losses = set_losses([(logits, maps)], targets, SIZE, torch.tensor([1.0, 3.0]), SetLoss(points=64))
    # every query is as unsure of everything: the weighted mean is log 3 whatever the weights
    assert float(losses["class_query"]) == pytest.approx(2 * np.log(3))
    empty = set_losses([(logits[:1], maps[:1])], targets[1:], SIZE, torch.ones(2), SetLoss(points=64))
    assert float(empty["mask_point"]) == float(empty["mask_dice"]) == 0


def test_points_go_where_the_answer_is_unsure_and_around_the_object() -> None:
    torch.manual_seed(0)
    maps = torch.full((1, 16, 24), 9.0)
    maps[:, :, :4] = 0.0
    layout = torch.tensor([[0, 16, 8, 4, 4]])
    found = set_loss._pair_points(maps, layout, SIZE, 400)
    assert found.shape == (1, 400, 2)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[0, :200, 0] < 4.5 / 24).all()
    near = found[0, 200:300] * torch.tensor([24, 16])
    assert (near >= torch.tensor([13.0, 5.0])).all()
    assert (near <= torch.tensor([23.0, 15.0])).all()
