"""The features of a GeoJSON file, block by block; the coordinates of polygons, most of a file, are read apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece._strict_json import kind_of
from apiece.errors import FormatError
from apiece.formats._kit.flat_parts import FlatParts
from apiece.formats._kit.json_stream import JsonList, items_of
from apiece.formats.geojson._alike import KEY, Alike, span
from apiece.formats.geojson._outlines import Outline, outline_of

Drawing = tuple[FlatParts, Sequence[str]]
"""Outlines in pixels, and whether each is a ``Polygon`` or a ``MultiPolygon``."""
ReadOutlines = Callable[[list[str]], Drawing]


@dataclass
class Block:
    """Features that stand together in a file; iterating yields each as `json` reads it, but for its `Outline`."""

    features: list[Any]
    """What is said; features that say the same but for their ids and outlines are one."""
    which: Sequence[int]
    """Which of ``features`` each item is."""
    ids: Sequence[Any]
    """The id of each item; None if it has none."""
    texts: list[str] = field(default_factory=list)
    """The coordinates of those items that have an `Outline`."""
    drawing: Drawing | None = None
    """The same in pixels; None where the caller does not read outlines, or there are none."""

    @classmethod
    def of(cls, features: list[Any], texts: list[str] | None = None) -> Block:
        """Return features that say each something else."""
        ids = [feature.get("id") if type(feature) is dict else None for feature in features]
        return cls(features, range(len(features)), ids, texts or [])

    def __len__(self) -> int:
        return len(self.which)

    def __iter__(self) -> Iterator[Any]:
        number = 0
        for k, own in zip(self.which, self.ids, strict=True):
            feature = self.features[k]
            if outline_of(feature) is not None:
                outline = Outline(self.texts[number])
                if self.drawing is not None:
                    parts, kinds = self.drawing
                    outline = Outline(outline.text, kinds[number], parts.shape(number))
                number += 1
                feature = feature | {"geometry": feature["geometry"] | {"coordinates": outline}}
                if own is not None:
                    feature["id"] = own
            yield feature


class Features:
    """The features of a file, block by block; ``document``: the other members, once all are read.

    The coordinates of a polygon may be an `Outline`. ``outlines`` reads many from their texts, or
    raises a `ValueError`; then they come as `json` reads them. Without it they are passed over unread.
    """

    def __init__(self, file: Path, outlines: ReadOutlines | None = None) -> None:
        self.file, self._outlines = file, outlines
        self._alike = Alike()
        self._list = JsonList(file, "features", self._parse)

    def __iter__(self) -> Iterator[Block]:
        for batch in self._list.batches():
            yield batch if type(batch) is Block else Block.of(batch)
        members = self._list.members
        if members is not None and members.get("type") == "Feature":
            yield Block.of([members])
        elif not self._list.found:
            kind = kind_of(self._list.whole if members is None else members)
            raise FormatError(self.file, f"is no GeoJSON of features: it is {kind} without a list of features")

    @property
    def document(self) -> dict[str, Any]:
        """The members of the collection; none of a list, or of one feature."""
        members = self._list.members or {}
        return {} if members.get("type") == "Feature" else members

    def _parse(self, text: str, between: str) -> Block:
        if "NaN" in text:
            raise ValueError("NaN")
        alike = self._alike.read(text, between)
        block = _parsed(text) if alike is None else Block(self._alike.features, *alike)
        if self._outlines is not None and block.texts:
            try:
                block.drawing = self._outlines(block.texts)
            except ValueError:
                return Block.of(items_of(text))
        return block


def _parsed(text: str) -> Block:
    """Return the features of a list; only those outlines are not read that are a feature's own."""
    short, texts = _without_outlines(text)
    outlines = list(map(Outline, texts))
    found = _filled(short, outlines)
    own = [outline for outline in map(outline_of, found) if outline is not None]
    if len(own) < len(outlines):
        known = set(map(id, own))
        found = _filled(short, [one if id(one) in known else json.loads(one.text) for one in outlines])
    return Block.of(found, [outline.text for outline in own])


def _filled(short: str, values: list[Any]) -> list[Any]:
    """Return the items of a list, each NaN in it, which JSON does not have, replaced by the next of some values."""
    each = iter(values)

    def constant(word: str) -> Any:
        if word != "NaN":
            raise ValueError(word)
        return next(each)

    found: list[Any] = json.loads(short, parse_constant=constant)
    return found


def _without_outlines(text: str) -> tuple[str, list[str]]:
    """Return a text with NaN for the coordinates of polygons, and these."""
    head, *rest = text.split(KEY)  # a key: quotation marks within a string have a backslash before them
    short, texts = [head], list[str]()
    for piece in rest:
        place = span(piece, 0)
        if place is not None:
            begin, end = place
            texts.append(piece[begin:end])
            piece = f"{piece[:begin]}NaN{piece[end:]}"
        short.append(piece)
    return KEY.join(short), texts


def kind_named(feature: Any) -> str:
    """Return the type of a feature's geometry, or ``null``; empty if it has none."""
    geometry = feature.get("geometry", "") if type(feature) is dict else ""
    if geometry is None:
        return "null"
    return str(geometry.get("type", "")) if type(geometry) is dict else ""
