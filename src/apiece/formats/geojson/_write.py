"""GeoJSON as QuPath reads it, feature by feature, outlines along pixel edges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.image import Shape
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.topology import Rings, trace
from apiece.errors import LossyFormatError
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.said import refuse_own, said_of
from apiece.formats.geojson._classes import class_named, classification, color_of
from apiece.formats.geojson._geometry import Placed

OWN = ("classification", "score", "iscrowd")
_AT_ONCE = 256  # instances whose outlines are in memory together
Feature = dict[str, Any]


def renamed(shape: Shape) -> Feature:
    """Return a feature that is no mask, under the name that its class has now."""
    feature: Feature = shape.content
    name = class_named(feature)
    if name is None or shape.now(name) == name:
        return feature
    given, now = feature["properties"], shape.now(name)
    if type(given.get("classification")) is dict:
        return feature | {"properties": given | {"classification": classification(now, color_of(feature))}}
    key = next(key for key in ("classification", "class", "label") if type(given.get(key)) is str)
    return feature | {"properties": given | {key: now}}


def features_of(
    instances: Instances, place: Placed | None, colors: Mapping[str, Any], path: Path, where: str
) -> Iterator[str]:
    """Yield a feature for each instance, as JSON."""
    default = "annotation" if instances.scores is None else "detection"
    refuse_own(path, where, instances, OWN, "the format")
    rows = said_of(instances)
    for name, silent in (("objectType", default), ("isLocked", False)):
        if name in instances.attributes and any(said.attributes.get(name) == silent for said in rows):
            reason = f"{where}, attribute {name!r}: {silent} goes without saying; rename it"
            raise LossyFormatError(path, reason, "attributes")
    texts = [said.attributes.get("feature_id") for said in rows]
    if instances.ids is not None or not all(type(text) is str for text in texts):
        texts = []
    classes = {name: classification(name, colors[name]) for name in instances.classes if name in colors}
    geometries = _geometries(instances.masks, place, path, where)
    for said, geometry in zip(rows, geometries, strict=True):
        own = said.attributes.pop("feature_id") if texts else said.id
        properties: dict[str, Any] = {"objectType": default}
        if said.name in classes:
            properties["classification"] = classes[said.name]
        properties |= {"isLocked": False} | said.attributes
        if said.score is not None:
            properties["score"] = said.score
        if said.crowd:
            properties["iscrowd"] = True
        text = str(own) if type(own) is int else dump_json(path, own, where)
        key = "" if own is None else f', "id": {text}'
        yield f'{{"type": "Feature"{key}, "geometry": {geometry}, "properties": {dump_json(path, properties, where)}}}'


def _geometries(masks: Masks, place: Placed | None, path: Path, where: str) -> Iterator[str]:
    """Yield the outline of each mask in the world's coordinates, wound as RFC 7946 says, as JSON."""
    for begin in range(0, len(masks), _AT_ONCE):
        some = masks[begin : begin + _AT_ONCE]
        rings = trace(some.runs, some.size)
        numbers = _placed(rings, place, path, where).ravel().tolist()  # nested lists would cost more than the text
        parts: list[list[str]] = [[] for _ in range(len(some))]
        rows = zip(
            rings.owner.tolist(), rings.hole.tolist(), itertools.pairwise((2 * rings.offsets).tolist()), strict=True
        )
        for owner, hole, (a, b) in rows:
            ring = "[%r, %r], " * ((b - a) // 2) % tuple(numbers[a:b]) + f"[{numbers[a]!r}, {numbers[a + 1]!r}]"
            if hole:
                parts[owner][-1] += f", [{ring}]"
            else:
                parts[owner].append(f"[{ring}]")
        for part in parts:
            one = len(part) == 1
            kind, text = ("Polygon", part[0]) if one else ("MultiPolygon", ", ".join(f"[{rings}]" for rings in part))
            yield f'{{"type": "{kind}", "coordinates": [{text}]}}'


def _placed(rings: Rings, place: Placed | None, path: Path, where: str) -> Int | Float:
    """Return the corners of rings in the world's coordinates, outlines counter-clockwise, as they are in pixels."""
    points, offsets = rings.points, rings.offsets
    if place is None or not len(points):
        return points
    if place.mirrors:
        points = points[np.repeat(offsets[:-1] + offsets[1:] - 1, np.diff(offsets)) - np.arange(len(points))]
    world = place.to_world(points.astype(np.float64))
    if not np.abs(place.to_pixels(world) - points).max() <= 0.01:  # nor if it is not finite
        raise LossyFormatError(path, f"{where}: its place in the world is too coarse to keep pixels apart")
    return world
