"""The outline of a feature, in pixels, from what `json` reads; or what is wrong with it."""

from __future__ import annotations

from typing import Any

from apiece._arrays import Float
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.shapes import Part, ring
from apiece.formats.geojson._features import NO_AREA, Outline, plain
from apiece.formats.geojson._geometry import Placed


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
