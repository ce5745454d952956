"""The `LabelSet` of every format, for labels in files that are decoded image by image; and which files there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from apiece._arrays import Float
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.runs import sums
from apiece.errors import FormatError
from apiece.formats._kit.border import Border
from apiece.formats._kit.checks import BadEntryError, Size
from apiece.formats._kit.entries import Entry, assemble
from apiece.formats._kit.files import files_below
from apiece.formats._kit.image_places import image_size
from apiece.formats.contract import OnBad, OpenedLabels, Outlines, Record, Seen, refuse

Found = TypeVar("Found")
_RINGS = 1 << 12  # that `outlines` hands on in one go


@dataclass(frozen=True)
class FileSet(OpenedLabels):
    """Labels of many images in one file or many, found and named but not decoded."""

    refs: tuple[ImageRef, ...]
    files: tuple[Path, ...]
    """The file that says what is on each image."""
    classes: tuple[str, ...]
    decode: Callable[..., Any]
    """What the subclass says."""
    rows: Sequence[Any] = field(default=(), repr=False)
    """What `decode` needs to know of each image besides."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    context: Any = None
    """What `decode` needs to know of all images."""
    on_bad: OnBad = None
    border: Border = field(default_factory=Border, compare=False, repr=False)

    def with_refs(self, refs: Sequence[ImageRef]) -> Self:
        """Return the set with other references to the same images."""
        return replace(self, refs=tuple(refs))

    def fingerprint(self) -> str:
        """Return the SHA-256 of classes, image names and label files' bytes."""
        named = repr((self.classes, [ref.name for ref in self.refs]))
        digest = hashlib.sha256(named.encode(errors="surrogatepass"))
        for path in dict.fromkeys(self.files):
            if path.is_file():
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


class EntrySet(FileSet):
    """Labels that are entries to be drawn.

    ``decode(set, index, size)`` returns the entries of an image of (height, width); it reports the bad ones.
    """

    def record(self, index: int) -> Record:
        """Return the image and its entries, drawn; the image is measured if the labels do not say its size."""
        ref, file = self.refs[index], self.files[index]
        size: Size = image_size(file, ref) if ref.size is None else ref.size
        entries: list[Entry] = self.decode(self, index, size)
        return ref, assemble(entries, size, self.classes, file, self.on_bad, self.border, index)

    def outlines(self, look: Callable[[Outlines], Seen]) -> Iterator[Seen]:
        """Yield what ``look`` returns of entries that are drawn as polygons; images with a bad entry are left out."""
        rows: list[tuple[int, int, int]] = []
        rings: list[Float] = []
        holes: list[bool] = []
        parts = [0]
        looked = replace(self, on_bad=None)
        for index, (ref, file) in enumerate(zip(self.refs, self.files, strict=True)):
            try:
                size = image_size(file, ref) if ref.size is None else ref.size
                entries: list[Entry] = self.decode(looked, index, size)
            except (BadEntryError, FormatError):
                continue
            drawn = [[part for one in (e, *e.joined) if type(one.shape) is list for part in one.shape] for e in entries]
            boxes = np.array([[*ring.min(0), *ring.max(0)] for own in drawn for part in own for ring in part])
            if self.border.judge(boxes.reshape(-1, 4), size)[1]:
                continue
            for place, (entry, own) in enumerate(zip(entries, drawn, strict=True)):
                if all(type(one.shape) is list for one in (entry, *entry.joined)):
                    rows.append((index, place, entry.label))
                    rings += [ring for part in own for ring in part]
                    holes += [k > 0 for part in own for k in range(len(part))]
                    parts.append(len(rings))
            if len(rings) >= _RINGS:
                yield look(_flat(rows, rings, holes, parts))
                rows, rings, holes, parts = [], [], [], [0]
        yield look(_flat(rows, rings, holes, parts))


def _flat(rows: list[tuple[int, int, int]], rings: list[Float], holes: list[bool], parts: list[int]) -> Outlines:
    """Return objects, of which each row says image, place and class."""
    images, places, labels = np.array(rows, np.int64).reshape(-1, 3).T
    points, begin = np.concatenate([np.zeros((0, 2)), *rings]), sums(list(map(len, rings)))
    return Outlines(images, places, labels, points, begin, np.array(parts), np.array(holes, bool))


class LabelImageSet(FileSet):
    """Labels that are images.

    ``decode(set, index)`` returns the instances of an image and further attributes of it; it reports what is wrong
    with single objects.
    """

    def record(self, index: int) -> Record:
        """Return the image, with the attributes that its label image tells, and the instances."""
        ref = self.refs[index]
        instances: Instances
        instances, attributes = self.decode(self, index)
        return (replace(ref, attributes={**ref.attributes, **attributes}) if attributes else ref), instances

    def look(self, index: int) -> None:
        """Decode an image and forget it, for the errors."""
        self.decode(self, index)

    def sound(self) -> LabelImageSet:
        """Return the set without the images that cannot be decoded, each reported, so that ``refs`` names none of them.

        Without ``on_bad`` nothing is decoded, and a broken label image raises when it is asked for.
        """
        if self.on_bad is None:
            return self
        good, looked = [], replace(self, border=Border(clip=True))  # single outlines are judged later
        for index in range(len(self)):
            try:
                looked.look(index)
                good.append(index)
            except FormatError as error:
                self.report(error)
        refs, files = tuple(self.refs[i] for i in good), tuple(self.files[i] for i in good)
        return replace(self, refs=refs, files=files, rows=tuple(self.rows[i] for i in good) if self.rows else ())


def label_files(path: Path, endings: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the label files: ``path`` itself, or all below it."""
    if path.is_file():
        return path.parent, [path]
    found = files_below(path, endings)
    if not found:
        raise FormatError(path, f"holds no {' or '.join(endings)} files")
    return path, found


def opened(
    path: Path, files: list[Path], look: Callable[[Path], tuple[ImageRef, Found]], on_bad: OnBad
) -> Iterator[tuple[Path, ImageRef, Found]]:
    """Yield each label file with the image and whatever else ``look`` finds in it.

    A file that is broken, or whose image has a label file already, is reported and left out; it is raised if it is
    ``path`` itself, since nothing is left then.
    """
    files_of: dict[str, Path] = {}
    for file in files:
        try:
            ref, found = look(file)
            if ref.name in files_of:
                raise BadEntryError(f"{files_of[ref.name].name} is about image {ref.name!r} too; remove one of the two")
        except (BadEntryError, FormatError) as error:
            known = error if isinstance(error, FormatError) else FormatError(file, str(error))
            refuse(known, None if path.is_file() else on_bad)
            continue
        files_of[ref.name] = file
        yield file, ref, found
