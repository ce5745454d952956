"""From pixels to network input: by hand, and against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from apiece.core.image import Image
from apiece.errors import ConfigError, DataError, ImageError
from apiece.transforms import input
from apiece.transforms.input import (
    Frame,
    ModelInput,
    input_size,
    match_channels,
    normalise,
    percentile_range,
    prepare,
)

RNG = np.random.default_rng(5)
GREY = ModelInput(1, mean=(0,), std=(1,))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "?"])
def test_channels_that_match_without_loss(dtype: str) -> None:
    full = 1 if dtype in ("f4", "?") else np.iinfo(dtype).max
    grey = (RNG.random((4, 5, 1)) * full).astype(dtype)
    rgb = (RNG.random((4, 5, 3)) * full).astype(dtype)
    alpha = np.full((4, 5, 1), full, dtype)
    assert match_channels(rgb, 3) is rgb
    np.testing.assert_array_equal(match_channels(grey, 3), np.concatenate([grey] * 3, 2))
    np.testing.assert_array_equal(match_channels(np.concatenate([rgb, alpha], 2), 3), rgb)
    np.testing.assert_array_equal(match_channels(np.concatenate([grey] * 3, 2), 1), grey)
    np.testing.assert_array_equal(match_channels(np.concatenate([grey, grey, grey, alpha], 2), 1), grey)


@pytest.mark.parametrize(
    ("found", "wanted"), [(3, 1), (4, 3), (2, 3), (2, 1), (5, 3), (1, 2), (3, 4), (1, 12), (12, 1)]
)
def test_channels_that_do_not_match(found: int, wanted: int) -> None:
    pixels = np.arange(2 * 2 * found, dtype=np.uint8).reshape(2, 2, found)
    with pytest.raises(DataError, match=f"has {found} channels.* takes {wanted}"):
        match_channels(pixels, wanted)


@pytest.mark.parametrize("nodata", [-9999.0, np.nan])
def test_nodata_has_no_part_in_what_is_seen(nodata: float) -> None:
    pixels = np.random.default_rng(0).random((8, 9, 3)).astype(np.float32)
    pixels[:2] = nodata
    array, frame = prepare(Image(pixels, nodata=nodata), ModelInput())
    plain, _ = prepare(Image(pixels[2:]), ModelInput())
    np.testing.assert_array_equal(array[:, 2:], plain)
    assert np.isfinite(array).all()
    assert frame.data is not None
    assert int(frame.data.area[0]) == 54
    with pytest.raises(DataError, match=r"^the image has 3 channels, the model takes 5"):
        prepare(Image(pixels, nodata=nodata), ModelInput(5, mean=(0,) * 5, std=(1,) * 5))
    with pytest.raises(ConfigError, match="not both"):
        Image(pixels, alpha="unassociated", nodata=nodata)


def test_alpha_is_no_channel_unless_the_model_takes_it() -> None:
    pixels = np.random.default_rng(0).integers(10, 200, (8, 9, 4), np.uint8)
    pixels[:2, :, 3], pixels[2:, :, 3] = 0, 255
    pixels[:2, :, :3] = 255  # what is stored there means nothing
    image = Image(pixels, alpha="unassociated")
    array, frame = prepare(image, ModelInput())
    plain, _ = prepare(Image(pixels[2:, :, :3]), ModelInput())
    np.testing.assert_array_equal(array[:, 2:], plain)  # neither values nor their scale come from the ground
    assert frame.data is not None
    assert int(frame.data.area[0]) == 54
    four, frame = prepare(image, ModelInput(4, mean=(0,) * 4, std=(1,) * 4))
    assert (four.shape[0], frame.data) == (4, None)
    nothing = Image(np.zeros((4, 4, 2), np.uint8), alpha="associated")
    for spec in (ModelInput(), ModelInput(normalise="range")):
        array, frame = prepare(nothing, spec)
        assert (array == 0).all()
        assert frame.data is not None
        assert frame.data.area.tolist() == [0]
    with pytest.raises(DataError, match="beside its alpha channel, the image has 3 channels, the model takes 5"):
        prepare(image, ModelInput(5, mean=(0,) * 5, std=(1,) * 5))


def test_images_of_any_channels_become_grey_where_the_model_takes_them() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 4000, (6, 7, 5)).astype(np.uint16)
    pixels[:, :, 4] = rng.integers(0, 9, (6, 7))  # a dim channel counts as much as a bright one
    spec = ModelInput(any_channels=True)
    array, _ = prepare(Image(pixels), spec)
    limits = np.percentile(pixels, (1, 99.8), axis=(0, 1))
    grey = ((pixels - limits[0]) / (limits[1] - limits[0])).mean(axis=2)
    low, high = np.percentile(np.repeat(grey, 3), (1, 99.8))
    np.testing.assert_allclose(array, np.stack([(grey - low) / (high - low)] * 3), atol=1e-5)
    with pytest.raises(DataError, match="has 5 channels, the model takes 3"):
        prepare(Image(pixels), ModelInput())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_that_fit_are_the_same_to_a_model_of_any_channels(channels: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (6, 7, channels), np.uint8)
    image = Image(pixels, alpha="unassociated" if channels == 4 else None)
    for a, b in zip(prepare(image, ModelInput()), prepare(image, ModelInput(any_channels=True)), strict=True):
        np.testing.assert_array_equal(a, b) if isinstance(a, np.ndarray) else None
        assert isinstance(a, np.ndarray) or a == b


def test_nothing_that_is_no_number_becomes_grey() -> None:
    pixels = np.ones((4, 4, 2), np.float32)
    pixels[0, 0, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        prepare(Image(pixels), ModelInput(any_channels=True))


def test_prepare_names_the_file() -> None:
    image = Image(np.zeros((4, 4, 5), np.uint8), path=Path("a/b.tif"))
    with pytest.raises(ImageError, match=r"b\.tif: the image has 5 channels"):
        prepare(image, ModelInput())
    with pytest.raises(DataError, match="NaN"):
        prepare(Image(np.array([[0.0, np.nan]], np.float32)), GREY)
    for size in ((0, 0), (0, 5), (5, 0)):
        for spec in (GREY, ModelInput(1, "range", mean=(0,), std=(1,), imgsz=64)):
            with pytest.raises(DataError, match="no pixels"):
                prepare(Image(np.zeros(size, np.uint8)), spec)


@settings(max_examples=60)
@given(
    hnp.arrays(st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]), hnp.array_shapes(min_dims=3, max_dims=3))
    .filter(lambda a: bool(np.isfinite(a).all() and np.abs(a.astype(np.float64)).max() < 1e30))
)  # fmt: skip
def test_percentiles_are_numpys(pixels: np.ndarray) -> None:
    low, high = np.percentile(pixels.astype(np.float64), (1, 99.8))
    found = percentile_range(pixels)
    if high > low:
        assert found == pytest.approx((low, high))
    elif pixels.max() > low:
        assert found == pytest.approx((low, pixels.max()))
    else:
        assert found == ((pixels.min(), low) if pixels.min() < low else (low, low + 1))


@pytest.mark.parametrize(("background", "spots"), [(0, 200), (255, 40)])
def test_a_few_spots_on_a_saturated_background_stay_within_range(background: int, spots: int) -> None:
    pixels = np.full((100, 100, 1), background, np.uint8)
    pixels[40:44, 40:44] = spots
    found = normalise(pixels, GREY)
    assert (found.min(), found.max()) == (0, 1)


def test_percentiles_count_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RNG.integers(0, 65536, (40, 50, 2), np.uint16)
    whole = percentile_range(pixels)
    monkeypatch.setattr(input, "_BLOCK", 700)
    assert percentile_range(pixels) == whole == pytest.approx(tuple(np.percentile(pixels, (1, 99.8))))


def test_percentiles_of_a_large_float_image_are_sampled_the_same_each_time() -> None:
    pixels = RNG.normal(size=(1500, 1500, 1)).astype(np.float32)
    assert percentile_range(pixels) == percentile_range(pixels)
    assert percentile_range(pixels) == pytest.approx(tuple(np.percentile(pixels, (1, 99.8))), abs=0.05)


def test_normalise_by_percentile() -> None:
    pixels = np.arange(1001, dtype=np.uint16).reshape(7, 143, 1) * 10
    found = normalise(pixels, GREY)
    np.testing.assert_allclose(found, (pixels - 100.0) / (9980 - 100), rtol=1e-6, atol=1e-7)
    assert found.dtype == np.float32
    shifted = normalise(pixels, ModelInput(1, mean=(0.5,), std=(0.25,)))
    np.testing.assert_allclose(shifted, (found - 0.5) / 0.25, atol=1e-5)


@pytest.mark.parametrize(("dtype", "value", "expected"), [
    ("u1", 255, 1), ("u2", 65535, 1), ("i2", -32767, -1), ("?", 1, 1), ("f4", 0.25, 0.25), ("f8", 3, 3),
    ("u4", 2**32 - 1, 1),
])  # fmt: skip
def test_normalise_by_range(dtype: str, value: float, expected: float) -> None:
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    assert normalise(np.full((2, 2, 1), value, dtype), spec) == pytest.approx(expected)


def test_normalise_keeps_small_steps_on_a_large_offset() -> None:
    pixels = (4_000_000_000 + np.arange(100)).astype(np.uint32).reshape(10, 10, 1)
    np.testing.assert_allclose(normalise(pixels, GREY).ravel(), (np.arange(100) - 0.99) / (98.802 - 0.99), atol=1e-5)


def test_constant_and_almost_constant_images() -> None:
    pixels = np.full((100, 100, 1), 7, np.uint8)
    assert not normalise(pixels, GREY).any()
    pixels[3, 4] = 9
    found = normalise(pixels, GREY)
    assert (found[3, 4], found.sum()) == (1, 1)


def test_normalise_leaves_its_argument_alone() -> None:
    pixels = RNG.random((5, 5, 1)).astype(np.float32)
    before = pixels.copy()
    normalise(pixels, GREY)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(("size", "imgsz", "expected"), [
    ((480, 640), None, (480, 640)), ((480, 640), 320, (240, 320)), ((10, 20), 64, (32, 64)), ((1, 5000), 100, (1, 100)),
    ((333, 1000), 100, (33, 100)),
])  # fmt: skip
def test_input_size(size: tuple[int, int], imgsz: int | None, expected: tuple[int, int]) -> None:
    assert input_size(size, imgsz) == expected


@pytest.mark.parametrize("channels", [1, 3, 5, 12])
def test_prepare_keeps_the_mean_and_lines_up(channels: int) -> None:
    spec = ModelInput(channels, "range", (0.0,) * channels, (1.0,) * channels, imgsz=30 + 2)
    pixels = RNG.random((40, 64, channels), np.float32)
    array, _ = prepare(Image(pixels), spec)
    wanted = pixels.reshape(20, 2, 32, 2, channels).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(array, wanted, atol=1e-6)
    ramp = np.repeat(np.repeat((np.arange(16, dtype=np.float32) + 0.5)[None, :, None], 16, 0), channels, 2)
    # a ramp of x stays a ramp of x where coordinates are measured from pixel edges
    larger, _ = prepare(Image(ramp), spec)
    np.testing.assert_allclose(larger[0, 5, 1:-1], ((np.arange(32) + 0.5) / 2)[1:-1], atol=1e-5)


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "f4", "f8"])
def test_every_dtype_is_resized_within_a_step_of_its_own(dtype: str) -> None:
    pixels = (RNG.random((40, 60, 1)) * (1 if dtype[0] in "?f" else np.iinfo(dtype).max)).astype(dtype)
    spec = ModelInput(1, "range", (0.0,), (1.0,), imgsz=32)
    array, frame = prepare(Image(pixels), spec)
    assert (array.dtype, frame.input_size) == (np.float32, (21, 32))
    assert 0 <= array.min() <= array.max() <= 1


def test_prepare_gives_channels_first_and_the_frame() -> None:
    pixels = RNG.integers(0, 255, (50, 100, 3), np.uint8)
    array, frame = prepare(Image(pixels), ModelInput(imgsz=64), stride=32)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((3, 32, 64), np.float32, True)
    assert frame == Frame((50, 100), (32, 64))
    array, frame = prepare(Image(pixels), ModelInput(), stride=32)
    assert (array.shape, frame) == ((3, 64, 128), Frame((50, 100), (50, 100)))
    np.testing.assert_array_equal(array[:, :50, :100], normalise(pixels, ModelInput()).transpose(2, 0, 1))
    assert not array[:, 50:].any()
    assert not array[:, :, 100:].any()


@pytest.mark.parametrize("wrong", [
    {"channels": 0}, {"channels": 13}, {"normalise": "none"}, {"mean": (0,)}, {"std": (1, 1, 0)}, {"imgsz": 31},
    {"std": (1, 1, float("nan"))}, {"mean": (0, 0, float("inf"))},
])  # fmt: skip
def test_model_input_refuses(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ModelInput(**wrong)
