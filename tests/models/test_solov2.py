"""SOLOv2's own parts: cells for objects, Matrix NMS against the paper's table, mask targets, decoding by hand."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models import solov2
from apiece.models._kit import kernel_masks as kernel_masks_module
from apiece.models._kit import matrix_nms
from apiece.models._kit.grid_targets import category_loss, cell_places, covered_share, crowd_cells, join_targets
from apiece.models._kit.grids import assign_cells, grid_shapes
from apiece.models._kit.kernel_masks import Kernels, kernel_masks, low_resolution
from apiece.models._kit.matrix_nms import Words, decay, mask_pairs
from apiece.models._kit.ragged import few_of_each
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.solov2 import SOLOv2Config, decode, encode

SIDES = (4, 8, 16, 32, 64)


def _cells(boxes: list[list[float]], size: tuple[int, int]) -> dict[int, list[list[int]]]:
    array = np.array(boxes, np.float64)
    cells, owner = assign_cells(array, (array[:, :2] + array[:, 2:]) / 2, SIDES, size)
    return {k: cells[owner == k].tolist() for k in range(len(boxes))}


# --- cells ------------------------------------------------------------------------------------------------------------


def test_cells_of_one_object_by_hand() -> None:
    # 12 pixels: levels of 4 (up to 24) and of 8 (from 12 on); its middle 2.4 pixels touch one cell, and two by two
    assert _cells([[8, 8, 20, 20]], (32, 32)) == {0: [[0, 3, 3], [1, 1, 1]]}
    found = _cells([[10, 8, 22, 20]], (32, 32))[0]
    assert found == [[0, 3, 3], [0, 3, 4], [1, 1, 1], [1, 1, 2]]


def test_large_objects_have_at_most_three_by_three_cells_a_level() -> None:
    found = np.array(_cells([[0, 0, 1024, 1024]], (1024, 1024))[0])
    assert (found[:, 0] == 4).all()
    assert len(found) == 9


def test_grids_cover_sides_that_no_cell_divides() -> None:
    assert grid_shapes((61, 107), SIDES).tolist() == [[16, 27], [8, 14], [4, 7], [2, 4], [1, 2]]
    assert _cells([[106, 60, 107, 61]], (61, 107)) == {0: [[0, 15, 26]]}


def test_of_two_in_one_cell_the_farther_takes_the_next() -> None:
    found = _cells([[8, 8, 13, 12], [8, 8, 12, 12]], (32, 32))
    assert [0, 2, 2] in found[1]
    assert found[0] == [[0, 2, 3]]


def test_neighbours_keep_a_cell_before_any_has_two() -> None:
    boxes = [[x, y, x + 4, y + 4] for x in range(0, 32, 4) for y in range(0, 32, 4)]
    found = _cells([*boxes, [0, 0, 12, 12]], (32, 32))
    assert all(found.values())
    assert sum(map(len, found.values())) == len({tuple(c) for cells in found.values() for c in cells})


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 85), st.booleans())
def test_every_object_has_a_cell_and_no_cell_two(seed: int, count: int, heap: bool) -> None:
    rng = np.random.default_rng(seed)
    size = (29, 32)  # 8 * 8 + 4 * 4 + 2 * 2 + 1 + 1 cells
    corner = rng.uniform(0, 2 if heap else 24, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 5, (count, 2))], 1)
    cells, owner = assign_cells(boxes, (boxes[:, :2] + boxes[:, 2:]) / 2, SIDES, size)
    assert set(owner.tolist()) == set(range(count))
    assert len({tuple(c) for c in cells.tolist()}) == len(cells)
    assert (cells[:, 1:] < grid_shapes(size, SIDES)[cells[:, 0]]).all()


def test_more_objects_than_cells_are_refused() -> None:
    boxes = np.tile(np.array([[0.0, 0, 8, 8]]), (87, 1))
    with pytest.raises(ConfigError, match=r"87 objects.*86 cells.*lower cell"):
        assign_cells(boxes, boxes[:, :2] + 4, SIDES, (32, 32))


def test_no_objects_have_no_cells() -> None:
    cells, owner = assign_cells(np.zeros((0, 4)), np.zeros((0, 2)), SIDES, (32, 32))
    assert cells.shape == (0, 3)
    assert owner.shape == (0,)


# --- Matrix NMS -------------------------------------------------------------------------------------------------------


def _dense_decay(masks: np.ndarray, labels: np.ndarray, sigma: float) -> np.ndarray:
    """The paper's own formula on dense tables."""
    flat = masks.reshape(len(masks), 99).astype(float)
    both = flat @ flat.T
    area = flat.sum(1)
    union = area[:, None] + area - both
    iou = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    iou = np.triu(iou * (labels[:, None] == labels), 1)
    most = iou.max(0, initial=0)
    each = np.exp(-sigma * iou**2) / np.exp(-sigma * most[:, None] ** 2)
    return np.where(np.triu(np.ones_like(iou), 1) > 0, each, 1).min(0, initial=1)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.floats(0.02, 0.9))
def test_matrix_nms_is_the_papers(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 9, 11), bool)
    for mask in masks:
        x, y = rng.integers(0, 7, 2)
        mask[y : y + 5, x : x + 6] = (rng.random((5, 6)) < share)[: 9 - y, : 11 - x]
    labels = rng.integers(0, 2, count)
    whole = matrix_nms._PAIRS
    try:
        matrix_nms._PAIRS = 5
        pairs = mask_pairs(Words.of_masks(Masks.from_dense(masks)), labels)
    finally:
        matrix_nms._PAIRS = whole
    assert (pairs.winner < pairs.loser).all()
    np.testing.assert_allclose(decay(pairs, count), _dense_decay(masks, labels, 2.0), rtol=1e-12)


def test_matrix_nms_by_hand() -> None:
    masks = np.zeros((3, 1, 8), bool)
    masks[0, 0, :4] = masks[1, 0, :4] = masks[2, 0, 4:] = True
    words = Words.of_masks(Masks.from_dense(masks))
    pairs = mask_pairs(words, np.zeros(3, int))
    assert (pairs.winner.tolist(), pairs.loser.tolist(), pairs.iou.tolist()) == ([0], [1], [1.0])
    assert decay(pairs, 3).tolist() == pytest.approx([1, np.exp(-2), 1])
    assert len(mask_pairs(words, np.arange(3)).iou) == 0


@given(st.integers(0, 2**32 - 1))
def test_words_hold_every_pixel_of_a_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, count = rng.integers(1, 30, 3)
    masks = rng.random((count, height, width)) < rng.random()
    words = Words.of_masks(Masks.from_dense(masks))
    assert len(set(zip(words.owner.tolist(), words.tile.tolist(), strict=True))) == len(words.owner)
    columns = -(-width // 8)
    wide = np.zeros((count, -(-height // 8) * 8, columns * 8), bool)
    for owner, tile, bits in zip(*words, strict=True):
        cells = (int(bits) >> np.arange(64, dtype=object)) & 1
        y, x = 8 * (tile // columns), 8 * (tile % columns)
        wide[owner, y : y + 8, x : x + 8] = cells.astype(bool).reshape(8, 8).T  # a byte is a column
    assert np.array_equal(wide[:, :height, :width], masks)
    order = rng.permutation(count)[: count // 2]
    again = words.ranked(order, count)
    assert np.array_equal(np.bincount(again.owner, np.bitwise_count(again.bits), len(order)), masks[order].sum((1, 2)))


# --- targets ----------------------------------------------------------------------------------------------------------


def test_mask_targets_are_the_covered_shares_of_two_by_two_pixels() -> None:
    rng = np.random.default_rng(0)
    dense = np.zeros((4, 20, 26), bool)
    for mask in dense:
        y, x = rng.integers(0, 10, 2)
        mask[y : y + 9, x : x + 11] = rng.random((9, 11)) < 0.6
    config = SOLOv2Config()
    targets = [encode(Instances(Masks.from_dense(dense[k : k + 2])), config) for k in (0, 2)]
    shapes = [(8, 8), (4, 4), (2, 2), (2, 2), (2, 2)]
    batch = join_targets(targets, shapes, torch.device("cpu"))
    assert batch.image.tolist() == [0, 0, 1, 1]
    y, x = (a.ravel() for a in np.mgrid[:10, :13])
    want = dense.reshape(4, 10, 2, 13, 2).mean((2, 4))
    for k in range(4):
        index = torch.full((len(x),), k)
        got = covered_share(batch, index, torch.from_numpy(x), torch.from_numpy(y))
        np.testing.assert_array_equal(got.numpy().reshape(10, 13), want[k].astype(np.float32))


def test_cells_under_a_crowd_teach_nothing_unless_an_object_is_there() -> None:
    crowd = Masks.from_boxes(np.array([[0, 0, 32, 17]]), (32, 32))
    mask = Masks.from_boxes(np.array([[8, 8, 14, 14]]), (32, 32))
    both = Instances(Masks.concatenate([crowd, mask]), np.zeros(2, int), ("a",), crowd=[True, False])
    targets = encode(both, SOLOv2Config())
    shapes = [(8, 8), (4, 4), (2, 2), (2, 2), (2, 2)]
    covered = crowd_cells(targets["crowd"], shapes)
    assert covered[:64].view(8, 8)[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert covered[64:80].view(4, 4)[:, 0].tolist() == [1, 1, 1, 0]
    batch = join_targets([targets], shapes, torch.device("cpu"))
    category = torch.zeros(1, len(covered), 1, requires_grad=True)
    category_loss(category, batch, [targets], shapes, torch.ones(1)).backward()
    assert category.grad is not None
    learned = category.grad[0, :, 0] != 0
    positive = torch.zeros(len(covered), dtype=torch.bool)
    positive[batch.cell] = True
    assert (learned == ((covered == 0) | positive)).all()
    assert (category.grad[0, positive, 0] < 0).all()


def test_at_most_so_many_cells_of_each_object_are_drawn() -> None:
    torch.manual_seed(0)
    owner = torch.tensor([3, 0, 0, 1, 3, 3, 3, 0])
    chosen = few_of_each(owner, 2)
    assert torch.bincount(owner[chosen], minlength=4).tolist() == [2, 1, 0, 2]
    assert len(set(chosen.tolist())) == len(chosen)


def test_settings_are_checked() -> None:
    assert SOLOv2Config(cell=8).sides == (8, 16, 32, 64, 128)
    for wrong in ({"cell": 5}, {"width": 20}, {"features": 4}, {"candidates": 0}, {"samples": 4}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SOLOv2Config(**wrong)


@pytest.mark.parametrize("cell", [2, 8])
def test_other_cells_learn_too(cell: int) -> None:
    torch.manual_seed(0)
    config = SOLOv2Config(cell=cell, width=16, mask_width=16, features=8)
    module = solov2.SOLOv2(config, ModelInput(1, mean=(0,), std=(1,)), 1).train()
    some = Instances(Masks.from_boxes(np.array([[2, 2, 9, 8], [20, 20, 60, 60]]), (64, 64)))
    losses = solov2.loss(module, torch.rand(1, 1, 64, 64), [encode(some, config)])
    assert all(torch.isfinite(v) and v > 0 for v in losses.values())
    category, _, _, shapes = module.grids(torch.rand(1, 1, 64, 64))
    assert shapes[0] == (64 // cell, 64 // cell)
    assert len(cell_places(shapes, config.sides, torch.device("cpu"))) == category.shape[1]


# --- decoding ---------------------------------------------------------------------------------------------------------


def _outputs(cells: list[tuple[float, float, float]], scores: list[float], labels: list[int]) -> dict[str, Any]:
    """Kernels that draw a disc of 2 cells' radius around each cell, on an input of 48 x 64."""
    kernels = torch.zeros(1, len(cells), 8 + 6)
    kernels[..., 8], kernels[..., 11:13] = 8.0, 2.0
    return {
        "scores": torch.tensor([scores]),
        "labels": torch.tensor([labels]),
        "kernels": kernels,
        "places": torch.tensor([cells]),
        "features": torch.rand(1, 8, 12, 16),
        "left_out": torch.zeros(1),
    }


def _disc(size: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


@pytest.mark.parametrize("scale", [1, 3])
def test_a_kernel_of_coordinates_draws_a_disc_at_its_cell(scale: int) -> None:
    out = _outputs([(30, 22, 8), (2, 2, 4), (44, 30, 8)], [0.9, 0.8, 0.7], [1, 0, 1])
    frame = Frame((45 * scale, 50 * scale), (45, 50))  # the rest is padding, and the image no multiple of 4
    found = decode(out, [frame], ("a", "b"), DecodeOptions())[0]
    assert found.names == ["b", "a", "b"]
    assert found.scores is not None
    assert (np.diff(found.scores) < 0).all()
    assert found.scores[0] > 0.8  # class probability times the mean probability inside
    for mask, (x, y, r) in zip(found.masks.to_dense(), [(30, 22, 16), (2, 2, 8), (44, 30, 16)], strict=True):
        want = _disc(frame.size, x * scale, y * scale, r * scale)
        assert (mask & want).sum() / (mask | want).sum() > 0.9  # a chord of 4 pixels lies inside its arc


def _whole(features: np.ndarray, kernels: np.ndarray, places: np.ndarray, stride: int) -> np.ndarray:
    """Logits on the whole map, (N, h, w), as the module's docstring defines them."""
    y, x = np.mgrid[: features.shape[1], : features.shape[2]]
    u, v = ((stride * (at + 0.5) - places[:, k, None, None]) / places[:, 2, None, None] for k, at in ((0, x), (1, y)))
    forms = np.stack([np.ones_like(u), u, v, -u * u, -v * v, -u * v], 1)
    return np.tensordot(kernels[:, :-6], features, 1) + (kernels[:, -6:, None, None] * forms).sum(1)


def _some_kernels(rng: np.random.Generator, count: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    squares = rng.uniform(0.05, 1, (count, 2))
    mixed = 1.8 * np.sqrt(squares.prod(1, keepdims=True)) * rng.uniform(-1, 1, (count, 1))
    kernels = np.concatenate([rng.normal(size=(count, channels + 3)), squares, mixed], 1).astype(np.float32)
    places = np.concatenate([rng.uniform(-20, 140, (count, 2)), rng.choice([4, 8, 32], (count, 1))], 1)
    return kernels, places.astype(np.float32)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_masks_found_in_tiles_equal_whole_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(scale=rng.uniform(0, 3), size=(8, *rng.integers(1, 40, 2))).astype(np.float32)
    weights, places = _some_kernels(rng, 20, 8)
    kernels = Kernels(features, weights, places, 4)
    logits = _whole(features, weights, places, 4)
    limit = kernel_masks_module._VALUES
    try:
        kernel_masks_module._VALUES = 1000  # a few at a time
        maskness, boxes, words = low_resolution(kernels)
    finally:
        kernel_masks_module._VALUES = limit
    on = logits > 0
    clear = (np.abs(logits) > 1e-3).all((1, 2))  # sums in another order
    area = np.bincount(words.owner, np.bitwise_count(words.bits), 20)
    assert np.array_equal(area[clear], on.sum((1, 2))[clear])
    assert boxes[clear].tolist() == Masks.from_dense(on[clear]).boxes.tolist()
    inside = (on / (1 + np.exp(-np.maximum(logits, 0)))).sum((1, 2)) / np.maximum(on.sum((1, 2)), 1)
    np.testing.assert_allclose(maskness[clear], inside[clear], atol=1e-5)
    chosen = np.flatnonzero(clear & (area > 0))
    size = features.shape[1] * 4 - 1, features.shape[2] * 4 - 1  # the last cell lies on padding in part
    frame = Frame((2 * size[0], 2 * size[1]), size)
    got = kernel_masks(kernels, chosen, boxes[chosen], frame)
    everywhere = np.tile([0, 0, *frame.size[::-1]], (len(chosen), 1))
    want = Masks.from_logits(logits[chosen], everywhere, frame.size, whole=True, span=(size[0] / 4, size[1] / 4))
    assert (np.abs(got.area - want.area) <= 3).all()
    assert all((a ^ b).sum() <= 3 for a, b in zip(got.to_dense(), want.to_dense(), strict=True))


def test_most_tiles_are_known_to_be_empty() -> None:
    weights = np.zeros((1, 14), np.float32)
    weights[0, 8], weights[0, 11:13] = 4.0, 1.0  # a disc of two cells' radius
    kernels = Kernels(np.zeros((8, 64, 64), np.float32), weights, np.float32([[130, 100, 8]]), 4)
    ((_, tile),) = kernels.reached()
    assert sorted(tile.tolist()) == [19, 20, 27, 28]


def test_duplicates_leave_and_other_classes_stay() -> None:
    out = _outputs([(30, 22, 8), (31, 22, 8), (30, 22, 8)], [0.9, 0.8, 0.7], [0, 0, 1])
    found = decode(out, [Frame((48, 64), (48, 64))], ("a", "b"), DecodeOptions())[0]
    assert found.labels.tolist() == [0, 1]
    found = decode(out, [Frame((48, 64), (48, 64))], ("a", "b"), DecodeOptions(iou=1.0))[0]
    assert len(found) == 3
    assert found.scores is not None
    assert found.scores[2] < 0.25  # decayed by its overlap with the first


def test_cells_in_the_padding_are_no_objects() -> None:
    out = _outputs([(30, 22, 8), (60, 22, 8)], [0.9, 0.8], [0, 0])
    assert len(decode(out, [Frame((48, 50), (48, 50))], ("a",), DecodeOptions())[0]) == 1


def test_the_limit_on_candidates_says_when_it_bites(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    module = solov2.SOLOv2(SOLOv2Config(candidates=8), ModelInput(1, mean=(0,), std=(1,)), 1).eval()
    with torch.inference_mode():
        raw = module(torch.rand(1, 1, 64, 64))
    assert raw["scores"].shape == (1, 8)
    assert raw["left_out"] <= raw["scores"].min()
    frame = [Frame((64, 64), (64, 64))]
    with caplog.at_level(logging.WARNING, "apiece"):
        decode(raw, frame, ("a",), DecodeOptions(conf=0.5))
        assert not caplog.text
        decode(raw, frame, ("a",), DecodeOptions(conf=0.0))
    assert "raise candidates" in caplog.text


def test_training_takes_bfloat16() -> None:
    torch.manual_seed(0)
    config = SOLOv2Config(width=16, mask_width=16, features=8)
    module = solov2.SOLOv2(config, ModelInput(1, mean=(0,), std=(1,)), 1).train()
    some = Instances(Masks.from_boxes(np.array([[2, 2, 9, 8], [20, 20, 60, 60]]), (64, 64)))
    with torch.autocast("cpu", torch.bfloat16):
        losses = solov2.loss(module, torch.rand(1, 1, 64, 64), [encode(some, config)])
    assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
