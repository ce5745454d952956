"""The outlines of features, in pixels: of many at once where nothing is wrong with any, else one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from apiece._arrays import Float
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.shapes import Part, ring
from apiece.formats.geojson._geometry import Placed

_chain = itertools.chain.from_iterable


def outlines(geometries: Sequence[Any], place: Placed | None) -> list[list[Part]] | None:
    """Return the parts of polygons; None if any of them has to be looked at by itself."""
    try:
        many = [_POLYGONS[g["type"]](g["coordinates"]) for g in geometries]
    except (KeyError, TypeError):
        return None
    polygons = _level(many)
    rings = None if polygons is None else _level(polygons)
    points = None if rings is None else _level(rings)
    if points is None or polygons is None or rings is None:
        return None
    try:
        numbers = list(_chain(points))
        if set(map(len, points)) - {2} or set(map(type, numbers)) - {int, float}:  # keys of an object are texts
            return None
        flat = np.fromiter(numbers, np.float64, len(numbers)).reshape(-1, 2)
    except (OverflowError, TypeError):
        return None
    length = np.fromiter(map(len, rings), np.int64, len(rings))
    end = np.cumsum(length)
    begin = end - length
    end = end - ((flat[begin] == flat[end - 1]).all(1) & (length > 1))
    if place is not None:
        flat = place.to_pixels(flat)
    if (end - begin < 3).any() or not np.isfinite(flat).all():
        return None
    each = iter([flat[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)])
    parts = iter([list(itertools.islice(each, len(polygon))) for polygon in polygons])
    return [list(itertools.islice(parts, len(one))) for one in many]


def _level(above: Sequence[Any]) -> list[Any] | None:
    """Return what the lists hold; None if one is no list, or empty."""
    if set(map(type, above)) - {list} or not all(above):
        return None
    return list(_chain(above))


_POLYGONS: dict[str, Callable[[Any], Any]] = {"Polygon": lambda given: [given], "MultiPolygon": lambda given: given}


def outline(geometry: dict[str, Any], place: Placed | None) -> list[Part]:
    """Return the parts of one geometry; raises a `BadEntryError` that says what is wrong with it."""
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadEntryError(f"geometry of type {str(kind)[:40]!r} is not read; Polygon and MultiPolygon are")
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
