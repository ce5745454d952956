"""Scenes of anything: the same for the same arguments, whole masks, and as various as they claim to be."""

from __future__ import annotations

import numpy as np
import pytest

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.datasets import AnythingConfig, any_scene
from apiece.errors import ConfigError

_SIZE = (256, 256)


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Image, Instances]]:
    return [any_scene(AnythingConfig(_SIZE, seed=3), index) for index in range(36)]


def test_the_same_arguments_give_the_same_scene(scenes: list[tuple[Image, Instances]]) -> None:
    image, found = any_scene(AnythingConfig(_SIZE, seed=3), 17)
    np.testing.assert_array_equal(image.pixels, scenes[17][0].pixels)
    assert found.masks == scenes[17][1].masks
    other, _ = any_scene(AnythingConfig(_SIZE, seed=4), 17)
    assert not np.array_equal(other.pixels, image.pixels)


def test_masks_are_disjoint_filled_and_of_one_class(scenes: list[tuple[Image, Instances]]) -> None:
    for image, found in scenes:
        assert image.pixels.shape == (*_SIZE, 3)
        assert image.pixels.dtype == np.uint8
        assert found.size == _SIZE
        assert found.classes == ("object",)
        assert (found.masks.area > 0).all()
        assert found.masks.to_dense().sum(axis=0).max(initial=0) <= 1


def test_sizes_span_four_octaves_and_scenes_are_sparse_and_dense(scenes: list[tuple[Image, Instances]]) -> None:
    counts = np.array([len(found) for _, found in scenes])
    side = np.sqrt(np.concatenate([found.masks.area for _, found in scenes]))
    assert np.quantile(side, 0.995) / np.quantile(side, 0.005) > 2**4
    assert (counts <= 2).mean() > 0.1
    assert counts.max() >= 40
    assert (counts == 0).mean() < 0.2


def test_grounds_are_dark_and_bright(scenes: list[tuple[Image, Instances]]) -> None:
    free = [(image, ~found.masks.union().to_dense()[0]) for image, found in scenes if len(found)]
    ground = [np.median(image.pixels[empty]) for image, empty in free if empty.any()]
    assert np.min(ground) < 40
    assert np.max(ground) > 210


def test_an_object_that_no_eye_can_see_has_no_label(scenes: list[tuple[Image, Instances]]) -> None:
    """Averaged over an object, its colour or its texture differs from what surrounds it."""
    alike = total = 0
    for image, found in scenes:
        grey = image.pixels.astype(float).mean(axis=2)
        for mask in found.masks.to_dense():
            if mask.sum() < 60:
                continue
            around = np.pad(mask, 4)
            near = np.zeros_like(around)
            for dy in range(-4, 5):
                for dx in range(-4, 5):
                    near |= np.roll(around, (dy, dx), (0, 1))
            ring = near[4:-4, 4:-4] & ~mask
            inside, outside = grey[mask], grey[ring]
            total += 1
            alike += abs(inside.mean() - outside.mean()) < 1.5 and abs(inside.std() - outside.std()) < 1.5
    assert total > 100
    assert alike < 0.06 * total


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AnythingConfig(size=(32, 200)), "at least 64 x 64"),
        (lambda: AnythingConfig(seed=-1), "seed must be 0 or more"),
        (lambda: any_scene(AnythingConfig(), -1), "numbered from 0"),
    ],
)
def test_wrong_settings_are_named(make: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()  # type: ignore[operator]
