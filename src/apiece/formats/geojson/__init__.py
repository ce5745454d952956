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

from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, an_object, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import files_below, never_raises
from apiece.formats._kit.image_places import image_note, noted_image
from apiece.formats._kit.json_files import dump_json, load_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.shapes import Part, ring
from apiece.formats._kit.written import by_image, write_each_in_pieces
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record
from apiece.formats.geojson._classes import named_class
from apiece.formats.geojson._geometry import Affine, checked_transform, to_pixels, world_file
from apiece.formats.geojson._write import OWN, features_of, renamed

__all__ = ["FORMAT"]

_ENDINGS = (".geojson",)
_NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString", "null")


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
        shapes = (Shape.of(_kind(f), "geojson", f, named_class(f)[:1]) for f in features if _kind(f) in _NO_AREA)
        refs.append(replace(ref, shapes=tuple(shapes)))
        kept.append(file)
        stated = _note(document).get("classes")
        classes.update(dict.fromkeys(n for n in stated if type(n) is str) if type(stated) is list else {})
        for feature in features:
            if _kind(feature) in _NO_AREA or type(feature) is not dict:
                continue
            name, color = named_class(feature)
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
    name = named_class(feature)[0]
    if name is None:
        name = "Unclassified" if "Unclassified" in classes else "object"
    geometry = feature["geometry"]
    parts = [_part(rings, size, transform) for rings in _polygons(geometry)]
    properties = an_object(feature.get("properties") or {}, "properties")
    extras = {k: v for k, v in properties.items() if k not in OWN and v is not None}
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

    def write_one(ref: ImageRef, pieces: Iterator[Instances], target: Path) -> None:
        first, where = next(pieces), f"image {ref.name!r}"
        attributes = dict(ref.attributes)
        transform = checked_transform(attributes.pop("geotransform", None))
        note = image_note(ref, first.size, classes)
        head: dict[str, Any] = {"type": "FeatureCollection"}
        head |= {"apiece": note | ({"attributes": attributes} if attributes else {})}
        if "crs" in attributes:
            head["crs"] = attributes.pop("crs")
        if transform is not None:
            head["geotransform"] = list(transform)
        with target.open("w", encoding="utf-8", newline="\n") as out:
            out.write(dump_json(path, head, where)[:-1] + ', "features": [')
            pieces = itertools.chain([first], pieces)
            masks = (feature for piece in pieces for feature in features_of(piece, transform, colors, path, where))
            no_masks = (dump_json(path, renamed(shape), where) for shape in ref.shapes)
            for k, feature in enumerate(itertools.chain(masks, no_masks)):
                out.write((",\n" if k else "\n") + feature)
            out.write("\n]}\n")

    write_each_in_pieces(by_image(records), path, (*_ENDINGS, ".json"), ".geojson", write_one)


FORMAT = LabelFormat(
    summary="GeoJSON of QuPath and GIS: polygons with holes and parts, pixel or world coordinates; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    suffixes=_ENDINGS,
    shapes="geojson",
    pieces="objects",
)
