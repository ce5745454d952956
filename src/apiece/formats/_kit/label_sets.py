"""The `LabelSet` of every format: what all of them share, for labels in files that are decoded image by image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import Size
from apiece.formats._kit.entries import Entry, assemble
from apiece.formats._kit.image_sizes import image_size
from apiece.formats.contract import OnBad, OpenedLabels, Record


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
        return ref, assemble(entries, size, self.classes, file, self.on_bad)


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

    def sound(self) -> LabelImageSet:
        """Return the set without the images that cannot be decoded, each reported, so that ``refs`` names none of them.

        Without ``on_bad`` nothing is decoded, and a broken label image raises when it is asked for.
        """
        if self.on_bad is None:
            return self
        good = []
        for index in range(len(self)):
            try:
                self.decode(self, index)
                good.append(index)
            except FormatError as error:
                self.report(error)
        refs, files = tuple(self.refs[i] for i in good), tuple(self.files[i] for i in good)
        return replace(self, refs=refs, files=files, rows=tuple(self.rows[i] for i in good) if self.rows else ())
