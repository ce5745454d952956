"""Labels on pixels unlike the rest: planted ones are found, and a class that simply varies is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from apiece.check import pixels as family
from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.check.pixels import CHECK
from apiece.check.pixels._pixel_features import FEATURES, features_of
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks

CLASSES = ("leaf", "stone")
GREEN, GREY, BROWN = (40, 150, 50), (120, 120, 125), (110, 80, 50)
Draw = Callable[[np.random.Generator, int, int], tuple[tuple[float, float, float], float]]
"""``(rng, image, object)`` to colour and texture."""


def corners(k: int) -> tuple[int, int]:
    return 12 + 32 * (k % 5), 12 + 32 * (k // 5)


def photo(rng: np.random.Generator, index: int, draw: Draw, dtype: str = "uint8") -> Image:
    """Fifteen squares of 16 pixels on brown ground; exposure differs from image to image."""
    field = np.broadcast_to(np.array(BROWN, np.float64), (112, 172, 3)) + rng.normal(0, 6, (112, 172, 3))
    for k in range(15):
        colour, texture = draw(rng, index, k)
        x, y = corners(k)
        field[y : y + 16, x : x + 16] = np.array(colour) + rng.normal(0, texture, (16, 16, 1)) + rng.normal(0, 4, 3)
    exposed = np.clip(field * rng.uniform(0.6, 1.1), 0, 255)
    return Image((exposed * (257 if dtype == "uint16" else 1)).astype(dtype))


def labels(named: Callable[[int], int]) -> Instances:
    boxes = np.array([[*corners(k), *(v + 16 for v in corners(k))] for k in range(15)], np.float64)
    return Instances(Masks.from_boxes(boxes, (112, 172)), np.array([named(k) for k in range(15)], np.int64), CLASSES)


def check(images: list[tuple[Instances, Image | None]]) -> list[Finding]:
    kept = [
        CHECK.remember(Labelled("train", i, ImageRef(Path("x"), f"{i}.png"), own, image), Settings())
        for i, (own, image) in enumerate(images)
    ]
    return list(CHECK.conclude([k for k in kept if k is not None], SetFacts(CLASSES, {"train": ()}, {}), Settings()))


def usual(rng: np.random.Generator, image: int, k: int) -> tuple[tuple[float, float, float], float]:
    """Leaves, and from the eleventh on stones."""
    return (GREEN, 12) if k < 10 else (GREY, 5)


def is_stone(k: int) -> int:
    return int(k >= 10)


def test_a_sound_set_has_no_finding() -> None:
    rng = np.random.default_rng(0)
    assert check([(labels(is_stone), photo(rng, i, usual)) for i in range(60)]) == []
    assert check([]) == []
    assert check([(labels(is_stone), None)]) == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_swapped_classes_are_found(dtype: str) -> None:
    rng, wrong = np.random.default_rng(1), {(3, 2), (17, 4), (30, 12), (41, 0), (41, 1)}
    images = []
    for i in range(60):
        swapped = {k for image, k in wrong if image == i}
        own = labels(lambda k, swapped=swapped: is_stone(k) ^ (k in swapped))  # type: ignore[misc]
        images.append((own, photo(rng, i, usual, dtype)))
    found = check(images)
    assert {f.kind for f in found} == {"like_other_class"}
    assert {(f.place.index, *f.place.instances) for f in found} == wrong
    assert all(f.sure > 0.8 for f in found)
    stone = next(f for f in found if f.place.index == 30)
    assert stone.message.startswith("leaf: its pixels are")
    assert stone.message.endswith("as usual for stone")
    assert stone.place.box == (76.0, 76.0, 92.0, 92.0)


def test_labels_on_bare_ground_are_found() -> None:
    rng, wrong = np.random.default_rng(2), {(5, 3), (20, 13), (44, 7)}

    def draw(rng: np.random.Generator, image: int, k: int) -> tuple[tuple[float, float, float], float]:
        return (BROWN, 3) if (image, k) in wrong else usual(rng, image, k)

    found = check([(labels(is_stone), photo(rng, i, draw)) for i in range(60)])
    assert {(f.place.index, *f.place.instances) for f in found} >= wrong
    assert len(found) <= len(wrong) + 1
    assert all(any(name in f.message for name in FEATURES) for f in found if f.kind == "unlike_class")


def test_a_class_of_many_looks_is_left_alone() -> None:
    """Cars of all colours; and a stain that only one image in fifteen has."""

    def cars(rng: np.random.Generator, image: int, k: int) -> tuple[tuple[float, float, float], float]:
        return tuple(rng.uniform(20, 230, 3)), rng.uniform(3, 20)  # type: ignore[return-value]

    def stained(rng: np.random.Generator, image: int, k: int) -> tuple[tuple[float, float, float], float]:
        return ((150, 60, 150), 25) if image % 15 == 0 else (GREEN, 8)

    for seed, draw in enumerate((cars, stained)):
        rng = np.random.default_rng(seed)
        found = check([(labels(lambda k: 0), photo(rng, i, draw)) for i in range(60)])
        assert len(found) <= 1  # of 900


def test_too_few_say_nothing() -> None:
    rng = np.random.default_rng(3)

    def odd(rng: np.random.Generator, image: int, k: int) -> tuple[tuple[float, float, float], float]:
        return (BROWN, 3) if (image, k) == (2, 2) else (GREEN, 12)

    assert check([(labels(lambda k: 0), photo(rng, i, odd)) for i in range(family.MANY // 15)]) == []
    assert len(check([(labels(lambda k: 0), photo(rng, i, odd)) for i in range(20)])) == 1


def brute(plane: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return float(plane[mask].mean()), float(plane[mask].std())


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_features_against_plain_numpy(channels: int) -> None:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 4000, (50, 60, channels)).astype(np.uint16)
    dense = np.zeros((3, 50, 60), bool)
    dense[0, 5:20, 8:30] = dense[1, 15:40, 20:22] = dense[1, 30, 40:50] = True
    masks = Masks.from_dense(dense)
    found = features_of(Image(pixels), masks).astype(np.float64)
    shown = pixels[:, :, : 3 if channels >= 3 else 1].astype(np.float64)
    low, high = np.percentile(shown.mean(axis=2), (1, 99.8))
    middles = np.array([pixel for m in masks for pixel in zip((m.y0 + m.y1) // 2, m.x, strict=True)])
    inside = np.percentile(shown.mean(axis=2)[middles[:, 0], middles[:, 1]], (5, 95))
    low, high = min(low, inside[0]), max(high, inside[1])
    grey = (shown.mean(axis=2) - low) / (high - low)
    free = ~dense.any(axis=0)
    # the boxes, larger by a quarter of their sides in every direction
    for i, (x0, y0, x1, y1) in enumerate([(3, 2, 35, 23), (13, 9, 57, 46)]):
        mean, spread = brute(grey, dense[i])
        assert found[i, 0] == pytest.approx(mean, rel=1e-4)
        assert found[i, 4] == pytest.approx(np.log(spread + 1e-3), rel=1e-3)
        window = np.zeros((50, 60), bool)
        window[y0:y1, x0:x1] = True
        assert found[i, 3] == pytest.approx(mean - grey[window & free].mean(), rel=1e-3)
        if channels >= 3:
            tint = (shown[:, :, 0] - shown[:, :, 1]) / (high - low)
            assert found[i, 1] == pytest.approx(brute(tint, dense[i])[0], rel=1e-3, abs=1e-4)
        else:
            assert (found[i, 1:3] == 0).all()
    assert np.isnan(found[2, 0])


def test_a_small_object_on_a_dark_field_sets_the_range() -> None:
    rng = np.random.default_rng(0)
    dark = rng.normal(10, 1, (400, 400))
    dark[200:210, 200:210] += 90
    small = features_of(Image(dark.astype(np.uint8)), Masks.from_boxes([[200, 200, 210, 210]], (400, 400)))
    assert small[0, 3] == pytest.approx(1.0, abs=0.1)


def test_one_grey_and_values_that_are_no_numbers() -> None:
    flat = features_of(Image(np.full((20, 20), 7, np.uint8)), Masks.from_boxes([[2, 2, 8, 8]], (20, 20)))
    assert np.isfinite(flat).all()
    wild = np.ones((20, 20), np.float32)
    wild[3, 3], wild[4, 4] = np.nan, np.inf
    assert np.isfinite(features_of(Image(wild), Masks.from_boxes([[0, 0, 20, 20]], (20, 20)))).all()
