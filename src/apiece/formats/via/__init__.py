"""VGG Image Annotator 2: a project, or annotations exported from it, in one JSON or CSV file; projects of VIA 3
(https://www.robots.ox.ac.uk/~vgg/software/via/).

Read: polygons and rectangles by COCO's rasterisation, circles and ellipses by pixel centres. Lines and points are no
masks and come as ``ImageRef.shapes``. Coordinates are pixels, corners at integers. The class is one region attribute:
the one called class, label, category, name or type, or the only one unless it is a number, or the only one with
choices; its values are the class names, in the order of the choices, or sorted. Further region attributes become
attributes of the instance, file attributes become attributes of the `ImageRef`. VIA states no image sizes, so the
reader measures images, unless `write` noted the size as the file attributes ``image_height`` and ``image_width``.

Written: a project, with polygons; ids and scores stand in region attributes ``id`` and ``score``; lines and points as
they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import BadEntryError, Size, checked_size, finite, no_constants, skip_bad, whole
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import head_of, inside, never_raises
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.shapes import ellipse_shape, rectangle, ring
from apiece.formats._kit.written import Names, text_file
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record
from apiece.formats.via._table import COLUMNS, MARK, Picture, class_attribute, class_name, read_table
from apiece.formats.via._version_3 import is_version_3, read_version_3

__all__ = ["FORMAT"]

_NO_AREA = ("point", "polyline", "line")
_SIZE = ("image_height", "image_width")
_SETTINGS: dict[str, Any] = {
    "ui": {
        "annotation_editor_height": 25,
        "annotation_editor_fontsize": 0.8,
        "leftsidebar_width": 18,
        "image_grid": {"img_height": 80, "show_region_shape": True, "show_image_policy": "all"},
        "image": {"region_label": "__via_region_id__", "region_color": "__via_default_region_color__"},
    },
    "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
}


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a VIA project, or a JSON or CSV that VIA exports."""
    seen = peek_json(path)
    if seen is not None and (is_version_3(seen) or any(key.startswith("_via_") for key in seen.keys)):
        return True
    if seen is not None:
        return {"filename", "regions"} <= (seen.inner(next(iter(seen.places), "")) or set())
    head = head_of(path)
    line = head.splitlines()[0] if head.strip() else ""
    return tuple(name.lstrip("#").strip(' "') for name in line.split(",")) == COLUMNS


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open one file; image names are relative to ``images``, or to where the project says, or to the file's folder."""
    if path.is_dir():
        raise FormatError(path, "is a folder; VIA's projects and exports are single files")
    seen = peek_json(path)
    table = (read_version_3 if seen is not None and is_version_3(seen) else read_table)(path, on_bad)
    key = class_attribute(path, table)
    good: dict[str, Picture] = {}
    refs: list[ImageRef] = []
    for picture in table.pictures:
        with skip_bad(on_bad, path, picture.where):
            refs.append(_ref(picture, good, key))
            good[refs[-1].name] = picture
    stated = table.folder.replace("\\", "/").strip("/")
    around = [path.parent / stated] if stated and inside(stated) is None else [path.parent]
    defined, pictures = table.definitions.get("region", {}), list(good.values())
    return EntrySet(
        placed(path, refs, images, around, on_bad),
        (path,) * len(refs),
        _classes(key, defined, pictures),
        _decode,
        [picture.regions for picture in pictures],
        {"via": {"class": key, "attributes": table.definitions}},
        (key, _marked(defined)),
        on_bad,
    )


def _ref(picture: Picture, known: Mapping[str, Picture], key: str | None) -> ImageRef:
    """Return the image, its path relative to nothing yet."""
    name, said = picture.name, picture.attributes
    if type(name) is not str:
        raise BadEntryError(f"filename: must be a name, got {kind_of(name)}")
    name = spelled(name)
    if name in known:
        raise BadEntryError(f"filename: {name!r} is {known[name].where}'s already")
    no_constants(said)
    sides = [said.get(key) for key in _SIZE]
    size = None
    if None not in sides:
        size = checked_size(*(whole(str(side), key) for side, key in zip(sides, _SIZE, strict=True)))
    extras = {k: v for k, v in said.items() if k not in _SIZE and v != ""}
    shapes = tuple(_no_mask(shape, given, key) for _, shape, given in picture.regions if _is_no_mask(shape))
    return ImageRef(Path(name), name, size, None, extras, shapes=shapes)


def _is_no_mask(shape: Any) -> bool:
    return type(shape) is dict and shape.get("name") in _NO_AREA


def _no_mask(shape: dict[str, Any], attributes: Any, key: str | None) -> Shape:
    no_constants([shape, attributes])
    content = {"key": key, "region": {"shape_attributes": shape, "region_attributes": attributes}}
    return Shape.of(shape["name"], "via", content, [attributes.get(key)] if type(attributes) is dict else [])


def _renamed(shape: Shape, key: str) -> dict[str, Any]:
    """Return a region that is no mask under the name that its class has now, as the attribute ``key``."""
    region: dict[str, Any] = shape.content["region"]
    if not shape.labels:
        return region
    others = {k: v for k, v in region["region_attributes"].items() if k != shape.content["key"]}
    return region | {"region_attributes": {key: next(iter(shape.labels.values()))} | others}


def _marked(defined: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that hold what `write` kept in them: name to id or score."""
    return {n: d[MARK] for n, d in defined.items() if type(d) is dict and d.get(MARK) in ("id", "score")}


def _choices(defined: Mapping[str, Any], key: str | None) -> list[str] | None:
    given = defined.get(key or "")
    if type(given) is dict and given.get("type") in ("dropdown", "radio") and type(given.get("options")) is dict:
        return list(given["options"])
    return None


def _classes(key: str | None, defined: Mapping[str, Any], pictures: list[Picture]) -> tuple[str, ...]:
    if key is None:
        return ("object",)
    choices = _choices(defined, key)
    if choices is not None:
        return tuple(choices)
    values = (a.get(key) for p in pictures for _, s, a in p.regions if type(a) is dict and not _is_no_mask(s))
    return tuple(sorted({v for v in map(class_name, values) if type(v) is str and v}))


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    key, marked = labels.context
    entries: list[Entry] = []
    for where, shape, attributes in labels.rows[index]:
        if _is_no_mask(shape):
            continue
        with skip_bad(labels.on_bad, labels.files[index], where):
            if type(shape) is not dict or type(attributes) is not dict:
                raise BadEntryError("shape_attributes and region_attributes must be objects")
            no_constants(attributes)
            extras = dict(attributes)
            label = 0 if key is None else _label(extras.pop(key, None), key, labels.classes)
            entry = Entry(where, label, _outline(shape, size), extras=extras)
            for name in marked.keys() & extras.keys():
                if marked[name] == "id":
                    entry.id = whole(str(extras.pop(name)), name)
                else:
                    entry.score = finite(_as_number(extras.pop(name)), name)
            entries.append(entry)
    return entries


def _as_number(value: Any) -> Any:
    """Return the number in a text: VIA's own form turns every value that is edited into text."""
    try:
        return float(value) if type(value) is str else value
    except ValueError:
        return value


def _label(value: Any, key: str, classes: tuple[str, ...]) -> int:
    value = class_name(value)
    if value is None or value == "":
        raise BadEntryError(f"region_attributes: has no {key!r}, so it has no class")
    if type(value) is not str:
        raise BadEntryError(f"region_attributes: {key!r} must be one class name, got {kind_of(value)}")
    if value not in classes:
        raise BadEntryError(f"region_attributes: {key!r} is {value[:60]!r}, which is none of its choices")
    return classes.index(value)


def _outline(shape: dict[str, Any], size: Size) -> Any:
    kind = shape.get("name")
    if kind == "polygon":
        x, y = shape.get("all_points_x"), shape.get("all_points_y")
        if type(x) is not list or type(y) is not list or len(x) != len(y):
            raise BadEntryError("all_points_x and all_points_y must be lists of one length")
        return [[ring([[a, b] for a, b in zip(x, y, strict=True)])]]
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}
    if type(kind) is not str or kind not in keys:
        raise BadEntryError(f"a {str(kind)[:40]} has no inside; polygon, rect, circle and ellipse are read")
    x, y, *more = (finite(shape.get(name), name) for name in keys[kind])
    if kind == "rect":
        if min(more) <= 0:
            raise BadEntryError(f"rect is {more[0]:g} wide and {more[1]:g} high; both must be more than 0")
        return [[rectangle(x, y, x + more[0], y + more[1])]]
    theta = math.fmod(finite(shape.get("theta", 0), "theta"), math.tau)
    return ellipse_shape(x, y, more[0], more[-1], math.degrees(theta), size)


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a project; attributes called as the class's, the ids' or the scores' are refused as a loss."""
    if path.suffix.lower() == ".csv":
        raise FormatError(path, "VIA projects are JSON; name it so, and export the CSV from VIA")
    said = metadata.get("via", {})
    key = said.get("class") or "class"
    defined = {n: d for n, d in said.get("attributes", {}).get("region", {}).items() if n not in _marked({n: d})}
    files = dict(said.get("attributes", {}).get("file", {}))
    names, keys = Names(path), list[str]()
    with text_file(path) as out:
        settings = _SETTINGS | {"project": {"name": path.stem}}
        out.write(f'{{"_via_settings": {_dumps(path, settings, "")},\n"_via_img_metadata": {{')
        for ref, instances in records:
            names.once(ref)
            name, picture = _picture(path, ref, instances, key)
            text = _dumps(path, picture, f"image {ref.name!r}")
            out.write((",\n" if keys else "\n") + f"{_dumps(path, name, '')}: {text}")
            keys.append(name)
            _define(defined, files, instances, ref)
        region = {key: _class_definition(defined.pop(key, None), classes)} | defined
        attributes = {"region": region, "file": files}
        out.write(f'\n}},\n"_via_attributes": {_dumps(path, attributes, "attributes")},\n')
        out.write('"_via_data_format_version": "2.0.10",\n"_via_image_id_list": ' + _dumps(path, keys, "") + "}\n")


def _dumps(path: Path, value: Any, where: str) -> str:
    return dump_json(path, value, where, ascii=False)


def _class_definition(before: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the class attribute: a list of choices, with the texts that they had."""
    known: dict[str, Any] = before if type(before) is dict else {}
    kind = known["type"] if known.get("type") in ("dropdown", "radio") else "dropdown"
    options = known["options"] if type(known.get("options")) is dict else {}
    fresh = {"description": "", "default_options": {}} | known
    return fresh | {"type": kind, "options": {name: options.get(name, "") for name in classes}, MARK: "class"}


def _define(defined: dict[str, Any], files: dict[str, Any], instances: Instances, ref: ImageRef) -> None:
    """Declare every attribute that is used, so that VIA shows it."""
    text = {"type": "text", "description": "", "default_value": ""}
    own = {"id": instances.ids, "score": instances.scores}
    for name in instances.attributes:
        defined.setdefault(name, text)
    for name, values in own.items():
        if values is not None:
            defined[name] = text | {MARK: name}
    for name in (*_SIZE, *ref.attributes):
        files.setdefault(name, text)


def _picture(path: Path, ref: ImageRef, instances: Instances, key: str) -> tuple[str, dict[str, Any]]:
    """Return the image's name in the project, and what the project says of it."""
    height, width = instances.size
    columns = {name: values.tolist() for name, values in instances.attributes.items()}
    own = {"id": instances.ids, "score": instances.scores}
    clash = next((n for n in columns if n == key or own.get(n) is not None), None)
    if clash is not None or (key in own and own[key] is not None):
        raise LossyFormatError(path, f"image {ref.name!r}: attribute {clash or key!r} has a use of its own; rename it")
    columns |= {name: values.tolist() for name, values in own.items() if values is not None}
    regions: list[dict[str, Any]] = []
    for parts, name in zip(instances.masks.to_polygons(), instances.names, strict=True):
        points = parts[0][0].astype(int).tolist()
        shape = {"name": "polygon", "all_points_x": [p[0] for p in points], "all_points_y": [p[1] for p in points]}
        regions.append({"shape_attributes": shape, "region_attributes": {key: name}})
    for name, values in columns.items():
        for region, value in zip(regions, values, strict=True):
            if value is not None:
                region["region_attributes"][name] = value
    regions += [_renamed(shape, key) for shape in ref.shapes]
    attributes = {k: v for k, v in ref.attributes.items() if k not in _SIZE} | dict(
        zip(_SIZE, (str(height), str(width)), strict=True)
    )
    bytes_ = ref.path.stat().st_size if ref.path.is_file() else -1
    return f"{ref.name}{bytes_}", {
        "filename": ref.name,
        "size": bytes_,
        "regions": regions,
        "file_attributes": attributes,
    }


FORMAT = LabelFormat(
    summary="VGG Image Annotator: projects of 2 and 3, exported JSON or CSV; one outline per object",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(overlap=True, classes=True, ids=True, scores=True, attributes=True),
    ending=".json",
    shapes="via",
)
