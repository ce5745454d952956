"""What a GeoJSON file says as a whole: its classes, its members, what is no mask; found without its outlines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from apiece._strict_json import kind_of, uncollected
from apiece.core.image import Shape
from apiece.errors import FormatError
from apiece.formats._kit.checks import is_int64
from apiece.formats._kit.json_stream import Hide, JsonList
from apiece.formats.geojson._classes import named_class

NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString", "null")
_OUTLINES = re.compile(r'"coordinates"\s*:\s*\[\s*\[\s*\[[][\d\s.,eE+-]*\](?=\s*(?:\}|,\s*"))')
"""Coordinates of polygons, which are most of a file. A quotation mark within a string has a backslash before it."""


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

    def add(self, feature: Any) -> None:
        """Take note of a feature."""
        if type(feature) is not dict:
            return
        given = feature.get("properties")
        properties: dict[str, Any] = given if type(given) is dict else {}
        self.objects = self.objects or "objectType" in properties
        name, color = named_class(feature)
        kind = kind_named(feature)
        if kind in NO_AREA:
            self.shapes.append(Shape.of(kind, "geojson", feature, (name,)))
            return
        self.count += 1
        own: Any = feature.get("id")
        if is_int64(own):
            self.highest = own if self.highest is None else max(own, self.highest)
        self.scored = self.scored and properties.get("score") is not None
        if name is None:
            self.unnamed = True
        else:
            self.classes[name] = None
            if color is not None:
                self.colors[name] = color


def scan(file: Path) -> Scan:
    """Return what a file says as a whole."""
    try:
        found = _scanned(file, partial(_OUTLINES.sub, '"coordinates":0'))
        if not found.shapes:
            return found
    except FormatError:
        pass  # the whole text says where
    return _scanned(file, None)


@uncollected()
def _scanned(file: Path, hide: Hide) -> Scan:
    found, features = Scan(), Features(file, hide)
    for batch in features:
        for feature in batch:
            found.add(feature)
    found.document = features.document
    stated = found.note.get("classes")
    if type(stated) is list:
        found.classes = dict.fromkeys([*(n for n in stated if type(n) is str), *found.classes])
    return found


class Features:
    """The features of a file, batch by batch; ``document``: the other members, once all are read."""

    def __init__(self, file: Path, hide: Hide = None) -> None:
        self.file, self._list = file, JsonList(file, "features", hide)

    def __iter__(self) -> Iterator[list[Any]]:
        yield from self._list.batches()
        members = self._list.members
        if members is not None and members.get("type") == "Feature":
            yield [members]
        elif not self._list.found:
            kind = kind_of(self._list.whole if members is None else members)
            raise FormatError(self.file, f"is no GeoJSON of features: it is {kind} without a list of features")

    @property
    def document(self) -> dict[str, Any]:
        """The members of the collection; none of a list, or of one feature."""
        members = self._list.members or {}
        return {} if members.get("type") == "Feature" else members


def kind_named(feature: Any) -> str:
    """Return the type of a feature's geometry, or ``null``; empty if it has none."""
    geometry = feature.get("geometry", "") if type(feature) is dict else ""
    if geometry is None:
        return "null"
    return str(geometry.get("type", "")) if type(geometry) is dict else ""
