"""Every operation against dense NumPy, and encodings against pycocotools, on random masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scipy import ndimage

from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError

stacks = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)))


@given(stacks)
def test_reads_what_dense_says(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    Masks(masks.size, masks.x, masks.y0, masks.y1, masks.offsets)  # of the stored form
    assert np.array_equal(masks.to_dense(), dense)
    assert masks.area.tolist() == dense.sum((1, 2)).tolist()
    for i, one in enumerate(dense):
        if one.any():
            y, x = np.nonzero(one)
            assert masks.boxes[i].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert np.allclose(masks.centroids[i], [x.mean() + 0.5, y.mean() + 0.5])


@given(stacks)
def test_moves_as_dense_does(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert np.array_equal(masks.flip("horizontal").to_dense(), dense[:, :, ::-1])
    assert np.array_equal(masks.flip("vertical").to_dense(), dense[:, ::-1])
    assert np.array_equal(masks.transpose().to_dense(), dense.transpose(0, 2, 1))
    assert np.array_equal(masks.union().to_dense()[0], dense.any(0))
    assert np.array_equal(masks.crop(1, 1, 8, 5).to_dense(), np.pad(dense, ((0, 0), (0, 9), (0, 9)))[:, 1:5, 1:8])
    assert np.array_equal(
        masks.shift(2, -1).to_dense(), np.pad(dense, ((0, 0), (0, 1), (2, 0)))[:, 1:, : dense.shape[2]]
    )


@given(stacks)
def test_parts_holes_and_outlines(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    parts = [ndimage.label(one)[1] for one in dense]
    holes = [ndimage.label(np.pad(~one, 1, constant_values=True), np.ones((3, 3)))[1] - 1 for one in dense]
    assert masks.parts.tolist() == parts
    assert masks.holes.tolist() == holes
    outlines = masks.to_polygons()
    assert [len(part) for part in outlines] == parts
    assert [sum(len(rings) - 1 for rings in part) for part in outlines] == holes
    # outline minus holes, by COCO's rasterisation rule, is the mask
    for one, polygons in zip(dense, outlines, strict=True):
        rings = [ring for part in polygons for ring in part]
        painted = Masks.from_polygons([[ring] for ring in rings], one.shape).to_dense()
        assert np.array_equal(painted.sum(0) % 2 == 1, one)


@given(stacks)
def test_every_form_returns(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert Masks.from_coco(masks.to_coco(), masks.size) == masks
    assert Masks.from_coco(masks.to_coco(compressed=False), masks.size) == masks
    assert Masks.from_crops(*masks.to_crops(), masks.size) == masks
    layers = masks.to_layers()
    back = {}
    for layer in layers:
        for value, one in zip(np.unique(layer[layer > 0]), Masks.from_label_map(layer), strict=True):
            back[value - 1] = one
    assert all(back[i] == masks[i] for i in np.flatnonzero(masks.area))


@given(stacks)
def test_coco_rle_is_that_of_pycocotools(dense: np.ndarray) -> None:
    ours = Masks.from_dense(dense).to_coco()
    theirs = coco.encode(np.asfortranarray(dense.transpose(1, 2, 0).astype(np.uint8))) if len(dense) else []
    assert [r["counts"] for r in ours] == [r["counts"].decode() for r in theirs]
    assert Masks.from_coco(theirs, dense.shape[1:]) == Masks.from_dense(dense)  # bytes
    plain = [r["counts"] for r in Masks.from_dense(dense).to_coco(compressed=False)]
    mixed = [p if i % 2 else t for i, (p, t) in enumerate(zip(plain, (r["counts"] for r in ours), strict=True))]
    rles = [{"size": dense.shape[1:], "counts": c} for c in mixed]
    assert Masks.from_coco(rles, dense.shape[1:]) == Masks.from_dense(dense)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_counts_with_zeros_between_are_joined(counts: list[int]) -> None:
    size = (sum(counts), 1)
    mask = Masks.from_coco([{"size": size, "counts": counts}])
    dense = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    assert np.array_equal(mask.to_dense()[0, :, 0], dense)
    Masks(mask.size, mask.x, mask.y0, mask.y1, mask.offsets)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "add up to 0"),
        ("04", "add up to 4"),
        ("\x00", "character"),
        ("é", "character"),
        ("o", "cut short"),
        ("oooooooooooooooooooo0", "63 bits"),
        ([5, -1], "negative"),
        ([10**30], "list of integers"),
        ([[1]], "list of integers"),
        ([0.5], "list of integers"),
        (None, "list of integers"),
        ([17], "larger than the image"),
    ],
)
def test_broken_rle_names_the_mask(counts: object, message: str) -> None:
    good = {"size": [4, 4], "counts": [16]}
    with pytest.raises(InvalidInstancesError, match=message) as error:
        Masks.from_coco([good, {"size": [4, 4], "counts": counts}])
    assert "mask 1" in str(error.value) or message == "63 bits"


def test_rle_size_is_checked() -> None:
    with pytest.raises(InvalidInstancesError, match=r"mask 1.*\[2, 2\], expected \[4, 4\]"):
        Masks.from_coco([{"size": [4, 4], "counts": [16]}, {"size": [2, 2], "counts": [4]}])
    with pytest.raises(InvalidInstancesError, match="needs the image's size"):
        Masks.from_coco([])


@given(st.binary(max_size=12))
def test_any_bytes_give_masks_or_a_named_error(data: bytes) -> None:
    try:
        mask = Masks.from_coco([{"size": [3, 5], "counts": data}])
    except InvalidInstancesError:
        return
    Masks(mask.size, mask.x, mask.y0, mask.y1, mask.offsets)


def coordinates(step: float) -> st.SearchStrategy[float]:
    return st.integers(int(-20 / step), int(50 / step)).map(lambda v: v * step)


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.lists(st.tuples(coordinates(s), coordinates(s)), min_size=3, max_size=8) for s in (1, 0.5, 0.1, 0.01)
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_polygons_are_those_of_pycocotools(parts: list[list[tuple[float, float]]], height: int, width: int) -> None:
    flat = [[v for point in part for v in point] for part in parts]
    theirs = coco.decode(coco.merge(coco.frPyObjects(flat, height, width)))
    assert np.array_equal(Masks.from_polygons([flat], (height, width)).to_dense()[0], theirs)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ([0, 0, 1, 1], "at least 3 points"),
        ([0, 0, 1, 1, 2, 2, 3], "7 numbers"),
        ([], "at least 3 points"),
        ([0, 0, 1, float("nan"), 2, 2], "not all finite"),
        ([0, 0, 1, float("inf"), 2, 2], "not all finite"),
    ],
)
def test_broken_polygons_name_instance_and_part(part: list[float], message: str) -> None:
    good = [0, 0, 3, 0, 3, 3]
    with pytest.raises(InvalidInstancesError, match=f"instance 1, part 1: .*{message}"):
        Masks.from_polygons([[good], [good, part]], (4, 4))


def test_polygons_far_outside_do_not_overflow() -> None:
    huge = 1e300
    mask = Masks.from_polygons([[[-huge, -huge, huge, -huge, huge, huge, -huge, huge]], []], (3, 3))
    assert mask.area.tolist() == [9, 0]
