"""Scenes for the transform tests."""

from __future__ import annotations

import cv2
import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.transforms import Sample


def disks(size: tuple[int, int], count: int, seed: int = 0, radius: tuple[float, float] = (5, 12)) -> Sample:
    """Disks that may overlap, drawn into a 3-channel image."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.full((height, width, 3), 20, np.uint8)
    stack = np.zeros((count, height, width), bool)
    for mask in stack:
        canvas = np.zeros(size, np.uint8)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(canvas, centre, int(rng.uniform(*radius)), 1, -1)
        mask[:] = canvas > 0
        image[mask] = rng.integers(60, 250, 3)
    ids = np.arange(count) * 10 + 5
    instances = Instances(
        Masks.from_dense(stack),
        rng.integers(0, 2, count),
        ("a", "b"),
        scores=rng.random(count),
        ids=ids,
        crowd=rng.random(count) < 0.1,
        attributes={"area": np.ones(count), "mark": ids * 2},
    )
    return Sample(image, instances)
