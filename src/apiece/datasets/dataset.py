"""`Dataset`: labelled images, read one at a time; `open_data`, `open_sources`: the sets of a file or folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from apiece import formats
from apiece.core.image import Image, ImageRef, check_drawn_on
from apiece.core.instances import Instances
from apiece.datasets._annotators import drawn_by
from apiece.datasets._find import find_labels
from apiece.datasets._views import Subset
from apiece.errors import ApieceError, ConfigError, DataError, FormatError, ImageError, Option
from apiece.formats import LabelSet
from apiece.formats.contract import SPLITS, OnBad
from apiece.images import read_image

__all__ = [
    "BadEntries",
    "Dataset",
    "FoundLabels",
    "Subset",
    "fingerprint",
    "image_folders",
    "open_data",
    "open_sources",
    "readable",
    "sound",
]

Error = TypeVar("Error", bound=ApieceError)
Folders = Path | str | Mapping[str, Path | str] | Sequence[str] | None
"""The folder of the images, or the folder of each split, also as words (``train=a``); by default they are found."""


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
    path: Path | str,
    images: Folders = None,
    format: str | None = None,
    on_bad: OnBad = None,
    clip_outlines: bool = False,
    annotator: str | None = None,
) -> dict[str, Dataset]:
    """Open the data at ``path``; the keys are those of ``"train"``, ``"val"`` and ``"test"`` that it has.

    A label file is ``train``. In a folder, `open_data` looks for each split in this order: ``train.json`` (or another
    ending of label files); ``annotations/train.json`` or ``annotations/instances_train*.json``; a folder ``train`` that
    holds one label file or is laid out as a label format. ``valid``, ``validation`` ... mean ``val``. A set that states
    the split of each image (YOLO) is divided by that. Labels without splits are ``train``.

    Parameters
    ----------
    path : label file or folder.
    images : folder of the images, or a folder for each split (``{"train": "a", "val": "b"}``); by default found where
        the field's tools have it.
    format : the format of the labels; by default found by content.
    on_bad : called with the `FormatError` of each bad entry, which is left out; by default the first one is raised. To
        find images that cannot be decoded as a whole, all labels are decoded once.
    clip_outlines : as in `apiece.read`.
    annotator : read only what this person drew, and the images that he or she has seen, or with ``"agreement"`` what
        more than half of an image's annotators drew; by default what all drew. Label Studio's files say who drew what.

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
    sources = open_sources(path, images, format, on_bad, clip_outlines, annotator)
    sets = {split or "train": Dataset(sound(source.labels, on_bad)) for split, source in sources.items()}
    _same_classes(sets, {split or "train": source.path for split, source in sources.items()})
    return sets


def open_sources(
    path: Path | str,
    images: Folders = None,
    format: str | None = None,
    on_bad: OnBad = None,
    clip_outlines: bool = False,
    annotator: str | None = None,
) -> dict[str, FoundLabels]:
    """Open labels as `open_data` finds them, whatever their classes; the key of labels without splits is empty.

    Parameters
    ----------
    path : label file or folder.
    images : as in `open_data`.
    on_bad, clip_outlines : as in `apiece.read`.
    annotator : as in `open_data`.
    format : the format of the labels; by default found by content.

    Raises
    ------
    DataError
        If there are no labels, or two candidates for one split.
    FormatError
        If a label file breaks its format.
    """
    found, folders = find_labels(Path(path), format), image_folders(images)
    if isinstance(folders, dict) and list(found) == [""] and len(folders) == 1:
        (folders,) = folders.values()  # one file is of the one split
    sources: dict[str, FoundLabels] = {}
    for split, at in found.items():
        name = formats.detect(at) if format is None else format
        divided = split == "" and formats.load(name).splits
        for own in SPLITS if divided and isinstance(folders, dict) else [split or "train"]:
            folder = folders.get(own) if isinstance(folders, dict) else folders
            labels = drawn_by(formats.read(at, format, folder, on_bad, clip_outlines), annotator, at)
            source = FoundLabels(at, name, labels)
            parts = _divided(source) if divided else {split: source}
            sources |= {
                key: part for key, part in parts.items() if not isinstance(folders, dict) or (key or "train") == own
            }
    lacking = set(folders) - {split or "train" for split in sources} if isinstance(folders, dict) else None
    if lacking:
        raise ConfigError(
            f"{path} has no {', '.join(sorted(lacking))}, which " + Option("images", ...) + " names a folder for"
        )
    return sources


def image_folders(images: Folders) -> Path | dict[str, Path] | None:
    """Return the folder of the images, or the folder of each split.

    Raises
    ------
    ConfigError
        If several folders are named without their splits, or what is named is no split.

    Examples
    --------
    >>> from apiece.datasets import image_folders
    >>> {split: str(folder) for split, folder in image_folders(["train=a", "val=b"]).items()}
    {'train': 'a', 'val': 'b'}
    """
    if images is None or isinstance(images, Path | str):
        return None if images is None else Path(images)
    if not isinstance(images, Mapping):
        if len(images) < 2 and not any(word.partition("=")[0] in SPLITS for word in images):
            return Path(images[0]) if images else None
        images = {split: folder for split, _, folder in (word.partition("=") for word in images)}
    strange = next((f"{split}={folder}".rstrip("=") for split, folder in images.items() if split not in SPLITS), None)
    if strange is not None:
        ways = f"one folder, or one for each split as SPLIT=DIR, where SPLIT is {', '.join(SPLITS)}"
        raise ConfigError(Option("images", strange) + f" is not understood; name {ways}")
    return {split: Path(folder) for split, folder in images.items()}


def _divided(source: FoundLabels) -> dict[str, FoundLabels]:
    """Divide a set that states the split of each image."""
    said = [ref.attributes.get("split") for ref in source.labels.refs]
    chosen = {split: tuple(i for i, s in enumerate(said) if s == split) for split in SPLITS if split in said}
    return {
        split: replace(source, labels=source.labels if len(chosen) == 1 else Subset(source.labels, indices))
        for split, indices in chosen.items()
    } or {"": source}


def _same_classes(sets: Mapping[str, Dataset], sources: Mapping[str, Path]) -> None:
    first, *others = sets
    classes = sets[first].classes
    for other in others:
        theirs = sets[other].classes
        if theirs == classes:
            continue
        named = [sources[split].name for split in (first, other)]
        one, two = named if named[0] != named[1] else (first, other)
        parts = [
            f"only in {name}: {', '.join(sorted(set(a) - set(b)))}"
            for name, a, b in ((one, classes, theirs), (two, theirs, classes))
            if set(a) - set(b)
        ] or [f"the same names in another order: {', '.join(classes)} and {', '.join(theirs)}"]
        raise DataError(
            f"{sources[first]} and {sources[other]} have different classes; {'; '.join(parts)}; list the same classes, "
            "in the same order, in all (a class may be without objects); apiece convert --classes orders and renames "
            "them"
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
