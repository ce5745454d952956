"""Points and the objects that they learn."""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apiece.models._kit.dense_assignment import Assigned, Points, assign, overlaps

POINTS = Points(((8, 8), (4, 4)), (4, 8))  # 32 x 32 pixels


def answers(truth: torch.Tensor, image: torch.Tensor, images: int = 1) -> Assigned:
    place, stride = POINTS.places(torch.device("cpu"))
    boxes = torch.cat([place - 2 * stride[:, None], place + 2 * stride[:, None]], 1).repeat(images, 1)
    logits = torch.full((len(boxes), 1), -4.0)
    return assign(POINTS, boxes, logits, truth, torch.zeros(len(truth), dtype=torch.int64), image)


def test_where_the_points_lie() -> None:
    place, stride = POINTS.places(torch.device("cpu"))
    assert POINTS.count == len(place) == 80
    assert place[0].tolist() == [2, 2]
    assert place[9].tolist() == [6, 6]
    assert place[64].tolist() == [4, 4]
    assert stride[[0, 63, 64, 79]].tolist() == [4, 4, 8, 8]


def test_near_points_lie_in_the_box_or_next_to_its_centre() -> None:
    index, allowed = POINTS.near(torch.tensor([[8.0, 8, 16, 16], [13.1, 13.1, 13.2, 13.2]]))
    place, _ = POINTS.places(torch.device("cpu"))
    chosen = place[index[0][allowed[0]]]
    assert sorted(chosen.tolist()) == [[10, 10], [10, 14], [12, 12], [14, 10], [14, 14]]
    assert place[index[1][allowed[1]]].tolist() == [[14, 14], [12, 12]]  # smaller than a cell: one point of each level


def test_pairs_of_boxes() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0]])
    b = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]])
    both, union = overlaps(a, b)
    assert torch.allclose(both / union.clamp(min=1e-6), torch.tensor([1, 1 / 3, 0, 0]))


def test_the_level_whose_boxes_fit_wins() -> None:
    found = answers(torch.tensor([[4.0, 4, 20, 20], [0, 0, 32, 32]]), torch.tensor([0, 0]))
    first = found.point[found.rank == 0]
    assert (first[found.truth[found.rank == 0] == 0] < 64).all()
    assert (first[found.truth[found.rank == 0] == 1] >= 64).all()
    best = found.target[found.rank == 0]
    assert (best > 0.5).all()
    assert (found.target <= best[found.truth]).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 60))
@example(16202, 8)  # both points of a small object go to larger ones, which have others
def test_no_object_goes_unlearned_and_no_point_learns_two(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 28
    truth = torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 12], 1)
    image = torch.arange(count) % 2
    found = answers(truth, image, 2)
    assert len(found.point.unique()) == len(found.point)
    assert (found.point // POINTS.count == image[found.truth]).all()
    assert ((found.target >= 0) & (found.target <= 1)).all()
    # each object has about three points near it, and there are 160: only a crowd can leave one without
    assert len(found.truth.unique()) >= 0.9 * count
    assert (found.truth.diff() >= 0).all()


def test_objects_on_one_spot_get_a_point_each() -> None:
    truth = torch.tensor([[8.0, 8, 24, 24]] * 15)
    found = answers(truth, torch.zeros(15, dtype=torch.int64))
    assert len(found.truth.unique()) == 15
