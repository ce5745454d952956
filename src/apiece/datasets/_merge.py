"""`merge`: one label set of several; classes by name, distinct image names, no photo twice by accident."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from apiece._arrays import Int
from apiece.core.classes import places, relabelled
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, Option
from apiece.formats import LabelSet, Record

__all__ = ["Joined", "SameImage", "merge", "together"]

SameImage = Literal["refuse", "first", "unite"]
_Place = tuple[int, int]  # (set, image in it)


@dataclass(frozen=True)
class Joined:
    """A `LabelSet` of several sets, one after the other, with classes joined by name."""

    sets: tuple[LabelSet, ...]
    """The sets."""
    names: tuple[tuple[str | None, ...], ...]
    """The new name of each image of each set; None leaves it out."""
    said: tuple[Mapping[str, Any], ...]
    """For each set, attributes for all its images."""
    shifts: tuple[int, ...]
    """For each set, the number added to its instance ids."""
    also: Mapping[_Place, tuple[_Place, ...]] = field(default_factory=dict)
    """For an image, the places of further labels of it."""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of all sets, in the order they first occur."""
        return tuple(dict.fromkeys(name for labels in self.sets for name in labels.classes))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the first set, and of later sets the entries that earlier sets lack."""
        found: dict[str, Any] = {}
        for labels in self.sets:
            found = {**labels.metadata, **found}
        return found

    @cached_property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image, apart from those left out."""
        return tuple(
            self._named(k, i, ref)
            for k, labels in enumerate(self.sets)
            for i, ref in enumerate(labels.refs)
            if self.names[k][i] is not None
        )

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Record:
        k, i = self._places[index]
        return self._record(k, i, self.sets[k][i])

    def __iter__(self) -> Iterator[Record]:
        for k, labels in enumerate(self.sets):
            index = {ref.name: i for i, ref in enumerate(labels.refs)}
            for record in labels:  # iteration may be faster than access by index, and pass over bad images
                i = index[record[0].name]
                if self.names[k][i] is not None:
                    yield self._record(k, i, record)

    @cached_property
    def _places(self) -> list[_Place]:
        return [(k, i) for k, names in enumerate(self.names) for i, name in enumerate(names) if name is not None]

    @cached_property
    def _tables(self) -> list[Int]:
        return [places(labels.classes, self.classes) for labels in self.sets]

    def _named(self, k: int, i: int, ref: ImageRef) -> ImageRef:
        # images of the first set keep their ids; other sets often have the same ones
        return replace(
            ref,
            name=self.names[k][i] or ref.name,
            id=ref.id if k == 0 else None,
            attributes={**ref.attributes, **self.said[k]},
        )

    def _instances(self, k: int, instances: Instances) -> Instances:
        found = relabelled(instances, self._tables[k], self.classes)
        shift = self.shifts[k]
        return found if found.ids is None or not shift else found.replace(ids=found.ids + shift)

    def _record(self, k: int, i: int, record: Record) -> Record:
        ref, instances = record
        instances = self._instances(k, instances)
        for other, j in self.also.get((k, i), ()):
            also, found = self.sets[other][j]
            more = self._instances(other, found)
            ref = replace(ref, shapes=ref.shapes + tuple(s for s in also.shapes if s not in ref.shapes))
            if not len(more):
                continue
            if len(instances) and _fields(more) != _fields(instances):
                raise DataError(
                    f"image {ref.name!r}: the labels of two sets cannot be united, since only one of them has "
                    f"{' and '.join(sorted(_fields(more) ^ _fields(instances)))}"
                )
            instances = Instances.concatenate([instances, more]) if len(instances) else more
        return self._named(k, i, ref), instances


def _fields(instances: Instances) -> set[str]:
    own = {name for name in ("scores", "ids") if getattr(instances, name) is not None}
    return own | {f"attribute {name!r}" for name in instances.attributes}


def together(sets: Mapping[str, LabelSet]) -> Joined:
    """Join splits into one set whose images state their split as ``attributes["split"]``.

    If two splits have images of one name, every image gets its split's name as a folder.
    """
    counts = Counter(_key(ref.name) for labels in sets.values() for ref in labels.refs)
    clash = len(sets) > 1 and any(count > 1 for count in counts.values())
    names = tuple(
        tuple(f"{split}/{ref.name}" if clash else ref.name for ref in labels.refs) for split, labels in sets.items()
    )
    said = tuple({"split": split} for split in sets)
    return Joined(tuple(sets.values()), names, said, (0,) * len(sets))


def merge(
    sets: Mapping[str, LabelSet], same: SameImage = "refuse", distinct_ids: bool = True
) -> tuple[Joined, list[str]]:
    """Make one set of several; joins classes by name (`map_classes` renames them before).

    An image with a name that an earlier set has gets the name of its set as a folder. If two sets have one image file
    (one path, a link, or equal bytes), one image stays, provided that the labels are equal.

    Parameters
    ----------
    sets : label sets by the name that images get as a folder.
    same : what to do if two sets have different labels of one image file: ``"refuse"``, keep those of the ``"first"``
        set, or ``"unite"`` all on one image.
    distinct_ids : add a constant to the ids of a set whose range meets that of earlier sets. Decodes all labels.

    Returns
    -------
    The set, and notes in words on what `merge` did.

    Raises
    ------
    DataError
        If two sets label an image file differently; names it.

    Examples
    --------
    >>> from apiece.datasets import merge
    >>> sets = {"a": apiece.read("data/train.json"), "b": apiece.read("data/val.json")}
    >>> joined, notes = merge(sets, distinct_ids=False)
    >>> len(joined), notes
    (2, ['b: 1 images left out, a has them with the same labels'])
    """
    if same not in ("refuse", "first", "unite"):
        raise ConfigError(Option("same") + f" must be one of refuse, first, unite; got {same!r}")
    names = tuple(tuple(ref.name for ref in labels.refs) for labels in sets.values())
    plain = Joined(tuple(sets.values()), names, ({},) * len(sets), (0,) * len(sets))
    gone, also, notes = _settled(plain, list(sets), same)
    names_now, renamed = _distinct(sets, gone)
    notes += [f"{label}: {n} images renamed to {label}/..., their names are taken" for label, n in renamed.items()]
    shifts = _shifts(plain.sets) if distinct_ids else plain.shifts
    notes += [f"{label}: {s} added to instance ids" for label, s in zip(sets, shifts, strict=True) if s]
    return Joined(plain.sets, names_now, plain.said, shifts, also), notes


def _settled(
    plain: Joined, labels: Sequence[str], same: SameImage
) -> tuple[set[_Place], dict[_Place, tuple[_Place, ...]], list[str]]:
    """Return (images to leave out because an earlier set has them, images whose labels are united, notes)."""
    also: dict[_Place, tuple[_Place, ...]] = {}
    gone: set[_Place] = set()
    counts = Counter[tuple[int, int, str]]()
    for (k, i), (first, j) in _duplicates(plain.sets):
        gone.add((k, i))
        equal = _content(plain, k, i) == _content(plain, first, j)
        if not equal and same == "refuse":
            raise DataError(
                f"image {plain.sets[k].refs[i].name!r} of {labels[k]} and {plain.sets[first].refs[j].name!r} of "
                f"{labels[first]} are the same file with different labels; say which labels count: "
                + Option("same", "first")
                + " or "
                + Option("same", "unite")
            )
        if not equal and same == "unite":
            also[first, j] = (*also.get((first, j), ()), (k, i))
        counts[k, first, "equal" if equal else same] += 1
    said = {
        "equal": "left out, {} has them with the same labels",
        "first": "left out, {} has them with other labels",
        "unite": "united with their labels in {}",
    }
    notes = [f"{labels[k]}: {n} images " + said[what].format(labels[first]) for (k, first, what), n in counts.items()]
    return gone, also, notes


def _key(name: str) -> str:
    """Return what must differ between images: the name without ending, since label files have it, and without case."""
    return PurePosixPath(name.replace("\\", "/")).with_suffix("").as_posix().casefold()


def _distinct(
    sets: Mapping[str, LabelSet], gone: set[_Place]
) -> tuple[tuple[tuple[str | None, ...], ...], Counter[str]]:
    """Return (the new names of all images, None for ``gone`` images; how many images of each set have another name)."""
    taken: set[str] = set()
    names: list[tuple[str | None, ...]] = []
    renamed = Counter[str]()
    for k, (label, labels) in enumerate(sets.items()):
        folder = re.sub(r"[^\w. -]", "_", label).strip(". ") or str(k + 1)
        own: list[str | None] = [None if (k, i) in gone else ref.name for i, ref in enumerate(labels.refs)]
        mine = {_key(name) for name in own if name is not None}
        for i, name in enumerate(own):
            if name is not None and _key(name) in taken:  # within one set, names stay as they are
                folders = itertools.chain([folder], (f"{folder}-{n}" for n in itertools.count(2)))
                tries = (f"{f}/{name}" for f in folders)
                own[i] = new = next(t for t in tries if _key(t) not in taken and _key(t) not in mine)
                mine.add(_key(new))
                renamed[label] += 1
        taken |= mine
        names.append(tuple(own))
    return tuple(names), renamed


def _duplicates(sets: Sequence[LabelSet]) -> Iterator[tuple[_Place, _Place]]:
    """Yield (an image, the same image file in an earlier set)."""
    sizes: dict[int, list[tuple[_Place, ImageRef, os.stat_result]]] = defaultdict(list)
    for k, labels in enumerate(sets):
        for i, ref in enumerate(labels.refs):
            try:
                found = ref.path.stat()
            except OSError:
                continue
            sizes[found.st_size].append(((k, i), ref, found))
    for group in sizes.values():
        if len({place[0] for place, _, _ in group}) < 2:
            continue
        hashes: dict[tuple[int, int], bytes] = {}
        first: dict[tuple[bytes, int | None], _Place] = {}
        for place, ref, found in group:
            inode = (found.st_dev, found.st_ino)
            if inode not in hashes:
                hashes[inode] = repr(inode).encode() if ref.path.is_dir() else _digest(ref.path)
            other = first.setdefault((hashes[inode], ref.page), place)
            if other[0] != place[0]:
                yield place, other


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _content(joined: Joined, k: int, i: int) -> Counter[tuple[Any, ...]]:
    """Return the masks, classes and crowd flags of an image, and its shapes that are no masks, in any order."""
    ref, instances = joined.sets[k][i]
    instances = relabelled(instances, joined._tables[k], joined.classes)
    rles = [str(rle["counts"]) for rle in instances.masks.to_coco()]
    shapes = [(shape.kind, repr(shape.labels), repr(shape.content)) for shape in ref.shapes]
    return Counter((*zip(rles, instances.labels.tolist(), instances.crowd.tolist(), strict=True), *shapes))


def _shifts(sets: Sequence[LabelSet]) -> tuple[int, ...]:
    highest: int | None = None
    shifts = []
    for labels in sets:
        ends = [(int(i.ids.min()), int(i.ids.max())) for _, i in labels if i.ids is not None and len(i)]
        shift = 0
        if ends:
            low, high = min(e[0] for e in ends), max(e[1] for e in ends)
            shift = 0 if highest is None or low > highest else highest + 1 - low
            highest = high + shift
        shifts.append(shift)
    return tuple(shifts)
