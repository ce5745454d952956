"""What a family of label checks is: one file in this package that defines ``CHECK = Check(...)``.

`apiece.check.check` finds the file by itself, and so do the report and the shared tests. A family looks at one labelled
image at a time, or remembers a little of each and concludes over the whole set, or both. Files whose name starts with
an underscore are helpers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float32, Int, Int32
from apiece._plugins import Room
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.errors import ConfigError, FormatError
from apiece.formats import LabelSet

__all__ = [
    "LEVELS",
    "ROOM",
    "Check",
    "Finding",
    "Kind",
    "Labelled",
    "Level",
    "Place",
    "Places",
    "Repair",
    "SetFacts",
    "Settings",
]

Level = Literal["error", "warning", "note"]
"""``error``: labels contradict themselves or their images. ``warning``: probably a mistake. ``note``: worth knowing."""
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

Repair = Literal["drop", "dust", "rewrite"]
"""A repair that is safe.

``drop``: leave the first of the place's instances out. ``dust``: take parts of at most `Settings.dust` pixels off the
instances' masks. ``rewrite``: area and box as the masks have them; where the place names no image, of every instance.
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
    """What a person may wish otherwise; every family takes what concerns it."""

    duplicate_iou: float = 0.85
    """Mask IoU above which two instances of a class are the same object, labelled twice."""
    dust: int = 4
    """Most pixels of a part, or of a whole mask, that is called dust."""
    few: int = 10
    """Fewest instances of a class that can be learned from; fewer are reported."""
    near: int = 6
    """Most bits of 64 in which the hashes of two near-duplicate images differ."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate_iou <= 1:
            raise ConfigError(f"duplicate_iou must lie above 0 and at most at 1, got {self.duplicate_iou}")
        for name in ("dust", "few", "near"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image with its labels, as a family gets to see it."""

    split: str
    """``"train"``, ``"val"`` or ``"test"``."""
    index: int
    """Position in its split."""
    ref: ImageRef
    """Where the image is, and what the label file says of it."""
    instances: Instances
    """Its labels; attributes ``area`` and ``bbox``, where there are any, are what the label file itself states."""
    image: Image | None = None
    """Its pixels, of the size of the labels; None where they were not asked for or could not be had."""
    problem: str | None = None
    """Why the pixels could not be had: missing, unreadable, or of another size."""
    predicted: Instances | None = None
    """What a model that did not learn from this image found on it, with scores."""

    def place(self, *instances: int, box: npt.ArrayLike | None = None) -> Place:
        """These instances of this image; ``box`` where to look, by default around them all."""
        if box is None and instances:
            boxes = self.instances.boxes[list(instances)]
            box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        around = None if box is None else tuple(float(v) for v in np.asarray(box, np.float64).ravel())
        return Place(self.split, self.ref.name, self.index, tuple(int(i) for i in instances), around)

    def places(self, instances: Int) -> Places:
        """The place of each of these instances."""
        boxes = self.instances.boxes[instances]
        return Places(self.split, self.ref.name, self.index, instances.astype(np.int32), boxes)


@dataclass(frozen=True)
class Place:
    """Where something was found."""

    split: str
    """The split."""
    image: str | None = None
    """Name of the image, as the label file spells it; None for what concerns the whole set."""
    index: int | None = None
    """Position of the image in its split."""
    instances: tuple[int, ...] = ()
    """Positions of instances in the image's labels."""
    box: tuple[float, ...] | None = None
    """Where to look: half-open xyxy in pixels; None for the whole image."""


@dataclass(frozen=True, eq=False)
class Places:
    """Single instances of an image in arrays: what `Check.remember` keeps of thousands should cost little."""

    split: str
    image: str
    index: int
    at: Int32
    """(N,) Positions in the image's labels."""
    boxes: Float32
    """(N, 4) Half-open xyxy in pixels."""

    def __getitem__(self, k: int) -> Place:
        return Place(self.split, self.image, self.index, (int(self.at[k]),), tuple(self.boxes[k].tolist()))


@dataclass(frozen=True)
class Finding:
    """One thing that is probably wrong: what, where, how sure, how to fix it."""

    kind: str
    """Name of its `Kind`."""
    message: str
    """What was found, in one line, with its numbers."""
    sure: float
    """How sure, 0 to 1; findings of one level are ranked by it."""
    place: Place
    """Where."""
    others: tuple[Place, ...] = ()
    """Further places that it concerns: the other image of a near-duplicate pair."""
    repair: Repair | None = None
    """The safe repair of it, if there is one."""
    predicted: tuple[int, ...] = ()
    """Positions in the image's predictions, for findings that a model made."""


@dataclass(frozen=True)
class SetFacts:
    """What `Check.conclude` gets beside what was remembered."""

    classes: tuple[str, ...]
    """Class names, those of all splits; `Labelled.instances` index into them."""
    refs: Mapping[str, tuple[ImageRef, ...]]
    """Every image of each split."""
    refused: Mapping[str, tuple[FormatError, ...]]
    """Entries of each split's label file that its reader refused."""
    unread: Mapping[str, Mapping[int, FormatError]] = field(default_factory=dict)
    """Images of each split, by position, whose labels could not be had at all; no family got to see them."""
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
    """Findings of one image."""
    remember: Callable[[Labelled, Settings], Any] | None = None
    """What to keep of one image for `conclude`: small, picklable, no masks and no pixels; None is kept for nothing."""
    conclude: Callable[[Sequence[Any], SetFacts, Settings], Iterable[Finding]] | None = None
    """Findings over the whole set, from what was remembered (without the Nones), in the order of the images."""
    needs: Literal["labels", "image", "predicted"] = "labels"
    """What it cannot do without: it is not asked about images that lack it."""


ROOM: Room[Check] = Room("apiece.check", "CHECK", Check)
"""Where the families of label checks are found."""
