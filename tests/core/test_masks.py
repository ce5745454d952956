"""Conventions proved on arrays drawn by hand, and the forms a mask can take."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from apiece.core.masks import Masks, label_map_values
from apiece.errors import InvalidInstancesError


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


RING = draw(
    "####",
    "#..#",
    "#..#",
    "####",
)
TWO_PARTS = draw(
    "#...",
    ".#..",
    "....",
    "..##",
)


def test_stored_form_is_column_runs_with_half_open_rows() -> None:
    masks = Masks.from_dense(RING[None])
    assert masks.x.tolist() == [0, 1, 1, 2, 2, 3]
    assert masks.y0.tolist() == [0, 0, 3, 0, 3, 0]
    assert masks.y1.tolist() == [4, 1, 4, 1, 4, 4]
    assert masks.offsets.tolist() == [0, 6]


def test_area_box_centroid_parts_and_holes() -> None:
    masks = Masks.from_dense([RING, TWO_PARTS, np.zeros((4, 4), bool)])
    assert masks.area.tolist() == [12, 4, 0]
    assert masks.boxes.tolist() == [[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 0, 0]]
    assert masks.boxes.dtype == np.float32
    assert masks.centroids[:2].tolist() == [[2, 2], [2, 2.25]]
    assert np.isnan(masks.centroids[2]).all()
    # diagonal pixels are two parts: foreground is 4-connected
    assert masks.parts.tolist() == [1, 3, 0]
    assert masks.holes.tolist() == [1, 0, 0]


def test_one_pixel_covers_the_half_open_square_at_its_column_and_row() -> None:
    dense = np.zeros((1, 4, 4), bool)
    dense[0, 1, 2] = True
    masks = Masks.from_dense(dense)
    assert masks.boxes.tolist() == [[2, 1, 3, 2]]
    assert masks.centroids.tolist() == [[2.5, 1.5]]
    assert Masks.from_boxes([[2, 1, 3, 2]], (4, 4)) == masks
    assert Masks.from_boxes([[1.6, 0.6, 2.6, 1.6]], (4, 4)) == masks  # the only centre inside is (2.5, 1.5)


def test_outlines_are_pixel_edges_with_holes() -> None:
    (ring,), diagonal = Masks.from_dense([RING, TWO_PARTS]).to_polygons()
    outline, hole = ring
    assert outline.tolist() == [[0, 0], [4, 0], [4, 4], [0, 4]]
    assert sorted(map(tuple, hole.tolist())) == [(1, 1), (1, 3), (3, 1), (3, 3)]
    assert len(diagonal) == 3
    assert all(len(part) == 1 for part in diagonal)


def test_label_map_keeps_ascending_values() -> None:
    a = np.array([[7, 7, 0], [0, -2, 7]])
    masks = Masks.from_label_map(a)
    assert label_map_values(a).tolist() == [-2, 7]
    assert masks.area.tolist() == [1, 3]
    assert (masks.to_label_map([-2, 7]) == a).all()
    assert Masks.from_label_map(a, background=7).area.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_label_map_of_any_integer_type(dtype: str) -> None:
    top = 1 if dtype == "b1" else np.iinfo(dtype).max
    a = np.zeros((3, 3), dtype)
    a[1:, 1:] = top
    a[0, 0] = 1
    masks = Masks.from_label_map(a)
    values = label_map_values(a)
    assert values.tolist() == ([1] if dtype == "b1" else [1, top])
    assert (masks.to_label_map(np.asarray(values, np.uint64)) == a.astype(np.uint64)).all()


def test_label_map_of_any_memory_order() -> None:
    a = np.random.default_rng(0).integers(0, 4, (7, 9))
    wanted = Masks.from_label_map(a)
    assert Masks.from_label_map(np.asfortranarray(a)) == wanted
    assert Masks.from_label_map(np.repeat(a, 2, 1)[:, ::2]) == wanted
    assert Masks.from_label_map(a[::-1]) == wanted.flip("vertical")


def test_label_map_refuses_overlap_unless_told_who_wins() -> None:
    small, large = draw("....", ".#..", "....", "...."), np.ones((4, 4), bool)
    masks = Masks.from_dense([small, large])
    with pytest.raises(InvalidInstancesError, match="overlap on 1 pixels"):
        masks.to_label_map()
    assert masks.to_label_map(overlap="first")[1, 1] == 1
    assert masks.to_label_map(overlap="last")[1, 1] == 2
    assert masks.to_label_map(overlap="smallest")[1, 1] == 1
    assert masks[::-1].to_label_map(overlap="smallest")[1, 1] == 2


def test_label_map_refuses_values_beyond_the_type() -> None:
    with pytest.raises(InvalidInstancesError, match="do not fit uint8"):
        Masks.from_dense([RING]).to_label_map([300], np.uint8)


def test_semantic_map_lets_one_class_overlap_itself() -> None:
    masks = Masks.from_dense([RING, RING, draw("....", ".##.", ".##.", "....")])
    semantic = masks.to_semantic([0, 0, 4])
    assert (semantic == np.where(RING, 1, 5)).all()
    with pytest.raises(InvalidInstancesError, match="overlap"):
        masks.to_semantic([0, 1, 4])


@pytest.mark.parametrize(("background", "dtype"), [(255, "u1"), (-1, "i2"), (300, "u2")])
def test_semantic_map_on_any_background(background: int, dtype: str) -> None:
    semantic = Masks.from_dense([RING]).to_semantic([3], background=background)
    assert semantic.dtype == dtype
    assert (semantic == np.where(RING, 4, background)).all()


@pytest.mark.parametrize("background", [-1, 256])
def test_label_map_cannot_have_a_background_beyond_its_type(background: int) -> None:
    with pytest.raises(InvalidInstancesError, match=rf"of type uint8 can have .* {background}$"):
        Masks.from_label_map(np.zeros((2, 2), np.uint8), background)


@pytest.mark.parametrize("part", [np.arange(12).reshape(4, 3), np.arange(8).reshape(2, 4), ["a", 1, 2, 3, 4, 5]])
def test_polygon_of_another_form_is_refused(part: object) -> None:
    good = [0, 0, 4, 0, 4, 4]
    with pytest.raises(InvalidInstancesError, match=r"instance 1, part 1: .* shape \(K, 2\); got"):
        Masks.from_polygons([[good], [good, part]], (9, 9))  # type: ignore[list-item]
    rows = np.reshape(good, (3, 2))
    assert Masks.from_polygons([[good]], (9, 9)) == Masks.from_polygons([[rows]], (9, 9))
    assert Masks.from_polygons([[good]], (9, 9)) == Masks.from_polygons([[rows[:, None]]], (9, 9))  # OpenCV's contours


def test_rings_in_flat_arrays_are_the_same_polygons() -> None:
    shapes = [[[1, 1, 6, 1, 6, 5]], [], [[0, 0, 2, 0, 2, 2, 0, 2], [5, 5, 8, 5, 8, 8]]]
    flat = [np.reshape(ring, (-1, 2)).astype(float) for rings in shapes for ring in rings]
    given = np.concatenate(flat), np.array([0, 3, 7, 10]), np.array([0, 2, 2]), 3, (9, 9)
    assert Masks.from_rings(*given) == Masks.from_polygons(shapes, (9, 9))
    given[0][4, 1] = np.nan
    with pytest.raises(InvalidInstancesError, match=r"instance 2, part 0: .* got 8 numbers, not all finite"):
        Masks.from_rings(*given)
    given[0][4, 1] = 0
    with pytest.raises(InvalidInstancesError, match=r"instance 2, part 1: .* got 4 numbers$"):
        Masks.from_rings(given[0], np.array([0, 3, 8, 10]), *given[2:])


def test_layers_hold_every_mask_whole() -> None:
    masks = Masks.from_dense([RING, ~RING, np.ones((4, 4), bool), TWO_PARTS])
    layers = masks.to_layers()
    assert len(layers) == 3
    for i in range(4):
        assert sum((layer == i + 1).sum() for layer in layers) == masks.area[i]


def test_layers_of_a_chain_are_two() -> None:
    dense = np.zeros((50, 1, 101), bool)
    for i in range(50):
        dense[i, 0, 2 * i : 2 * i + 3] = True
    assert len(Masks.from_dense(dense).to_layers()) == 2


def test_a_fraction_of_a_pixel_is_refused() -> None:
    masks = Masks.from_dense([RING, TWO_PARTS])
    assert masks.crop(*np.array([1, 1, 5, 3], np.float32)) == masks.crop(1, 1, 5, 3)
    with pytest.raises(InvalidInstancesError, match=r"whole numbers, got 1\.5"):
        masks.crop(1.5, 1, 5, 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInstancesError, match="whole numbers"):
        masks.shift(0.5, 0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInstancesError, match="groups must be integers"):
        masks.merge([0.5, 0], 1)
    with pytest.raises(InvalidInstancesError, match="labels must be integers"):
        masks.to_semantic([0.5, 0])


def test_crop_shift_and_merge() -> None:
    masks = Masks.from_dense([RING, TWO_PARTS])
    assert masks.crop(1, 1, 5, 3).to_dense()[0].tolist() == [[False, False, True, False]] * 2
    assert masks.shift(10, -1, (4, 20)).boxes[0].tolist() == [10, 0, 14, 3]
    assert masks.shift(4, 0).area.tolist() == [0, 0]
    for window in ((0, 2, 4, 2), (2, 0, 2, 4), (2, 2, 2, 2)):  # without pixels, in the middle of masks
        assert masks.crop(*window) == Masks.empty((window[3] - window[1], window[2] - window[0]), 2)
    assert (masks.union().to_dense()[0] == RING | TWO_PARTS).all()
    merged = masks.merge([2, 2], 3)
    assert merged.area.tolist() == [0, 0, (RING | TWO_PARTS).sum()]


def test_index() -> None:
    masks = Masks.from_dense([RING, TWO_PARTS, ~RING])
    assert masks[[2, 0, 2]].area.tolist() == [4, 12, 4]
    assert masks[np.array([True, False, True])].area.tolist() == [12, 4]
    assert masks[-1] == masks[2] == masks[2:]
    assert len(masks[[]]) == 0
    many = Masks.from_label_map(np.arange(1, 301).reshape(15, 20))
    for kind in (np.int8, np.uint8, np.int16, np.uint64):
        assert many[np.array([100, 3], kind)] == many[[100, 3]]
    assert many[np.array([-1], np.int8)] == many[[299]]
    assert [len(m) for m in masks] == [1, 1, 1]
    with pytest.raises(IndexError, match="3 is out of range for 3"):
        masks[3]
    with pytest.raises(InvalidInstancesError, match=r"shape \(3,\), got \(2,\)"):
        masks[np.array([True, False])]
    with pytest.raises(InvalidInstancesError, match="1-D integer"):
        masks[np.array([0.5])]


def test_masks_do_not_change() -> None:
    masks = Masks.from_dense([RING])
    with pytest.raises(ValueError, match="read-only"):
        masks.x[0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        masks.size = (1, 1)
    # what is computed once is shared by all who ask
    for shared in (masks.area, masks.boxes, masks.centroids, masks.parts, masks.holes):
        with pytest.raises(ValueError, match="read-only"):
            shared += 1
    x = np.zeros(1, np.int32)
    own = Masks((4, 4), x, [0], [1], [0, 1])
    x[0] = 3
    assert own.x.tolist() == [0]
    again = pickle.loads(pickle.dumps(masks))
    assert again == masks
    assert not again.x.flags.writeable


@pytest.mark.parametrize(
    ("size", "x", "y0", "y1", "offsets", "message"),
    [
        ((4, 4), [0], [0], [5], [0, 1], "outside the image"),
        ((4, 4), [4], [0], [1], [0, 1], "outside the image"),
        ((4, 4), [0], [1], [1], [0, 1], "no pixel"),
        ((4, 4), [0, 0], [0, 2], [2, 3], [0, 2], "must not touch"),
        ((4, 4), [1, 0], [0, 0], [1, 1], [0, 2], "ordered"),
        ((4, 4), [0], [0], [1], [0, 2], "offsets"),
        ((4, 4), [0], [0, 1], [1, 2], [0, 1], "one length"),
        ((4, 4), [1.7], [0], [1], [0, 1], "x must be integers"),
        ((4, 4), [2**32 + 1], [0], [1], [0, 1], "outside the image"),
        ((4, 4), np.array([2**63 + 1], np.uint64), [0], [1], [0, 1], "x must fit 64 bits"),
        ((4, 4.5), [], [], [], [0], "size must be"),
        ((4, float("inf")), [], [], [], [0], "size must be"),
        ((4, -1), [], [], [], [0], "size must be"),
        (4, [], [], [], [0], "size must be"),
    ],
)
def test_wrong_runs_are_refused(size: object, x: list, y0: list, y1: list, offsets: list, message: str) -> None:
    with pytest.raises(InvalidInstancesError, match=message):
        Masks(size, x, y0, y1, offsets)  # type: ignore[arg-type]


def test_wrong_input_names_what_came() -> None:
    with pytest.raises(InvalidInstancesError, match="float64"):
        Masks.from_label_map(np.zeros((2, 2)))
    with pytest.raises(InvalidInstancesError, match=r"\(2, 2\)"):
        Masks.from_dense(np.zeros((2, 2)))
    with pytest.raises(InvalidInstancesError, match="crop 1 must be 2-D"):
        Masks.from_crops([RING, RING[0]], [[0, 0], [0, 0]], (4, 4))
    with pytest.raises(InvalidInstancesError, match="integer pairs"):
        Masks.from_crops([RING], [[0.5, 0]], (4, 4))
    with pytest.raises(InvalidInstancesError, match="different sizes"):
        Masks.concatenate([Masks.empty((1, 2)), Masks.empty((2, 1))])


def test_a_hundred_thousand_masks_on_the_largest_image() -> None:
    side = 131072
    rng = np.random.default_rng(0)
    corners = rng.integers(0, side - 2, (100_000, 2))
    corners[0] = side - 2  # the last pixels of all
    masks = Masks.from_crops([np.array([[1, 0], [1, 1]])] * 100_000, corners, (side, side))
    assert (masks.area == 3).all()
    assert np.array_equal(masks.boxes[:, :2], corners.astype(np.float32))
    assert np.array_equal(masks.centroids[0], corners[0] + np.array([5, 7]) / 6)
    assert Masks.from_coco(masks.to_coco()) == masks
    assert masks.flip("horizontal").flip("horizontal") == masks
    assert masks.flip("vertical").flip("vertical") == masks
    assert masks.transpose().transpose() == masks
    assert len(masks.to_polygons()) == 100_000
    full = Masks.from_boxes([[0, 0, side, side]], (side, side))
    assert full.area.tolist() == [side * side]
    assert full.to_coco(compressed=False)[0]["counts"] == [0, side * side]
    assert full.centroids.tolist() == [[side / 2, side / 2]]
    assert full.to_polygons()[0][0][0].tolist() == [[0, 0], [side, 0], [side, side], [0, side]]


def test_a_side_too_long_to_be_transposed_is_refused() -> None:
    side = 2**31 - 2
    pixel = Masks((side, side), [side - 2], [side - 2], [side - 1], [0, 1])
    a, b = side - 2, side - 1
    assert pixel.to_polygons()[0][0][0].tolist() == [[a, a], [b, a], [b, b], [a, b]]
    two = Masks((side, side), [side - 2, side - 2], [0, side - 2], [1, side - 1], [0, 2])
    assert [ring[0].tolist() for ring in two.to_polygons()[0]] == [
        [[a, 0], [b, 0], [b, 1], [a, 1]],
        [[a, a], [b, a], [b, b], [a, b]],
    ]
    with pytest.raises(InvalidInstancesError, match="too many for one set"):
        two.transpose()


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels(size: tuple[int, int]) -> None:
    masks = Masks.empty(size, 2)
    assert masks.area.tolist() == [0, 0]
    assert Masks.from_label_map(np.zeros(size, np.uint8)).area.tolist() == []
    assert Masks.from_dense(np.zeros((2, *size))) == masks
    assert Masks.from_coco(masks.to_coco()) == masks
    assert masks.to_label_map().shape == size
    assert Masks.from_logits(np.ones((2, 3, 3)), np.ones((2, 4)), size, whole=True) == masks
    assert Masks.from_prototypes(np.ones((1, 3, 3)), np.ones((2, 1)), np.ones((2, 4)), size) == masks
    assert masks.transpose().size == size[::-1]
    assert masks.to_polygons() == [[], []]
