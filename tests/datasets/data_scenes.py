"""Small labelled sets on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats

CLASSES = ("nut", "bolt")


def records(names: Sequence[str], classes: tuple[str, ...] = CLASSES, **attributes: Sequence[object]) -> list:
    """One square of each class on every image of 20 x 30 pixels; ``attributes`` has a value per image."""
    masks = Masks.from_boxes([[0, 0, 4, 5], [10, 8, 20, 16]], (20, 30))
    found = []
    for i, name in enumerate(names):
        said = {key: values[i] for key, values in attributes.items()}
        ref = ImageRef(Path(name), name, (20, 30), i + 1, said)
        found.append((ref, Instances(masks, [0, len(classes) - 1], classes, ids=[2 * i, 2 * i + 1])))
    return found


def save(path: Path, names: Sequence[str], classes: tuple[str, ...] = CLASSES) -> Path:
    """A COCO file and its images beside it."""
    formats.write(records(names, classes), path)
    rng = np.random.default_rng(0)
    for name in names:
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(rng.integers(0, 255, (20, 30), np.uint8)).save(path.parent / name)
    return path
