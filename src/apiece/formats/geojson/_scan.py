"""What a GeoJSON file says as a whole: its classes, its members, what is no mask; found without its outlines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece._strict_json import uncollected
from apiece.core.image import Shape
from apiece.formats._kit.checks import is_int64
from apiece.formats.geojson._classes import class_named, color_of
from apiece.formats.geojson._features import Block, Features, kind_named
from apiece.formats.geojson._outlines import NO_AREA


@dataclass
class Scan:
    """What is found.

    Attributes
    ----------
    document : the members of the collection, but its features.
    classes : the names, in order; ``colors``: of those that have one.
    shapes : the features that are no masks.
    unnamed : whether a mask has no class.
    objects : whether a feature has QuPath's ``objectType``.
    scored : whether every mask has a score.
    count : how many masks there are; ``highest``: the largest id of one that is a whole number, if any is.
    """

    document: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)
    colors: dict[str, Any] = field(default_factory=dict)
    shapes: list[Shape] = field(default_factory=list)
    unnamed: bool = False
    objects: bool = False
    scored: bool = True
    count: int = 0
    highest: int | None = None

    @property
    def note(self) -> dict[str, Any]:
        """The member ``apiece``."""
        note = self.document.get("apiece")
        return note if type(note) is dict else {}

    def add(self, block: Block) -> None:
        """Take note of features."""
        masks = {k for k, count in Counter(block.which).items() if self._note(block.features[k], count)}
        for k in reversed(dict.fromkeys(reversed(block.which))):
            if k in masks:
                self._color(block.features[k])  # of a class's colors the last one counts
        whole = int in set(map(type, block.ids))
        ids = (
            [own for own, k in zip(block.ids, block.which, strict=True) if is_int64(own) and k in masks]
            if whole
            else []
        )
        self.highest = max([*ids, *([] if self.highest is None else [self.highest])], default=None)

    def _note(self, feature: Any, count: int) -> bool:
        """Take note of what ``count`` features say; return whether they are masks."""
        if type(feature) is not dict:
            return False
        properties = feature.get("properties")
        if type(properties) is not dict:
            properties = {}
        self.objects = self.objects or "objectType" in properties
        name, kind = class_named(feature), kind_named(feature)
        if kind in NO_AREA:
            self.shapes.append(Shape.of(kind, "geojson", feature, (name,)))
            return False
        self.count += count
        self.scored = self.scored and properties.get("score") is not None
        if name is None:
            self.unnamed = True
        else:
            self.classes[name] = None
            self._color(feature)
        return True

    def _color(self, feature: Any) -> None:
        name, color = class_named(feature), color_of(feature)
        if name is not None and color is not None:
            self.colors[name] = color


@uncollected()
def scan(file: Path) -> Scan:
    """Return what a file says as a whole."""
    found, features = Scan(), Features(file)
    for block in features:
        found.add(block)
    found.document = features.document
    stated = found.note.get("classes")
    if type(stated) is list:
        found.classes = dict.fromkeys([*(n for n in stated if type(n) is str), *found.classes])
    return found
