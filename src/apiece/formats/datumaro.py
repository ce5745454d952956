"""Datumaro's own JSON (https://openvinotoolkit.github.io/datumaro/stable/docs/data-formats/formats/datumaro.html).

One file is one subset: ``categories.label.labels``, and ``items``, each an image with its ``annotations``. Also a
folder with one such file in ``annotations/``; images lie in ``images/<subset>/``.

Read: ``polygon`` (COCO's rasterisation), ``mask`` (COCO RLE), ``ellipse``, ``bbox`` (x, y, width, height; the pixels
whose centres it holds). Annotations of one image that share a ``group`` other than 0 and a label are parts of one
object; a ``bbox`` in such a group is the box of its masks, not a part. ``label``, ``caption``, ``points``,
``polyline``, ``skeleton`` ... are no masks and come as ``ImageRef.shapes``. The attributes ``score`` and ``is_crowd``
become scores and crowd flags, as Datumaro's COCO reader writes them; ``group`` and ``z_order`` are kept as attributes
where one is not 0. Coordinates are pixels from the upper left corner.

Written: one mask annotation per object, RLE, which loses nothing, and the shapes that are no masks as they were.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from apiece._strict_json import kind_of
from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import BadEntryError, Size, an_object, checked_size, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import IMAGE_SUFFIXES, is_file
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.json_files import dump_json, load_json, members
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.said import refuse_own, said_of
from apiece.formats._kit.shapes import box_shape, ellipse_shape, ring, rle_shape
from apiece.formats._kit.written import Names, text_file
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_NO_AREA = ("label", "caption", "points", "polyline", "cuboid_3d", "hash_key", "feature_vector", "skeleton")
_OWN = ("score", "is_crowd")


def detect(path: Path) -> bool:
    """Return whether ``path`` is a JSON object with categories and items, or a folder with one in ``annotations``."""
    file = _file(path)
    seen = None if file is None else peek_json(file)
    return seen is not None and {"categories", "items"} <= seen.keys and "annotations" not in seen.keys


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path
    try:
        found = sorted((path / "annotations").glob("*.json"))
    except OSError:
        return None
    return found[0] if len(found) == 1 else None


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a Datumaro file; image paths are relative to ``images`` or to where Datumaro puts them."""
    file = _file(path)
    if file is None:
        raise FormatError(path, "holds no single annotations/*.json; name the file of the subset wanted")
    document = load_json(file)
    if type(document) is not dict or type(document.get("items")) is not list:
        got = kind_of(document)
        raise FormatError(file, f"is no Datumaro file: that is an object with a list of items, and this is {got}")
    classes = _classes(file, document)
    header = {k: v for k, v in document.items() if k != "items"}
    names: set[str] = set()  # of images, and of items
    refs: list[ImageRef] = []
    rows = []
    for i, item in enumerate(document["items"]):
        with skip_bad(on_bad, file, f"items[{i}]"):
            refs.append(_item(item, names, classes))
            rows.append((i, item["annotations"]))
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    home = [root / "images" / file.stem]
    found = list(placed(file, refs, images, home, on_bad))
    # an image is called by its item; newer versions of Datumaro give its file another name
    lost = [k for k, ref in enumerate(found) if not is_file(ref.path) and str(refs[k].path) != ref.name]
    again = placed(file, [replace(refs[k], name=refs[k].path.as_posix()) for k in lost], images, home, on_bad)
    for k, ref in zip(lost, again, strict=True):
        found[k] = replace(found[k], path=ref.path) if is_file(ref.path) else found[k]
    return EntrySet(tuple(found), (file,) * len(found), classes, _decode, rows, {"datumaro": header}, on_bad=on_bad)


def _classes(path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    try:
        labels = document["categories"]["label"]["labels"]
        names = tuple(label["name"] for label in labels)
    except (KeyError, TypeError):
        raise FormatError(path, "categories.label.labels: a list of objects with a name is needed") from None
    for i, name in enumerate(names):
        if type(name) is not str or name in names[:i]:
            raise FormatError(path, f"categories.label.labels[{i}].name: {str(name)[:60]!r} is no name, or another's")
    return names


def _item(item: Any, names: set[str], classes: tuple[str, ...]) -> ImageRef:
    """Return the image of an item; its path is the one that the item states."""
    if type(item) is not dict or type(item.get("id")) is not str or type(item.get("annotations")) is not list:
        raise BadEntryError("must be an object with an id (a string) and annotations (a list)")
    image = item.get("image") or item.get("media") or {}
    if type(image) is not dict or type(image.get("path", "")) is not str:
        raise BadEntryError("image: must be an object with a path")
    stated = image.get("path", "")
    name = spelled(_stated(item["id"], stated))
    if name in names or "id " + item["id"] in names:
        raise BadEntryError(f"id: {item['id']!r} is another item's already")
    size = image.get("size")
    if size is not None:
        if type(size) is not list or len(size) != 2:
            raise BadEntryError(f"image.size: must be [height, width], got {str(size)[:40]}")
        size = checked_size(*size)
    names |= {name, "id " + item["id"]}
    attributes = dict(item["attr"]) if type(item.get("attr")) is dict else {}
    notes = (note for note in item["annotations"] if type(note) is dict and note.get("type") in _NO_AREA)
    shapes = tuple(_no_mask(note, classes) for note in notes)
    return ImageRef(Path(spelled(stated) if stated else name), name, size, item["id"], attributes, shapes=shapes)


def _no_mask(note: dict[str, Any], classes: tuple[str, ...]) -> Shape:
    """Return an annotation without area, its labels by name, since their numbers are those of one file."""
    names: list[str] = []

    def name(label: Any) -> Any:
        if type(label) is not int or not 0 <= label < len(classes):
            return label
        names.append(classes[label])
        return names[-1]

    return Shape.of(note["type"], "datumaro", _labels(note, name), names)


def _labels(note: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an annotation and the elements of a skeleton with another value for every label."""
    found = note | ({"label_id": change(note["label_id"])} if "label_id" in note else {})
    elements = note.get("elements")
    if type(elements) is list:
        found["elements"] = [_labels(e, change) if type(e) is dict else e for e in elements]
    return found


def _stated(key: str, path: str) -> str:
    """Return the image's name: the item's id, with the ending of ``path``, which may be of another machine."""
    path = path.replace("\\", "/")
    suffix = Path(path).suffix
    if path in (key, key + suffix) or not path:
        return path or key
    if key.lower().endswith(IMAGE_SUFFIXES):
        return key
    return key + suffix


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    item, notes = labels.rows[index]
    found: list[tuple[Entry, str, int]] = []
    for k, note in enumerate(notes):
        where = f"items[{item}].annotations[{k}]"
        if type(note) is dict and note.get("type") in _NO_AREA:
            continue
        with skip_bad(labels.on_bad, labels.files[index], where):
            found.append(_entry(an_object(note), where, size, len(labels.classes)))
    return _joined(found)


def _entry(note: dict[str, Any], where: str, size: Size, classes: int) -> tuple[Entry, str, int]:
    kind, label = note.get("type"), note.get("label_id")
    if type(label) is not int or not 0 <= label < classes:
        raise BadEntryError(f"label_id: {str(label)[:40]} is none of the {classes} labels, which count from 0")
    shape = _shape(note, kind, size)
    extras = dict(an_object(note.get("attributes") or {}, "attributes"))
    score, crowd = extras.pop("score", None), extras.pop("is_crowd", False)
    score = None if score is None else finite(score, "attributes.score")
    if type(crowd) not in (bool, int) or crowd not in (0, 1):
        raise BadEntryError(f"attributes.is_crowd: must be true or false, got {str(crowd)[:40]}")
    for key in ("group", "z_order", "id"):
        value = note.get(key, 0)
        if not is_int64(value):
            raise BadEntryError(f"{key}: must be an integer of at most 64 bits, got {str(value)[:40]}")
        if value and key != "id":
            extras[key] = value
    return Entry(where, label, shape, note.get("id"), score, bool(crowd), extras), str(kind), note.get("group", 0)


def _shape(note: dict[str, Any], kind: Any, size: Size) -> Any:
    if kind == "mask":
        return rle_shape(note.get("rle"), "rle", size)
    if kind == "polygon":
        flat = note.get("points")
        if type(flat) is not list or len(flat) % 2:
            raise BadEntryError("points must be a list x, y, x, y ...")
        return [[ring([list(p) for p in zip(flat[::2], flat[1::2], strict=True)])]]
    if kind in ("bbox", "ellipse"):
        given = note.get("bbox") if kind == "bbox" else note.get("points")
        if type(given) is not list or len(given) != 4:
            raise BadEntryError(f"{kind} needs 4 numbers")
        x, y, w, h = (finite(v, f"{kind}[{i}]") for i, v in enumerate(given))
        if kind == "bbox":
            said = note.get("attributes")
            turn = finite(said.get("rotation", 0) if type(said) is dict else 0, "attributes.rotation")
            return box_shape(x, y, w, h, turn, (x + w / 2, y + h / 2), size)
        return ellipse_shape((x + w) / 2, (y + h) / 2, (w - x) / 2, (h - y) / 2, 0, size)
    raise BadEntryError(f"type {str(kind)[:40]!r} is not known; there are polygon, mask, bbox, ellipse")


def _joined(found: list[tuple[Entry, str, int]]) -> list[Entry]:
    """Return the entries, with the parts of one group and label as one entry."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (entry, _, group) in enumerate(found):
        if group:
            groups.setdefault((group, entry.label), []).append(i)
    out: list[Entry | None] = [entry for entry, _, _ in found]
    for shared in groups.values():
        if len(shared) < 2:
            continue
        parts = [i for i in shared if found[i][1] != "bbox"] or shared
        for i in shared:
            out[i] = None
        first = found[parts[0]][0]
        first.joined = [found[i][0] for i in parts[1:]]
        out[parts[0]] = first
    return [entry for entry in out if entry is not None]


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one subset."""
    known = metadata.get("datumaro", {})
    header = {k: v for k, v in known.items() if k not in ("categories", "items")} or {"info": {}}
    header["categories"] = _categories(classes, known.get("categories", {}))
    names = Names(path)
    with text_file(path) as out:
        out.write("{" + members(path, header) + '"items": [')
        for i, (ref, instances) in enumerate(records):
            names.once(ref)
            out.write("," if i else "")
            _write_item(out, ref, instances, path)
        out.write("\n]}\n")


def _categories(classes: tuple[str, ...], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return labels as the file they came from has them, and the rest of its categories if no label changed."""
    label = known.get("label", {})
    by_name = {entry["name"]: entry for entry in label.get("labels", ())}
    labels = [by_name.get(name) or {"name": name, "parent": "", "attributes": []} for name in classes]
    rest = known if tuple(by_name) == classes else {}
    return {**rest, "label": {"attributes": [], **(label if rest else {}), "labels": labels}}


def _write_item(out: IO[str], ref: ImageRef, instances: Instances, path: Path) -> None:
    height, width = instances.size
    where = f"image {ref.name!r}"
    key = ref.id if isinstance(ref.id, str) and ref.name.startswith(ref.id) else str(Path(ref.name).with_suffix(""))
    item: dict[str, Any] = {"id": key if Path(ref.name).suffix.lower() in IMAGE_SUFFIXES else ref.name}
    if ref.attributes:
        item["attr"] = dict(ref.attributes)
    item["image"] = {"path": ref.name, "size": [height, width]}
    text = dump_json(path, item, where)
    out.write(f'\n{text[:-1]}, "annotations": [')
    lines = itertools.chain(_notes(instances, path, where), _no_masks(ref, instances.classes, path, where))
    for i, line in enumerate(lines):
        out.write((",\n" if i else "\n") + line)
    out.write("]}")


def _notes(instances: Instances, path: Path, where: str) -> Iterator[str]:
    refuse_own(path, where, instances, _OWN, "Datumaro")
    special = [name for name in ("group", "z_order") if _fits(instances, name)]
    for k, (said, rle) in enumerate(zip(said_of(instances), instances.masks.to_coco(), strict=True)):
        own = {"group": 0, "z_order": 0} | {name: said.attributes.pop(name, None) or 0 for name in special}
        if said.score is not None:
            said.attributes["score"] = said.score
        if said.crowd:
            said.attributes["is_crowd"] = True
        note = {"id": k + 1 if said.id is None else said.id, "type": "mask", "attributes": said.attributes}
        yield dump_json(path, note | {"label_id": said.label, "rle": rle} | own, where)


def _no_masks(ref: ImageRef, classes: tuple[str, ...], path: Path, where: str) -> Iterator[str]:
    for shape in ref.shapes:
        lost = next((name for name in shape.labels.values() if name not in classes), None)
        if lost is not None:
            reason = f"{where}: a shape that is no mask has the label {lost!r}, which is no class that is written"
            raise LossyFormatError(path, reason, "shapes")
        number = {name: classes.index(now) for name, now in shape.labels.items()}
        yield dump_json(path, _labels(shape.content, partial(_numbered, number)), where)


def _numbered(number: Mapping[str, int], label: Any) -> Any:
    return number.get(label, label) if type(label) is str else label


def _fits(instances: Instances, name: str) -> bool:
    """Return whether an attribute can be what Datumaro means by it: for a group, one of its label on this image."""
    values = instances.attributes.get(name)
    if values is None or values.ndim != 1 or values.dtype.kind not in "iuO":
        return False
    plain = [(v, int(label)) for v, label in zip(values.tolist(), instances.labels, strict=True) if v]
    if not plain or not all(type(v) is int for v, _ in plain):
        return False
    return name == "z_order" or len(set(plain)) == len(plain)


FORMAT = LabelFormat(
    summary="Datumaro JSON: masks as RLE, polygons, groups, attributes, scores; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    ending=".json",
    shapes="datumaro",
)
