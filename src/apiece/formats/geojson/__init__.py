"""GeoJSON as QuPath and GIS programs write it: one file per image (RFC 7946; https://qupath.readthedocs.io,
"Exporting annotations").

Read: one ``.geojson`` file, or a folder of such files; a FeatureCollection, a list of features as QuPath exports it, or
one feature; Polygon and MultiPolygon with holes, by COCO's rasterisation, whose grid is a fifth of a pixel. Features
of other geometry are no masks and come as ``ImageRef.shapes``.

Coordinates are pixels from the upper left corner, as QuPath's are, unless there is a transform: the collection's member
``geotransform`` (six numbers in GDAL's order), or a world file beside the image where no feature has QuPath's
``objectType``. It is kept as the image's attribute ``geotransform``, and `write` writes coordinates with it.

The class is ``classification.name`` (or ``classification``, ``class``, ``label`` as text); QuPath's derived classes,
``classification.names``, are called as QuPath shows them, ``Tumor: Positive``. Features without a class are
``Unclassified``, or ``object`` where no feature has one, and are written without one again. Colors of classes are
kept. ``score`` and ``iscrowd`` are scores and crowd flags. A feature's id that is a whole number is the instance id,
any other id the attribute ``feature_id``; all other properties are attributes. The image has the file's name with
another ending, or is named by the collection's member ``apiece``.

Written: outlines along pixel edges, outer rings counter-clockwise and holes clockwise in the coordinates' own sense, as
RFC 7946 wants them; features that are no masks as they were. Ground truth is of ``objectType`` annotation, instances
with a score are of detection.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import BadEntryError, Size, an_object, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import files_below, never_raises
from apiece.formats._kit.image_places import image_note, noted_image
from apiece.formats._kit.json_files import dump_json, load_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.said import refuse_own, said_of
from apiece.formats._kit.shapes import Part, ring
from apiece.formats._kit.written import write_each
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record
from apiece.formats.geojson._geometry import Affine, checked_transform, to_pixels, to_world, world_file

__all__ = ["FORMAT"]

_ENDINGS = (".geojson",)
_NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString", "null")
_JOINT = ": "  # between the names of a derived class
_OWN = ("classification", "score", "iscrowd")
Feature = dict[str, Any]


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is GeoJSON, or a folder of ``.geojson`` files."""
    if path.is_dir():
        return any(map(detect, files_below(path, _ENDINGS)[:1]))
    seen = peek_json(path)
    return seen is not None and ({"type", "features"} <= seen.keys or {"type", "geometry"} <= seen.keys)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a file or a folder of them; images lie beside the files, in ``images/``, or in ``images``."""
    root, files = label_files(path, _ENDINGS)
    classes: dict[str, None] = {}
    colors: dict[str, Any] = {}
    refs: list[ImageRef] = []
    kept: list[Path] = []
    unnamed = False

    def look(file: Path) -> tuple[ImageRef, tuple[dict[str, Any], list[Any]]]:
        document, features = _load(file)
        return _ref(file, root, images, document, features), (document, features)

    for file, ref, (document, features) in opened(path, files, look, on_bad):
        shapes = (Shape.of(_kind(f), "geojson", f, _class(f)[:1]) for f in features if _kind(f) in _NO_AREA)
        refs.append(replace(ref, shapes=tuple(shapes)))
        kept.append(file)
        stated = _note(document).get("classes")
        classes.update(dict.fromkeys(n for n in stated if type(n) is str) if type(stated) is list else {})
        for feature in features:
            if _kind(feature) in _NO_AREA or type(feature) is not dict:
                continue
            name, color = _class(feature)
            unnamed |= name is None
            if name is not None:
                classes.setdefault(name)
                colors |= {name: color} if color is not None else {}
    metadata: dict[str, Any] = {"geojson": {"colors": colors}}
    if unnamed:
        nobody = "Unclassified" if classes and tuple(classes) != ("object",) else "object"
        metadata["geojson"]["unclassified"] = nobody if nobody not in colors else None
        classes.setdefault(nobody)
    return EntrySet(tuple(refs), tuple(kept), tuple(classes) or ("object",), _decode, metadata=metadata, on_bad=on_bad)


def _load(file: Path) -> tuple[dict[str, Any], list[Any]]:
    """Return the members of the collection, and its features."""
    document = load_json(file)
    if type(document) is list:
        return {}, document
    if type(document) is dict and document.get("type") == "Feature":
        return {}, [document]
    if type(document) is not dict or type(document.get("features")) is not list:
        raise FormatError(file, f"is no GeoJSON of features: it is {kind_of(document)} without a list of features")
    return document, document["features"]


def _note(document: dict[str, Any]) -> dict[str, Any]:
    note = document.get("apiece")
    return note if type(note) is dict else {}


def _ref(file: Path, root: Path, images: Path | None, document: dict[str, Any], features: list[Any]) -> ImageRef:
    note = _note(document)
    found = noted_image(file, root, images, note)
    attributes = dict(note["attributes"]) if type(note.get("attributes")) is dict else {}
    if document.get("geotransform") is not None:
        transform = checked_transform(document["geotransform"])
        if transform is None:
            raise FormatError(file, "geotransform: must be six numbers that do not place all pixels on one line")
    else:
        properties = [f.get("properties") for f in features if type(f) is dict]
        pixels = any(type(p) is dict and "objectType" in p for p in properties) or "apiece" in document
        transform = None if pixels else world_file(found.path)
    if transform is not None:
        attributes["geotransform"] = list(transform)
    if document.get("crs") is not None:
        attributes["crs"] = document["crs"]
    return replace(found, attributes=attributes)


def _kind(feature: Any) -> str:
    """Return the type of a feature's geometry, or ``null``; empty if it has none."""
    geometry = feature.get("geometry", "") if type(feature) is dict else ""
    if geometry is None:
        return "null"
    return str(geometry.get("type", "")) if type(geometry) is dict else ""


def _class(feature: Feature) -> tuple[str | None, Any]:
    properties = feature.get("properties")
    if type(properties) is not dict:
        return None, None
    given = properties.get("classification")
    if type(given) is dict:
        return _path(given), _color(given)
    texts = (given, properties.get("class"), properties.get("label"))
    return next((text for text in texts if type(text) is str), None), None


def _path(classification: dict[str, Any]) -> str | None:
    """Return a class's name; that of a derived class, ``names``, as QuPath shows it: ``Tumor: Positive``."""
    names = classification.get("names", [classification.get("name")])
    return _JOINT.join(names) if type(names) is list and names and all(type(n) is str for n in names) else None


def _color(classification: dict[str, Any]) -> Any:
    """Return the color, as QuPath has written it since 0.3: red, green, blue; before, they were bytes of an integer."""
    packed = classification.get("colorRGB")
    if "color" in classification or type(packed) is not int:
        return classification.get("color")
    return [packed >> shift & 255 for shift in (16, 8, 0)]


def _classification(name: str, color: Any) -> dict[str, Any]:
    """Return a class as QuPath writes it: a derived one by the names on the way to it."""
    names = name.split(_JOINT)
    derived = len(names) > 1 and all(n and n == n.strip() for n in names)
    return ({"names": names} if derived else {"name": name}) | {"color": color}


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file, found = labels.files[index], []
    transform = checked_transform(labels.refs[index].attributes.get("geotransform"))
    for k, feature in enumerate(_load(file)[1]):
        if _kind(feature) not in _NO_AREA:
            with skip_bad(labels.on_bad, file, f"features[{k}]"):
                found.append(_entry(feature, f"features[{k}]", size, labels.classes, transform))
    return found


def _entry(feature: Any, where: str, size: Size, classes: tuple[str, ...], transform: Affine | None) -> Entry:
    if type(feature) is not dict or type(feature.get("geometry")) is not dict:
        raise BadEntryError("must be an object with a geometry")
    name = _class(feature)[0]
    if name is None:
        name = "Unclassified" if "Unclassified" in classes else "object"
    geometry = feature["geometry"]
    parts = [_part(rings, size, transform) for rings in _polygons(geometry)]
    properties = an_object(feature.get("properties") or {}, "properties")
    extras = {k: v for k, v in properties.items() if k not in _OWN and v is not None}
    score = properties.get("score")
    score = None if score is None else finite(score, "properties.score")
    if extras.get("objectType") == ("annotation" if score is None else "detection"):
        del extras["objectType"]
    if extras.get("isLocked") is False:
        del extras["isLocked"]
    if "plane" in geometry:
        extras["plane"] = geometry["plane"]
    if "nucleusGeometry" in feature:
        extras["nucleusGeometry"] = feature["nucleusGeometry"]
    own = feature.get("id")
    if own is not None and not is_int64(own):
        extras["feature_id"], own = own, None
    return Entry(where, classes.index(name), parts, own, score, properties.get("iscrowd") is True, extras)


def _polygons(geometry: dict[str, Any]) -> list[Any]:
    """Return the polygons of a geometry, each a list of rings."""
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadEntryError(f"geometry of type {str(kind)[:40]!r} is not read; Polygon and MultiPolygon are")
    polygons = [given] if kind == "Polygon" else given
    if type(polygons) is not list or not all(type(p) is list and p for p in polygons):
        raise BadEntryError("coordinates must be lists of rings")
    return polygons


def _part(rings: list[Any], size: Size, transform: Affine | None) -> Part:
    found = []
    for k, points in enumerate(rings):
        name = "outer ring" if k == 0 else f"hole {k}"
        given = points[:-1] if type(points) is list and len(points) > 1 and points[0] == points[-1] else points
        if type(given) is not list:
            raise BadEntryError(f"{name} must be a list of positions")
        plain = ring(given, name)
        found.append(ring(plain if transform is None else to_pixels(plain, transform), name))
    return found


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file for one image, if ``path`` ends in .geojson or .json, or else a folder.

    A transform that is too coarse for doubles is refused as a loss.
    """
    colors = dict(metadata.get("geojson", {}).get("colors", {}))
    for k, name in enumerate(classes):
        # as far apart on the circle of colours as any number of them can be
        colors.setdefault(name, [round(255 * c) for c in colorsys.hsv_to_rgb(k * 0.618034 % 1, 0.75, 0.9)])
    colors.pop(metadata.get("geojson", {}).get("unclassified"), None)

    def write_one(ref: ImageRef, instances: Instances, target: Path) -> None:
        where = f"image {ref.name!r}"
        attributes = dict(ref.attributes)
        transform = checked_transform(attributes.pop("geotransform", None))
        note = image_note(ref, instances.size, classes)
        head: dict[str, Any] = {"type": "FeatureCollection"}
        head |= {"apiece": note | ({"attributes": attributes} if attributes else {})}
        if "crs" in attributes:
            head["crs"] = attributes.pop("crs")
        if transform is not None:
            head["geotransform"] = list(transform)
        with target.open("w", encoding="utf-8", newline="\n") as out:
            out.write(dump_json(path, head, where)[:-1] + ', "features": [')
            no_masks = (_renamed(shape) for shape in ref.shapes)
            features = itertools.chain(_features(instances, transform, colors, path, where), no_masks)
            for k, feature in enumerate(features):
                out.write((",\n" if k else "\n") + dump_json(path, feature, where))
            out.write("\n]}\n")

    write_each(records, path, (*_ENDINGS, ".json"), ".geojson", write_one)


def _renamed(shape: Shape) -> Feature:
    """Return a feature that is no mask, under the name that its class has now."""
    feature: Feature = shape.content
    name = _class(feature)[0]
    if name is None or shape.now(name) == name:
        return feature
    given, now = feature["properties"], shape.now(name)
    if type(given.get("classification")) is dict:
        return feature | {
            "properties": given | {"classification": _classification(now, _color(given["classification"]))}
        }
    key = next(key for key in ("classification", "class", "label") if type(given.get(key)) is str)
    return feature | {"properties": given | {key: now}}


def _features(
    instances: Instances, transform: Affine | None, colors: Mapping[str, Any], path: Path, where: str
) -> Iterator[Feature]:
    default = "annotation" if instances.scores is None else "detection"
    refuse_own(path, where, instances, _OWN, "the format")
    rows = said_of(instances)
    for name, silent in (("objectType", default), ("isLocked", False)):
        if any(said.attributes.get(name) == silent for said in rows):
            reason = f"{where}, attribute {name!r}: {silent} goes without saying; rename it"
            raise LossyFormatError(path, reason, "attributes")
    texts = [said.attributes.get("feature_id") for said in rows]
    if instances.ids is not None or not all(type(text) is str for text in texts):
        texts = []
    polygons = (p for k in range(0, len(instances), 256) for p in instances.masks[k : k + 256].to_polygons())
    for said, parts in zip(rows, polygons, strict=True):
        own = {"id": said.attributes.pop("feature_id")} if texts else {} if said.id is None else {"id": said.id}
        properties: dict[str, Any] = {"objectType": default}
        if said.name in colors:
            properties["classification"] = _classification(said.name, colors[said.name])
        properties |= {"isLocked": False} | said.attributes
        if said.score is not None:
            properties["score"] = said.score
        if said.crowd:
            properties["iscrowd"] = True
        rings = [[_closed(r, hole > 0, transform, path, where) for hole, r in enumerate(part)] for part in parts]
        one = len(rings) == 1
        geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": rings[0] if one else rings}
        yield {"type": "Feature"} | own | {"geometry": geometry, "properties": properties}


def _closed(points: Any, hole: bool, transform: Affine | None, path: Path, where: str) -> list[list[float]]:
    """Return a ring in the world's coordinates, wound as RFC 7946 says, its first point repeated."""
    if transform is not None:
        world = to_world(points, transform)
        if not np.abs(to_pixels(world, transform) - points).max() <= 0.01:  # nor if it is not finite
            raise LossyFormatError(path, f"{where}: its geotransform is too coarse to keep pixels apart")
        points = world
    x, y = (points - points[0]).T
    area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    if (area > 0) == hole:
        points = points[::-1]
    if transform is None:
        points = points.astype(np.int64)
    return list(itertools.chain(points.tolist(), points[:1].tolist()))


FORMAT = LabelFormat(
    summary="GeoJSON of QuPath and GIS: polygons with holes and parts, pixel or world coordinates; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    suffixes=_ENDINGS,
    shapes="geojson",
)
