"""Supervisely: a project folder, ``meta.json`` and ``DATASET/ann/IMAGE.json`` beside ``DATASET/img/IMAGE``
(https://developer.supervisely.com/getting-started/supervisely-annotation-format/images).

Read: bitmaps (PNG, zlib, base64, with the x, y of their first pixel), rectangles (both corners inclusive) and polygons
with holes. Supervisely's points are pixels, not corners of pixels: the reader fills polygons as Supervisely does,
borders included, and a hole takes its border with it. Points, lines, graphs of key points and cuboids are no masks and
come as ``ImageRef.shapes``. Tags become attributes of the instance (a tag without a value is
True), and so does a description that is not empty. Tags and description of the image become attributes of its
`ImageRef`. Ids are kept; who drew what and when is not.

Images are named DATASET/IMAGE (nested datasets A/B/IMAGE); images of the dataset ``ds0`` are named just IMAGE.

Written: bitmaps, which lose nothing. Attributes become tags where tags hold them, and otherwise (flags, lists) stand
under a key of their own; what is no mask as it was. Pictures are not copied.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apiece._arrays import Float
from apiece.core.image import ImageRef, Shape
from apiece.errors import FormatError
from apiece.formats._kit.checks import (
    BadEntryError,
    Size,
    an_object,
    checked_size,
    finite,
    is_int64,
    no_constants,
    refuse_repeated,
    skip_bad,
)
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import never_raises
from apiece.formats._kit.json_files import load_object
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet, opened
from apiece.formats._kit.png_in_text import MOST_PIXELS, from_base64, from_png
from apiece.formats._kit.shapes import Crop, box_shape, check_window, ring
from apiece.formats.contract import ANY_INT64, EVERYTHING, LabelFormat, OnBad
from apiece.formats.supervisely._write import NO_FOLDER, OWN, write

__all__ = ["FORMAT"]

_NO_AREA = ("point", "line", "graph", "cuboid", "cuboid_2d", "cuboid_3d", "point_3d", "multichannel_bitmap")
_MOST_BYTES = 1 << 26  # of a PNG of one mask


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a folder, or its ``meta.json``, with classes, tags and datasets' ``ann`` beside it."""
    root = path if path.is_dir() else path.parent
    if path != root and path.name != "meta.json":
        return False
    seen = peek_json(root / "meta.json")
    return seen is not None and seen.opening == "{" and {"classes", "tags"} <= seen.keys


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a project; images lie in its ``img`` folders, or below ``images`` under their names."""
    root = path if path.is_dir() else path.parent
    if path != root and path.name != "meta.json":
        raise FormatError(path, "is no Supervisely project; name the folder that holds meta.json")
    meta = _meta(root / "meta.json")
    classes = tuple(entry["title"] for entry in meta["classes"])
    files = sorted(root.glob("**/ann/*.json"))
    found = list(opened(root, files, lambda file: (_ref(file, root, images), None), on_bad))
    refs, kept = tuple(ref for _, ref, _ in found), tuple(file for file, _, _ in found)
    return EntrySet(refs, kept, classes, _decode, metadata={"supervisely": meta}, on_bad=on_bad)


def _meta(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FormatError(path, "is missing; a Supervisely project names its classes there")
    meta, _ = load_object(path)
    for key, name in (("classes", "title"), ("tags", "name")):
        entries = meta.setdefault(key, []) if key == "tags" else meta.get(key)
        if type(entries) is not list or not all(type(e) is dict and type(e.get(name)) is str for e in entries):
            raise FormatError(path, f"{key}: must be a list of objects with a {name}")
        refuse_repeated([entry[name] for entry in entries], path, f"{key}: ")
    untyped = next((tag["name"] for tag in meta["tags"] if type(tag.get("value_type")) is not str), None)
    if untyped is not None:
        raise FormatError(path, f"tags: {untyped!r} has no value_type")
    return meta


def _load(file: Path) -> tuple[dict[str, Any], bool]:
    document, constants = load_object(file)
    if type(document.get("objects")) is not list:
        raise FormatError(file, "objects: must be a list; without it this is no Supervisely annotation")
    return document, constants


def _ref(file: Path, root: Path, images: Path | None) -> ImageRef:
    document, constants = _load(file)
    folder = file.parent.parent
    parts = folder.relative_to(root).parts
    if not parts or set(parts[1::2]) - {"datasets"} or len(parts) % 2 == 0:
        raise FormatError(file, "lies in no dataset; the layout is DATASET/ann/IMAGE.json, DATASET/datasets/NESTED/ann")
    datasets = "/".join(parts[::2])
    name = file.name.removesuffix(".json") if datasets == NO_FOLDER else f"{datasets}/{file.name.removesuffix('.json')}"
    stated = an_object(document.get("size"), "size")
    size = checked_size(stated.get("height"), stated.get("width"))
    extras = {k: v for k, v in document.items() if k not in ("size", "objects") and v not in ("", [], {}, None)}
    if constants:
        no_constants(extras)
    picture = folder / "img" / file.name.removesuffix(".json") if images is None else images / name
    shapes = []
    for found in filter(_is_no_mask, document["objects"]):
        if constants:
            no_constants(found)
        shapes.append(Shape.of(found["geometryType"], "supervisely", found, [found.get("classTitle")]))
    return ImageRef(picture, name, size, None, extras, shapes=tuple(shapes))


def _is_no_mask(found: Any) -> bool:
    return type(found) is dict and found.get("geometryType") in _NO_AREA


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file, entries = labels.files[index], []
    ids: dict[int, str] = {}
    document, constants = _load(file)
    for k, found in enumerate(document["objects"]):
        if _is_no_mask(found):
            continue
        where = f"objects[{k}]"
        with skip_bad(labels.on_bad, file, where):
            if constants:
                no_constants(found)
            entry = _entry(an_object(found), where, size, labels.classes)
            if entry.id is not None and ids.setdefault(entry.id, where) != where:
                raise BadEntryError(f"id: {entry.id} is {ids[entry.id]}'s already")
            entries.append(entry)
    return entries


def _entry(found: dict[str, Any], where: str, size: Size, classes: tuple[str, ...]) -> Entry:
    title, number = found.get("classTitle"), found.get("id")
    if type(title) is not str or title not in classes:
        raise BadEntryError(f"classTitle: {str(title)[:60]!r} is no class of meta.json")
    if number is not None and not is_int64(number):
        raise BadEntryError(f"id: must be an integer, got {str(number)[:40]!r}")
    return Entry(where, classes.index(title), _shape(found, size), number, extras=_values(found))


def _values(found: dict[str, Any]) -> dict[str, Any]:
    """Return tags, what `write` keeps beside them, and the description."""
    values: dict[str, Any] = {}
    tags, own = found.get("tags") or [], an_object(found.get(OWN) or {}, OWN)
    if type(tags) is not list or not all(type(t) is dict and type(t.get("name")) is str for t in tags):
        raise BadEntryError("tags: must be a list of objects with a name")
    for tag in tags:
        if tag["name"] in values:
            raise BadEntryError(f"tags: {tag['name']!r} is there twice, and an attribute has one value")
        values[tag["name"]] = True if tag.get("value") is None else tag["value"]
    values |= own
    if found.get("description"):
        values.setdefault("description", found["description"])
    return values


def _shape(found: dict[str, Any], size: Size) -> Any:
    kind = found.get("geometryType")
    if kind is None:
        kind = "bitmap" if type(found.get("bitmap")) is dict else "polygon"
    if kind == "bitmap":
        return _bitmap(found.get("bitmap"), size)
    if kind not in ("polygon", "rectangle"):
        raise BadEntryError(f"geometryType: a {str(kind)[:40]} has no inside; bitmap, polygon and rectangle are read")
    points = found.get("points")
    if type(points) is not dict or type(points.get("exterior")) is not list:
        raise BadEntryError("points: must be an object with a list, exterior")
    interior = points.get("interior") or []
    if type(interior) is not list:
        raise BadEntryError("points.interior: must be a list of rings")
    if kind == "polygon":
        rings = [ring(points["exterior"], "points.exterior")]
        return _filled(rings + [ring(hole, f"points.interior[{k}]") for k, hole in enumerate(interior)])
    corners = points["exterior"]
    if len(corners) != 2 or not all(type(p) is list and len(p) == 2 for p in corners) or interior:
        raise BadEntryError("points: a rectangle has two corners [x, y] and no interior")
    x, y = ([finite(p[axis], "points.exterior") for p in corners] for axis in (0, 1))
    return box_shape(min(x), min(y), max(x) + 1 - min(x), max(y) + 1 - min(y), 0, (0, 0), size)


def _filled(rings: list[Float]) -> Crop:
    """Return the outline's pixels without the pixels of its holes, borders included, in its own box."""
    whole = [np.rint(points).astype(np.int64) for points in rings]
    low, high = whole[0].min(0), whole[0].max(0)
    width, height = (high - low + 1).tolist()
    if width * height > MOST_PIXELS:
        raise BadEntryError(f"points: {width} x {height} pixels are too many to be drawn at once")
    canvas = np.zeros((height, width), np.uint8)
    shifted = [(points - low).astype(np.int32) for points in whole]
    cv2.fillPoly(canvas, shifted[:1], 1)
    if len(shifted) > 1:
        cv2.fillPoly(canvas, shifted[1:], 0)
    return canvas != 0, (int(low[0]), int(low[1]))


def _bitmap(found: Any, size: Size) -> Crop:
    found = an_object(found, "bitmap")
    origin = found.get("origin")
    if type(origin) is not list or len(origin) != 2 or {type(v) for v in origin} != {int}:
        raise BadEntryError(f"bitmap.origin: must be [x, y], got {str(origin)[:40]}")
    packed = from_base64(found.get("data"), "bitmap.data")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise BadEntryError(f"bitmap.data: is no zlib stream ({error})") from None
    if not unpacker.eof:
        raise BadEntryError(f"bitmap.data: is cut short, or more than {_MOST_BYTES} bytes for one mask")
    crop = from_png(data, size, "bitmap.data")
    check_window(crop.shape[1], crop.shape[0], size)
    return crop, (origin[0], origin[1])


FORMAT = LabelFormat(
    summary="Supervisely: a project folder, meta.json and a JSON per image, bitmaps, polygons with holes",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, empty=False, scores=False, crowd=False, id_range=ANY_INT64),
    shapes="supervisely",
)
