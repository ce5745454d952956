"""What query models share: room, matching, and grids of mask logits to masks at the image's size."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._kit import query_masks
from apiece.models._kit.queries import assign, check_room, encode_masks
from apiece.models._kit.query_masks import chosen_classes, decode_queries, grid_masks
from apiece.models.contract import DecodeOptions, Frame


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 3))
def test_masks_equal_upsampling_the_whole_grid_whatever_the_padding(seed: int, zoom: int, ragged: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.normal(-0.8, 1, (7, 9, 12)).astype(np.float32)
    maps[3] = -1  # nothing
    maps[4] = -1
    maps[4, 8, 11] = 2.0  # one cell in the corner that padding may cover
    inner = (36 - ragged, 48 - 2 * ragged)  # of a network input of 36 x 48, four pixels a cell
    frame = Frame((inner[0] * zoom, inner[1] * zoom), inner)
    up = functional.interpolate(torch.from_numpy(maps)[None].double(), scale_factor=4 * zoom, mode="bilinear")[0]
    want = up[:, : frame.size[0], : frame.size[1]].numpy()
    got = grid_masks(maps, frame, (4.0, 4.0)).to_dense()
    sure = np.abs(want) > 1e-5
    assert got.shape == want.shape
    assert ((got == (want > 0)) | ~sure).all()


def test_a_cell_at_the_edge_reaches_it() -> None:
    maps = np.full((1, 4, 4), -1, np.float32)
    maps[0, 0, 0] = maps[0, 3, 3] = 1
    dense = grid_masks(maps, Frame((16, 16), (16, 16)), (4.0, 4.0)).to_dense()[0]
    assert dense[0, 0]
    assert dense[15, 15]
    assert len(grid_masks(maps[:0], Frame((16, 16), (16, 16)), (4.0, 4.0))) == 0


def test_comparing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    maps, chances = torch.from_numpy(rng.normal(0, 1, (30, 8, 8))).float(), rng.random((30, 2)).tolist()
    whole = _decoded(chances, maps, iou=0.34)
    monkeypatch.setattr(query_masks, "_VALUES", 100)
    part = _decoded(chances, maps, iou=0.34)
    assert 0 < len(whole) < 30
    assert part.masks == whole.masks


def _decoded(chances: list[list[float]], maps: torch.Tensor, **options: Any) -> Instances:
    options_ = DecodeOptions(**options)
    return decode_queries(np.array(chances), maps.numpy(), Frame((8, 8), (8, 8)), ("a", "b"), options_, cell=1.0)


def _blocks(*corners: tuple[int, int]) -> torch.Tensor:
    """8 x 8 maps, +2 in a block of 4 x 4 and -2 outside."""
    maps = torch.full((len(corners), 8, 8), -2.0)
    for k, (x, y) in enumerate(corners):
        maps[k, y : y + 4, x : x + 4] = 2.0
    return maps


def test_scores_labels_and_order_by_hand() -> None:
    maps = _blocks((0, 0), (4, 4), (0, 4), (2, 2))
    maps[2] = -1.0  # an empty mask is no object, however sure
    found = _decoded([[0.2, 0.5], [0.8, 0.1], [0.9, 0.0], [0.03, 0.04]], maps, conf=0.05)
    inside = float(torch.tensor(2.0).sigmoid())
    assert found.labels.tolist() == [0, 1]
    assert found.scores is not None
    assert np.allclose(found.scores, [0.8 * inside, 0.5 * inside])
    assert found.masks.boxes[0].tolist() == [4, 4, 8, 8]
    assert found.masks.area.tolist() == [16, 16]
    plain = decode_queries(
        np.array([[0.2, 0.5]]),
        maps[:1].numpy(),
        Frame((8, 8), (8, 8)),
        ("a", "b"),
        DecodeOptions(),
        cell=1.0,
        filled=False,
    )
    assert plain.scores is not None
    assert plain.scores.tolist() == [0.5]


def test_duplicates_of_one_class_go_and_those_of_another_stay() -> None:
    maps = _blocks((0, 0), (1, 0), (1, 0), (4, 4))  # 12 of 20 cells shared: IoU 0.6
    chances = [[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.6, 0.0]]
    assert _decoded(chances, maps, iou=0.5).labels.tolist() == [0, 1, 0]
    assert _decoded(chances, maps, iou=0.7).labels.tolist() == [0, 0, 1, 0]


def test_a_threshold_for_each_class() -> None:
    maps = _blocks((0, 0), (4, 4))
    assert _decoded([[0.6, 0.0], [0.0, 0.6]], maps, conf=(0.7, 0.2)).labels.tolist() == [1]


def test_what_the_padding_holds_is_no_part_of_an_object() -> None:
    maps = torch.full((1, 8, 8), -3.0)
    maps[0, 6:] = 3.0
    frame = Frame((12, 16), (6, 8))
    assert len(decode_queries(np.array([[0.9]]), maps.numpy(), frame, ("a",), DecodeOptions(), cell=1.0)) == 0


def test_chances() -> None:
    logits = np.zeros((1, 3), np.float32)
    assert np.allclose(chosen_classes(logits), [[1 / 3, 1 / 3]])
    assert chosen_classes(logits, none=False).tolist() == [[0.5, 0.5, 0.5]]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 5))
def test_assignment_is_the_cheapest(seed: int, count: int, more: int) -> None:
    cost = torch.from_numpy(np.random.default_rng(seed).normal(size=(min(count + more, 6), count)))
    query, target = assign(cost)
    assert sorted(target.tolist()) == list(range(count))
    least = min(
        sum(float(cost[q, t]) for t, q in enumerate(p)) for p in itertools.permutations(range(len(cost)), count)
    )
    assert float(cost[query, target].sum()) == pytest.approx(least)


def test_assignment_without_objects_and_with_what_is_no_number() -> None:
    query, target = assign(torch.zeros(5, 0))
    assert len(query) == len(target) == 0
    query, target = assign(torch.tensor([[float("nan"), 1.0], [float("inf"), 2.0], [3.0, 4.0]]))
    assert len(set(query.tolist())) == 2


def test_targets_hold_objects_and_one_crowd() -> None:
    boxes = np.array([[0, 0, 4, 4], [2, 2, 9, 9], [5, 0, 8, 3], [0, 0, 0, 0]], np.float32)
    masks = Masks.from_boxes(boxes, (10, 10))
    targets = encode_masks(Instances(masks, [0, 1, 1, 0], ("a", "b"), crowd=[False, True, True, False]))
    assert targets["labels"].tolist() == [0]
    assert targets["boxes"].tolist() == [[0, 0, 4, 4]]
    assert targets["crops"].tolist() == [1] * 16
    assert len(targets["crowd_layout"]) == 1
    assert int(targets["crowd_crops"].sum()) == int(masks[1:3].union().area[0])
    assert len(encode_masks(Instances(masks[:0], [], ("a", "b")))["crowd_layout"]) == 0


def test_more_objects_than_queries_are_refused_by_name() -> None:
    check_room([{"labels": torch.zeros(16)}, {"labels": torch.zeros(3)}], 16)
    with pytest.raises(ConfigError, match=r"17 objects.*queries is 16"):
        check_room([{"labels": torch.zeros(16)}, {"labels": torch.zeros(17)}], 16)
