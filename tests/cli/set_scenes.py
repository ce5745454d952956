"""Small labelled sets with images, and the command line as a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, formats
from apiece.cli import main
from apiece.images import write_image

CLASSES = ("nut", "bolt")
NAMES = ("a.png", "Übung/日本 1.png", "c/a.png")


def run(*arguments: object) -> int:
    """Exit code of ``apiece ...``."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def instances(count: int = 3, classes: Sequence[str] = CLASSES, first: int = 1) -> Instances:
    """Squares apart from each other on 20 x 30 pixels, with ids from ``first``."""
    corners = np.array([[7 * k, 4 * k] for k in range(count)]).reshape(-1, 2)
    masks = Masks.from_boxes(np.concatenate([corners, corners + 4], 1), (20, 30))
    return Instances(masks, np.arange(count) % len(classes), tuple(classes), ids=np.arange(first, first + count))


def save_set(
    path: Path, names: Sequence[str] = NAMES, classes: Sequence[str] = CLASSES, shade: int = 0, ids: bool = True
) -> list[tuple[ImageRef, Instances]]:
    """A label file with images beside it, each of another shade and with another number of instances."""
    records = []
    for k, name in enumerate(names):
        image = path.parent / name
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, np.full((20, 30), shade + 10 * k, np.uint8))
        found = instances(3 - k % 3, classes, 10 * k + 1)
        records.append((ImageRef(image, name, (20, 30), k + 1), found if ids else found.replace(ids=None)))
    formats.write(records, path, classes=classes)
    return records


def files(folder: Path) -> list[str]:
    """Every file below, hidden ones too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
