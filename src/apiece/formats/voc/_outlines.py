"""XML with the outlines of objects, one file an image: Pascal VOC's with ``<polygon>``, and LabelMe 3.0's.

VOC's polygons are ``<x1>, <y1>, <x2> ...``, and its pixels count from 1. LabelMe's are ``<pt><x>, <y>``, from 0; a mask
(``<segm>``) lies in a file of its own in ``Masks``, parts of an object name the one that they are part of, and deleted
objects stay in the file. A part that is the box of its object, as datumaro writes them, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from apiece._arrays import Bool, Float
from apiece.core.image import ImageRef
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, checked_size, number, skip_bad, whole
from apiece.formats._kit.entries import Entry, stated_boxes
from apiece.formats._kit.files import head_of, is_file
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import placed
from apiece.formats._kit.label_images import read_colours, read_raster
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.shapes import Crop, Part, ring
from apiece.formats.contract import OnBad
from apiece.formats.voc._xml import Annotation, Texts, VocObject, read_annotation

_OUTLINED = re.compile(r"<annotation\b.*<object>.*<(polygon|segm)>", re.DOTALL)
_FOLDER, _MASKS = "annotations", "masks"  # in any case
_HEAD, _LOOKED_AT, _LEVELS = 1 << 16, 20, 3
_ID, _PART_OF, _DELETED, _MASK = ("id",), ("parts", "ispartof"), ("deleted",), ("segm", "mask")
_TYPE, _BOX = ("type",), "bounding_box"


def is_outlined(file: Path) -> bool:
    """Return whether a file is XML of an image and has an outline."""
    return _OUTLINED.search(head_of(file, _HEAD)) is not None


def annotation_files(folder: Path) -> list[Path]:
    """Return the first XML files in a folder, or in the folders below it if it has none."""
    levels = (sorted(folder.glob("*/" * depth + "*.xml")) for depth in range(_LEVELS))
    return next(filter(None, levels), [])[:_LOOKED_AT]


def read_outlines(path: Path, images: Path | None, on_bad: OnBad) -> EntrySet:
    """Open one XML file, or all of a folder; classes are the names found, sorted."""
    root, files = label_files(path, (".xml",))
    folder = _below(root, _FOLDER) or root
    heads = list(opened(path, files, lambda file: _head(file, folder), on_bad))
    classes = tuple(sorted({name for _, _, own in heads for name in own}))
    home = [root] if images is None else []
    refs = placed(folder / "annotation.xml", [ref for _, ref, _ in heads], images, home, on_bad)
    return EntrySet(refs, tuple(file for file, _, _ in heads), classes, _decode, on_bad=on_bad)


def _below(folder: Path, name: str) -> Path | None:
    """Return the folder of a name in a folder, whatever its case."""
    return next((at for at in sorted(folder.iterdir()) if at.name.lower() == name and at.is_dir()), None)


def _head(file: Path, folder: Path) -> tuple[ImageRef, list[str]]:
    """Return the image of a file, and the names of its objects."""
    said = read_annotation(file)
    stated = said.head.get("filename")
    if not stated:
        raise BadEntryError("filename is missing")
    below = file.parent.relative_to(folder) if file.is_relative_to(folder) else Path()
    name = (below / spelled(stated).lstrip("/")).as_posix()
    return ImageRef(Path(name), name, _size(said)), [one.name for one in _kept(said.objects) if one.name]


def _size(said: Annotation) -> Size | None:
    """Return the size of the image, if the file says it; LabelMe writes rows and columns."""
    for height, width in (("size/height", "size/width"), ("imagesize/nrows", "imagesize/ncols")):
        if said.head.get(height) and said.head.get(width):
            return checked_size(whole(said.head[height], height), whole(said.head[width], width))
    return None


def _kept(objects: Iterable[VocObject]) -> list[VocObject]:
    return [one for one in objects if one.texts.get(_DELETED) != ["1"]]


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file = labels.files[index]
    found: dict[int, Entry] = {}  # by line
    by_id: dict[str, Entry] = {}
    objects = _kept(read_annotation(file).objects)
    boxes = set[int]()
    for one in objects:
        with skip_bad(labels.on_bad, file, f"line {one.line}"):
            entry = _entry(one, labels.classes, size, file)
            found[one.line] = entry
            if one.texts.get(_TYPE) == [_BOX]:
                boxes.add(one.line)
            by_id.setdefault(one.texts.get(_ID, [""])[0], entry)
    lines = list(found)
    wholes = {one.line: by_id.get(one.texts.get(_PART_OF, ["-"])[0], found.get(one.line)) for one in objects}
    groups = [(whole_of.where, found[k].label) if (whole_of := wholes[k]) else None for k in lines]
    again = stated_boxes(list(found.values()), groups, [k in boxes for k in lines], size)
    for k in again:
        del found[lines[k]]
    for one in objects:
        whole_of = by_id.get(one.texts.get(_PART_OF, ["-"])[0])
        part = found.get(one.line)
        if part is None or whole_of is None or whole_of is part:
            continue
        if part.label == whole_of.label and not part.joined:
            whole_of.joined.append(found.pop(one.line))
            by_id[one.texts.get(_ID, [""])[0]] = whole_of
        else:
            part.extras["part_of"] = whole_of.id
    return list(found.values())


def _entry(one: VocObject, classes: tuple[str, ...], size: Size, file: Path) -> Entry:
    if one.fault or not one.name:
        raise BadEntryError(one.fault or "name is missing")
    if one.name not in classes:
        raise BadEntryError(f"there is no class {one.name!r}")
    shape: list[Part] | Crop
    if one.polygons:
        shape = [[_outline(polygon)] for polygon in one.polygons]
    elif _MASK in one.texts:
        shape = _mask(file, one.texts[_MASK][0], size)
    else:
        raise BadEntryError(f"object {one.name!r} has a box and no polygon; draw it, or leave it out")
    stated = one.texts.get(_ID, [None])[0]
    own = one.id if stated is None else whole(stated, "id")
    text = {} if (words := one.texts.get(("attributes",))) is None else {"attributes": words[0]}
    return Entry(f"line {one.line}", classes.index(one.name), shape, own, extras=one.extras | text)


def _outline(polygon: Texts) -> Float:
    """Return the points of a polygon: LabelMe's pairs, or VOC's numbered ones, which count pixels from 1."""
    x, y = polygon.get(("pt", "x"), []), polygon.get(("pt", "y"), [])
    if x or y:
        if len(x) != len(y):
            raise BadEntryError(f"polygon has {len(x)} x and {len(y)} y")
        return ring([[number(a, "x"), number(b, "y")] for a, b in zip(x, y, strict=True)])
    count = sum(len(key) == 1 and re.fullmatch(r"[xy]\d+", key[0]) is not None for key in polygon)
    names = [(f"x{k}", f"y{k}") for k in range(1, -(-count // 2) + 1)]
    return ring([[number(polygon.get((name,), [None])[0], name) - 1 for name in pair] for pair in names])


def _mask(file: Path, name: str, size: Size) -> Crop:
    """Return the mask in a file of LabelMe: in ``Masks`` in place of ``Annotations``, or beside the XML."""
    at, parts = file.absolute(), Path(spelled(name)).name
    above = next((k for k, folder in enumerate(at.parents) if folder.name.lower() == _FOLDER), None)
    near = at.parent if above is None else at.parents[above + 1]
    folder = _below(near, _MASKS)
    below = Path() if above is None else at.parent.relative_to(at.parents[above])
    found = None if folder is None else folder / below / parts
    if found is None or not is_file(found):
        raise BadEntryError(f"there is no mask {parts!r} in {near / 'Masks' / below}")
    colours = read_colours(found)  # as datumaro writes them
    array = read_raster(found) if colours is None else colours.max(2)
    mask: Bool = array != 0
    if mask.shape != size:
        raise FormatError(found, f"is of {mask.shape} pixels, and its image of {size}")
    return mask, (0, 0)
