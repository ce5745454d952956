"""The outline of a feature, in pixels, from what `json` reads; or what is wrong with it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from apiece._arrays import Float
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.shapes import Part, ring
from apiece.formats.geojson._geometry import Placed

NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString", "null")
SPACES = " \t\n\r"
"""What JSON takes for spaces."""


class Outline(NamedTuple):
    """The coordinates of a polygon or multipolygon that `json` has not read."""

    text: str
    kind: str = ""
    parts: list[Part] | None = None
    """In pixels; None, and no ``kind``, where the caller does not read outlines."""


def outline_of(feature: Any) -> Outline | None:
    """Return the outline of a feature, if it is a polygon whose coordinates are one."""
    geometry = feature.get("geometry") if type(feature) is dict else None
    if type(geometry) is not dict or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    given = geometry.get("coordinates")
    return given if type(given) is Outline else None


def plain(value: Any) -> Any:
    """Return what `json` reads, also where there are outlines."""
    if type(value) is Outline:
        return json.loads(value.text)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if type(value) is list else value


def outline(geometry: dict[str, Any], place: Placed | None) -> list[Part] | None:
    """Return the parts of one geometry; None if it has no area.

    Raises a `BadEntryError` that says what is wrong with it.
    """
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if type(given) is Outline and given.kind == kind and given.parts is not None:
        return given.parts
    if kind in NO_AREA:
        return None
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadEntryError(f"geometry of type {str(kind)[:40]!r} is not read; Polygon and MultiPolygon are")
    given = plain(given)
    polygons = [given] if kind == "Polygon" else given
    if type(polygons) is not list or not all(type(p) is list and p for p in polygons):
        raise BadEntryError("coordinates must be lists of rings")
    return [_part(rings, place) for rings in polygons]


def _part(rings: list[Any], place: Placed | None) -> Part:
    found: list[Float] = []
    for k, points in enumerate(rings):
        name = "outer ring" if k == 0 else f"hole {k}"
        given = points[:-1] if type(points) is list and len(points) > 1 and points[0] == points[-1] else points
        if type(given) is not list:
            raise BadEntryError(f"{name} must be a list of positions")
        plain = ring(given, name)
        found.append(ring(plain if place is None else place.to_pixels(plain), name))
    return found
