"""Leaks: exact copies, recompressed, resized, brightened, mirrored and turned ones; nothing that is only alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.check.leaks import CHECK
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets.synthetic import SceneConfig, scene
from apiece.ops import image_hash
from apiece.ops.image_hash import TURNS, near_pairs, print_of

Pixels = npt.NDArray[Any]
SCENES = [scene(SceneConfig(size=(160, 200), objects=(3, 9), radius=(9, 24)), i).image.pixels for i in range(40)]


def check(train: list[Pixels], val: list[Pixels], settings: Settings | None = None) -> list[Finding]:
    """Findings on images that are named by their position."""
    settings, kept = settings or Settings(), []
    for split, images in (("train", train), ("val", val)):
        for i, pixels in enumerate(images):
            ref = ImageRef(Path(f"{i}.png"), f"{split}{i}.png")
            image = Image(pixels)
            kept.append(CHECK.remember(Labelled(split, i, ref, Instances.empty(image.size), image), settings))
    return list(CHECK.conclude(kept, SetFacts(("object",), {"train": (), "val": ()}, {}), settings))


def recompressed(pixels: Pixels, quality: int = 50) -> Pixels:
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def resized(pixels: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "recompressed": recompressed,
    "half the size": lambda p: resized(p, 0.5),
    "a little smaller": lambda p: recompressed(resized(p, 0.93), 80),
    "brighter": lambda p: cv2.add(p, np.full_like(p, 20)),
    "less contrast": lambda p: cv2.convertScaleAbs(p, alpha=0.7, beta=25),
    "another gamma": lambda p: (255 * (p / 255) ** 0.85).astype(np.uint8),
    "grey": lambda p: p.mean(axis=2).astype(np.uint8),
    "16 bit": lambda p: p.astype(np.uint16) * 257,
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "turned by 90": lambda p: np.rot90(p),
    "turned by 180": lambda p: np.rot90(p, 2),
    "turned by 270, recompressed": lambda p: recompressed(np.ascontiguousarray(np.rot90(p, 3))),
    "transposed": lambda p: p.swapaxes(0, 1),
}


@pytest.mark.parametrize("name", COPIES)
def test_every_copy_is_found_and_nothing_else(name: str) -> None:
    found = check(SCENES[:30], [*(COPIES[name](p) for p in SCENES[:30]), *SCENES[30:]])
    assert {f.kind for f in found} == {"leak"}
    pairs = {(f.place.index, tuple(o.index for o in f.others)) for f in found}
    assert pairs <= {(i, (i,)) for i in range(30)}
    assert len(pairs) >= 29
    assert all(0.9 < f.sure <= 1 and f.place.split == "val" and f.others[0].split == "train" for f in found)


def test_the_message_says_how() -> None:
    (same,) = check(SCENES[:3], [SCENES[1].copy()])
    assert same.message == "val image val0.png is a copy of train image train1.png: the same pixels"
    assert same.sure == 1
    (turned,) = check(SCENES[:3], [np.rot90(SCENES[2])])
    assert "train2.png" in turned.message
    assert "turned by 90 degrees" in turned.message
    assert turned.sure < 1.0 + 1e-6


def cells(rng: np.random.Generator, count: int, ramp: float = 0.0) -> Pixels:
    """A few bright discs on a dark, noisy ground, perhaps unevenly lit."""
    field = np.full((256, 256), 12.0) + ramp * np.linspace(0, 40, 256)[None, :]
    y, x = np.mgrid[:256, :256]
    for cx, cy, r in zip(*rng.uniform(10, 246, (2, count)), rng.uniform(5, 11, count), strict=True):
        field[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += rng.uniform(40, 90)
    return np.clip(cv2.GaussianBlur(field, (0, 0), 1) + rng.normal(0, 2, field.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ramp", [0.0, 1.0])
def test_dark_fields_with_few_objects_are_not_all_alike(ramp: float) -> None:
    rng = np.random.default_rng(3)
    fields = [cells(rng, 4, ramp) for _ in range(60)]
    assert check(fields[:30], fields[30:]) == []
    found = check(fields[:30], [recompressed(f) for f in fields[:30]])
    assert len(found) >= 29
    assert all(f.others == f.others[:1] and f.others[0].index == f.place.index for f in found)


def test_one_object_more_is_another_image() -> None:
    """The same table under the same light: what an inspection camera sees all day."""
    rng = np.random.default_rng(5)
    ground = cells(rng, 6)
    other = ground.copy()
    cv2.circle(other, (60, 200), 12, 110, -1)
    assert check([ground], [other]) == []


def test_empty_images_are_alike_only_if_they_are_the_same() -> None:
    rng = np.random.default_rng(0)
    black, grey = np.zeros((64, 64), np.uint8), np.full((64, 64), 90, np.uint8)
    noise = [rng.integers(0, 4, (64, 64)).astype(np.uint8) for _ in range(6)]
    assert check([black], [grey]) == []
    found = check([black, *noise[:3]], [grey, black.copy(), *noise[3:]])
    assert [(f.place.index, f.others[0].index) for f in found] == [(1, 0)]


def test_within_a_split_one_finding_for_all_that_hang_together() -> None:
    a, b, c = SCENES[:3]
    (found,) = check([a, b, recompressed(a), c, a.copy()], [])
    assert found.kind == "repeated_image"
    assert found.place.index == 0
    assert [o.index for o in found.others] == [2, 4]
    assert found.message == "train0.png is in train 3 times (near-duplicates), also as train2.png, train4.png"
    (same,) = check([a, a.copy()], [b])
    assert "the same pixels" in same.message
    assert same.sure == 1


def test_a_third_split_and_copies_on_both_sides() -> None:
    a = SCENES[0]
    found = check([a, a.copy()], [recompressed(a), a.copy()])
    leaks = [f for f in found if f.kind == "leak"]
    assert {f.place.index for f in leaks} == {0, 1}
    assert all(f.others[0].split == "train" for f in leaks)
    assert [len(f.others) for f in found if f.kind == "repeated_image"] == [1, 1]


def test_near_is_a_setting() -> None:
    strict = [len(check([SCENES[i]], [recompressed(SCENES[i], 20)], Settings(near=0))) for i in range(10)]
    loose = [len(check([SCENES[i]], [recompressed(SCENES[i], 20)], Settings(near=10))) for i in range(10)]
    assert sum(strict) < sum(loose) == 10


def test_hash_of_a_turned_image_is_the_turned_hash() -> None:
    rng = np.random.default_rng(1)
    small = rng.random((1, 32, 32)).astype(np.float32)
    signs = image_hash._signs(small)
    for (transposed, upside, mirrored), _ in TURNS:
        turned = small.transpose(0, 2, 1) if transposed else small
        turned = turned[:, ::-1] if upside else turned
        turned = turned[:, :, ::-1] if mirrored else turned
        assert (image_hash._signs(turned) == image_hash._turned_signs(signs, transposed, upside, mirrored)).all()


def test_pairs_of_hashes_against_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    own, other = rng.integers(0, 64, (2, 50)).astype(np.uint64)
    monkeypatch.setattr(image_hash, "_CELLS", 64)  # several chunks
    found = {(int(i), int(j)) for a, b in image_hash._near(own, other, 1) for i, j in zip(a, b, strict=True)}
    wanted = {(i, j) for i in range(50) for j in range(i + 1, 50) if int(own[i] ^ other[j]).bit_count() <= 1}
    assert found == wanted


def test_values_that_are_no_numbers_and_many_channels() -> None:
    rng = np.random.default_rng(4)
    wild = rng.random((40, 50, 5)).astype(np.float32)
    wild[3, 4], wild[5, 6] = np.nan, np.inf
    one = print_of(Image(wild))
    assert one.size == (40, 50)
    assert one.small.max() == 255
    assert near_pairs([], 6).first.tolist() == []
    flags = print_of(Image(rng.random((20, 20)) > 0.5))
    assert flags.digest != print_of(Image((rng.random((20, 20)) > 0.5).astype(np.uint8))).digest
