"""Copy-paste and mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from tests.transforms.transform_scenes import disks

from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError
from apiece.transforms import Compose, CopyPaste, Mosaic, Sample, default_transforms


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def source(seed: int = 7, size: tuple[int, int] = (60, 80)):  # type: ignore[no-untyped-def]
    return lambda rng: disks(size, 6, int(rng.integers(1000)) + seed)


def test_paste_by_hand() -> None:
    below = Sample(np.full((2, 3, 1), 1, np.uint8), Instances.from_label_map(np.array([[4, 4, 4], [5, 0, 0]])))
    above = Sample(np.full((2, 3, 1), 9, np.uint8), Instances.from_label_map(np.array([[0, 0, 8], [8, 0, 0]])))
    out = CopyPaste(lambda rng: above, (1, 1), p=1)(below, rng())
    assert out.image[:, :, 0].tolist() == [[1, 1, 9], [9, 1, 1]]
    # what is covered is gone from the mask below; what is covered wholly is gone
    assert out.instances.masks.to_dense().astype(int).tolist() == [[[1, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 0, 0]]]
    kept = CopyPaste(lambda rng: above, (1, 1), p=1, keep_empty=True)(below, rng())
    assert kept.instances.masks.area.tolist() == [2, 0, 2]


@pytest.mark.parametrize("seed", range(5))
def test_pasted_instances_lie_on_top(scene: Sample, seed: int) -> None:
    pasted = CopyPaste(source(size=(50, 90)), p=1)(scene, rng(seed))
    fresh = pasted.instances
    assert fresh.ids is not None
    assert fresh.ids.tolist() == list(range(len(fresh)))
    changed = (pasted.image != scene.image).any(axis=2)
    assert not (changed & ~fresh.masks.union().to_dense()[0]).any()
    assert "mark" in fresh.attributes


def test_feathered_paste_keeps_masks(scene: Sample) -> None:
    hard = CopyPaste(source(), p=1)(scene, rng(1))
    soft = CopyPaste(source(), p=1, feather=1.5)(scene, rng(1))
    assert soft.instances == hard.instances
    assert soft.image.dtype == hard.image.dtype
    assert not np.array_equal(soft.image, hard.image)


@pytest.mark.parametrize("seed", range(5))
def test_mosaic_tiles_do_not_mix(scene: Sample, seed: int) -> None:
    out = Mosaic(source(), p=1)(scene, rng(seed))
    assert out.image.shape == scene.image.shape
    assert len(out.instances) > 4
    covered = out.instances.masks.union().to_dense()[0]
    assert np.array_equal(covered, (out.image != 20).any(axis=2))  # 20 is the scene's background


def test_mosaic_of_any_size(scene: Sample) -> None:
    out = Mosaic(source(), (101, 33), p=1, margin=0.0)(scene, rng(2))
    assert out.image.shape == (101, 33, 3)
    assert (out.instances.masks.area > 0).all()


def test_mixing_needs_alike_samples(scene: Sample) -> None:
    other = Sample(scene.image[:, :, :1], scene.instances)
    with pytest.raises(DataError, match="channels"):
        CopyPaste(lambda rng: other, p=1)(scene, rng())
    renamed = Sample(scene.image, scene.instances.replace(classes=("x", "y")))
    with pytest.raises(DataError, match="classes"):
        Mosaic(lambda rng: renamed, p=1)(scene, rng())


def test_nothing_to_paste(scene: Sample) -> None:
    bare = Sample(scene.image, scene.instances[:0])
    assert CopyPaste(lambda rng: bare, p=1)(scene, rng()) is scene
    assert len(CopyPaste(lambda rng: scene, (1, 1), p=1)(bare, rng()).instances) > 0


def test_same_seed_same_mix(scene: Sample) -> None:
    steps = Compose((CopyPaste(source(), p=1), Mosaic(source(), p=1), *default_transforms((48, 48)).transforms))
    first, second = steps(scene, rng(5)), steps(scene, rng(5))
    assert np.array_equal(first.image, second.image)
    assert first.instances == second.instances


@pytest.mark.parametrize(
    "make",
    [
        lambda: CopyPaste(source(), share=(0.5, 0.1)),
        lambda: CopyPaste(source(), feather=-1),
        lambda: Mosaic(source(), margin=0.7),
        lambda: Mosaic(source(), p=-1),
    ],
)
def test_settings_are_checked(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        make()
