"""The decoder against upsampling the whole image and thresholding inside the box."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError


def inside_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    rows = (y >= boxes[:, 1, None]) & (y < boxes[:, 3, None])
    return rows[:, :, None] & ((x >= boxes[:, 0, None]) & (x < boxes[:, 2, None]))[:, None, :]


def upsampled(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    big = F.interpolate(torch.from_numpy(maps)[None].double(), size=size, mode="bilinear", align_corners=False)
    return big[0].numpy()


shapes = st.tuples(*[st.integers(1, 90)] * 2, *[st.integers(1, 16)] * 2, st.integers(0, 2**32))


@given(shapes)
def test_maps_of_the_whole_image(shape: tuple[int, ...]) -> None:
    height, width, h, w, seed = shape
    rng = np.random.default_rng(seed)
    maps = rng.normal(rng.choice([0, -2]), size=(4, h, w)).astype(np.float32)  # or few cells inside
    boxes = np.sort(rng.uniform(-5, 95, (4, 2, 2)), 1).reshape(4, 4)
    masks = Masks.from_logits(maps, boxes, (height, width), threshold=0.25, whole=True)
    wanted = (upsampled(maps, (height, width)) > 0.25) & inside_boxes(boxes, (height, width))
    assert np.array_equal(masks.to_dense(), wanted)
    Masks(masks.size, masks.x, masks.y0, masks.y1, masks.offsets)


@given(st.integers(0, 2**32))
def test_maps_of_their_own_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x0, y0 = rng.integers(0, 30, 2).tolist()
    w, h = rng.integers(1, 40, 2).tolist()
    maps = rng.normal(rng.choice([0, -2]), size=(1, 7, 5)).astype(np.float32)
    masks = Masks.from_logits(maps, [[x0, y0, x0 + w, y0 + h]], (80, 80))
    wanted = np.zeros((80, 80), bool)
    wanted[y0 : y0 + h, x0 : x0 + w] = upsampled(maps, (h, w))[0] > 0
    assert np.array_equal(masks.to_dense()[0], wanted)


def test_prototypes_are_weighted_sums() -> None:
    rng = np.random.default_rng(0)
    prototypes = rng.normal(size=(8, 20, 30)).astype(np.float32)
    weights = rng.normal(size=(50, 8)).astype(np.float32)
    corner = rng.uniform(0, 100, (50, 2))
    boxes = np.concatenate([corner, corner + 60], 1)
    masks = Masks.from_prototypes(prototypes, weights, boxes, (120, 180))
    wanted = (upsampled(np.tensordot(weights, prototypes, 1), (120, 180)) > 0) & inside_boxes(boxes, (120, 180))
    assert np.array_equal(masks.to_dense(), wanted)
    assert len(Masks.from_prototypes(prototypes, weights[:0], boxes[:0], (120, 180))) == 0


@given(shapes, st.integers(1, 40))
def test_prototypes_near_boxes_of_any_size(shape: tuple[int, ...], side: int) -> None:
    height, width, h, w, seed = shape
    rng = np.random.default_rng(seed)
    # small integers: sums are exact in any order
    prototypes = rng.integers(-9, 9, (3, 4 * h, 4 * w)).astype(np.float32)
    weights = rng.integers(-9, 9, (12, 3)).astype(np.float32)
    boxes = rng.uniform(-5, 95, (12, 4))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0, side, (12, 2))
    masks = Masks.from_prototypes(prototypes, weights, boxes, (height, width), threshold=0.25)
    wanted = Masks.from_logits(np.tensordot(weights, prototypes, 1), boxes, (height, width), threshold=0.25, whole=True)
    assert masks == wanted
    apart = [prototypes[:2], prototypes[2:]]  # the same maps, not joined
    assert Masks.from_prototypes(apart, weights, boxes, (height, width), threshold=0.25) == wanted


def test_a_part_of_a_cell_may_lie_on_padding() -> None:
    # 5 x 7 pixels resized to 10 x 14 and padded to 16 x 16; a grid cell is 4 x 4 of these
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 4, 4)).astype(np.float32)
    boxes = np.tile([0.0, 0, 7, 5], (3, 1))
    wanted = upsampled(maps, (8, 8))[:, :5, :7] > 0  # the padded input at half its size
    for found in (
        Masks.from_logits(maps, boxes, (5, 7), whole=True, span=(2.5, 3.5)),
        Masks.from_prototypes(maps, np.eye(3, dtype=np.float32), boxes, (5, 7), span=(2.5, 3.5)),
    ):
        assert np.array_equal(found.to_dense(), wanted)


def test_a_map_that_is_zero_is_outside() -> None:
    assert Masks.from_logits(np.zeros((1, 4, 4), np.float32), [[0, 0, 9, 9]], (9, 9)).area.tolist() == [0]
    assert Masks.from_logits(np.ones((1, 4, 4), np.float32), [[0, 0, 9, 9]], (9, 9)).area.tolist() == [81]


def test_boxes_outside_or_turned_inside_out_give_empty_masks() -> None:
    boxes = [[20, 20, 30, 30], [5, 5, 2, 2], [-9, -9, -1, -1], [3, 3, 3, 8]]
    masks = Masks.from_logits(np.ones((4, 3, 3), np.float32), boxes, (10, 10))
    assert masks.area.tolist() == [0, 0, 0, 0]


def test_memory_does_not_grow_with_the_number_of_masks() -> None:
    def peak(count: int) -> int:
        rng = np.random.default_rng(0)
        maps = np.ones((count, 28, 28), np.float32)
        corner = rng.uniform(0, 1500, (count, 2))
        boxes = np.concatenate([corner, corner + 150], 1)
        tracemalloc.start()
        Masks.from_logits(maps, boxes, (1700, 1700))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # 1,000 dense masks of this image would take 2.9 GB
    assert peak(1000) < 40e6


def test_maps_of_any_memory_order_and_type() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (6, 2))
    boxes = np.concatenate([corner, corner + 20], 1)
    plain = rng.normal(size=(6, 16, 16)).astype(np.float16)
    wanted = Masks.from_logits(plain.astype(np.float32), boxes, (64, 64), whole=True)
    turned = np.ascontiguousarray(plain.transpose(1, 2, 0)).transpose(2, 0, 1)
    back = np.ascontiguousarray(plain[:, ::-1])[:, ::-1]
    for maps in (plain, turned, back, plain.astype(">f8")):
        maps.setflags(write=False)
        assert Masks.from_logits(maps, boxes, (64, 64), whole=True) == wanted


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InvalidInstancesError, match=r"\(2, h, w\)"):
        Masks.from_logits(np.zeros((3, 4, 4), np.float32), np.zeros((2, 4)), (8, 8))
    for maps in (3.0, np.zeros((1, 0, 4), np.float32)):
        with pytest.raises(InvalidInstancesError, match="one map of at least one cell per box"):
            Masks.from_logits(maps, np.zeros((1, 4)), (8, 8))  # type: ignore[arg-type]
    with pytest.raises(InvalidInstancesError, match="int64"):
        Masks.from_logits(np.zeros((1, 4, 4), np.int64), np.zeros((1, 4)), (8, 8))
    with pytest.raises(InvalidInstancesError, match="prototypes must be"):
        Masks.from_prototypes(np.zeros((3, 4, 4)), np.zeros((2, 2)), np.zeros((2, 4)), (8, 8))
    with pytest.raises(InvalidInstancesError, match="finite"):
        Masks.from_boxes([[0, 0, np.nan, 1]], (8, 8))
