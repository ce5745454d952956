"""The contract of a family of label checks: one file in this package that defines ``CHECK = Check(...)``.

`apiece.check.check` finds the file by itself, and so do the report and the shared tests. A family judges one labelled
image at a time (`Check.look`), or keeps a little of each image and judges the whole set (`Check.remember`,
`Check.conclude`), or both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Float32, Int, Int32
from apiece._plugins import Room
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.errors import ConfigError, FormatError, Option
from apiece.formats import LabelSet

__all__ = [
    "LEVELS", "ROOM", "Check", "Finding", "JoinedRows", "Kind", "Labelled", "Level", "Place", "Repair", "Rows",
    "SetFacts", "Settings",
]  # fmt: skip

Level = Literal["error", "warning", "note"]
"""``error``: labels contradict themselves or their images. ``warning``: probably a mistake. ``note``: worth knowing."""
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

Repair = Literal["drop", "dust", "rewrite", "clip", "single", "widen"]
"""A repair that is safe.

``drop``: remove the first of the place's instances. ``dust``: remove parts of at most `Settings.dust` pixels from the
masks of the instances. ``rewrite``: compute area and box from the mask; of every instance, if the place names no image.
``single``: take the mark of a crowd off every instance of the split. ``widen``: give every mask of the split the pixels
that its polygon runs through.
``clip``: write the mask cut at the border, as it was read, with its own area and box.
"""


@dataclass(frozen=True)
class Kind:
    """One kind of mistake."""

    name: str
    """Its name, unique among all families: ``duplicate``."""
    level: Level
    """How grave it is."""
    summary: str
    """One line: what is found, by which rule."""
    fix: str
    """One line: what to do about it."""


@dataclass(frozen=True)
class Settings:
    """Thresholds that a person can set; each family takes the ones that concern it."""

    duplicate_iou: float = 0.85
    """Mask IoU above which two instances of one class are the same object, labelled twice."""
    dust: int = 4
    """Most pixels of dust: of a loose part, or of a whole mask."""
    few: int = 10
    """Fewest instances of a class that a model can learn from."""
    near: int = 6
    """Most bits, of 64, in which the hashes of two near-duplicate images differ."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate_iou <= 1:
            raise ConfigError(Option("duplicate_iou") + f" must be above 0 and at most 1, got {self.duplicate_iou}")
        for name in ("dust", "few", "near"):
            if getattr(self, name) < 0:
                raise ConfigError(Option(name) + f" must be 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image with its labels, as a family receives it."""

    split: str
    """``"train"``, ``"val"`` or ``"test"``."""
    index: int
    """Position of the image in its split."""
    ref: ImageRef
    """Where the image is, and what the label file states about it."""
    instances: Instances
    """The labels. Their attributes ``area`` and ``bbox`` are the values that the label file states."""
    image: Image | None = None
    """The pixels, of the size of the labels, without an alpha channel; None if `check` was not to read them, or could
    not."""
    problem: str | None = None
    """Why `check` could not read the pixels: missing, unreadable, or of another size."""
    predicted: Instances | None = None
    """Predictions with scores, by a model that did not learn from this image: of the classes of the labels, or of the
    one class ``object`` by a model that knows no classes (`apiece.core.classes.without_classes`)."""
    stuff: tuple[str, ...] = ()
    """The classes that the labels name as stuff (COCO's ``isthing`` 0): regions, not objects."""
    data: Bool | None = None
    """Where the image is not transparent, bool (height, width); None if that is all of it."""

    def place(self, *instances: int, box: npt.ArrayLike | None = None) -> Place:
        """Return the place of these instances; ``box`` is where to look, by default the box around all of them."""
        if box is None and instances:
            boxes = self.instances.boxes[list(instances)]
            box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        around = None if box is None else tuple(float(v) for v in np.asarray(box, np.float64).ravel())
        return Place(self.split, self.ref.name, self.index, tuple(int(i) for i in instances), around)

    def name(self, instance: int) -> str:
        """Return the class name of an instance."""
        return self.instances.classes[self.instances.labels[instance]]

    def rows(self, instances: Int, **columns: Array) -> Rows:
        """Return a row for each of these instances: its place and class, and its value in each of ``columns``."""
        boxes, labels = self.instances.boxes[instances], self.instances.labels[instances]
        return Rows(self.place(), instances.astype(np.int32), boxes, {"label": labels, **columns})


@dataclass(frozen=True)
class Place:
    """Where something was found."""

    split: str
    """The split."""
    image: str | None = None
    """Name of the image, as the label file spells it; None for a finding about the whole set."""
    index: int | None = None
    """Position of the image in its split."""
    instances: tuple[int, ...] = ()
    """Positions of instances in the image's labels."""
    box: tuple[float, ...] | None = None
    """Where to look: half-open xyxy in pixels; None for the whole image."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Instances of one image as arrays, a row each: a cheap thing to `Check.remember`."""

    image: Place
    """The image."""
    at: Int32
    """(N,) Positions in the image's labels."""
    boxes: Float32
    """(N, 4) Half-open xyxy in pixels."""
    columns: Mapping[str, Array]
    """Further values by name, N rows each; ``label`` is the class."""


class JoinedRows:
    """The rows of many images, one after the other; ``joined["area"]`` is a column of all of them.

    Attributes
    ----------
    rows : the images.
    image : int64 array, the position in ``rows`` of each row's image.
    """

    def __init__(self, rows: Sequence[Rows]) -> None:
        self.rows, count = rows, [len(one.at) for one in rows]
        self.image = np.repeat(np.arange(len(rows)), count)
        self._first = np.cumsum([0, *count])
        self._joined: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, name: str) -> Array:
        if name not in self._joined:
            self._joined[name] = np.concatenate([one.columns[name] for one in self.rows])
        return self._joined[name]

    def place(self, row: int) -> Place:
        """Return the place of one row."""
        one = self.rows[self.image[row]]
        k = row - int(self._first[self.image[row]])
        return replace(one.image, instances=(int(one.at[k]),), box=tuple(one.boxes[k].tolist()))


@dataclass(frozen=True)
class Finding:
    """One probable mistake: what it is, where it is, how sure the check is, and how to repair it."""

    kind: str
    """Name of its `Kind`."""
    message: str
    """What was found, in one line, with its numbers."""
    sure: float
    """How sure the check is, 0 to 1; a report ranks findings of one level by it."""
    place: Place
    """Where."""
    others: tuple[Place, ...] = ()
    """Further places that it concerns: the other image of a near-duplicate pair."""
    repair: Repair | None = None
    """Its safe repair, if there is one."""
    predicted: tuple[int, ...] = ()
    """Positions in the image's predictions, for findings by a model."""


@dataclass(frozen=True)
class SetFacts:
    """What `Check.conclude` receives beside what the family remembered."""

    classes: tuple[str, ...]
    """Class names of all splits; `Labelled.instances` index into them."""
    refs: Mapping[str, tuple[ImageRef, ...]]
    """Every image of each split."""
    refused: Mapping[str, tuple[FormatError, ...]]
    """Entries of each split's label file that its reader refused."""
    unread: Mapping[str, Mapping[int, FormatError]] = field(default_factory=dict)
    """Images of each split, by position, whose labels the reader refused as a whole; no family sees them."""
    labels: Mapping[str, LabelSet] = field(default_factory=dict)
    """Each split's labels as they were opened, with their own classes."""


@dataclass(frozen=True)
class Check:
    """A family of checks that share work."""

    summary: str
    """One line."""
    kinds: tuple[Kind, ...]
    """What it can find."""
    look: Callable[[Labelled, Settings], Iterable[Finding]] | None = None
    """Find mistakes in one image."""
    remember: Callable[[Labelled, Settings], Any] | None = None
    """Return what `conclude` needs of one image: small, picklable, no masks and no pixels; None to keep nothing."""
    conclude: Callable[[Sequence[Any], SetFacts, Settings], Iterable[Finding]] | None = None
    """Find mistakes in the whole set, from what was remembered (without the Nones), in the order of the images."""
    needs: Literal["labels", "image", "predicted"] = "labels"
    """What the family cannot do without: `check` passes over images that lack it."""


ROOM: Room[Check] = Room("apiece.check", "CHECK", Check)
"""Where the families of label checks are found."""
