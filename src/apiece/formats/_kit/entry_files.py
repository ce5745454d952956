"""Labels in many files: found and named at once, decoded one image at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.formats._kit.entries import BadEntryError, Entry, assemble
from apiece.formats._kit.json_files import has_constants
from apiece.formats.contract import OnBad, Record, each


@dataclass(frozen=True)
class ItemSet:
    """Labels of many images, none of them decoded: a `LabelSet`."""

    classes: tuple[str, ...]
    refs: tuple[ImageRef, ...]
    files: tuple[Path | None, ...]
    """The label file of each image; None where it has none."""
    metadata: Mapping[str, Any]
    parse: Callable[[ItemSet, int], tuple[tuple[int, int], list[Entry]]]
    """``(set, index)`` to the image's size and its entries; reports bad ones itself."""
    context: Any = None
    """Whatever ``parse`` needs besides."""
    on_bad: OnBad = None

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        i = range(len(self))[index]
        size, entries = self.parse(self, i)
        ref = self.refs[i]
        return ref, assemble(entries, size, self.classes, self.files[i] or ref.path, self.on_bad)

    def __iter__(self) -> Iterator[Record]:
        return each(self, self.on_bad)

    def fingerprint(self) -> str:
        """SHA-256 of classes, image names and label files' bytes."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for ref in self.refs:
            digest.update(ref.name.encode(errors="surrogatepass") + b"\0")
        for file in dict.fromkeys(self.files):
            digest.update(hashlib.sha256(file.read_bytes() if file is not None else b"").digest())
        return digest.hexdigest()


def no_constants(value: Any) -> None:
    """Refuse NaN and infinities, however deep in the value."""
    if has_constants(value):
        raise BadEntryError("holds NaN or Infinity, which is no number in JSON")
