"""labelme: one JSON file beside each image, a list of shapes (https://github.com/wkentaro/labelme).

Read: one JSON, or a folder of JSON files with its subfolders. Polygons and rectangles (by two opposite corners or by
all four, turned ones too) by COCO's rasterisation, circles (centre and a point on the rim) by pixel centres, masks (PNG
in base64, whose first pixel lies at the first of its two points) as they are. Shapes of one ``group_id`` and one label
are parts of one object; a rectangle around the others is none. Lines and points are no masks and come as
``ImageRef.shapes``. Coordinates are pixels, corners
at integers.

Further keys of a shape, its flags and a ``description`` that is not empty become attributes of the instance, ``score``
its score, and ``group_id`` its id where every shape has one and none has two labels. Flags and further keys of the
image become attributes of its `ImageRef`. ``imageData``, a copy of the image, is used where the file is absent. A file
``labels.txt``, which labelme takes with ``--labels``, gives the classes and their order; without it they are the labels
found, sorted.

Written: a folder with a JSON per image and ``labels.txt``; a polygon where a mask is one outline, else a mask;
lines and points as they were.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from apiece._atomic import temporary_folder
from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import (
    BadEntryError,
    Size,
    an_object,
    checked_size,
    finite,
    no_constants,
    refuse_repeated,
    skip_bad,
)
from apiece.formats._kit.entries import Entry, stated_boxes
from apiece.formats._kit.files import inside, is_file, never_raises, read_text
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.json_files import dump_json, load_object
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.png_in_text import from_base64, from_png, to_png
from apiece.formats._kit.shapes import check_window, ellipse_shape, rectangle, ring
from apiece.formats._kit.written import Names, atomic_folder
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_log = logging.getLogger("apiece")
_SHAPE = frozenset(["label", "points", "group_id", "shape_type", "flags", "mask"])
_TOP = frozenset(["version", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"])
_MARKS = frozenset(["version", "flags", "imageData"])  # version 2 had neither of the first two
_NO_OBJECTS = ("line", "linestrip", "point", "points")
_CORNERS = ("oriented_rectangle", "rotation", "rectangle")  # may have four; the last two of X-AnyLabeling
_LABELS = "labels.txt"
_NO_CLASSES = ("__ignore__", "_background_")
_LARGEST_ID = 2**63 - 1


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a JSON with shapes and labelme's other keys, or a folder whose first JSON is."""
    if path.is_dir():
        near = (sorted(path.glob("*/" * depth + "*.json")) for depth in range(4))
        return any(map(_is_labelme, next(filter(None, near), [])[:1]))
    return _is_labelme(path)


def _is_labelme(path: Path) -> bool:
    seen = peek_json(path)
    return seen is not None and seen.opening == "{" and "shapes" in seen.keys and bool(_MARKS & seen.keys)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open one JSON or a folder of them; images lie beside them, or below ``images``."""
    root, found = label_files(path, (".json",))
    given = _listed(root / _LABELS) if (root / _LABELS).is_file() else None
    heads = list(opened(path, found, lambda file: _head(file, root, images), on_bad))
    files = tuple(file for file, _, _ in heads)
    refs = _found([ref for _, ref, _ in heads], files, root, images, on_bad)
    classes = tuple(sorted({name for _, _, own in heads for name in own})) if given is None else given
    return EntrySet(tuple(refs), files, classes, _decode, on_bad=on_bad)


def _found(
    refs: list[ImageRef], files: Sequence[Path], root: Path, images: Path | None, on_bad: OnBad
) -> Sequence[ImageRef]:
    """Return the images where they are; an image that is nowhere is taken out of its JSON, if that has a copy."""
    if all(is_file(ref.path) for ref in refs):
        return refs
    found = list(placed(root / "labelme", refs, images, [root], on_bad))
    copies = 0
    for k, (ref, file) in enumerate(zip(found, files, strict=True)):
        data = None if is_file(ref.path) else _load(file)[0].get("imageData")
        if not data:
            continue
        path = temporary_folder() / hashlib.sha256(str(file.absolute()).encode()).hexdigest() / ref.name
        with skip_bad(on_bad, file, "imageData"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(from_base64(data, "imageData"))
            found[k] = replace(ref, path=path)
            copies += 1
    if copies:
        _log.warning("%s: the files of %d images are absent; the copies in the label files are used", root, copies)
    return found


def _listed(path: Path) -> tuple[str, ...]:
    lines = read_text(path).splitlines()
    names = [line for line in lines if line.strip() and line.strip() not in _NO_CLASSES]
    if not lines:
        raise FormatError(path, "is empty; list one label a line, or remove it")
    refuse_repeated(names, path)
    return tuple(names)


def _load(file: Path) -> tuple[dict[str, Any], bool]:
    document, constants = load_object(file)
    if type(document.get("shapes")) is not list:
        raise FormatError(file, "shapes: must be a list; without it this is no labelme file")
    return document, constants


def _head(file: Path, root: Path, images: Path | None) -> tuple[ImageRef, set[str]]:
    """Return the image and the labels of one JSON."""
    document, constants = _load(file)
    name = _image_name(file, root, document.get("imagePath"))
    sides = (document.get("imageHeight"), document.get("imageWidth"))
    size = None if sides == (None, None) else checked_size(*sides)
    extras = {k: v for k, v in document.items() if k not in _TOP and v not in ({}, None)}
    if constants:
        no_constants(extras)
    drawn = [shape for shape in document["shapes"] if type(shape) is dict and not _is_no_mask(shape)]
    kept = {shape["label"] for shape in drawn if type(shape.get("label")) is str and shape["label"]}
    shapes = []
    for shape in filter(_is_no_mask, document["shapes"]):
        if constants:
            no_constants(shape)
        shapes.append(Shape.of(shape["shape_type"], "labelme", shape, [shape.get("label")]))
    return ImageRef((images or root) / name, name, size, None, extras, shapes=tuple(shapes)), kept


def _is_no_mask(shape: Any) -> bool:
    return type(shape) is dict and shape.get("shape_type") in _NO_OBJECTS


def _image_name(file: Path, root: Path, stated: Any) -> str:
    """Return the name of an image, relative to ``root``, or as `spelled` has the names of other machines."""
    if type(stated) is not str or not stated:
        raise FormatError(file, f"imagePath: must be the image's file name, got {kind_of(stated)}")
    name = posixpath.normpath(posixpath.join(file.parent.relative_to(root).as_posix(), stated.replace("\\", "/")))
    try:
        return name if inside(name) is None else spelled(stated)
    except BadEntryError as error:
        raise FormatError(file, f"imagePath: {error}") from None


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file = labels.files[index]
    found: list[Entry] = []
    boxes: list[bool] = []
    document, constants = _load(file)
    for k, shape in enumerate(document["shapes"]):
        if _is_no_mask(shape):
            continue
        with skip_bad(labels.on_bad, file, f"shapes[{k}]"):
            if constants:
                no_constants(shape)
            found.append(_entry(an_object(shape), f"shapes[{k}]", size, labels.classes))
            boxes.append(shape.get("shape_type") == "rectangle")
    groups = [None if entry.id is None else (entry.label, entry.id) for entry in found]
    again = stated_boxes(found, groups, boxes, size)
    grouped: dict[Any, list[Entry]] = {}
    for k, (entry, group) in enumerate(zip(found, groups, strict=True)):
        if k not in again:
            grouped.setdefault(k if group is None else group, []).append(entry)
    return _settled([_joined(members) for members in grouped.values()])


def _entry(shape: dict[str, Any], where: str, size: Size, classes: tuple[str, ...]) -> Entry:
    label, group = shape.get("label"), shape.get("group_id")
    if type(label) is not str or label not in classes:
        among = f"; {_LABELS} lists the labels: add it there" if type(label) is str and label else ""
        raise BadEntryError(f"label: {label!r} is no class{among}")
    if group is not None and (type(group) is not int or abs(group) > _LARGEST_ID):
        raise BadEntryError(f"group_id: must be an integer or null, got {str(group)[:40]!r}")
    extras = {k: v for k, v in shape.items() if k not in _SHAPE and v is not None and v != {} and v != []}
    if type(extras.get("score")) in (int, float):
        finite(extras["score"], "score")
    flags = shape.get("flags") or {}
    if type(flags) is not dict or not {type(v) for v in flags.values()} <= {bool}:
        raise BadEntryError("flags: must be an object of true and false")
    clash = next((name for name in flags if name in extras or name in _SHAPE), None)
    if clash is not None:
        raise BadEntryError(f"flags: {clash!r} is the name of another key of the shape")
    return Entry(where, classes.index(label), _outline(shape, size), group, extras=extras | flags)


def _outline(shape: dict[str, Any], size: Size) -> Any:
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind == "polygon" or (kind in _CORNERS and type(points) is list and len(points) == 4):
        return [[ring(points)]]
    if kind not in ("rectangle", "circle", "mask"):
        raise BadEntryError(f"shape_type: {str(kind)[:40]!r} is unknown; polygon, rectangle, circle and mask are read")
    if type(points) is not list or len(points) != 2 or not all(type(p) is list and len(p) == 2 for p in points):
        raise BadEntryError(f"points: a {kind} has two points [x, y]{', or four' * (kind == 'rectangle')}")
    (x0, y0), (x1, y1) = ([finite(v, "points") for v in p] for p in points)
    if kind == "rectangle":
        return [[rectangle(x0, y0, x1, y1)]]
    if kind == "circle":
        radius = math.hypot(x1 - x0, y1 - y0)
        return ellipse_shape(x0, y0, radius, radius, 0.0, size)
    crop = from_png(from_base64(shape.get("mask"), "mask"), size, "mask")
    left, top = math.floor(x0), math.floor(y0)
    claimed = (math.floor(y1) - top, math.floor(x1) - left)
    # the second point is the last pixel; some tools write the one after it
    if not all(a - b in (0, 1) for a, b in zip(crop.shape, claimed, strict=True)):
        raise BadEntryError(f"mask: is {crop.shape[1]} x {crop.shape[0]} pixels, but its points say otherwise")
    check_window(crop.shape[1], crop.shape[0], size)
    return crop, (left, top)


def _joined(members: list[Entry]) -> Entry:
    """Return one entry of several parts; where they differ in an attribute, the first one's is kept."""
    first, *others = members
    for member in others:
        first.extras = member.extras | first.extras
    first.joined = others
    return first


def _settled(entries: list[Entry]) -> list[Entry]:
    """Make group ids ids and scores scores, and drop descriptions, where that loses nothing."""
    groups = [e.id for e in entries]
    if None in groups or len(set(groups)) < len(groups):
        for entry in entries:
            if entry.id is not None:
                entry.extras["group_id"] = entry.id
            entry.id = None
    scores = [e.extras.get("score") for e in entries]
    if all(type(s) in (int, float) for s in scores):
        for entry in entries:
            entry.score = entry.extras.pop("score")
    if not any(e.extras.get("description") for e in entries):
        for entry in entries:
            entry.extras.pop("description", None)
    return entries


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder: a JSON for each image, in the image's own subfolder, and the list of classes.

    Attributes that labelme has another use for are refused as a loss, and class names that no line holds.
    """
    if path.suffix.lower() == ".json":
        raise FormatError(path, "labelme has a file for each image; name a folder")
    bad = next((c for c in classes if not _is_line(c)), None)
    if bad is not None:
        raise LossyFormatError(path, f"class name {bad!r} cannot stand in {_LABELS}; rename it")
    names = Names(path)
    with atomic_folder(path) as folder:
        for ref, instances in records:
            target = folder / names.file(ref, ".json")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_document(path, ref, instances), "utf-8", newline="\n")
        (folder / _LABELS).write_text("".join(f"{name}\n" for name in ("__ignore__", *classes)), "utf-8")


def _is_line(name: str) -> bool:
    """Return whether `_listed` would read the name back."""
    encodable = name.encode(errors="replace").decode() == name
    return encodable and bool(name.strip()) and name.splitlines() == [name] and name.strip() not in _NO_CLASSES


def _document(path: Path, ref: ImageRef, instances: Instances) -> str:
    height, width = instances.size
    document = {
        "version": "5.4.1",
        "flags": ref.attributes.get("flags", {}),
        "shapes": _shapes(path, ref, instances)
        + [s.content | {"label": s.now(s.content.get("label"))} for s in ref.shapes],
        "imagePath": PurePosixPath(ref.name.replace("\\", "/")).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    document |= {k: v for k, v in ref.attributes.items() if k not in document}
    return dump_json(path, document, f"image {ref.name!r}", ascii=False, indent=1) + "\n"


def _shapes(path: Path, ref: ImageRef, instances: Instances) -> list[dict[str, Any]]:
    rings = instances.masks.to_polygons()
    complex_ones = [i for i, parts in enumerate(rings) if len(parts) != 1 or len(parts[0]) != 1]
    crops, corners = instances.masks[np.array(complex_ones, np.int64)].to_crops()
    images = {i: (crop, corner) for i, crop, corner in zip(complex_ones, crops, corners.tolist(), strict=True)}
    shapes: list[dict[str, Any]] = []
    for i, name in enumerate(instances.names):
        shape: dict[str, Any] = {"label": name, "points": [], "group_id": None, "description": ""}
        shape |= {"shape_type": "polygon", "flags": {}, "mask": None}
        if i in images:
            crop, (x, y) = images[i]
            shape["points"] = [[x, y], [x + crop.shape[1] - 1, y + crop.shape[0] - 1]]
            shape["shape_type"], shape["mask"] = "mask", base64.b64encode(to_png(crop, False)).decode()
        else:
            shape["points"] = rings[i][0][0].tolist()
        shapes.append(shape)
    _add_values(path, ref, instances, shapes)
    return shapes


def _add_values(path: Path, ref: ImageRef, instances: Instances, shapes: list[dict[str, Any]]) -> None:
    """Add ids, scores and attributes, each under the key it is read from."""
    columns = {name: values.tolist() for name, values in instances.attributes.items()}
    taken = _SHAPE - {"group_id"} if instances.ids is None else _SHAPE
    clash = next((n for n in columns if n in taken or (n == "score" and None not in columns[n])), None)
    if clash is not None:
        raise LossyFormatError(path, f"image {ref.name!r}: attribute {clash!r} is a key of labelme's own; rename it")
    if instances.ids is not None:
        columns["group_id"] = instances.ids.tolist()
    if instances.scores is not None:
        columns["score"] = instances.scores.tolist()
    for name, values in columns.items():
        for shape, value in zip(shapes, values, strict=True):
            if type(value) is bool and name not in shape:
                shape["flags"][name] = value
            elif value is not None:
                shape[name] = value
    groups = [(s["label"], s["group_id"]) for s in shapes if s["group_id"] is not None]
    if len(set(groups)) < len(groups):
        raise LossyFormatError(path, f"image {ref.name!r}: instances of one group_id would become one; renumber them")


FORMAT = LabelFormat(
    summary="labelme: a folder of JSON files, one per image, polygons and masks",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, empty=False, crowd=False, id_range=(0, _LARGEST_ID)),
    shapes="labelme",
)
