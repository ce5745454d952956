"""Flips, turns, scaling, shifts, crops: exact where they can be, near where they must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transforms.transform_scenes import disks

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ApieceError, ConfigError, InvalidInstancesError
from apiece.transforms import AffineCrop, Compose, Crop, Flip, QuarterTurn, Rotate, Sample, Scale, Translate
from apiece.transforms._warp import about, on_layers, warp, warp_masks, warp_pixels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def whole_image(size: tuple[int, int], seed: int = 0) -> Sample:
    """An image in which every pixel is its own value, and its masks."""
    values = np.arange(size[0] * size[1]).reshape(size)
    masks = Masks.from_dense(rng(seed).random((4, *size)) < 0.3)
    return Sample(values[:, :, None].astype(np.int32), Instances(masks, ids=np.arange(4)))


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def test_flip_by_hand() -> None:
    sample = Sample(
        np.array([[1, 2], [3, 4]], np.uint8)[:, :, None], Instances.from_label_map(np.array([[7, 0], [7, 9]]))
    )
    flipped = Flip("horizontal", p=1)(sample, rng())
    assert flipped.image[:, :, 0].tolist() == [[2, 1], [4, 3]]
    assert flipped.instances.masks.to_dense().astype(int).tolist() == [[[0, 1], [0, 1]], [[0, 0], [1, 0]]]
    assert flipped.instances.ids is not None
    assert flipped.instances.ids.tolist() == [7, 9]


def test_quarter_turn_by_hand() -> None:
    sample = Sample(
        np.array([[1, 2], [3, 4]], np.uint8)[:, :, None], Instances.from_label_map(np.array([[7, 0], [7, 9]]))
    )
    turned = QuarterTurn((1,))(sample, rng())
    assert turned.image[:, :, 0].tolist() == [[2, 4], [1, 3]]  # counter-clockwise
    assert turned.instances.masks.to_dense()[0].astype(int).tolist() == [[0, 0], [1, 1]]


@given(size=sizes, direction=st.sampled_from(["horizontal", "vertical"]), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_a_flip_twice_is_the_identity(size: tuple[int, int], direction: str, seed: int) -> None:
    sample = whole_image(size, seed)
    flip = Flip(direction, p=1)  # type: ignore[arg-type]
    twice = flip(flip(sample, rng()), rng())
    assert np.array_equal(twice.image, sample.image)
    assert twice.instances == sample.instances


@given(size=sizes, turns=st.integers(0, 3), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_turns_move_masks_as_pixels(size: tuple[int, int], turns: int, seed: int) -> None:
    sample = whole_image(size, seed)
    turned = QuarterTurn((turns,))(sample, rng())
    dense = sample.instances.masks.to_dense()
    assert np.array_equal(turned.image, np.rot90(sample.image, turns))
    assert np.array_equal(turned.instances.masks.to_dense(), np.rot90(dense, turns, axes=(1, 2)))
    back = QuarterTurn((4 - turns,))(turned, rng())
    assert back.instances == sample.instances


@given(size=sizes, x=st.floats(-1.5, 1.5), y=st.floats(-1.5, 1.5))
@settings(max_examples=40)
def test_translate_moves_masks_as_pixels(size: tuple[int, int], x: float, y: float) -> None:
    sample = whole_image(size)
    moved = Translate((x, x), (y, y), fill=-1, keep_empty=True)(sample, rng())
    dx, dy = round(x * size[1]), round(y * size[0])
    inside = moved.image[:, :, 0] >= 0
    rows, columns = np.nonzero(inside)
    assert np.array_equal(moved.image[rows, columns, 0], sample.image[rows - dy, columns - dx, 0])
    expected = np.zeros((4, *size), bool)
    expected[:, rows, columns] = sample.instances.masks.to_dense()[:, rows - dy, columns - dx]
    assert np.array_equal(moved.instances.masks.to_dense(), expected)


def test_what_vanishes_is_dropped_with_all_its_fields(scene: Sample) -> None:
    shift = {"x": (0.6, 0.6), "y": (0.0, 0.0)}
    kept = Translate(**shift, keep_empty=True)(scene, rng()).instances  # type: ignore[arg-type]
    dropped = Translate(**shift)(scene, rng()).instances  # type: ignore[arg-type]
    alive = kept.masks.area > 0
    assert 0 < alive.sum() < len(kept) == len(scene.instances)
    assert dropped == kept[alive]
    assert dropped.ids is not None
    assert dropped.attributes["mark"].tolist() == (dropped.ids * 2).tolist()
    assert "area" not in dropped.attributes  # the file's own area no longer holds


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.7, 3.0])
def test_areas_follow_the_scale(factor: float) -> None:
    sample = disks((120, 120), 8, radius=(12, 20))
    scaled = Scale((factor, factor), keep_empty=True)(sample, rng())
    before, after = sample.instances.masks.area, scaled.instances.masks.area
    assert scaled.image.shape[:2] == (round(120 * factor), round(120 * factor))
    # at most a quarter pixel along the outline
    slack = 2 * np.pi * np.sqrt(before / np.pi) * max(factor, 1.0) * 0.25 * factor + 4
    assert (np.abs(after - before * factor**2) < slack).all()


@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, -90.0])
def test_rotation_by_right_angles_equals_quarter_turns(degrees: float) -> None:
    sample = disks((41, 64), 6)
    rotated = Rotate((degrees, degrees), expand=True)(sample, rng())
    turned = QuarterTurn((round(degrees / 90),))(sample, rng())
    assert rotated.instances.masks == turned.instances.masks
    assert np.abs(rotated.image.astype(int) - turned.image).max() <= 1


@given(degrees=st.floats(-180, 180))
@settings(max_examples=15)
def test_rotation_with_room_keeps_area_and_turns_centroids(degrees: float) -> None:
    sample = disks((60, 80), 5, radius=(6, 10))
    rotated = Rotate((degrees, degrees), expand=True, keep_empty=True)(sample, rng())
    before, after = sample.instances.masks, rotated.instances.masks
    assert (np.abs(after.area - before.area) <= 2 * np.sqrt(before.area) + 2).all()
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    height, width = rotated.image.shape[:2]
    expected = (before.centroids - (40, 30)) @ turn.T + (width / 2, height / 2)
    assert np.abs(expected - after.centroids).max() < 0.6


def test_image_and_masks_move_together() -> None:
    # the image is the mask: wherever the warp takes them, they must agree
    sample = disks((90, 120), 1, radius=(20, 21))
    painted = (sample.instances.masks.to_dense()[0] * 255).astype(np.uint8)[:, :, None]
    sample = Sample(painted, sample.instances)
    for seed in range(20):
        cut = AffineCrop((64, 64), centred=1.0, stretch=1.5, fill=0)(sample, rng(seed))
        inside = cut.instances.masks.union().to_dense()[0]
        # a shift of half a pixel would give 0.015
        assert (inside != (cut.image[:, :, 0] > 127)).mean() < 0.006


@given(
    seed=st.integers(0, 1000),
    height=st.integers(3, 90),
    width=st.integers(3, 90),
    centred=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=40)
def test_crop_is_a_window_of_the_image(seed: int, height: int, width: int, centred: float) -> None:
    sample = whole_image((30, 40))
    cut = Crop((height, width), centred, fill=-1, keep_empty=True)(sample, rng(seed))
    assert cut.image.shape[:2] == (height, width)
    rows, columns = np.nonzero(cut.image[:, :, 0] >= 0)
    assert len(rows) == min(height, 30) * min(width, 40)  # no more padding than needed
    y, x = np.divmod(cut.image[rows, columns, 0], 40)
    assert np.array_equal(cut.instances.masks.to_dense()[:, rows, columns], sample.instances.masks.to_dense()[:, y, x])


def test_centred_crops_hold_an_instance() -> None:
    masks = Masks.from_boxes(np.array([[180, 180, 190, 190]], np.float32), (200, 200))
    sample = Sample(np.zeros((200, 200, 1), np.uint8), Instances(masks))
    found = [len(Crop((40, 40), centred=1.0)(sample, rng(s)).instances) for s in range(40)]
    assert all(found)
    found = [len(AffineCrop((40, 40), centred=1.0)(sample, rng(s)).instances) for s in range(40)]
    assert sum(found) > 30


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_dtype_and_channels_survive(dtype: type, channels: int) -> None:
    sample = disks((40, 50), 4)
    image = (np.repeat(sample.image[:, :, :1], channels, axis=2) > 100).astype(dtype)
    both = Compose((Rotate((30, 30)), Scale((0.4, 0.4)), Flip(), Translate(), Crop((20, 20)), AffineCrop((32, 32))))
    out = both(Sample(image, sample.instances), rng())
    assert out.image.dtype == dtype
    assert out.image.shape == (32, 32, channels)


def test_same_seed_same_sample(scene: Sample) -> None:
    steps = Compose((QuarterTurn(), AffineCrop((48, 48)), Flip()))
    first, second, third = (steps(scene, rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first.image, second.image)
    assert first.instances == second.instances
    assert not np.array_equal(first.image, third.image)


def test_overlaps_survive_a_warp(scene: Sample) -> None:
    matrix = about((40.0, 30.0), np.diag([1.3, 1.3]))
    together = warp_masks(scene.instances.masks, matrix, (60, 80))
    for i in range(len(scene.instances)):
        assert together[i : i + 1] == warp_masks(scene.instances.masks[i : i + 1], matrix, (60, 80))


def test_identity_warp_is_exact(scene: Sample) -> None:
    same = warp(scene, about((0.0, 0.0), np.eye(2)), (60, 80))
    assert np.array_equal(same.image, scene.image)
    assert same.instances.masks == scene.instances.masks


def test_nothing_in_nothing_out() -> None:
    sample = Sample(np.zeros((20, 30, 1), np.uint8), Instances.empty((20, 30), ("a",)))
    for step in (Flip(p=1), QuarterTurn((1,)), Rotate(), Scale(), Translate(), Crop((8, 8)), AffineCrop((8, 8))):
        assert len(step(sample, rng()).instances) == 0  # type: ignore[operator]
    far = warp(sample, about((0.0, 0.0), np.eye(2), (900.0, 900.0)), (5, 5), fill=3)
    assert (far.image == 3).all()


def test_large_outputs_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch, scene: Sample) -> None:
    matrix = about((40.0, 30.0), [[0.9, 0.4], [-0.4, 0.9]], (50.0, 40.0))
    at_once = warp(scene, matrix, (100, 120))
    monkeypatch.setattr("apiece.transforms._warp._BLOCK", 64)
    in_blocks = warp(scene, matrix, (100, 120))
    assert in_blocks.instances.masks == at_once.instances.masks
    assert np.abs(in_blocks.image.astype(int) - at_once.image).max() <= 6  # cv2 rounds places to 1/32 pixel


def test_shrinking_averages() -> None:
    noise = rng().integers(0, 255, (256, 256, 1)).astype(np.uint8)
    small = warp_pixels(noise, about((0.0, 0.0), np.diag([0.125, 0.125])), (32, 32))
    assert small.std() < noise.std() / 4


def test_layers_rejoin_in_order(scene: Sample) -> None:
    masks = scene.instances.masks
    assert on_layers(masks, lambda layer: layer, masks.size) == masks
    gone = on_layers(masks, lambda layer: np.where(layer == 3, 0, layer), masks.size)
    assert gone.area[2] == 0
    assert gone[np.arange(12) != 2] == masks[np.arange(12) != 2]


def test_thousands_of_instances() -> None:
    rows = np.arange(512) // 8
    label_map = rows[:, None] * 64 + rows[None, :] + 1
    sample = Sample(np.zeros((512, 512, 1), np.uint8), Instances.from_label_map(label_map))
    cut = AffineCrop((512, 512), scale=(1, 1))(sample, rng())
    assert len(cut.instances) > 2500
    assert (cut.instances.masks.area <= 80).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Flip("diagonal"),  # type: ignore[arg-type]
        lambda: Flip(p=1.5),
        lambda: QuarterTurn(()),
        lambda: Rotate((10, -10)),
        lambda: Scale((0.0, 1.0)),
        lambda: Translate(x=(0.0, float("nan"))),
        lambda: Crop((0, 5)),
        lambda: Crop(centred=2),
        lambda: AffineCrop(stretch=0.5),
    ],
)
def test_settings_are_checked(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        make()


def test_a_sample_must_agree(scene: Sample) -> None:
    with pytest.raises(InvalidInstancesError, match="its instances are on"):
        Sample(scene.image[:-1], scene.instances)
    with pytest.raises(ApieceError, match="flatten"):
        warp(scene, np.zeros((2, 3)), (5, 5))
