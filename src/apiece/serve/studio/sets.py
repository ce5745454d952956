"""The label sets that a studio opens, reads again when they change on disk, and writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece._arrays import Int
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.datasets import open_data
from apiece.errors import DataError
from apiece.formats import LabelSet, Record
from apiece.images import image_size
from apiece.predict.sources import find_sources

if TYPE_CHECKING:
    from apiece.serve.studio.workspace import Workspace

__all__ = ["Edited", "Item", "Source", "open_sets"]

_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Source:
    """Where the labels of a studio are.

    Attributes
    ----------
    data, images, format, classes : as `open_sets` takes them.
    film : whether the images are frames of a video, so that ids are tracks before any object has one.
    """

    data: Path
    images: Any = None
    format: str | None = None
    classes: tuple[str, ...] = ()
    film: bool = False

    def open(self) -> dict[str, LabelSet]:
        """Open the labels."""
        return open_sets(self.data, self.images, self.format, self.classes)

    def state(self) -> tuple[int, int]:
        """Return how many label files there are, and when the newest of them was written, in nanoseconds."""
        times = [0, *(os.stat(path).st_mtime_ns for path in _label_files(self.data))]
        return len(times), max(times)


@dataclass(frozen=True)
class Item:
    """One image of the set."""

    split: str
    index: int
    """Its position in its split."""
    ref: ImageRef

    @property
    def key(self) -> str:
        """The name by which the journal knows it."""
        return f"{self.split}/{self.ref.name}"


def _label_files(data: Path) -> Iterator[str]:
    if data.is_file():
        yield os.fspath(data)
    for folder, _, names in os.walk(data):
        yield from (os.path.join(folder, name) for name in names if os.path.splitext(name)[1].lower() not in _PICTURES)


class Edited:
    """The labels of a split as they stand.

    Parameters
    ----------
    keys : takes the keys of the objects of each image that is read, by its number.
    """

    def __init__(self, workspace: Workspace, split: str, keys: dict[int, Int] | None = None) -> None:
        self._workspace, self._split, self._keys = workspace, split, keys
        here = (n for n, item in enumerate(workspace.items) if item.split == split and item.index >= 0)
        self._numbers = sorted(here, key=lambda n: workspace.items[n].index)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._workspace.classes

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        return tuple(self._workspace.items[n].ref for n in self._numbers)

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._workspace.sets[self._split].metadata

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Record:
        number = self._numbers[index]
        sheet = self._workspace.sheet(number)[0]
        if self._keys is not None:
            self._keys[number] = sheet.keys
        return self._workspace.items[number].ref, sheet.instances

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class _Unlabelled:
    """Images without labels."""

    refs: tuple[ImageRef, ...]
    classes: tuple[str, ...]
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        ref = self.refs[index]
        size = image_size(ref.path, page=ref.page)
        return ref, Instances.empty(size, self.classes)

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


def open_sets(
    data: Path, images: Any = None, format: str | None = None, classes: Sequence[str] = ()
) -> dict[str, LabelSet]:
    """Open the labels of a file or folder, or a folder of images without any."""
    try:
        return {split: one.labels for split, one in open_data(data, images, format).items()}
    except DataError:
        if not data.is_dir() or format is not None:
            raise
        try:
            found = find_sources([str(data)])
        except DataError:
            found = []
        if not found:
            raise
    refs = tuple(ImageRef(source.path, source.name, page=source.page) for source in found if source.path is not None)
    return {"images": _Unlabelled(refs, tuple(classes) or ("object",), {})}
