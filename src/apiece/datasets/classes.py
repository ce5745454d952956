"""Views of label sets: `map_classes` renames, unites and chooses classes; `Dropped` leaves out some fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.core.classes import relabelled
from apiece.core.image import Shape
from apiece.datasets._views import View
from apiece.errors import ConfigError, UnknownNameError
from apiece.formats import LabelSet, Record

__all__ = ["DROPPABLE", "Dropped", "Mapped", "map_classes", "relabelled"]

DROPPABLE = ("classes", "ids", "scores", "crowd", "attributes", "full", "shapes")
"""What `Dropped` can leave out: fields of instances, and shapes that are no masks."""


@dataclass(frozen=True)
class Mapped(View):
    """A `LabelSet` with other classes; it leaves out instances without a new class, and counts them."""

    classes: tuple[str, ...]
    """The new classes."""
    table: Int
    """For each old class the new one, or -1 to leave out its instances."""
    left_out: Counter[str] = field(default_factory=Counter)
    """The number of instances of each class that were left out since the last iteration began."""

    def __iter__(self) -> Iterator[Record]:
        self.left_out.clear()
        return map(self.seen, self.labels)

    def in_pieces(self) -> Iterator[Record]:
        """Yield the records, large images in pieces."""
        self.left_out.clear()
        return self.piece_by_piece()

    def seen(self, record: Record) -> Record:
        ref, instances = record
        gone = instances.labels[self.table[instances.labels] < 0]
        for k, count in zip(*np.unique(gone, return_counts=True), strict=True):
            self.left_out[self.labels.classes[k]] += int(count)
        return self.image(ref), relabelled(instances, self.table, self.classes)

    def shapes(self, shapes: Iterable[Shape]) -> Iterator[Shape]:
        """Yield the shapes with the new names of their classes, without those of classes left out."""
        new = dict(zip(self.labels.classes, self.table.tolist(), strict=True))
        for shape in shapes:
            if all(new.get(name, 0) >= 0 for name in shape.labels.values()):
                named = {k: self.classes[new[name]] if name in new else name for k, name in shape.labels.items()}
                yield replace(shape, labels=named)


@dataclass(frozen=True)
class Dropped(View):
    """A `LabelSet` whose instances lack some fields."""

    fields: tuple[str, ...]
    """Names from `DROPPABLE`; without classes every instance is an ``object``."""

    def __post_init__(self) -> None:
        for name in self.fields:
            if name not in DROPPABLE:
                raise UnknownNameError("droppable field", name, DROPPABLE)

    @property
    def classes(self) -> tuple[str, ...]:
        """The original classes, or ``object``."""
        return ("object",) if "classes" in self.fields else self.labels.classes

    def seen(self, record: Record) -> Record:
        ref, instances = record
        gone: dict[str, Any] = {name: {} if name == "attributes" else None for name in self.fields if name != "shapes"}
        if "classes" in gone:
            gone |= {"labels": np.zeros(len(instances), np.int64), "classes": self.classes}
        return self.image(ref), instances.replace(**gone)

    def in_pieces(self) -> Iterator[Record]:
        """Yield the records, large images in pieces."""
        return self.piece_by_piece()

    def shapes(self, shapes: Iterable[Shape]) -> Iterable[Shape]:
        """Return the shapes, none of them or all of the one class if these are fields to leave out."""
        if "shapes" in self.fields:
            return ()
        if "classes" not in self.fields:
            return shapes
        return (replace(shape, labels=dict.fromkeys(shape.labels, "object")) for shape in shapes)


def map_classes(labels: LabelSet, wanted: Iterable[str], keep_others: bool = False) -> Mapped:
    """Rename, unite and choose classes.

    Parameters
    ----------
    labels : the set.
    wanted : the classes to keep, in the new order: ``"car"``, or ``"car=vehicle"`` to rename it. Classes that get one
        name become one class; ``"*"`` stands for all that are not named. A backslash makes an equals sign part of a
        name.
    keep_others : as if ``"*"`` came last.

    Raises
    ------
    UnknownNameError
        If the set lacks a class.
    ConfigError
        If a class is named twice, or a name is empty.

    Examples
    --------
    >>> from apiece.datasets import map_classes
    >>> map_classes(apiece.read("data/train.json"), ["bolt=part", "nut=part"]).classes
    ('part',)
    """
    known = labels.classes
    items = list(wanted)
    if keep_others and "*" not in items:
        items.append("*")
    pairs: dict[str, str] = {}
    for item in items:
        old, equals, new = ("*", "", "") if item == "*" else _pair(item)
        if not old or (equals and not new):
            raise ConfigError(f"cannot read the class {item!r}; write it as car, or as car=vehicle to rename it")
        if old in pairs:
            raise ConfigError(f"class {old!r} is named twice; each has one new name")
        if old != "*" and old not in known:
            raise UnknownNameError("class", old, known)
        pairs[old] = new or old
    order: list[str] = []
    for old, new in pairs.items():
        order += [name for name in known if name not in pairs] if old == "*" else [new]
    classes = tuple(dict.fromkeys(order))
    others = "*" in pairs
    table = [classes.index(pairs.get(name, name)) if name in pairs or others else -1 for name in known]
    return Mapped(labels, classes, np.array(table, np.int64))


def _pair(item: str) -> tuple[str, str, str]:
    old, *new = re.split(r"(?<!\\)=", item, maxsplit=1)
    plain = [name.replace("\\=", "=").strip() for name in (old, *new)]
    return plain[0], "=" if new else "", plain[1] if new else ""
