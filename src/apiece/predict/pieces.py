"""Instances on disk: what each tile found, and the whole objects of an image that is too large for memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apiece._arrays import Array, Float
from apiece._atomic import atomic
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs

__all__ = ["Pieces", "load_instances", "save_instances"]


def save_instances(path: Path, found: Instances) -> None:
    """Keep masks, classes and scores in a file, whole or not at all."""
    masks = {"masks": found.masks} | ({} if found.full is None else {"full": found.full})
    arrays: dict[str, Array] = {
        f"{name}_{field}": getattr(m.runs, field) for name, m in masks.items() for field in Runs._fields
    }
    arrays |= {"size": np.array(found.size), "labels": found.labels}
    arrays |= {} if found.scores is None else {"scores": found.scores}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_instances(path: Path, classes: tuple[str, ...]) -> Instances:
    """Return what `save_instances` kept."""
    with np.load(path, allow_pickle=False) as arrays:
        size = (int(arrays["size"][0]), int(arrays["size"][1]))
        masks, full = (
            Masks(size, *(arrays[f"{name}_{field}"] for field in Runs._fields)) if f"{name}_x" in arrays else None
            for name in ("masks", "full")
        )
        assert masks is not None
        return Instances(masks, arrays["labels"], classes, arrays.get("scores"), full=full)


class Pieces:
    """Hold the objects of one image in a folder, and give them again piece by piece, numbered from 1.

    Parameters
    ----------
    folder : made if needed; `Pieces` of an earlier run in it are replaced.
    size : (height, width) of the image.
    classes : of all instances.
    most : how many objects stay, those of the best scores; None: all.
    """

    def __init__(self, folder: Path, size: tuple[int, int], classes: tuple[str, ...], most: int | None = None) -> None:
        self.folder, self.size, self.classes, self.most = folder, size, classes, most
        self._scores: list[Float] = []
        self._counts: list[int] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, found: Instances) -> None:
        """Keep some objects; each object is added once."""
        if not len(found):
            return
        save_instances(self._file(len(self._counts)), found)
        self._counts.append(len(found))
        if self.most is not None and found.scores is not None:
            self._scores.append(found.scores)

    def __len__(self) -> int:
        total = sum(self._counts)
        return total if self.most is None else min(total, self.most)

    @property
    def found(self) -> int:
        """How many objects were added."""
        return sum(self._counts)

    def __iter__(self) -> Iterator[Instances]:
        """Yield the objects in the order in which they came; of an image with none, one empty piece."""
        kept = None
        if len(self) < self.found:
            kept = np.zeros(self.found, bool)
            kept[np.argsort(-np.concatenate(self._scores), kind="stable")[: self.most]] = True
        before = number = 0
        for k, count in enumerate(self._counts):
            piece = load_instances(self._file(k), self.classes)
            if kept is not None:
                piece = piece[kept[before : before + count]]
            before += count
            if len(piece):
                yield piece.replace(ids=np.arange(number + 1, number + 1 + len(piece)))
            number += len(piece)
        if not number:
            yield Instances.empty(self.size, self.classes, scored=True).replace(ids=np.zeros(0, np.int64))

    def whole(self) -> Instances:
        """Return all objects at once."""
        return Instances.concatenate(list(self))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.npz"
