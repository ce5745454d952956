"""Texture: against every pair of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Image, Instances, Masks
from apiece.errors import ConfigError
from apiece.measurements import measure

NAMES = ("texture_contrast", "texture_correlation")


def test_equal_to_every_pair_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((3, 20, 24)) < 0.6
    pixels = rng.integers(0, 60000, (20, 24, 2)).astype(np.uint16)
    table = measure(Instances(Masks.from_dense(dense)), Image(pixels), properties=NAMES)
    for k, mask in enumerate(dense):
        down, across = mask[1:] & mask[:-1], mask[:, 1:] & mask[:, :-1]
        for c in range(2):
            one = pixels[..., c].astype(float)
            first = np.concatenate((one[:-1][down], one[:, :-1][across]))
            second = np.concatenate((one[1:][down], one[:, 1:][across]))
            assert table[f"texture_contrast_{c}"][k] == pytest.approx(np.sqrt(np.mean((first - second) ** 2)))
            assert table[f"texture_correlation_{c}"][k] == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)


def test_plain_and_single_pixels() -> None:
    masks = Masks.from_boxes([(0, 0, 3, 3), (5, 5, 6, 6), (0, 0, 0, 0)], (8, 8))
    image = Image(np.full((8, 8), 7, np.uint8))
    table = measure(Instances(masks), image, properties=NAMES)
    assert table["texture_contrast_0"].tolist()[0] == 0
    assert np.isnan(table["texture_contrast_0"][1:]).all()
    assert np.isnan(table["texture_correlation_0"]).all()
    assert "texture_contrast_0" not in measure(Instances(masks), image).columns
    with pytest.raises(ConfigError, match="image"):
        measure(Instances(masks), properties=NAMES)
