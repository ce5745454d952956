"""What a label format is: one file in this package that defines ``FORMAT = LabelFormat(...)``.

The file's name is the format's name. `apiece.formats.read` and `write` find it by themselves, and so do
the shared tests. See ``CONTRIBUTING.md`` for a whole short one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from apiece._plugins import Room
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError

__all__ = [
    "EVERYTHING",
    "ROOM",
    "Holds",
    "LabelFormat",
    "LabelSet",
    "OnBad",
    "Once",
    "OpenedLabels",
    "Record",
    "refuse",
]

Record = tuple[ImageRef, Instances]
OnBad = Callable[[FormatError], None] | None
"""What is told of each bad entry, which is then left out; None: the first one is raised."""


def refuse(error: FormatError, on_bad: OnBad) -> None:
    """Raise the error of a bad entry, or report it so that the reader can leave the entry out and go on."""
    if on_bad is None:
        raise error
    on_bad(error)


class Once:
    """An ``on_bad`` that calls another one with every error once, however often an entry is read."""

    def __init__(self, on_bad: Callable[[FormatError], None]) -> None:
        self._on_bad = on_bad
        self._told: set[str] = set()

    def __call__(self, error: FormatError) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            self._on_bad(error)


class LabelSet(Protocol):
    """Labels of many images, opened but not yet decoded: masks are made when an item is asked for.

    Iterating yields ``(ImageRef, Instances)``, one image at a time, in constant memory. An image that cannot be read
    at all is left out there if somebody is told of bad entries; ``labels[i]`` has nothing to give for it and raises
    its `FormatError` in any case.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; ``Instances.labels`` index into them."""
        ...

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image, with no mask decoded."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the file says of the set as a whole, under the format's name: ``{"coco": {"info": ...}}``.

        A writer takes from it what its own reader put there (category ids with gaps, supercategories) and nothing else.
        """
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Record: ...
    def __iter__(self) -> Iterator[Record]: ...


class OpenedLabels:
    """A `LabelSet` that takes everything but `classes` and `metadata` from `refs`, `on_bad` and one method."""

    on_bad: OnBad
    if TYPE_CHECKING:

        @property
        def refs(self) -> tuple[ImageRef, ...]: ...

    def record(self, index: int) -> Record:
        """Return the record of the image at ``index``, from 0 to the number of images less 1."""
        raise NotImplementedError

    def report(self, error: FormatError) -> None:
        """Raise the error of a bad entry, or tell it so that the entry is left out."""
        refuse(error, self.on_bad)

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        return self.record(range(len(self))[index])

    def __iter__(self) -> Iterator[Record]:
        for index in range(len(self)):
            try:
                record = self.record(index)
            except FormatError as error:
                self.report(error)
                continue
            yield record


@dataclass(frozen=True)
class Holds:
    """What a format can keep. What is False is refused by `write` with `LossyFormatError` unless asked otherwise."""

    overlap: bool = False
    """Two instances of one image may cover the same pixel."""
    holes: bool = False
    """A mask may have holes."""
    parts: bool = False
    """A mask may have several parts."""
    empty: bool = False
    """A mask may have no pixel."""
    classes: bool = False
    """Each instance has a class."""
    ids: bool = False
    """Each instance has an id of its own."""
    id_range: tuple[int, int] | None = None
    """Lowest and highest id it can hold; None for any 64-bit integer. With a range, ids are unique within an image."""
    scores: bool = False
    """Each instance has a score."""
    crowd: bool = False
    """An instance may be a crowd region."""
    attributes: bool = False
    """Each instance may have further named values."""
    most: int | None = None
    """Most instances of one image; None: no limit."""


EVERYTHING = Holds(
    overlap=True,
    holes=True,
    parts=True,
    empty=True,
    classes=True,
    ids=True,
    scores=True,
    crowd=True,
    attributes=True,
)
"""What a format holds that loses nothing."""


ANY_INT64 = (-(2**63), 2**63 - 1)
"""`Holds.id_range` of a format whose ids are any integers, each once in an image."""


@dataclass(frozen=True)
class LabelFormat:
    """A label format: how to know it, read it, write it, and what it holds."""

    summary: str
    """One line for ``apiece convert --help``."""
    detect: Callable[[Path], bool]
    """Whether the file or folder at this path is of this format, by its content. Cheap; never raises."""
    read: Callable[[Path, Path | None, OnBad], LabelSet]
    """Open ``(labels, folder of images or None, on_bad)``. What is wrong with one entry (an annotation, a row, an
    image) goes through `refuse`, when the set is opened or when the entry is decoded, each once; what is wrong with the
    file as a whole raises `FormatError` in any case."""
    write: Callable[[Iterable[Record], Path, tuple[str, ...], Mapping[str, Any]], None]
    """Write ``(records, path, classes, metadata)``, atomically, streaming. Every record's classes are ``classes``, no
    image's name leaves the folder, and its size, if stated, is that of its instances. What `holds` denies was refused
    or removed before; what else cannot be kept raises `LossyFormatError`. Whatever is raised, by the records too,
    leaves nothing at ``path`` that was not there."""
    holds: Holds
    """What survives a round trip."""
    numbers_entries: bool = False
    """Whether ids are only the file's numbering of its entries, as COCO's are: a format without ids does without."""
    suffixes: tuple[str, ...] = ()
    """Endings (``".json"``) that mean this format when a file is written and no format is named."""
    ending: str = ""
    """Ending of the one file that holds a set of many images; empty where such a set is a folder."""
    folders: tuple[str, str] | None = None
    """Folders of labels and of images in a folder that holds both, where the two may not lie together."""
    splits: bool = False
    """Whether one set says of each image, in ``ImageRef.attributes["split"]``, which of train, val, test it is of."""


ROOM: Room[LabelFormat] = Room("apiece.formats", "FORMAT", LabelFormat)
"""Where the label formats are found."""
