"""Tiles joined: the tiled result is the untiled one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from apiece import Instances, Masks
from apiece.errors import ConfigError, DataError
from apiece.ops import Grid, stitch

Detector = Callable[[Masks], Instances]


def joined(grid: Grid, parts: list[Instances]) -> Instances:
    return Instances.concatenate(list(stitch(parts, grid)))


def seen(truth: Masks, grid: Grid) -> list[Instances]:
    """Return what an exact detector finds in each window."""
    parts = [truth.crop(*window) for window in grid.windows.tolist()]
    return [Instances(masks[masks.area > 0]) for masks in parts]


def pieces(truth: Masks, grid: Grid) -> list[Instances]:
    """Return what a detector finds that takes each connected part for an object."""
    found = []
    for window in grid.windows.tolist():
        parts = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in truth.crop(*window).to_dense()]
        size = (window[3] - window[1], window[2] - window[0])
        found.append(Instances(Masks.concatenate([Masks.empty(size), *(Masks.from_label_map(part) for part in parts)])))
    return found


def as_text(masks: Masks) -> list[str]:
    return sorted(str(one["counts"]) for one in masks.to_coco())


def drawn(shape: tuple[int, int], *inside: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Masks:
    y, x = np.indices(shape) + 0.5
    return Masks.from_dense(np.stack([one(x, y) for one in inside]))


def disc(cx: float, cy: float, r: float, hole: float = 0) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, y: (hole**2 <= (x - cx) ** 2 + (y - cy) ** 2) & ((x - cx) ** 2 + (y - cy) ** 2 <= r**2)


@given(st.integers(0, 2**32), st.integers(24, 60), st.integers(1, 8), st.sampled_from([1, 4]))
@settings(max_examples=60, deadline=None)
def test_the_tiled_result_is_the_untiled_one(seed: int, tile: int, halo: int, align: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(20, 150, 2).tolist())
    low, sides = rng.uniform(0, 1, (12, 2)) * size[::-1], rng.exponential(20, (12, 2)) + 1
    frames = Masks.from_boxes(np.concatenate([low, low + sides], 1), size).to_dense()
    hole = np.concatenate([low + 1, low + sides * rng.uniform(0, 1, (12, 1)) - 1], 1).clip(0)
    truth = Masks.from_dense(frames & ~Masks.from_boxes(hole, size).to_dense())
    truth = truth[truth.area > 0]
    grid = Grid(size, tile, halo, align)
    assert as_text(joined(grid, seen(truth, grid)).masks) == as_text(truth)


@given(st.integers(1, 400), st.integers(17, 90), st.integers(1, 8), st.sampled_from([1, 3, 8]))
def test_windows_hold_cores_and_halos_and_cores_partition_the_image(
    length: int, tile: int, halo: int, align: int
) -> None:
    if tile - 2 * halo < align:
        return
    grid = Grid((length, 5), tile, halo, align)
    count = np.zeros(length, int)
    for (_, y0, _, y1), (_, a, _, b) in zip(grid.cores.tolist(), grid.windows.tolist(), strict=True):
        count[y0:y1] += 1
        assert a % align == 0
        assert b - a <= tile
        assert a == 0 or a <= y0 - halo
        assert b == length or b >= y1 + halo
    assert (count == 1).all()


@pytest.mark.parametrize(
    "truth",
    [
        drawn((96, 96), disc(48, 48, 40, 30), disc(48, 48, 8)),  # a nucleus within a ring
        drawn((96, 96), disc(48, 48, 40), disc(48, 48, 8)),  # a nucleus on a cell
        drawn((96, 96), lambda x, y: abs(x - y) < 5, lambda x, y: (x > 60) & (x < 80) & (y > 20) & (y < 40)),
        drawn((96, 96), disc(48, 30, 20, 14)),  # a ring over a seam
        drawn((96, 96), disc(48, 48, 30)),  # a disc over four tiles
        drawn((96, 96), lambda x, y: (x < 48) & (y > 9), lambda x, y: (x >= 48) & (y > 9)),  # neighbours at a seam
        drawn((96, 96), lambda x, y: (x > 9) & ((x > 60) & (x < 66) | (abs(x - 50) < 40) & (y % 16 < 7))),  # a comb
        drawn((96, 96), lambda x, y: (abs(x - 48) < 3) | (abs(y - 48) < 3), disc(20, 20, 9), disc(70, 70, 15)),
    ],
)
@pytest.mark.parametrize("detect", [seen, pieces])
@pytest.mark.parametrize(("tile", "count"), [(56, 4), (96, 1)])  # in tiles, and the whole image in one pass
def test_what_box_merging_gets_wrong(
    truth: Masks, detect: Callable[[Masks, Grid], list[Instances]], tile: int, count: int
) -> None:
    grid = Grid((96, 96), tile=tile, halo=8)
    assert len(grid) == count
    assert as_text(joined(grid, detect(truth, grid)).masks) == as_text(truth)


def test_a_copy_far_from_its_border_wins_and_a_sliver_goes() -> None:
    grid = Grid((40, 100), tile=60, halo=10)  # windows 0 to 60 and 40 to 100, cores meet at 50
    whole, wrong = Masks.from_boxes([[20, 5, 41, 20]], (40, 60)), Masks.from_boxes([[0, 6, 2, 30]], (40, 60))
    found = joined(grid, [Instances(whole), Instances(wrong)])
    assert found.boxes.tolist() == [[20, 5, 41, 20]]


def test_what_the_answering_tile_does_not_see_goes() -> None:
    grid = Grid((40, 100), tile=60, halo=10)
    nothing = Instances.empty((40, 60))
    boxes = Masks.from_boxes([[2, 5, 8, 12], [30, 5, 38, 12]], (40, 60))
    assert joined(grid, [nothing, Instances(boxes)]).boxes.tolist() == [[70, 5, 78, 12]]


@pytest.mark.parametrize(
    ("found", "objects"),
    [  # in windows 0 to 56 and 40 to 96
        (  # one on the other, both whole in the first tile; tiles on the right see one fragment, which fits both
            [
                [[20, 20, 46, 46], [30, 30, 46, 46]],
                [[40, 24, 46, 46]],
                [[30, 40, 46, 46], [20, 40, 46, 46]],
                [[40, 40, 46, 46]],
            ],
            [[20, 20, 46, 46], [30, 30, 46, 46]],
        ),
        (  # no tile sees the larger object whole; the second tile sees a part of it on a part of the smaller one
            [
                [[30, 46, 56, 56]],
                [[50, 44, 62, 56], [42, 46, 62, 56]],
                [[20, 46, 56, 80]],
                [[50, 44, 62, 60]],
            ],
            [[20, 46, 62, 80], [50, 44, 62, 60]],
        ),
    ],
)
def test_fragments_do_not_unite_two_objects_that_one_tile_tells_apart(
    found: list[list[list[int]]], objects: list[list[int]]
) -> None:
    grid = Grid((96, 96), tile=56, halo=8)
    parts = [
        Instances(Masks.from_boxes(boxes, grid.size).crop(*window))
        for boxes, window in zip(found, grid.windows.tolist(), strict=True)
    ]
    assert sorted(joined(grid, parts).boxes.tolist()) == objects


def test_the_score_is_that_of_a_copy_that_is_seen_whole() -> None:
    grid = Grid((40, 100), tile=60, halo=10)
    cut = Instances(Masks.from_boxes([[10, 5, 60, 20]], (40, 60)), scores=[0.1])
    whole = Instances(Masks.from_boxes([[5, 5, 30, 20]], (40, 60)), scores=[0.9])
    found = joined(grid, [cut, whole])
    assert found.boxes.tolist() == [[45, 5, 70, 20]]
    assert found.scores.tolist() == [0.9]


def test_classes_vote_and_full_masks_are_united() -> None:
    grid = Grid((40, 100), tile=60, halo=10)
    left, right = Masks.from_boxes([[20, 5, 60, 20]], (40, 60)), Masks.from_boxes([[0, 5, 40, 20]], (40, 60))
    full = Masks.from_boxes([[20, 5, 60, 25]], (40, 60)), Masks.from_boxes([[0, 5, 41, 20]], (40, 60))
    parts = [
        Instances(masks, [label], ("a", "b"), scores=[score], attributes={"seen": [label]}, full=whole)
        for masks, label, score, whole in ((left, 0, 0.6, full[0]), (right, 1, 0.9, full[1]))
    ]
    found = joined(grid, parts)
    assert found.names == ["a"]  # 30 columns in the left core, 30 in the right: the first class
    assert found.scores.tolist() == [0.6]
    assert found.attributes["seen"].tolist() == [0]
    assert found.boxes.tolist() == [[20, 5, 80, 20]]
    assert found.full.area.tolist() == [60 * 15 + 40 * 5 + 15]


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_pixel_of_doubt_at_the_border_doubles_merges_and_loses_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = np.stack(np.meshgrid(np.arange(20, 300, 40), np.arange(20, 300, 40)), -1).reshape(-1, 2)
    truth = drawn((300, 300), *(disc(x, y, rng.uniform(6, 19)) for x, y in centre + rng.uniform(-1, 1, centre.shape)))
    grid = Grid((300, 300), tile=90, halo=15)
    parts = []
    for window in grid.windows.tolist():
        masks = truth.crop(*window).to_dense()
        cut = [k for k, one in enumerate(masks) if one[[0, -1]].any() or one[:, [0, -1]].any()]
        for k in cut:
            change = ndimage.binary_erosion if rng.random() < 0.5 else ndimage.binary_dilation
            masks[k] = change(masks[k])
        found = Masks.from_dense(masks)
        parts.append(Instances(found[found.area > 0]))
    got = joined(grid, parts).masks
    from apiece import iou

    fits = iou(truth, got).toarray() > 0.6
    assert fits.sum(0).tolist() == [1] * len(truth)
    assert fits.sum(1).tolist() == [1] * len(truth)


def test_wrong_tiles_are_named() -> None:
    grid = Grid((40, 100), tile=60, halo=10)
    part = Instances.empty((40, 60))
    with pytest.raises(DataError, match="tile 1 of 2 is missing"):
        joined(grid, [part])
    with pytest.raises(DataError, match="tile 1 of 2 has 40 x 61 pixels; its window is 40 x 60"):
        joined(grid, [part, Instances.empty((40, 61))])
    with pytest.raises(DataError, match="more than the 2 tiles"):
        joined(grid, [part] * 3)
    with pytest.raises(ConfigError, match="leave no core"):
        Grid((40, 100), tile=20, halo=10)
