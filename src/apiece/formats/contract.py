"""What a label format is: one file in this package that defines ``FORMAT = LabelFormat(...)``.

The file's name is the format's name. `apiece.formats.read` and `write` find it by themselves, and so do the shared
tests. ``CONTRIBUTING.md`` shows a whole one.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeVar

from apiece._plugins import Room
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import ConfigError, FormatError, Option
from apiece.formats._kit.outlines import Outlines
from apiece.images import LARGE

__all__ = [
    "BAND",
    "EVERYTHING",
    "PAGE",
    "ROOM",
    "SPLITS",
    "Cut",
    "Holds",
    "LabelFormat",
    "LabelSet",
    "OnBad",
    "Once",
    "OpenedLabels",
    "Outlines",
    "Record",
    "by_image",
    "in_pieces",
    "in_words",
    "refuse",
    "shape_counts",
    "split_of",
]

PAGE = "apiece_page"
"""The attribute of an image by which COCO files of predictions keep `ImageRef.page`."""
Record = tuple[ImageRef, Instances]
Seen = TypeVar("Seen")
OnBad = Callable[[FormatError], None] | None
"""Called with the error of each bad entry, which the reader then leaves out; None: the first error is raised."""


def refuse(error: FormatError, on_bad: OnBad) -> None:
    """Raise the error of a bad entry, or hand it to ``on_bad`` so that the reader can leave the entry out and go on."""
    if on_bad is None:
        raise error
    on_bad(error)


def in_pieces(labels: LabelSet) -> Iterator[Record]:
    """Yield the records of a label set, an image that is too large for one as several in a row.

    These have one and the same `ImageRef`, and each holds other objects of the image. What needs all objects of an
    image at once iterates over the set itself.
    """
    pieces: Callable[[], Iterator[Record]] | None = getattr(labels, "in_pieces", None)
    return iter(labels) if pieces is None else pieces()


class _Same:
    """Compares by identity, and keeps what it compares."""

    def __init__(self, ref: ImageRef) -> None:
        self.ref = ref

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.ref is other.ref

    __hash__ = None  # type: ignore[assignment]


def by_image(records: Iterable[Record]) -> Iterator[tuple[ImageRef, Iterator[Instances]]]:
    """Yield each image with its pieces, as `in_pieces` yields them."""
    for same, group in itertools.groupby(records, lambda record: _Same(record[0])):
        yield same.ref, (instances for _, instances in group)


def shape_counts(refs: Iterable[ImageRef]) -> Counter[str]:
    """Return how many shapes of each kind there are that are no masks."""
    return Counter(shape.kind for ref in refs for shape in ref.shapes)


def in_words(counts: Mapping[str, int]) -> str:
    """Return counts as people read them.

    >>> in_words({"polyline": 2, "tag": 1})
    '2 polyline, 1 tag'
    """
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Each split, and the names that its files and folders may have."""
SPLIT_WORD = re.compile(
    rf"(?<![a-z])({'|'.join(sorted((w for words in SPLITS.values() for w in words), key=len, reverse=True))})"
    r"(?![a-z])(?:-dev)?(\d{4})?",
    re.IGNORECASE,
)
"""A split in the name of a file or folder, and the year behind it."""


def split_of(name: str) -> str | None:
    """Return which split a file or folder is of by its name, if it says.

    >>> [split_of(name) for name in ("instances_train2017", "valid", "test-dev2017", "trained", "default")]
    ['train', 'val', 'test', None, None]
    """
    word = SPLIT_WORD.search(name)
    return None if word is None else next(split for split, words in SPLITS.items() if word[1].lower() in words)


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

    Iterating yields ``(ImageRef, Instances)``, one image at a time, in constant memory. With ``on_bad``, an image that
    cannot be read at all is left out while iterating; ``labels[i]`` raises its `FormatError` in any case.

    Attributes
    ----------
    classes : class names; ``Instances.labels`` index into them.
    refs : every image, with no mask decoded.
    metadata : what the file says of the set as a whole, under the format's name: ``{"coco": {"info": ...}}``. A writer
        takes from it what its own reader put there (category ids with gaps, supercategories) and nothing else.

    Examples
    --------
    >>> labels = apiece.read("data/train.json")
    >>> len(labels), labels.classes, [ref.name for ref in labels.refs]
    (2, ('bolt', 'nut'), ['a.png', 'b.png'])
    >>> ref, instances = labels[0]
    >>> ref.size, instances.names
    ((24, 32), ['bolt', 'nut'])
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def refs(self) -> tuple[ImageRef, ...]: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Record: ...
    def __iter__(self) -> Iterator[Record]: ...


class Cut(NamedTuple):
    """An outline that was cut at the border of its image."""

    instance: int
    """Position of its instance on the image; -1 where others are drawn over it."""
    beyond: float
    """How far it reached, in pixels."""
    far: bool
    """Whether that is further than a reader cuts unasked."""
    box: tuple[float, ...]
    """The box x0, y0, x1, y1 of what is left."""


class OpenedLabels:
    """Base of a `LabelSet`: length, indexing and iteration from the attributes ``refs`` and ``on_bad`` and one method.

    A subclass has ``classes``, ``refs``, ``metadata`` and ``on_bad``, for instance as fields of a dataclass, and says
    what `record` returns.
    """

    on_bad: OnBad
    if TYPE_CHECKING:

        @property
        def refs(self) -> tuple[ImageRef, ...]: ...

    def record(self, index: int) -> Record:
        """Return the record of the image at ``index``, from 0 to the number of images less 1."""
        raise NotImplementedError

    def pieces(self, index: int) -> Iterator[Record]:
        """Yield the image at ``index``, in pieces if it may be too large for one record, see `in_pieces`."""
        yield self.record(index)

    def in_pieces(self) -> Iterator[Record]:
        """Yield what `in_pieces` yields of this set."""
        for index in range(len(self)):
            try:
                yield from self.pieces(index)
            except FormatError as error:
                self.report(error)

    def report(self, error: FormatError) -> None:
        """Raise the error of a bad entry, or hand it to ``on_bad`` so that the entry is left out."""
        refuse(error, self.on_bad)

    @property
    def cut(self) -> Mapping[int, Sequence[Cut]]:
        """The outlines that were cut at the border, by position of their image, as far as decoded."""
        border = getattr(self, "border", None)
        return {} if border is None else border.cut

    def with_refs(self, refs: Sequence[ImageRef]) -> Self:
        """Return the set with other references to the same images; the set itself where its file names them in full."""
        return self

    def outlines(self, look: Callable[[Outlines], Seen]) -> Iterator[Seen]:
        """Yield what ``look`` returns of some objects that are drawn as polygons, then of others, in order.

        It is asked for nothing in formats without polygons. What it returns of an image that has a bad entry may be
        forgotten, so it keeps no notes itself.
        """
        return iter(())

    @property
    def annotators(self) -> Mapping[str, Sequence[int]]:
        """Who drew labels, and the positions of the images that each has seen; empty where the file does not say."""
        return {}

    def by_annotator(self, name: str) -> LabelSet:
        """Return what one annotator drew, with the images that he or she has seen."""
        raise ConfigError("these labels do not say who drew them; leave out " + Option("annotator", name))

    def shape_counts(self) -> Counter[str]:
        """Return how many shapes of each kind the reader passed over, since they are no masks."""
        return shape_counts(self.refs)

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
    """What a format can keep. `write` refuses what is False with `LossyFormatError`, unless it may write with loss.

    Attributes
    ----------
    overlap : two instances of one image may cover the same pixel.
    holes : a mask may have holes.
    parts : a mask may have several parts.
    empty : a mask may have no pixel.
    classes : each instance has a class.
    ids : each instance has an id of its own.
    id_range : lowest and highest id that the format can hold; None for any 64-bit integer. With a range, ids are unique
        within an image.
    scores : each instance has a score.
    crowd : an instance may be a crowd region.
    attributes : each instance may have further named values.
    full : each instance may have a full mask, with what others hide of it.
    most : most instances of one image; None: no limit.

    Examples
    --------
    >>> apiece.formats.load("yolo").holds.ids
    False
    """

    overlap: bool = False
    holes: bool = False
    parts: bool = False
    empty: bool = False
    classes: bool = False
    ids: bool = False
    id_range: tuple[int, int] | None = None
    scores: bool = False
    crowd: bool = False
    attributes: bool = False
    full: bool = False
    most: int | None = None


BAND = 512
"""Rows of a large label image that are written together."""


def comes_in_bands(size: tuple[int, int]) -> bool:
    """Return whether an image of (height, width) is written band by band, see `LabelFormat.pieces`."""
    return size[0] * size[1] >= LARGE


EVERYTHING = Holds(True, True, True, True, True, True, scores=True, crowd=True, attributes=True)
"""What a format holds that loses nothing of what most label sets have: all but full masks."""
ANY_INT64 = (-(2**63), 2**63 - 1)
"""`Holds.id_range` of a format whose ids are any integers, each once in an image."""


@dataclass(frozen=True)
class LabelFormat:
    """A label format: how to know it, read it, write it, and what it holds.

    Attributes
    ----------
    summary : one line for ``apiece convert --help``.
    detect : ``(path)``: whether the file or folder is of this format, by its content. Cheap; never raises.
    read : ``(labels, folder of images or None, on_bad)``: open a set. A shape that is no mask (a point, a line, a tag)
        is kept in ``ImageRef.shapes``, never passed over in silence. What is wrong with one entry (an annotation, a
        row, an image) goes through `refuse`, when the set is opened or when the entry is decoded. What is wrong with
        the file as a whole raises `FormatError` in any case, naming file, line or key, and reason.
    write : ``(records, path, classes, metadata)``: write a set, atomically, streaming. Every record's classes are
        ``classes``, no image's name leaves the folder, and its size, if stated, is the size of its instances. `write`
        refuses or removes before what ``holds`` denies; anything else that cannot be kept raises `LossyFormatError`.
        Two images of one name, and a folder with something in it, raise `FormatError`. Whatever is raised, by the
        records too, leaves nothing at ``path`` that was not there. None: the format is only read.
    holds : what survives a round trip.
    numbers_entries : whether ids are only the file's numbering of its entries, as COCO's are; a format without ids
        does without them.
    suffixes : endings (``".json"``) that mean this format when a file is written and no format is named.
    ending : ending of the one file that holds a set of many images; empty where such a set is a folder.
    shapes : the `Shape.format` of what `write` writes of ``ImageRef.shapes``; empty: nothing. `apiece.formats.write`
        refuses or removes all other shapes before.
    folders : folders of labels and of images in a folder that holds both, where the two may not lie together.
    doubt : ``(path)``: what speaks against this format where `detect` took the labels for it and nobody named it; a
        text that says what to name, empty for no doubt. May decode some of the labels; never raises.
    guessed : whether labels that `detect` knows are taken for this format when nobody names it.
    pieces : how `write` takes an image that comes as several records in a row with one and the same `ImageRef`.
        ``"objects"``: each record holds other objects of it. ``"bands"``: an image of `apiece.images.LARGE` pixels or
        more always comes as one record for each `BAND` rows, from the top down: what lies of the objects in these rows,
        with their ids; where two overlap the later one lies on top. Empty: an image is one record.
    splits : whether one set says of each image, in ``ImageRef.attributes["split"]``, which of train, val, test it is
        of.
    """

    summary: str
    detect: Callable[[Path], bool]
    read: Callable[[Path, Path | None, OnBad], LabelSet]
    write: Callable[[Iterable[Record], Path, tuple[str, ...], Mapping[str, Any]], None] | None
    holds: Holds
    numbers_entries: bool = False
    suffixes: tuple[str, ...] = ()
    ending: str = ""
    shapes: str = ""
    folders: tuple[str, str] | None = None
    pieces: Literal["", "objects", "bands"] = ""
    splits: bool = False
    doubt: Callable[[Path], str] | None = None
    guessed: bool = True


ROOM: Room[LabelFormat] = Room("apiece.formats", "FORMAT", LabelFormat)
"""Where the label formats are found."""
