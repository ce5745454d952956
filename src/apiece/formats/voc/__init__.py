"""Pascal VOC segmentation (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html).

A folder of ``SegmentationObject/*.png`` (value k is the k-th object) and ``SegmentationClass/*.png`` (value k is the
k-th class), ``Annotations/*.xml`` (the objects in that order), ``JPEGImages/*.jpg`` and lists
``ImageSets/Segmentation/*.txt``. Label images may have a palette, plain values, or three channels of colours, as CVAT
and datumaro write them.

Read: such a folder, all lists but ``test.txt``; or one list. Classes are the twenty of VOC, or the lines of a
``class_names.txt`` as labelme2voc writes it, or of CVAT's and datumaro's ``labelmap.txt``, with their colours.
``difficult``, ``truncated``, ``occluded``, ``pose``, ``part``, ``point``, ``actions`` and ``<attributes>`` are
attributes. Annotations may be absent; of CVAT and datumaro, whose XML lists boxes, they count only where they list the
objects. An image of theirs that is listed and has no label images has no objects. The reader leaves alone what
SegmentationClass says outside of all objects.

Also read: XML with outlines and no label images, one file an image, as supervision and Roboflow write them
(``<polygon><x1>``, whose pixels count from 1) or LabelMe 3.0, CVAT and datumaro (``<polygon><pt>``, from 0).

The border of 255, void, is no object: the reader keeps it on each record's image, ``ImageRef.attributes["regions"] =
{"void": COCO RLE}``, and the writer paints it again, so that a round trip gives the same pixels.

Written: everything but the images, both lists of classes, and a file ``apiece.json`` that keeps image names. An image
holds 254 objects; an id that is not the object's place is an ``<instance_id>`` of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array, UInt8
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import BadEntryError, refuse_repeated, skip_bad
from apiece.formats._kit.columns import table, taken
from apiece.formats._kit.files import inside, is_file, never_raises, read_text
from apiece.formats._kit.image_places import image_ref, image_size
from apiece.formats._kit.label_images import add_region, regions_of, save_label_png
from apiece.formats._kit.label_sets import EntrySet, LabelImageSet
from apiece.formats._kit.sidecar import load_sidecar, sidecar_format, written_set
from apiece.formats.contract import ANY_INT64, EVERYTHING, LabelFormat, OnBad, Record, refuse
from apiece.formats.voc._colours import (
    LABELMAP,
    PALETTE,
    VOID,
    LabelMap,
    class_values,
    labelmap_of,
    object_numbers,
    read_labelmap,
)
from apiece.formats.voc._outlines import annotation_files, is_outlined, read_outlines
from apiece.formats.voc._xml import VocObject, annotation_text, read_objects

__all__ = ["FORMAT"]

_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_MOST = VOID - 1  # objects on an image
_OBJECTS, _SEMANTIC, _XML, _IMAGES = "SegmentationObject", "SegmentationClass", "Annotations", "JPEGImages"
_LISTS = ("ImageSets", "Segmentation")
_NAMES, _BACKGROUND = "class_names.txt", "_background_"


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a folder with ``SegmentationObject`` or XML of outlines, a list in it, or such XML."""
    if path.is_file() and path.suffix.lower() == ".xml":
        return is_outlined(path)
    if path.is_file():
        root = _root_of_list(path)
        return path.suffix == ".txt" and root is not None and (root / _OBJECTS).is_dir()
    return path.is_dir() and (_has_images(path) or any(map(is_outlined, annotation_files(path))))


def _has_images(path: Path) -> bool:
    """Return whether a folder has label images, or had none to write."""
    return (path / _OBJECTS).is_dir() or sidecar_format(path) == "voc"


def _root_of_list(path: Path) -> Path | None:
    parts = path.resolve().parts
    return path.resolve().parents[2] if parts[-3:-1] == _LISTS else None


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet | EntrySet:
    """Open a folder of VOC, one of its lists, or XML with outlines."""
    if path.suffix.lower() == ".xml" or (path.is_dir() and not _has_images(path) and annotation_files(path)):
        return read_outlines(path, images, on_bad)
    root = _root_of_list(path) if path.is_file() else path
    if root is None or not _has_images(root):
        raise FormatError(
            path, f"is no folder of Pascal VOC, which has {_OBJECTS}/, nor a list in ImageSets/Segmentation/"
        )
    said = load_sidecar(root, "voc")
    keys = _keys(root, [path] if path.is_file() else None, on_bad)
    if not keys and not said:
        reason = f"names no image: {_OBJECTS}/ is empty, and so is every list in ImageSets/Segmentation/"
        raise FormatError(path, reason + "; export the objects as masks")
    lacking = [key for key in said.get("images", {}) if key not in keys]
    if lacking and not path.is_file():
        raise FormatError(path, f"no list in ImageSets/Segmentation/ names the image {lacking[0]!r}; is one cut short?")
    meant = _meant(root, said)
    strict = bool(said) or not meant.stated
    folder = images or root / _IMAGES
    files, refs, kept = [], [], []
    for key, where in keys.items():
        file = root / _OBJECTS / f"{key}.png"
        if not is_file(file) and (strict or is_file(root / _SEMANTIC / f"{key}.png")):
            refuse(FormatError(where, f"{key!r}: there is no {_OBJECTS}/{key}.png"), on_bad)
            continue
        kept.append(key)
        files.append(file)
        refs.append(image_ref(folder, key, said.get("images", {}).get(key, {}).get("name"), ".jpg"))
    metadata = {"voc": {"labelmap": meant.noted()}} if meant.stated else {}
    found = tuple(refs), tuple(files), meant.classes, _decode, tuple(kept)
    return LabelImageSet(*found, metadata, (meant, strict), on_bad).sound()


def _keys(root: Path, lists: list[Path] | None, on_bad: OnBad) -> dict[str, Path]:
    """Return the names of the images, and which list names them."""
    if lists is None:
        lists = sorted((root.joinpath(*_LISTS)).glob("*.txt"))
        lists = [p for p in lists if p.name != "test.txt"] or lists
    found: dict[str, Path] = {}
    for file in lists:
        text = read_text(file)
        for k, line in enumerate(text.splitlines(), 1):
            reason = inside(line.strip()) if line.strip() else None
            if reason:
                refuse(FormatError(file, f"line {k}: {reason}"), on_bad)
            elif line.strip():
                found.setdefault(line.strip(), file)
    if not lists:
        folder = root / _OBJECTS
        return {p.relative_to(folder).with_suffix("").as_posix(): root for p in sorted(folder.rglob("*.png"))}
    if not found and any((root / _OBJECTS).rglob("*.png")):
        raise FormatError(lists[0], f"names no image, but {_OBJECTS}/ holds some")
    return found


def _meant(root: Path, said: Mapping[str, Any]) -> LabelMap:
    """Return the classes, and the colours and values that stand for them."""
    classes, file = _classes(root, said), root / LABELMAP
    if not file.is_file():
        return LabelMap.of(classes or _CLASSES)
    found = read_labelmap(file)
    if classes is not None and found.classes != classes:
        raise FormatError(file, f"does not have the classes of {_NAMES} beside it; remove the one that is wrong")
    return found


def _classes(root: Path, said: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the classes that `_NAMES` or apiece.json say."""
    file = root / _NAMES
    if not file.is_file():
        return tuple(said["classes"]) if said else None
    names = [name.removesuffix("\r") for name in read_text(file).split("\n")]
    names = names[:-1] if names[-1] == "" else names
    if names[:1] == ["__ignore__"]:
        del names[0]
    if names[:1] != [_BACKGROUND]:
        raise FormatError(file, f"line 1: must be {_BACKGROUND}, then a class on each line")
    if "" in names:
        raise FormatError(file, "has an empty line")
    refuse_repeated(names, file)
    if said and said["classes"] != names[1:]:
        raise FormatError(file, "does not have the classes of apiece.json beside it; is one of them cut short?")
    return tuple(names[1:])


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file = labels.files[i]
    meant, strict = labels.context
    if not is_file(file):  # CVAT and datumaro list images without objects, and write no label image of them
        return Instances.empty(image_size(file, labels.refs[i]), labels.classes), {}
    array = object_numbers(file, meant)
    key = labels.rows[i]
    root = file.parents[len(Path(key).parts)]
    semantic, xml = root / _SEMANTIC / f"{key}.png", root / _XML / f"{key}.xml"
    regions = regions_of(array, {VOID: "void"})
    found = Instances.from_label_map(np.where(array == VOID, 0, array))
    numbers = np.zeros(0, np.int64) if found.ids is None else found.ids
    objects = read_objects(xml) if xml.is_file() else None
    drawn = _drawn_classes(file, class_values(semantic, meant), array, numbers) if semantic.is_file() else None
    if objects is not None and drawn is not None and not strict and not _agree(objects, drawn, labels.classes):
        objects = None
    if objects is None and drawn is None:
        raise FormatError(file, f"has neither {_SEMANTIC}/{key}.png nor {_XML}/{key}.xml, so its classes are unknown")
    rows: list[tuple[int, int, int]] = []
    extras: list[dict[str, Any]] = []
    names = {name: k for k, name in enumerate(labels.classes)}
    for k, number in enumerate(numbers.tolist()):
        with skip_bad(labels.on_bad, file, f"object {number}"):
            label, shape = _label(number, drawn, objects, labels.classes, names)
            rows.append((k, label, number if shape.id is None else shape.id))
            extras.append(shape.extras)
    for number in sorted(set(range(1, len(objects or ()) + 1)) - set(numbers.tolist())):
        line = (objects or [])[number - 1].line
        labels.report(FormatError(xml, f"line {line}: object {number} has no pixel in {_OBJECTS}/{key}.png"))
    index, where, ids = np.array(rows, np.int64).reshape(-1, 3).T
    attributes = taken(table(extras, ()), np.arange(len(rows)))
    instances = Instances(found.masks[index], where, labels.classes, ids=ids, attributes=attributes)
    return instances, {"regions": regions} if regions else {}


def _drawn_classes(file: Path, values: UInt8, array: Array, numbers: Array) -> dict[int, list[int]]:
    """Return the values of SegmentationClass under each object."""
    if values.shape != array.shape:
        reason = f"is of {array.shape} pixels, and {_SEMANTIC}/{file.name} of {values.shape}"
        raise FormatError(file, reason)
    many = (int(array.max()) + 1) * 256
    pairs = np.bincount((array.astype(np.int64) * 256 + values).ravel(), minlength=many).reshape(-1, 256)
    return {number: np.flatnonzero(pairs[number]).tolist() for number in numbers.tolist()}


def _agree(objects: list[VocObject], drawn: dict[int, list[int]], classes: tuple[str, ...]) -> bool:
    """Return whether the XML lists the objects that are drawn, and not boxes of its own."""
    names = [[name for k, name in enumerate(classes, 1) if k in values] for _, values in sorted(drawn.items())]
    return names == [[shape.name] for shape in objects]


def _label(
    number: int,
    drawn: dict[int, list[int]] | None,
    objects: list[VocObject] | None,
    classes: tuple[str, ...],
    names: dict[str, int],
) -> tuple[int, VocObject]:
    """Return the class of an object and what the XML says of it, if both agree."""
    shape, label = VocObject(0), -1
    if drawn is not None:
        if len(drawn[number]) != 1:
            raise BadEntryError(f"has the classes {drawn[number]} in {_SEMANTIC}; an object has one")
        label = drawn[number][0] - 1
        if not 0 <= label < len(classes):
            raise BadEntryError(f"has the value {label + 1} in {_SEMANTIC}; there are classes 1 to {len(classes)}")
    if objects is not None:
        if number > len(objects):
            raise BadEntryError(f"is not in the XML, which has {len(objects)}")
        shape = objects[number - 1]
        if shape.fault or shape.name is None:
            raise BadEntryError(f"line {shape.line} of the XML: {shape.fault or 'name is missing'}")
        if drawn is not None and shape.name != classes[label]:
            raise BadEntryError(
                f"is {classes[label]!r} in {_SEMANTIC} and {shape.name!r} in the XML; "
                f"other classes than those of VOC are listed in {_NAMES}"
            )
        if shape.name not in names:
            raise BadEntryError(f"there is no class {shape.name!r}; list the classes in {_NAMES}, after {_BACKGROUND}")
        label = names[shape.name]
    return label, shape


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder of VOC without images; void over an instance, and names that a list cannot hold, are a loss."""
    if len(classes) >= VOID:
        raise LossyFormatError(path, f"holds {VOID - 1} classes, got {len(classes)}")
    if any(c != c.strip("\r\n") or "\n" in c or not c or c in ("__ignore__", _BACKGROUND) for c in classes):
        raise LossyFormatError(
            path, f"has no place for the class names {classes}: one is empty, reserved or has line ends"
        )
    meant = labelmap_of(classes, metadata.get("voc", {}).get("labelmap", {}))
    palettes = [[v for colour in colours for v in colour] for colours in (PALETTE, meant.palette())]
    with written_set(path, "voc", classes) as out:
        folder = out.folder
        for name in (_OBJECTS, _SEMANTIC, _XML, "/".join(_LISTS)):
            (folder / name).mkdir(parents=True)
        for ref, instances in records:
            key = out.key(ref)
            if key != key.strip() or len(key.splitlines()) > 1:
                raise LossyFormatError(path, f"image name {ref.name!r} begins or ends in a space or has line ends")
            out.note(key, ref)
            objects = instances.masks.to_label_map(np.arange(1, len(instances) + 1), np.uint8)
            semantic = np.append(0, instances.labels + 1)[objects].astype(np.uint8)
            if add_region(objects, ref, "regions", "void", VOID, path):
                semantic[objects == VOID] = VOID
            save_label_png(objects, folder / _OBJECTS / f"{key}.png", palettes[0])
            save_label_png(semantic, folder / _SEMANTIC / f"{key}.png", palettes[1])
            xml = folder / _XML / f"{key}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_text(annotation_text(ref, instances, path), encoding="utf-8", newline="\n")
        # no line end behind the last name, so that a list cut short is known as such
        folder.joinpath(*_LISTS, "trainval.txt").write_text("\n".join(out.notes), encoding="utf-8", newline="\n")
        names = "\n".join((_BACKGROUND, *classes, ""))
        (folder / _NAMES).write_text(names, encoding="utf-8", newline="\n")
        if meant.text():
            (folder / LABELMAP).write_text(meant.text(), encoding="utf-8", newline="\n")


FORMAT = LabelFormat(
    summary="Pascal VOC folder: SegmentationObject, SegmentationClass, XML; reads XML of outlines, too; no overlap",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, overlap=False, empty=False, scores=False, crowd=False, id_range=ANY_INT64, most=_MOST),
)
