"""Overlay of 5,000 ellipses on 4096 x 4096: ``python benchmarks/draw.py``. Bar: about a second."""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.draw import overlay

SIDE, COUNT, REPEATS = 4096, 5000, 5
KINDS = {
    "fill": {"outlines": False, "names": False},
    "outlines": {"fill": False, "names": False},
    "fill, outlines": {"names": False},
    "fill, outlines, names": {},
    "fill, outlines, boxes, names, ids, scores": {"boxes": True, "ids": True, "scores": True},
}


def crowd(rng: np.random.Generator) -> Instances:
    """Ellipses of radius 15 to 30 that overlap where they fall on each other."""
    crops, corners = [], []
    for _ in range(COUNT):
        a, b = (int(r) for r in rng.integers(15, 31, 2))
        crop = np.zeros((63, 63), np.uint8)
        cv2.ellipse(crop, (31, 31), (a, b), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        crops.append(crop.astype(bool))
        corners.append(rng.integers(0, SIDE - 63, 2))
    masks = Masks.from_crops(crops, np.array(corners), (SIDE, SIDE))
    return Instances(masks, np.arange(COUNT) % 3, ("nut", "bolt", "washer"), scores=rng.random(COUNT))


def main() -> None:
    rng = np.random.default_rng(0)
    instances = crowd(rng)
    for name, image in (
        ("uint8 RGB", Image(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))),
        ("uint16 grey", Image(rng.integers(0, 4000, (SIDE, SIDE), dtype=np.uint16))),
    ):
        for kind, options in KINDS.items():
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                overlay(image, instances, **options)
                times.append(time.perf_counter() - start)
            print(f"{name:12s} {kind:42s} min {min(times):.2f} s  median {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()
