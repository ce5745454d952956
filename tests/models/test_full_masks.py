"""What is known of whole objects, which of two lies in front, and boxes wide enough for what is hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apiece import Instances, Masks
from apiece.models._kit.full_masks import FullHead, FullTruth, encode_full, full_crop_loss, widened
from apiece.models._kit.in_front import visible_parts

SIZE = (64, 64)
FULL = Masks.from_boxes([[8, 8, 40, 24], [24, 8, 56, 24], [4, 40, 12, 48]], SIZE)
SEEN = Masks.from_boxes([[8, 8, 24, 24], [24, 8, 56, 24], [4, 40, 12, 48]], SIZE)
PASTED = Instances(SEEN, full=FULL, attributes={"pasted": [False, True, False]})


def test_what_is_pasted_and_what_it_covers_teaches() -> None:
    targets = encode_full(PASTED, 2)
    assert targets["full_boxes"].tolist() == FULL.boxes.tolist()
    assert targets["known"].tolist() == [False, True, False]
    assert targets["teaches"].tolist() == [True, True, False]
    unknown = np.zeros((32, 32), bool)
    unknown[4:12, 4:20] = True  # the first object was whole before something was pasted over it
    unknown[20:24, 2:6] = True
    assert (targets["unknown"].numpy() == unknown).all()


def test_labels_with_full_masks_leave_nothing_open() -> None:
    targets = encode_full(Instances(SEEN, full=FULL), 2)
    assert targets["known"].all()
    assert targets["teaches"].all()
    assert not targets["unknown"].any()
    assert (targets["full_reach"] == targets["full_boxes"]).all()
    assert not encode_full(Instances(SEEN), 2)["teaches"].any()


def test_a_box_may_reach_as_far_as_what_may_hide_more() -> None:
    beside = Masks.from_boxes([[8, 8, 20, 20], [20, 4, 30, 16], [28, 40, 34, 44]], SIZE)
    targets = encode_full(Instances(beside), 2)
    assert targets["full_reach"].tolist() == [[8, 4, 30, 20], [8, 4, 30, 20], [28, 40, 34, 44]]
    targets |= {"boxes": targets["full_boxes"], "labels": torch.zeros(3).long(), "crowd": torch.zeros(0, 4)}
    truth = FullTruth.join([targets], torch.device("cpu"), 2)
    # right of its own edge the first may go on below the second; nothing lies on its left
    guess = torch.tensor([[6.0, 6, 25, 26]])
    assert truth.nearest_box(guess, torch.tensor([0])).tolist() == [[8, 6, 25, 20]]
    assert truth.nearest_box(torch.tensor([[9.0, 9, 99, 19]]), torch.tensor([0])).tolist() == [[8, 8, 30, 20]]


def test_of_two_masks_the_surer_one_lies_in_front() -> None:
    # a third covers the first wholly but for a rim: one object found twice, of which neither hides the other
    masks = Masks.from_boxes([[0, 0, 20, 10], [12, 0, 30, 10], [0, 0, 20, 9]], (10, 30))
    sure = np.array([1.0, 2.0, 3.0])
    seen = visible_parts(masks, np.ones(len(masks)), lambda which, x, y: np.broadcast_to(sure[which], x.shape))
    # the second lies before the first, the third before the second
    assert seen.area.tolist() == [12 * 10, 18 * 10 - 8 * 9, 20 * 9]
    # but what is hardly believed in hides nothing
    scores = np.array([0.9, 0.2, 0.8])
    doubted = visible_parts(masks, scores, lambda which, x, y: np.broadcast_to(sure[which], x.shape))
    assert doubted.area.tolist() == [20 * 10, 18 * 10 - 8 * 9, 20 * 9]
    same = visible_parts(masks, np.ones(len(masks)), lambda which, x, y: np.ones(x.shape))
    assert same == masks
    assert len(visible_parts(Masks.empty((10, 30)), np.zeros(0), lambda which, x, y: np.ones(x.shape))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_visible_parts_are_disjoint_where_masks_are_no_duplicates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 50, (12, 2))
    masks = Masks.from_boxes(np.concatenate([corner, corner + rng.integers(4, 14, (12, 2))], 1), SIZE)
    sure = rng.permutation(12) + 1.0
    seen = visible_parts(masks, np.ones(12), lambda which, x, y: np.broadcast_to(sure[which], x.shape)).to_dense()
    dense = masks.to_dense()
    for i in range(12):
        both = (dense & dense[i]).sum((1, 2))
        alike = both / (dense | dense[i]).sum((1, 2)) >= 0.5
        hiding = dense[(sure > sure[i]) & ~alike].any(0)
        assert (seen[i] == dense[i] & ~hiding).all()


def test_boxes_twice_as_wide() -> None:
    assert widened(torch.tensor([[4.0, 10, 8, 20]])).tolist() == [[2, 5, 10, 25]]


def test_a_head_learns_what_lies_behind_from_pasted_objects_alone() -> None:
    """The features say nothing but which object it is; the third, which nothing covers, does not teach."""
    torch.manual_seed(0)
    targets, boxes = encode_full(PASTED, 1), torch.from_numpy(SEEN.boxes.copy())
    head, features = FullHead(3, 4, 28), torch.eye(3)[:, :, None, None].expand(-1, -1, 4, 4)
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        full_crop_loss(head(features), [targets], [torch.arange(3)], [boxes]).backward()
        optimiser.step()
    drawn = Masks.from_logits(head(features).detach().numpy(), widened(boxes).numpy(), SIZE)
    # the first is seen from 8 to 24 and goes on to 32, as far as its wide box reaches
    assert abs(int(drawn.area[0]) - 24 * 16) < 40
    assert abs(int(drawn.area[1]) - 32 * 16) < 40
