"""Does `apiece.monitor` notice drift, and only drift?

python benchmarks/monitor_drift.py --model runs/nuclei --data DATA/nuclei
python benchmarks/monitor_drift.py --model runs/shapes

Held-back images are predicted as they are and as they would be after a change: blurred, dark, at another magnification,
with objects of a kind that nobody labelled. 100 times, half of them become the baseline and the other half the images
in use, of which a fifth are exchanged for their changed selves (detections) or none (false alarms).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from apiece import load
from apiece.core.image import Image
from apiece.datasets.dataset import Dataset
from apiece.datasets.synthetic import SceneConfig, SyntheticSet, scene
from apiece.evaluation import open_truth
from apiece.monitor import Profile, detect, profile

Change = Callable[[npt.NDArray, np.random.Generator], npt.NDArray]


def blurred(pixels: npt.NDArray, rng: np.random.Generator) -> npt.NDArray:
    return _same(cv2.GaussianBlur(pixels, (0, 0), 1.5), pixels)


def dark(pixels: npt.NDArray, rng: np.random.Generator) -> npt.NDArray:
    return (pixels * 0.6).astype(pixels.dtype)


def closer(pixels: npt.NDArray, rng: np.random.Generator) -> npt.NDArray:
    """1.6 times the magnification, the same number of pixels."""
    height, width = pixels.shape[:2]
    h, w = round(height / 1.6), round(width / 1.6)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    return _same(cv2.resize(pixels[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_LINEAR), pixels)


def foreign(pixels: npt.NDArray, rng: np.random.Generator) -> npt.NDArray:
    """Six screws and particles, a sixth of the shorter side wide, on every image."""
    side = min(pixels.shape[:2])
    radius = max(6.0, side / 12)
    config = SceneConfig(
        (max(32, pixels.shape[0]), max(32, pixels.shape[1])), (6, 6), ("screw", "particle"), (radius, radius), 0.0
    )
    drawn = scene(config, int(rng.integers(1 << 30)))
    there = drawn.visible.masks.union().to_dense()[0][: pixels.shape[0], : pixels.shape[1]]
    colour = drawn.image.pixels[: pixels.shape[0], : pixels.shape[1]].astype(np.float64) / 255
    if pixels.shape[2] < 3:
        colour = np.repeat(colour.mean(2, keepdims=True), pixels.shape[2], 2)
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else pixels.max()
    out = pixels.copy()
    out[there, : colour.shape[2]] = (colour[there] * full).astype(pixels.dtype)
    return out


CHANGES: Mapping[str, Change] = {"blurred": blurred, "dark": dark, "closer": closer, "foreign": foreign}


def _same(changed: npt.NDArray, pixels: npt.NDArray) -> npt.NDArray:
    return changed.reshape(pixels.shape).astype(pixels.dtype)


def _mixed(clean: Profile, changed: Profile, rows: npt.NDArray, swapped: npt.NDArray) -> Profile:
    """The images ``rows`` as they are, those of them in ``swapped`` as changed."""
    take = np.isin(rows, swapped)
    parts = {
        name: np.where(
            take.reshape(-1, *[1] * (getattr(clean, name).ndim - 1)),
            getattr(changed, name)[rows],
            getattr(clean, name)[rows],
        )
        for name in ("values", "counts", "unsure")
    }
    return Profile(clean.classes, tuple(clean.names[i] for i in rows), **parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="held-back images; their labels are not looked at. Default: scenes")
    parser.add_argument("--images", type=int, help="at most this many")
    parser.add_argument("--scenes", type=int, default=400, help="how many scenes are made, without --data")
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.2, help="of the images in use that are affected")
    parser.add_argument("--cache", type=Path, help="folder that keeps the profiles")
    options = parser.parse_args()
    model = load(options.model)
    held: Dataset | SyntheticSet = (
        open_truth(options.data)
        if options.data
        else SyntheticSet(SceneConfig((256, 256), classes=("washer", "pill", "nut")), options.scenes, 2_000_000_000)
    )
    count = min(len(held), options.images or len(held))
    rng = np.random.default_rng(0)

    def watched(name: str, change: Change | None) -> Profile:
        kept = options.cache / f"{name}.json" if options.cache else None
        if kept is not None and kept.exists():
            return Profile.read(kept)

        def pairs():
            for i in range(count):
                image, _ = held[i]
                if change is not None:
                    image = Image(change(image.pixels, rng), image.pixel_size)
                yield held.refs[i].name, image, model.predict(image)

        start = time.perf_counter()
        found = profile(pairs(), model.classes, conf=model.thresholds or 0.0)
        print(f"{name}: {count} images observed in {time.perf_counter() - start:.1f} s", flush=True)
        if kept is not None:
            found.write(kept)
        return found

    clean = watched("clean", None)
    changed = {name: watched(name, CHANGES[name]) for name in options.changes}
    print(f"{count} images, half of them baseline; {options.resamples} resamples; {options.share:.0%} affected")
    for name in ("nothing", *options.changes):
        alarms, first = 0, {}
        for k in range(options.resamples):
            draw = np.random.default_rng(1000 + k)
            order = draw.permutation(count)
            before, now = order[: count // 2], order[count // 2 :]
            swapped = now[: round(options.share * len(now))] if name != "nothing" else now[:0]
            other = changed[name] if name != "nothing" else clean
            drift = detect(_mixed(clean, clean, before, swapped[:0]), _mixed(clean, other, now, swapped), seed=k)
            alarms += drift.alarm
            if drift.alarm:
                first[drift.tests[0].name] = first.get(drift.tests[0].name, 0) + 1
        told = ", ".join(f"{test} {n}" for test, n in sorted(first.items(), key=lambda item: -item[1]))
        print(f"{name:<10} alarms in {alarms} of {options.resamples}" + (f", first by: {told}" if told else ""))


if __name__ == "__main__":
    main()
