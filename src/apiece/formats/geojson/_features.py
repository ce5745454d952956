"""The features of a GeoJSON file, batch by batch; the coordinates of polygons, most of a file, are read apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from apiece._strict_json import kind_of
from apiece.errors import FormatError
from apiece.formats._kit.json_stream import JsonList, items_of
from apiece.formats._kit.shapes import Part

_KEY = '"coordinates"'
_POLYGONS = re.compile(r"[ \t\n\r]*:[ \t\n\r]*(?=\[[ \t\n\r]*\[[ \t\n\r]*\[)")
_SPACES = " \t\n\r"


NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString", "null")


class Outline(NamedTuple):
    """The coordinates of a polygon or multipolygon that `json` has not read."""

    text: str
    kind: str = ""
    parts: list[Part] | None = None
    """In pixels; None, and no ``kind``, where the caller does not read outlines."""


ReadOutlines = Callable[[list[str]], list[Outline]]


class Features:
    """The features of a file, batch by batch; ``document``: the other members, once all are read.

    The coordinates of a polygon may be an `Outline`. ``outlines`` reads many from their texts, or
    raises a `ValueError`; then they come as `json` reads them. Without it they are passed over unread.
    """

    def __init__(self, file: Path, outlines: ReadOutlines | None = None) -> None:
        self.file, self._outlines = file, outlines
        self._list = JsonList(file, "features", self._parse)

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

    def _parse(self, text: str) -> list[Any]:
        """Return the features of a list; NaN, which JSON does not have, stands for the next outline meanwhile."""
        if "NaN" in text:
            raise ValueError("NaN")
        short, texts = _without_outlines(text)
        try:
            each = map(Outline, texts) if self._outlines is None else iter(self._outlines(texts))
        except ValueError:
            return items_of(text)

        def constant(word: str) -> Outline:
            if word != "NaN":
                raise ValueError(word)
            return next(each)

        found: list[Any] = json.loads(short, parse_constant=constant)
        own = sum(_outline(feature) is not None for feature in found)
        return found if own == len(texts) else [_settled(feature) for feature in found]


def _outline(feature: Any) -> Outline | None:
    geometry = feature.get("geometry") if type(feature) is dict else None
    if type(geometry) is not dict or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    given = geometry.get("coordinates")
    return given if type(given) is Outline else None


def _settled(feature: Any) -> Any:
    """Return a feature without outlines but its own, if it is a polygon."""
    own = _outline(feature)
    if own is None:
        return plain(feature)
    feature["geometry"]["coordinates"] = None
    feature = plain(feature)
    feature["geometry"]["coordinates"] = own
    return feature


def _without_outlines(text: str) -> tuple[str, list[str]]:
    """Return a text with NaN for the coordinates of polygons, and these.

    Where the text is JSON, they end before the next brace or quotation mark: they hold neither.
    """
    head, *rest = text.split(_KEY)  # a key: quotation marks within a string have a backslash before them
    short, texts = [head], list[str]()
    for piece in rest:
        start = _POLYGONS.match(piece)
        if start is not None:
            begin = start.end()
            brace, quote = piece.find("}", begin), piece.find('"', begin)
            stop = brace if 0 <= brace < quote or quote < 0 else quote
            end = piece.rfind("]", begin, stop) + 1
            if piece[end:stop].strip(_SPACES) == ("" if stop == brace else ","):
                texts.append(piece[begin:end])
                piece = f"{piece[:begin]}NaN{piece[end:]}"
        short.append(piece)
    return _KEY.join(short), texts


def plain(value: Any) -> Any:
    """Return what `json` reads, also where there are outlines."""
    if type(value) is Outline:
        return json.loads(value.text)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if type(value) is list else value


def kind_named(feature: Any) -> str:
    """Return the type of a feature's geometry, or ``null``; empty if it has none."""
    geometry = feature.get("geometry", "") if type(feature) is dict else ""
    if geometry is None:
        return "null"
    return str(geometry.get("type", "")) if type(geometry) is dict else ""
