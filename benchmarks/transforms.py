"""Training crops per second and core: `default_transforms` on images like those that nuclei sets hold.

    python benchmarks/transforms.py [--repeats 5] [--data FOLDER]

One core. Each line: side of the image, instances in it, crops of 256 px a second (median and best of the repeats).
With ``--data`` also on real images: COCO ``train.json`` beside ``images/``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.transforms import Sample, Transform, default_transforms


def scene(side: int, count: int, channels: int = 3) -> Sample:
    """Ellipses of the size that fills about a third of the image, on noise."""
    rng = np.random.default_rng(0)
    label_map = np.zeros((side, side), np.int32)
    radius = side / np.sqrt(count) / 3
    for value in range(1, count + 1):
        centre = rng.integers(0, side, 2).tolist()
        axes = np.maximum(rng.uniform(0.6, 1.4, 2) * radius, 1).astype(int).tolist()
        cv2.ellipse(label_map, centre, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    image = rng.integers(0, 255, (side, side, channels)).astype(np.uint8)
    return Sample(image, Instances(Masks.from_label_map(label_map)))


def crops_per_second(transform: Transform, samples: list[Sample], count: int) -> float:
    """Crops a second over ``count`` crops."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for i in range(count):
        transform(samples[i % len(samples)], rng)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    cases = {f"{s} px, {n} instances": [scene(s, n)] for s, n in ((256, 100), (512, 100), (1024, 100), (1024, 1000))}
    if options.data:
        from apiece.datasets import open_data

        train = open_data(options.data)["train"]
        pairs = [train[i] for i in range(0, len(train), max(1, len(train) // 60))]
        cases[f"{options.data.name}, {len(pairs)} images"] = [Sample(i.pixels, instances) for i, instances in pairs]
    transform = default_transforms((256, 256))
    for name, samples in cases.items():
        rates = [crops_per_second(transform, samples, 60) for _ in range(options.repeats)]
        print(f"{name:28s} median {statistics.median(rates):6.0f}/s   best {max(rates):6.0f}/s")


if __name__ == "__main__":
    main()
