"""Images that all look alike: photos of one part and frames of one camera are a series, and copies are still found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from apiece.check import Finding, check
from apiece.check.leaks._series import MEMBERS
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.formats import Record
from apiece.images import write_image

HEIGHT, WIDTH = 300, 400


@dataclass(frozen=True)
class Labels:
    """Images without labels."""

    refs: tuple[ImageRef, ...]
    classes: tuple[str, ...] = ("part",)
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        return self.refs[index], Instances.empty(self.refs[index].size or (1, 1), self.classes)


def photo(rng: np.random.Generator) -> np.ndarray:
    """A grey plate with a hole, a little shifted, in changing light, with two specks and noise."""
    shown = np.full((HEIGHT, WIDTH), 60, np.float32)
    shift = rng.normal(0, 8, 2)  # in sixteenths of a pixel
    corners = ((50 * 16, 40 * 16), (350 * 16, 260 * 16))
    a, b = (tuple(int(v + s) for v, s in zip(corner, shift, strict=True)) for corner in corners)
    cv2.rectangle(shown, a, b, 150, -1, cv2.LINE_AA, 4)
    cv2.circle(shown, (int(200 * 16 + shift[0]), int(100 * 16 + shift[1])), 25 * 16, 60, -1, cv2.LINE_AA, 4)
    shown = cv2.GaussianBlur(shown, (0, 0), 1)
    for x, y in zip(rng.integers(80, 320, 2).tolist(), rng.integers(140, 240, 2).tolist(), strict=True):
        cv2.circle(shown, (x, y), int(rng.integers(2, 5)), float(rng.uniform(90, 120)), -1, cv2.LINE_AA)
    shown *= 1 + rng.normal(0, 0.05) + rng.normal(0, 0.05) * np.linspace(-0.5, 0.5, WIDTH)
    return np.clip(np.rint(shown + rng.normal(0, 2, shown.shape)), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    coded = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same pixels": lambda p: p,
    "JPEG 90": lambda p: jpeg(p, 90),
    "JPEG 75": lambda p: jpeg(p, 75),
    "JPEG 50": lambda p: jpeg(p, 50),
    "resized": lambda p: cv2.resize(p, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
    "brighter": lambda p: cv2.add(p, np.full_like(p, 12)),
    "cropped": lambda p: p[2:-1, 3:],
    "cropped, JPEG 80": lambda p: jpeg(p[3:-2, 5:-1], 80),
    "mirrored": lambda p: p[:, ::-1],
    "turned by 90 degrees": lambda p: np.rot90(p),
}


def written(folder: Path, images: list[np.ndarray]) -> Labels:
    folder.mkdir()
    refs = []
    for k, pixels in enumerate(images):
        write_image(folder / f"{k}.png", np.ascontiguousarray(pixels))
        refs.append(ImageRef(folder / f"{k}.png", f"{k}.png", pixels.shape[:2]))
    return Labels(tuple(refs))


def found(folder: Path, train: list[np.ndarray], val: list[np.ndarray]) -> list[Finding]:
    sets = {"train": written(folder / "train", train), "val": written(folder / "val", val)}
    return list(check(sets, only=["leaks"]).findings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [photo(rng) for _ in range(48)]


def test_photos_of_one_part_are_one_finding(tmp_path: Path, photos: list[np.ndarray]) -> None:
    (one,) = found(tmp_path, photos[:36], photos[36:])
    assert one.kind == "series"
    assert re.match(r"4\d images \(3\d of train and 1\d of val\) look alike", one.message)
    assert one.sure == 0.9
    assert len(one.others) >= 40


@pytest.mark.parametrize("name", COPIES)
def test_copies_among_them_are_found(tmp_path: Path, photos: list[np.ndarray], name: str) -> None:
    leaks = [
        f for f in found(tmp_path, photos[:36], [*map(COPIES[name], photos[:8]), *photos[36:]]) if f.kind == "leak"
    ]
    assert len(leaks) >= 7
    assert {f.place.index for f in leaks} <= set(range(8))
    assert all([p.index for p in f.others] == [f.place.index] for f in leaks)


def test_a_series_within_one_split_is_less_sure(tmp_path: Path, photos: list[np.ndarray]) -> None:
    rng = np.random.default_rng(9)
    other = [rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(3)]
    (one,) = found(tmp_path, photos[:36], other)
    assert (one.kind, one.sure) == ("series", 0.3)


def test_few_that_look_alike_are_copies(tmp_path: Path, photos: list[np.ndarray]) -> None:
    few = found(tmp_path, [photos[0]], [jpeg(photos[0], q) for q in range(60, 60 + 5 * (MEMBERS - 2), 5)])
    assert {f.kind for f in few} == {"leak", "repeated_image"}


def test_neighbouring_frames_are_no_copies(tmp_path: Path) -> None:
    """A fixed camera: every frame is most like the one before and the one after it."""
    rng = np.random.default_rng(1)
    ground = sum(
        cv2.resize(rng.normal(0, 20, (HEIGHT // k, WIDTH // k)).astype(np.float32), (WIDTH, HEIGHT)) for k in (2, 20)
    )
    frames = []
    for k in range(60):
        shown = ground + 110
        cv2.circle(shown, (20 + 6 * k, 150), 12, 150.0, -1, cv2.LINE_AA)
        frames.append(np.clip(shown + rng.normal(0, 2, shown.shape), 0, 255).astype(np.uint8))
    among = found(tmp_path, frames[:40], [*frames[40:], jpeg(frames[5], 90)])
    assert [(f.kind, f.place.index, [p.index for p in f.others]) for f in among if f.kind != "series"] == [
        ("leak", 20, [5])
    ]
    assert sum(f.kind == "series" for f in among) == 1


def test_frames_with_large_things_that_move(tmp_path: Path) -> None:
    """What stands out in a frame stands out in the next one; thumbnails tell the two apart, but no copies."""
    rng = np.random.default_rng(0)
    ground = sum(
        cv2.resize(rng.normal(0, 14, (HEIGHT // k, WIDTH // k)).astype(np.float32), (WIDTH, HEIGHT)) for k in (2, 8, 40)
    )
    movers = [[*rng.uniform(0, WIDTH, 2), *rng.normal(0, 4, 2), rng.uniform(5, 20)] for _ in range(4)]
    frames, light = [], 0.0
    for _ in range(100):
        light = 0.95 * light + rng.normal(0, 0.008)
        shown = (ground + 110) * (1 + light)
        for mover, grey in zip(movers, (40, 90, 170, 220), strict=True):
            mover[0], mover[1] = (mover[0] + mover[2]) % WIDTH, (mover[1] + mover[3]) % HEIGHT
            cv2.circle(shown, (int(mover[0]), int(mover[1])), int(mover[4]), float(grey), -1, cv2.LINE_AA)
        frames.append(jpeg(np.clip(np.rint(shown + rng.normal(0, 2, shown.shape)), 0, 255).astype(np.uint8), 92))
    among = found(tmp_path, frames, [jpeg(frame, 60) for frame in frames[20:80]])
    assert any(f.kind == "series" for f in among)
    assert sorted((f.kind, f.place.index, [p.index for p in f.others]) for f in among if f.kind != "series") == [
        ("leak", k, [20 + k]) for k in range(60)
    ]
