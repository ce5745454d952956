"""Published weights' own resizing: sizes and pixels as their libraries make them, other types as well, bad rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as library
from transformers.image_transforms import get_size_with_aspect_ratio

from apiece.core.image import Image
from apiece.errors import ConfigError
from apiece.transforms.fit import Fit
from apiece.transforms.input import ModelInput, prepare

RNG = np.random.default_rng(3)
PHOTO = RNG.integers(0, 256, (90, 130, 3), np.uint8)
SIDES = st.integers(20, 3000)


@given(SIDES, SIDES)
def test_sizes_are_those_of_transformers(height: int, width: int) -> None:
    assert Fit(shorter=800, longer=1333).size((height, width)) == get_size_with_aspect_ratio((height, width), 800, 1333)


@given(SIDES, SIDES)
def test_sizes_are_those_of_torchvisions_detectors(height: int, width: int) -> None:
    scale = min(800 / min(height, width), 1333 / max(height, width))
    empty = torch.zeros(1, 1, height, width, device="meta")
    theirs = functional.interpolate(empty, scale_factor=scale, mode="bilinear", recompute_scale_factor=True)
    assert Fit(shorter=800, longer=1333, filter="linear").size((height, width)) == tuple(theirs.shape[2:])


def test_exact_and_multiple() -> None:
    assert Fit(exact=(384, 512)).size((9, 2000)) == (384, 512)
    assert Fit(shorter=64, multiple=32).size((100, 150)) == (64, 96)
    assert Fit(shorter=70, multiple=32).size((100, 150)) == (96, 128)


@pytest.mark.parametrize("size", [(40, 70), (90, 50), (200, 300)])
@pytest.mark.parametrize(("filter", "mode"), [("smooth", "bilinear"), ("cubic", "bicubic")])
def test_pixels_are_those_of_the_library(size: tuple[int, int], filter: str, mode: str) -> None:
    ours = Fit(exact=(32, 32), filter=filter).resize(PHOTO, size)
    theirs = library.resize(
        torch.from_numpy(PHOTO).permute(2, 0, 1), list(size), InterpolationMode(mode), antialias=True
    )
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs.permute(1, 2, 0).numpy().astype(int)).max() <= 2


@pytest.mark.parametrize("size", [(40, 70), (90, 50), (200, 300)])
def test_linear_pixels_are_those_of_the_library(size: tuple[int, int]) -> None:
    ours = Fit(shorter=32, filter="linear").resize(PHOTO, size)
    theirs = functional.interpolate(
        torch.from_numpy(PHOTO).permute(2, 0, 1)[None].float(), size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0), atol=1e-2)


@pytest.mark.parametrize("filter", ["smooth", "cubic", "linear"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "?"])
def test_other_types_and_channels(dtype: str, filter: str) -> None:
    pixels = (PHOTO[:, :, :2] > 127 if dtype == "?" else PHOTO[:, :, :2]).astype(dtype)
    found = Fit(exact=(32, 48), filter=filter).resize(pixels, (32, 48))
    assert found.shape == (32, 48, 2)
    assert abs(found.mean(dtype=float) - pixels.mean(dtype=float)) < 0.05 * pixels.mean(dtype=float)


def test_the_network_gets_it_padded_and_the_frame_says_where() -> None:
    spec = ModelInput(3, "range", fit=Fit(shorter=64, longer=80, pad=80))
    array, frame = prepare(Image(PHOTO), spec, 32)
    assert array.shape == (3, 80, 80)
    assert frame.input_size == (55, 80)
    assert not array[:, 55:].any()
    # of a uint16 image, linear resizing gives the same network input as of the same image in 8 bits
    linear = ModelInput(3, "range", fit=Fit(shorter=64, filter="linear"))
    deep, _ = prepare(Image(PHOTO.astype(np.uint16) * 257), linear)
    plain, _ = prepare(Image(PHOTO), linear)
    np.testing.assert_allclose(deep, plain, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"shorter": 64, "exact": (64, 64)}, {"shorter": 8}, {"exact": (64, 10**6)}, {"shorter": 64, "longer": 40},
        {"shorter": 64, "multiple": 0}, {"shorter": 64, "pad": -1}, {"shorter": 64, "filter": "nearest"},
    ],
)  # fmt: skip
def test_bad_rules(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Fit(**wrong)
    with pytest.raises(ConfigError, match="give one of them"):
        ModelInput(imgsz=64, fit=Fit(shorter=64))
