"""Small sets of instances: ones that are hard to keep, and ones that every format holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apiece import ImageRef, Instances, Masks


def hard_instances(size: tuple[int, int] = (24, 32)) -> Instances:
    """Overlap, a hole, a pixel in it, several parts, the whole image, an empty mask; every field filled."""
    stack = np.zeros((7, *size), bool)
    stack[0, 2:12, 3:14] = True
    stack[0, 5:8, 6:9] = False
    stack[1, 8:20, 10:20] = True
    stack[2, 0, 0] = stack[2, -1, -1] = True
    stack[3, 6, 7] = True
    stack[4] = True
    stack[6, -1, :] = True
    return Instances(
        Masks.from_dense(stack),
        np.array([0, 1, 2, 0, 1, 2, 0]),
        ("nut", "Schraube ß", "細胞"),
        scores=np.array([0.1, 1 / 3, 0.5, 0.9999999999999999, 1.0, 0.0, 1e-12]),
        ids=np.array([3, 70_000, 2**40, 1, 9, 8, 7]),
        crowd=np.array([False, True, False, False, False, False, True]),
        attributes={
            "area": np.array([1.5, 2, 3, 4, 5, 6, 7]),
            "note": np.array(["ä", "", "c", "d", '\\e"', "f", "g"]),
            "angle": np.array([0.1, -2.5, 3, 4, 5, 6, 7]),
            "seen": np.array([True, False, True, True, False, False, True]),
            "point": np.arange(14.0).reshape(7, 2) / 3,
        },
    )


def plain_instances(count: int = 4) -> Instances:
    """Disjoint squares with ids, nothing else: what every format holds."""
    a = np.zeros((12, 16), np.int64)
    for k in range(count):
        a[3 * (k // 4) : 3 * (k // 4) + 2, 4 * (k % 4) : 4 * (k % 4) + 3] = 10 * k + 5
    return Instances.from_label_map(a)


def ref(name: str = "a.png", number: int | str | None = None) -> ImageRef:
    """An image nobody has."""
    return ImageRef(Path("nowhere") / name, name, None, number)
