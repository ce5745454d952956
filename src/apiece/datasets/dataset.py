"""`Dataset`: labelled images, read one at a time; `open_data`, `open_sources`: the sets of a file or folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from apiece import formats
from apiece.core.image import Image, ImageRef, check_drawn_on
from apiece.core.instances import Instances
from apiece.datasets._views import Subset
from apiece.errors import ApieceError, DataError, FormatError, ImageError
from apiece.formats import LabelSet
from apiece.formats.contract import ROOM, OnBad
from apiece.images import read_image

__all__ = [
    "BadEntries",
    "Dataset",
    "FoundLabels",
    "Subset",
    "fingerprint",
    "open_data",
    "open_sources",
    "readable",
    "sound",
]

Error = TypeVar("Error", bound=ApieceError)

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Each split, and the names that its files and folders may have."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images: ``dataset[i]`` reads one image and decodes its masks, and keeps neither.

    It is picklable, and small in forked or spawned data-loader workers, however many labels there are.

    Attributes
    ----------
    labels : the source of instances and image references.

    Examples
    --------
    >>> from apiece.datasets import open_data
    >>> data = open_data("data")["train"]
    >>> image, instances = data[0]
    >>> len(data), data.classes, image.size, len(instances)
    (2, ('bolt', 'nut'), (24, 32), 2)
    """

    labels: LabelSet

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.labels.classes

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image, unread."""
        return self.labels.refs

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image, Instances]:
        """Read image and instances number ``index``.

        Raises
        ------
        ImageError
            If the image cannot be read, or has another size than the one that the labels were drawn on.
        """
        ref, instances = self.labels[index]
        return _read(ref, instances), instances

    def __iter__(self) -> Iterator[tuple[Image, Instances]]:
        return ((image, instances) for _, image, instances in self.records())

    def records(self) -> Iterator[tuple[ImageRef, Image, Instances]]:
        """Yield each image with its reference, which states also what only decoded labels know (ignored regions)."""
        return ((ref, _read(ref, instances), instances) for ref, instances in self.labels)

    def subset(self, indices: Iterable[int]) -> Dataset:
        """Return the chosen images, in the given order."""
        return Dataset(Subset(self.labels, tuple(int(i) for i in indices)))


def _read(ref: ImageRef, instances: Instances) -> Image:
    image = read_image(ref.path, page=ref.page)
    check_drawn_on(image, instances.size, ref.path)
    return image


@dataclass(frozen=True)
class FoundLabels:
    """Labels that were found: where they are, of which format, and opened."""

    path: Path
    """Label file or folder."""
    format: str
    """Name of its format."""
    labels: LabelSet
    """The labels."""


@dataclass
class BadEntries:
    """An ``on_bad`` that collects each bad entry once, however often somebody iterates over the labels.

    Examples
    --------
    >>> from apiece.datasets import BadEntries, open_data
    >>> bad = BadEntries()
    >>> data = open_data("data", on_bad=bad)
    >>> bad.errors
    []
    """

    errors: list[FormatError | ImageError] = field(default_factory=list)
    """The errors, in the order they came."""
    _known: set[str] = field(default_factory=set, repr=False)

    def __call__(self, error: FormatError | ImageError) -> None:
        if str(error) not in self._known:
            self._known.add(str(error))
            self.errors.append(error)


def sound(labels: LabelSet, on_bad: OnBad) -> LabelSet:
    """Return the set without the images whose labels cannot be decoded, so that every index gives a record.

    Decodes all labels once if there is an ``on_bad``, which it calls for each such image; returns the set itself
    otherwise.
    """
    if on_bad is None:
        return labels
    good = _readable(labels, FormatError, on_bad)
    return labels if len(good) == len(labels) else Subset(labels, tuple(good))


def readable(data: Dataset, on_bad: Callable[[ImageError], None]) -> Dataset:
    """Return the data without the images that are broken or of another size than their labels; decodes all images.

    Calls ``on_bad`` for each image that is left out.
    """
    good = _readable(data, ImageError, on_bad)
    return data if len(good) == len(data) else data.subset(good)


def _readable(items: LabelSet | Dataset, kind: type[Error], on_bad: Callable[[Error], None]) -> list[int]:
    good = []
    for i in range(len(items)):
        try:
            items[i]
            good.append(i)
        except kind as error:
            on_bad(error)
    return good


def open_data(
    path: Path | str, images: Path | str | None = None, format: str | None = None, on_bad: OnBad = None
) -> dict[str, Dataset]:
    """Open the data at ``path``; the keys are those of ``"train"``, ``"val"`` and ``"test"`` that it has.

    A label file is ``train``. In a folder, `open_data` looks for each split in this order: ``train.json`` (or another
    ending of label files); ``annotations/train.json`` or ``annotations/instances_train*.json``; a folder ``train`` that
    holds one label file or is laid out as a label format. ``valid``, ``validation`` ... mean ``val``. A set that states
    the split of each image (YOLO) is divided by that. Labels without splits are ``train``.

    Parameters
    ----------
    path : label file or folder.
    images : folder that image names are relative to; by default found beside the labels.
    format : the format of the labels; by default found by content.
    on_bad : called with the `FormatError` of each bad entry, which is left out; by default the first one is raised. To
        find images that cannot be decoded as a whole, all labels are decoded once.

    Returns
    -------
    The data of each split.

    Raises
    ------
    DataError
        If there are no labels, or two candidates for one split, or the splits have different classes.
    FormatError
        If a label file breaks its format.

    Examples
    --------
    >>> from apiece.datasets import open_data
    >>> {split: len(data) for split, data in open_data("data").items()}
    {'train': 2, 'val': 1}
    """
    sources = open_sources(path, images, format, on_bad)
    sets = {split or "train": Dataset(sound(source.labels, on_bad)) for split, source in sources.items()}
    _same_classes(sets, {split or "train": source.path for split, source in sources.items()})
    return sets


def open_sources(
    path: Path | str, images: Path | str | None = None, format: str | None = None, on_bad: OnBad = None
) -> dict[str, FoundLabels]:
    """Open labels as `open_data` finds them, whatever their classes; the key of labels without splits is empty.

    Parameters
    ----------
    path : label file or folder.
    images, on_bad : as in `apiece.read`.
    format : the format of the labels; by default found by content.

    Raises
    ------
    DataError
        If there are no labels, or two candidates for one split.
    FormatError
        If a label file breaks its format.
    """
    found = _find(Path(path), format)
    sources: dict[str, FoundLabels] = {}
    for split, at in found.items():
        name = formats.detect(at) if format is None else format
        source = FoundLabels(at, name, formats.read(at, name, images, on_bad))
        sources |= _divided(source) if split == "" and formats.load(name).splits else {split: source}
    return sources


def _find(path: Path, format: str | None) -> dict[str, Path]:
    """Return labels by split; the key of labels without splits is empty."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_file():
        return {"": path}
    found = {split: at for split in SPLITS if (at := _find_split(path, split, format)) is not None}
    if found:
        return found
    whole = _labels_in(path, format)
    if whole is None and format is not None:
        whole = path
    if whole is None:
        raise DataError(
            f"{path}: no labels here. Looked for train.json, annotations/*train*.json, a folder train/ with "
            f"labels, one label file, and these formats: {', '.join(formats.names())}"
        )
    return {"": whole}


def _divided(source: FoundLabels) -> dict[str, FoundLabels]:
    """Divide a set that states the split of each image."""
    said = [ref.attributes.get("split") for ref in source.labels.refs]
    chosen = {split: tuple(i for i, s in enumerate(said) if s == split) for split in SPLITS if split in said}
    return {
        split: replace(source, labels=source.labels if len(chosen) == 1 else Subset(source.labels, indices))
        for split, indices in chosen.items()
    } or {"": source}


@cache
def _endings() -> tuple[str, ...]:
    """Return the endings of label files that hold many images."""
    return tuple(dict.fromkeys(format.ending for format in ROOM.load_all().values() if format.ending))


def _find_split(folder: Path, split: str, format: str | None) -> Path | None:
    words = SPLITS[split]
    files = [folder / f"{word}{ending}" for word in words for ending in _endings()]
    files += [folder / "annotations" / f"{word}.json" for word in words]
    here = [f for f in files if f.is_file() and (f.suffix == ".json" or _format_of(f, format))]
    if not here and (folder / "annotations").is_dir():
        name = re.compile(rf"instances[_-](?:{'|'.join(words)})[^a-z]*\.json", re.IGNORECASE)
        here = sorted(f for f in (folder / "annotations").iterdir() if name.fullmatch(f.name))
    if not here:
        here = [found for word in words if (found := _labels_in(folder / word, format)) is not None]
    if len(here) > 1:
        raise DataError(
            f"{folder}: {' and '.join(str(f.relative_to(folder)) for f in here)} could both be {split!r}; keep one"
        )
    return here[0] if here else None


def _labels_in(folder: Path, format: str | None) -> Path | None:
    """Return the one label file in a folder, or the folder if it is laid out as a format; None for neither."""
    if not folder.is_dir():
        return None
    kinds = {f: kind for f in sorted(folder.iterdir()) if f.suffix in _endings() and (kind := _format_of(f, format))}
    whole = _format_of(folder, format)
    if whole is not None and set(kinds.values()) <= {whole}:
        return folder  # files of the folder's own format are parts of it, as labelme's are
    if len(kinds) > 1:
        raise DataError(f"{folder}: holds several label files ({', '.join(f.name for f in kinds)}); name one of them")
    return next(iter(kinds), None)


def _format_of(path: Path, format: str | None) -> str | None:
    try:
        if format is not None:
            return format if formats.load(format).detect(path) else None
        return formats.detect(path)
    except FormatError:
        return None


def _same_classes(sets: Mapping[str, Dataset], sources: Mapping[str, Path]) -> None:
    first, *others = sets
    classes = sets[first].classes
    for other in others:
        theirs = sets[other].classes
        if theirs == classes:
            continue
        parts = [
            f"only in {name}: {', '.join(sorted(set(a) - set(b)))}"
            for name, a, b in ((sources[first].name, classes, theirs), (sources[other].name, theirs, classes))
            if set(a) - set(b)
        ] or [f"the same names in another order: {', '.join(classes)} and {', '.join(theirs)}"]
        raise DataError(
            f"{sources[first]} and {sources[other]} have different classes; {'; '.join(parts)}; list the same classes, "
            "in the same order, in all (a class may be without objects)"
        )


def fingerprint(data: Dataset | LabelSet) -> str:
    """Return the SHA-256 (hex) of classes, image names and labels: equal for equal labels, wherever the files lie.

    Decodes every mask once, unless the format can do without (its sets have a method ``fingerprint``). Image pixels do
    not count.
    """
    labels = data.labels if isinstance(data, Dataset) else data
    digest = hashlib.sha256()
    if isinstance(labels, Subset):
        digest.update(fingerprint(labels.labels).encode())
        digest.update(np.array(labels.indices, np.int64).data)
        return digest.hexdigest()
    quick = getattr(labels, "fingerprint", None)
    if quick is not None:
        return str(quick())
    digest.update(json.dumps(labels.classes).encode())
    for ref, instances in labels:
        digest.update(json.dumps([ref.name, instances.size]).encode())
        masks = instances.masks
        for array in (instances.labels, instances.crowd, masks.offsets, masks.x, masks.y0, masks.y1):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
