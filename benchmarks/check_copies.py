"""Copies found, and false ones, where all images look alike: photos of one plain part, frames of one fixed camera.

python benchmarks/check_copies.py                   # 500 photos of one part, as PNG and as JPEG; 500 frames
python benchmarks/check_copies.py --images 200 --sets part

Copies of some images are planted, by each kind of change. A copy counts as found if a finding names it together with
its original or another copy of that. An image counts as false if a finding names it with one that is no copy of it.
The line `before` is the rule without what is usual in the set: every pair whose thumbnails agree is a copy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from check_recall import Labels

from apiece import Image, Instances
from apiece.check import check
from apiece.core.image import ImageRef
from apiece.images import read_image
from apiece.ops.image_hash import near_pairs, print_of

HEIGHT, WIDTH = 480, 640


def photos(count: int, rng: np.random.Generator, noise: float) -> Iterator[np.ndarray]:
    """One plate with holes, a little shifted and turned, in changing light, with up to three small defects."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for _ in range(count):
        turn, (dx, dy) = np.deg2rad(rng.normal(0, 0.15)), rng.normal(0, 1.5, 2)
        right, down = x - WIDTH / 2 - dx, y - HEIGHT / 2 - dy
        u, v = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
        plate = step(240 - np.abs(u)) * step(170 - np.abs(v))
        shown = 60 + plate * (95 + 0.03 * u + 0.02 * v)
        for at in ((-180, -110), (180, -110), (-180, 110), (180, 110)):
            shown -= 95 * step(24 - np.hypot(u - at[0], v - at[1]))
        shown += 25 * step(14 - np.abs(np.hypot(u, v) - 60))
        gain, across, along = 1 + rng.normal(0, 0.06, 3) * (1, 1, 1)
        shown *= gain * (1 + (across - 1) * (x / WIDTH - 0.5)) * (1 + (along - 1) * (y / HEIGHT - 0.5))
        for _ in range(rng.integers(0, 4)):
            shown += rng.choice([-1, 1]) * rng.uniform(20, 60) * defect(rng)
        yield exposed(shown[..., None] * np.array([1, 0.97, 0.92], np.float32), rng, noise)


def step(distance: np.ndarray) -> np.ndarray:
    return np.clip(distance + 0.5, 0, 1)


def defect(rng: np.random.Generator) -> np.ndarray:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    at = int(rng.uniform(100, WIDTH - 100)), int(rng.uniform(80, HEIGHT - 80))
    if rng.random() < 0.5:
        turn, length = rng.uniform(0, np.pi), rng.uniform(8, 40)
        end = int(at[0] + length * np.cos(turn)), int(at[1] + length * np.sin(turn))
        cv2.line(drawn, at, end, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    else:
        cv2.circle(drawn, at, int(rng.integers(2, 9)), 255, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(drawn, (0, 0), 1).astype(np.float32) / 255


def frames(count: int, rng: np.random.Generator, noise: float) -> Iterator[np.ndarray]:
    """A street seen by a fixed camera: a rough ground, things that move, light that drifts."""
    ground = sum(
        cv2.resize(rng.normal(0, 14, (HEIGHT // k, WIDTH // k, 3)).astype(np.float32), (WIDTH, HEIGHT))
        for k in (2, 8, 40)
    )
    movers = [[*rng.uniform(0, WIDTH, 2), *rng.normal(0, 6, 2), rng.uniform(8, 32)] for _ in range(4)]
    colours, light = rng.uniform(0, 255, (4, 3)).tolist(), 0.0
    for _ in range(count):
        light = 0.95 * light + rng.normal(0, 0.008)
        shown = (ground + 110) * (1 + light)
        for mover, colour in zip(movers, colours, strict=True):
            mover[0], mover[1] = (mover[0] + mover[2]) % WIDTH, (mover[1] + mover[3]) % HEIGHT
            cv2.circle(shown, (int(mover[0]), int(mover[1])), int(mover[4]), colour, -1, cv2.LINE_AA)
        yield exposed(shown, rng, noise)


def exposed(shown: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    return np.clip(np.rint(shown + rng.normal(0, noise, shown.shape)), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def cropped(pixels: np.ndarray) -> np.ndarray:
    return pixels[3:-2, 5:-1]


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact": lambda p: p,
    "JPEG 90": lambda p: jpeg(p, 90),
    "JPEG 75": lambda p: jpeg(p, 75),
    "JPEG 50": lambda p: jpeg(p, 50),
    "resized": lambda p: cv2.resize(p, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
    "brighter": lambda p: cv2.add(p, np.full_like(p, 12)),
    "cropped": cropped,
    "cropped, JPEG 90": lambda p: jpeg(cropped(p), 90),
    "mirrored": lambda p: p[:, ::-1],
}
SETS = {
    "part": ("photos of one part, PNG, noise 2", photos, 2.0, None),
    "part_jpeg": ("photos of one part, JPEG 92, noise 2", photos, 2.0, 92),
    "part_quiet": ("photos of one part, PNG, noise 1", photos, 1.0, None),
    "camera": ("frames of one camera, JPEG 92, noise 2", frames, 2.0, 92),
}


def planted(name: str, count: int, copies: int, folder: Path, seed: int) -> tuple[Labels, list[int], list[str]]:
    """Write the images; return them with the number of each one's original and the change that made it."""
    _, make, noise, quality = SETS[name]
    rng = np.random.default_rng(seed)
    refs, source, change = [], [], []

    def add(pixels: np.ndarray, number: int, how: str) -> None:
        path = folder / f"{len(refs):05d}.png"
        cv2.imwrite(str(path), pixels)
        refs.append(ImageRef(path, path.name, pixels.shape[:2]))
        source.append(number)
        change.append(how)

    chosen = {how: set(rng.choice(count, copies, replace=False).tolist()) for how in COPIES}
    for number, pixels in enumerate(make(count, rng, noise)):
        first = pixels if quality is None else jpeg(pixels, quality)
        add(first, number, "")
        for how, change_of in COPIES.items():
            if number in chosen[how]:
                add(change_of(first), number, how)
    empty = tuple(Instances.empty(ref.size, ("part",)) for ref in refs)
    return Labels(tuple(refs), empty, ("part",)), source, change


def score(pairs: list[tuple[int, int]], source: list[int], change: list[str], what: str) -> None:
    right = {k for pair in pairs if source[pair[0]] == source[pair[1]] for k in pair}
    false = {k for pair in pairs if source[pair[0]] != source[pair[1]] for k in pair}
    share = len(false) / len(source)
    recalls = []
    for how in COPIES:
        own = [k for k, c in enumerate(change) if c == how]
        recalls.append(f"{how} {np.mean([k in right for k in own]):.2f}")
    print(
        f"  {what:<8} false {len(false):4d} of {len(source)} ({share:.1%})   recall: {', '.join(recalls)}", flush=True
    )


def measure(name: str, count: int, copies: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        labels, source, change = planted(name, count, copies, Path(scratch), seed)
        print(f"{SETS[name][0]}: {count} images, {len(labels) - count} copies")
        prints = [print_of(Image(read_image(ref.path).pixels)) for ref in labels.refs]
        near = near_pairs(prints, 6)
        score(list(zip(near.first.tolist(), near.second.tolist(), strict=True)), source, change, "before")
        start = time.process_time()
        found = check({"train": labels}, only=["leaks"])
        seconds = time.process_time() - start
        pairs = []
        for one in found.findings:
            if one.kind == "repeated_image":
                at = [p.index for p in (one.place, *one.others) if p.index is not None]
                pairs += [(a, b) for k, a in enumerate(at) for b in at[k + 1 :]]
        score(pairs, source, change, "now")
        print(f"  series: {found.counts.get('series', 0)}, {seconds:.1f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--copies", type=int, default=40, help="copies of each kind")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.sets:
        measure(name, options.images, min(options.copies, options.images), options.seed)


if __name__ == "__main__":
    main()
