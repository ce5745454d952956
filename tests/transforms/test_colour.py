"""Light and sharpness: dtype, range and instances stay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.transforms.transform_scenes import disks

from apiece.errors import ConfigError
from apiece.transforms import Blur, ColourJitter, Compose, Invert, Noise, Sample, default_transforms


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of(dtype: type, channels: int = 3) -> Sample:
    sample = disks((40, 50), 5)
    image = np.repeat(sample.image[:, :, :1], channels, axis=2).astype(np.float64)
    if dtype == np.uint16:
        image *= 16  # 12-bit data in a 16-bit file
    if np.dtype(dtype).kind == "f":
        image /= 255
    return Sample(image.astype(dtype), sample.instances)


STEPS = (ColourJitter(cast=0.3), Invert(p=1), Blur(p=1), Noise(p=1, shot=0.1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("step", STEPS)
def test_dtype_shape_and_instances_stay(step, dtype: type, channels: int) -> None:  # type: ignore[no-untyped-def]
    sample = of(dtype, channels)
    out = step(sample, rng(1))
    assert out.image.dtype == dtype
    assert out.image.shape == sample.image.shape
    assert np.isfinite(out.image).all()
    assert out.instances is sample.instances
    assert not np.array_equal(out.image, sample.image)


def test_jitter_does_the_same_to_every_dtype() -> None:
    # strengths are shares of the image's own range, so 8 bit, 12 bit and float agree
    jitter = ColourJitter(brightness=0.05, saturation=0)
    low, high = 20, 250
    for seed in range(5):
        eight, twelve, floats = (
            jitter(of(d), rng(seed)).image.astype(float) for d in (np.uint8, np.uint16, np.float64)
        )
        inside = (eight > low) & (eight < high)
        assert np.abs(twelve / 16 - eight)[inside].max() <= 1
        assert np.abs(floats * 255 - eight)[inside].max() <= 1


def test_zero_strength_changes_nothing() -> None:
    sample = of(np.float64)
    still = ColourJitter(brightness=0, contrast=0, gamma=0, saturation=0)(sample, rng())
    assert np.allclose(still.image, sample.image)
    assert default_transforms((40, 50), 0).transforms[1:] == ()


def test_inverting_twice_is_the_identity() -> None:
    sample = of(np.uint16)
    twice = Compose((Invert(p=1), Invert(p=1)))(sample, rng())
    assert np.array_equal(twice.image, sample.image)
    assert Invert(p=1, value_range=(0, 1))(of(np.float32), rng()).image.max() <= 1


def test_saturation_leaves_grey_alone() -> None:
    sample = of(np.float64)
    only = ColourJitter(brightness=0, contrast=0, gamma=0, saturation=2.0)
    assert np.allclose(only(sample, rng()).image, sample.image)


def test_noise_has_the_strength_asked_for() -> None:
    flat = Sample(np.full((200, 200, 1), 0.5, np.float32), disks((200, 200), 0).instances)
    noisy = Noise(std=(0.1, 0.1), p=1, value_range=(0, 1))(flat, rng()).image
    assert abs(noisy.std() - 0.1) < 0.005


def test_flat_and_empty_images() -> None:
    flat = Sample(np.full((8, 8, 1), 7, np.uint8), disks((8, 8), 0).instances)
    empty = Sample(np.zeros((0, 0, 1), np.uint8), disks((0, 0), 0).instances)
    for step in STEPS:
        assert step(flat, rng()).image.shape == (8, 8, 1)
        assert step(empty, rng()).image.shape == (0, 0, 1)


def test_p_zero_returns_the_sample() -> None:
    sample = of(np.uint8)
    for step in (ColourJitter(p=0), Invert(p=0), Blur(p=0), Noise(p=0)):
        assert step(sample, rng()) is sample


def test_bool_images() -> None:
    sample = of(np.uint8)
    bits = Sample(sample.image > 100, sample.instances)
    assert np.array_equal(Invert(p=1)(bits, rng()).image, ~bits.image)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ColourJitter(gamma=-1),
        lambda: ColourJitter(value_range=(1, 1)),
        lambda: Blur((0.0, 1.0)),
        lambda: Noise((-0.5, 0.1)),
        lambda: Noise(shot=-1),
        lambda: default_transforms(strength=-1),
        lambda: default_transforms(strength=float("nan")),
    ],
)
def test_settings_are_checked(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        make()
