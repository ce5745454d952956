"""Random sets that are hard on a matching: ties of score and IoU, crowds, empty masks, empty sides, one-pixel masks."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks


def _shapes(rng: np.random.Generator, count: int, size: tuple[int, int], coarse: int) -> np.ndarray:
    """Dense rectangles on a coarse grid, so that many coincide; some with a notch, two parts, one pixel or none."""
    stack = np.zeros((count, *size), bool)
    for mask in stack:
        kind = rng.integers(10)
        if kind == 0:
            continue
        y, x = rng.integers(0, size[0] // coarse) * coarse, rng.integers(0, size[1] // coarse) * coarse
        h, w = (1, 1) if kind == 1 else rng.integers(1, 4, 2) * coarse
        mask[y : y + h, x : x + w] = True
        if kind == 2:
            mask[y + h // 2 : y + h // 2 + 1, x : x + 1] = False
        if kind == 3:
            mask[rng.integers(size[0]), rng.integers(size[1])] = True
    return stack


def instances(rng: np.random.Generator, size: tuple[int, int], classes: tuple[str, ...], most: int, *, scored: bool,
              seen: np.ndarray | None = None, coarse: int = 2) -> tuple[Instances, np.ndarray]:  # fmt: skip
    """Up to ``most`` random instances, half of them copied from ``seen``."""
    count = int(rng.integers(0, most + 1))
    stack = _shapes(rng, count, size, coarse)
    if seen is not None and len(seen):
        for mask in stack:
            if rng.random() < 0.6:
                mask[:] = seen[rng.integers(len(seen))]
                if rng.random() < 0.4:  # off by one pixel
                    mask[rng.integers(size[0]), rng.integers(size[1])] ^= True
    return Instances(
        Masks.from_dense(stack),
        rng.integers(0, len(classes), count),
        classes,
        scores=rng.integers(0, 4, count) / 4 if scored else None,
        crowd=rng.random(count) < (0.0 if scored else 0.15),
    ), stack


def pairs(seed: int, images: int = 4, most: int = 8, classes: tuple[str, ...] = ("a", "b"), big: bool = False,
          stated: bool = False) -> list[tuple[Instances, Instances]]:  # fmt: skip
    """Truth and predictions of a few images; ``big`` reaches COCO's three sizes; ``stated`` adds area and bbox."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(images):
        low, high, coarse = (100, 220, 29) if big else (4, 14, 2)
        size = (int(rng.integers(low, high)), int(rng.integers(low, high)))
        truth, seen = instances(rng, size, classes, most, scored=False, coarse=coarse)
        found, _ = instances(rng, size, classes, most, scored=True, seen=seen, coarse=coarse)
        if stated:
            truth = truth.replace(attributes={"area": rng.uniform(0, 12000, len(truth)), "bbox": _boxes(rng, truth)})
            found = found.replace(attributes={"area": rng.uniform(0, 12000, len(found)), "bbox": _boxes(rng, found)})
        out.append((truth, found))
    return out


def _boxes(rng: np.random.Generator, made: Instances) -> np.ndarray:
    box = made.masks.boxes.astype(float)
    box[:, 2:] -= box[:, :2]
    return box + rng.choice([0.0, 0.25, 0.1], box.shape)
