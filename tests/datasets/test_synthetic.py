"""Synthetic scenes: exact masks, the same bytes for the same seed, honest configuration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from apiece import formats
from apiece.datasets import _textures, synthetic
from apiece.datasets._light import Light, View
from apiece.datasets._parts import PARTS
from apiece.datasets.synthetic import Scene, SceneConfig, SyntheticSet, scene, write_dataset
from apiece.errors import ConfigError, UnknownNameError
from apiece.images import read_image
from apiece.ops.overlap import intersections

CLEAN = SceneConfig(size=(128, 128), objects=(3, 8), radius=(12, 22), blur=(0, 0), noise=(0, 0))
CROWDED = SceneConfig(size=(160, 200), objects=(25, 30), overlap=0.5, touching=0.9, seed=3)


def dense(drawn: Scene) -> tuple[np.ndarray, np.ndarray]:
    return drawn.visible.masks.to_dense(), drawn.full.masks.to_dense()


@pytest.mark.parametrize("config", [CLEAN, CROWDED, SceneConfig(size=(64, 300), overlap=0.0, seed=1)])
@pytest.mark.parametrize("index", [0, 5])
def test_visible_masks_are_disjoint_and_inside_the_full_ones(config: SceneConfig, index: int) -> None:
    drawn = scene(config, index)
    visible, full = dense(drawn)
    assert drawn.image.pixels.shape == (*config.size, 3)
    assert drawn.image.pixels.dtype == np.uint8
    assert visible.sum(axis=0).max(initial=0) <= 1
    assert not (visible & ~full).any()
    assert (visible.any(axis=0) == full.any(axis=0)).all()  # whatever a part hides, a part is seen there
    assert (drawn.visible.labels == drawn.full.labels).all()
    assert (drawn.visible.ids == drawn.full.ids).all()
    hidden = 1 - visible.sum((1, 2)) / full.sum((1, 2))
    np.testing.assert_allclose(drawn.visible.attributes["occluded"], hidden)
    assert (hidden <= config.overlap + 1e-9).all()


def test_a_visible_mask_is_the_full_one_less_what_lies_above() -> None:
    visible, full = dense(scene(CROWDED, 1))
    above = np.zeros(CROWDED.size, bool)
    hidden = 0
    for seen, whole in zip(visible[::-1], full[::-1], strict=True):  # the last lies on top
        assert (seen == (whole & ~above)).all()
        hidden += int((whole & above).sum())
        above |= whole
    assert hidden > 0, "the crowded scene should have parts that overlap"


def test_parts_touch_each_other_in_crowded_scenes() -> None:
    masks = scene(CROWDED, 0).visible.masks
    beside = intersections(masks, masks.shift(1, 0)).toarray()
    np.fill_diagonal(beside, 0)
    assert (beside > 0).sum() >= 3


def test_parts_that_cannot_be_seen_are_dropped_from_both_sets() -> None:
    config = SceneConfig(size=(48, 48), objects=(60, 60), radius=(6, 30), overlap=1.0, touching=1.0, seed=2)
    drawn = [scene(config, i) for i in range(4)]
    assert any(s.visible.ids.max() > len(s.visible) for s in drawn), "some part should have vanished"
    for s in drawn:
        assert s.visible.masks.area.min() > 0
        assert len(s.visible) == len(s.full)


def test_same_seed_same_bytes_in_any_order() -> None:
    config = SceneConfig(size=(96, 96), seed=7)
    forwards = [scene(config, i) for i in range(4)]
    _textures._tile.cache_clear()
    for i in (3, 1, 2, 0):
        again = scene(config, i)
        assert again.image.pixels.tobytes() == forwards[i].image.pixels.tobytes()
        assert again.visible == forwards[i].visible
        assert again.full == forwards[i].full


def test_scenes_and_seeds_differ() -> None:
    pictures = [scene(SceneConfig(size=(64, 64), seed=s), i).image.pixels.tobytes() for s in (0, 1) for i in (0, 1)]
    assert len(set(pictures)) == 4


def test_every_class_and_every_table_occurs() -> None:
    counts: Counter[str] = Counter()
    for i in range(24):
        counts.update(scene(SceneConfig(size=(128, 128)), i).visible.names)
    assert set(counts) == set(PARTS)
    for kind in _textures.BACKDROPS:
        empty = scene(SceneConfig(size=(64, 64), objects=(0, 0), backdrops=(kind,)), 0)
        assert len(empty.visible) == len(empty.full) == 0
        assert 5 < empty.image.pixels.mean() < 250


def test_labels_index_into_the_classes_asked_for() -> None:
    drawn = scene(SceneConfig(classes=("nut", "pill"), objects=(8, 8)), 0)
    assert drawn.visible.classes == drawn.full.classes == ("nut", "pill")
    assert set(drawn.visible.names) <= {"nut", "pill"}


@pytest.mark.parametrize("name", ["washer", "nut"])
def test_washers_and_nuts_have_one_hole(name: str) -> None:
    config = SceneConfig(classes=(name,), objects=(3, 5), overlap=0.0, touching=0.0, radius=(14, 24))
    found = [scene(config, i).full for i in range(4)]
    for full in found:
        boxes = full.masks.boxes
        inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < 256).all(axis=1)
        assert (full.masks.holes[inside] == 1).all()
        assert (full.masks.parts[inside] == 1).all()


@pytest.mark.parametrize("name", ["pill", "screw", "particle"])
def test_the_other_parts_are_whole(name: str) -> None:
    config = SceneConfig(classes=(name,), objects=(4, 4), overlap=0.0, radius=(14, 24))
    masks = scene(config, 0).full.masks
    assert len(masks)
    assert (masks.holes == 0).all()


def test_paint_and_mask_are_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without shadow, blur and noise the image differs from the empty table inside the masks and nowhere else."""
    monkeypatch.setattr(synthetic.Table, "shade", lambda *args: None)
    config = SceneConfig(size=(160, 160), objects=(6, 6), blur=(0, 0), noise=(0, 0), backdrops=("felt",), seed=1)
    laid = scene(config, 0)
    empty: dict[str, np.ndarray] = {}
    expose = synthetic._expose

    def keep(rng: np.random.Generator, table: synthetic._Table, light: Light, config: SceneConfig) -> np.ndarray:
        state = rng.bit_generator.state
        pixels = expose(rng, table, light, config)
        rng.bit_generator.state = state
        table.canvas[:] = empty["canvas"]
        empty["pixels"] = expose(rng, table, light, config)
        return pixels

    backdrop = synthetic.backdrop

    def remember(*args: object) -> np.ndarray:
        canvas = backdrop(*args)  # type: ignore[arg-type]
        empty["canvas"] = canvas.copy()
        return canvas

    monkeypatch.setattr(synthetic, "_expose", keep)
    monkeypatch.setattr(synthetic, "backdrop", remember)
    assert (scene(config, 0).image.pixels == laid.image.pixels).all()
    changed = (laid.image.pixels != empty["pixels"]).any(axis=2)
    covered = laid.full.masks.union().to_dense()[0]
    assert changed[covered].mean() > 0.97
    near = covered.copy()  # a pixel less than half covered is painted thinly and belongs to nobody
    for axis in (0, 1):
        near |= np.roll(near, 1, axis) | np.roll(near, -1, axis)
    assert not changed[~near].any()


@pytest.mark.parametrize("name", list(PARTS))
def test_outlines_are_distances(name: str) -> None:
    """The outline stays within reach, and its distance grows by about a pixel a pixel where anti-aliasing reads it."""
    for seed in range(5):
        part = PARTS[name](np.random.default_rng(seed), 20.0)
        half = int(part.reach) + 4
        v, u = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
        distance = part.distance(u, v)
        assert distance.dtype == np.float32
        radius = np.hypot(u, v)
        assert radius[distance <= 0].max() <= part.reach + 0.5
        steps = np.hypot(*np.gradient(distance))[np.abs(distance) < 0.5]
        assert 0.4 < np.median(steps) < 1.6
        light = Light((0.5, 0.0, 0.866), 0.4, 0.2)
        colour = part.paint(View(u, v, distance, 0.0, light), np.random.default_rng(0))
        assert colour.shape == (*u.shape, 3)
        assert colour.dtype == np.float32
        assert np.isfinite(colour).all()


def test_synthetic_set_is_a_sequence() -> None:
    items = SyntheticSet(CLEAN, count=3, start=10)
    assert len(items) == len(items.refs) == len(list(items)) == 3
    assert items.classes == CLEAN.classes
    assert [r.size for r in items.refs] == [(128, 128)] * 3
    image, instances = items[-1]
    expected = scene(CLEAN, 12)
    assert (image.pixels == expected.image.pixels).all()
    assert instances == expected.visible
    assert items.scene(2).full == expected.full
    with pytest.raises(IndexError, match="index 3 of 3"):
        items[3]


def test_write_dataset_round_trip(tmp_path: Path) -> None:
    train, val = write_dataset(tmp_path / "data", train=3, val=2, config=CLEAN)
    labels = formats.read(train)
    assert len(labels) == 3
    assert len(formats.read(val)) == 2
    for i, (ref, instances) in enumerate(labels):
        expected = scene(CLEAN, i)
        assert (read_image(ref.path).pixels == expected.image.pixels).all()
        assert instances.masks == expected.visible.masks
        assert instances.names == expected.visible.names
    # the validation scenes stay the same when there is more to train on
    _, other = write_dataset(tmp_path / "more", train=5, val=2, config=CLEAN)
    assert [i for _, i in formats.read(val)] == [i for _, i in formats.read(other)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"objects": (5, 2)}, "objects must be"),
        ({"radius": (2.0, 9.0)}, "radius must be"),
        ({"size": (16, 64)}, "at least 32"),
        ({"size": (64,)}, "size must be"),
        ({"size": (64.5, 64)}, "whole pixels"),
        ({"objects": (3,)}, "objects must be"),
        ({"objects": (1.5, 3)}, "whole numbers"),
        ({"radius": (11, float("inf"))}, "radius must be"),
        ({"overlap": 1.5}, "shares"),
        ({"seed": -1}, "seed"),
        ({"classes": ()}, "at least one part"),
        ({"classes": ("pill", "pill")}, "each named once"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SceneConfig(**wrong)  # type: ignore[arg-type]


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'washer'"):
        SceneConfig(classes=("wascher",))
    with pytest.raises(UnknownNameError, match="Did you mean 'wood'"):
        SceneConfig(backdrops=("wod",))
    with pytest.raises(ConfigError, match="numbered from 0"):
        scene(CLEAN, -1)
    with pytest.raises(ConfigError, match="count and start"):
        SyntheticSet(CLEAN, count=-1)
