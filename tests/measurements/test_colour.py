"""L*a*b*: against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from apiece import Image, Instances, Masks
from apiece.errors import ConfigError
from apiece.measurements import mean_colours, measure


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_equal_to_skimage(dtype: type) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((30, 40, 3))
    pixels = values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)
    labels = rng.integers(0, 4, (30, 40))
    table = measure(Instances.from_label_map(labels), Image(pixels), properties=["lab_mean", "lab_std"])
    lab = rgb2lab(pixels)
    for k in range(3):
        inside = lab[labels == k + 1]
        for c, name in enumerate("Lab"):
            assert table[f"lab_mean_{name}"][k] == pytest.approx(inside[:, c].mean(), abs=0.01)
            assert table[f"lab_std_{name}"][k] == pytest.approx(inside[:, c].std(), abs=0.01)


def test_white_and_black() -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, 2:] = 255
    masks = Masks.from_boxes([(0, 0, 2, 2), (2, 0, 4, 2)], (2, 4))
    table = measure(Instances(masks), Image(pixels), properties=["lab_mean"])
    assert table["lab_mean_L"] == pytest.approx([0, 100], abs=1e-3)
    assert table["lab_mean_a"] == pytest.approx([0, 0], abs=1e-3)


def test_grey_images_have_no_colour() -> None:
    masks, image = Masks.from_boxes([(0, 0, 2, 2)], (2, 4)), Image(np.zeros((2, 4), np.uint8))
    assert "lab_mean_L" not in measure(Instances(masks), image).columns
    with pytest.raises(ConfigError, match="3 channels"):
        measure(Instances(masks), image, properties=["lab_mean"])


def test_mean_colours_of_any_number_of_channels() -> None:
    found = Instances(Masks.from_boxes([(0, 0, 2, 2), (1, 0, 4, 2)], (2, 4)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4)).astype(np.uint8)
    table = measure(found, Image(pixels[..., :3]), properties=["lab_mean"])
    expected = np.stack([table[f"lab_mean_{c}"] for c in "Lab"], 1)
    np.testing.assert_array_equal(mean_colours(found, Image(pixels)), expected)
    grey = mean_colours(found, Image(pixels[..., :1]))
    np.testing.assert_array_equal(grey, mean_colours(found, Image(pixels[..., [0, 0, 0]])))
    np.testing.assert_allclose(grey[:, 1:], 0, atol=1e-3)
    clear = np.dstack((pixels[..., :3], np.full((2, 4), 255, np.uint8)))
    clear[:, 0, 3] = 0
    part = mean_colours(found, Image(clear, alpha="unassociated"))
    np.testing.assert_allclose(part[0], mean_colours(found, Image(np.repeat(pixels[:, 1:2, :3], 4, 1)))[0], atol=1e-4)
