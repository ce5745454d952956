"""Cityscapes fine annotations (https://www.cityscapes-dataset.com, https://github.com/mcordts/cityscapesScripts).

A folder ``gtFine/SPLIT/CITY/`` of ``*_gtFine_instanceIds.png``, 16 bit. A pixel of an object has the value class * 1000
+ n; a pixel of stuff, or of a group of objects drawn as one, has the class's number alone. Where there is only
``*_gtFine_polygons.json``, the reader draws its polygons one over the other, as cityscapesScripts does. Images lie in
``leftImg8bit/`` beside ``gtFine/``.

Read: objects of the ten classes that have instances; groups are crowd regions; ids are the pixel values. Stuff (road,
sky) is no object: the reader keeps it on the image, ``ImageRef.attributes["stuff"]``, as COCO RLE by name, and
the writer writes it back from there. Unlabelled pixels (0) are background. Where datumaro's list of own classes,
``label_colors.txt``, lies above ``gtFine/``, the numbers are places in that list: each of its classes has objects, and
none is stuff. datumaro itself writes no numbers of objects, so that all of a class is one crowd region.

Also read: KITTI's semantic instances, ``training/instance/*.png`` with class * 256 + n, whose images lie in
``image_2/``; and results as the benchmarks of both take them, a text an image with a line ``relative/mask.png 26 0.97``
for each object. Masks of results may overlap, and scores lie from 0 to 1.

Written: ``gtFine/`` with a file ``apiece.json`` that keeps image names, other classes and other ids. An image holds
1000 objects of a class, and one crowd region of a class.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from apiece._arrays import Int
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, Message
from apiece.formats._kit.checks import BadEntryError, an_object, skip_bad
from apiece.formats._kit.class_times_1000 import Values, instances_of, numbers_of
from apiece.formats._kit.files import never_raises
from apiece.formats._kit.image_places import find_image, image_ref
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.label_images import add_region, read_raster, regions_of, save_label_png
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.mask_lists import has_result_lists, is_result_list
from apiece.formats._kit.sidecar import SIDECAR, load_sidecar, noted_file, sidecar_format, written_set
from apiece.formats.cityscapes._classes import JUDGED, LIST, STUFF, THINGS, UNDRAWN, listed_classes, own_classes
from apiece.formats.cityscapes._kitti import kitti_labels, read_kitti
from apiece.formats.cityscapes._results import read_results
from apiece.formats.contract import ANY_INT64, Cut, Holds, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_IDS, _POLYGONS = "instanceIds.png", "polygons.json"
_ENDING = re.compile(r"^(.+?)(_gt(?:Fine|Coarse))?_(?:instanceIds\.png|polygons\.json)$")
_LABELS = ("_" + _IDS, "Fine_" + _POLYGONS, "Coarse_" + _POLYGONS)
_IMAGE = "_leftImg8bit"
_FIRST = 2000  # files looked at by `detect`
_LONGEST = 1 << 15


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` has ``*_instanceIds.png``, ``*_gtFine_polygons.json``, 16-bit ``instance/``, results."""
    if path.is_file():
        return path.name.endswith(_LABELS) or is_result_list(path) or kitti_labels(path) is not None
    if not path.is_dir():
        return False
    return (
        sidecar_format(_root(path)) == "cityscapes"
        or any(p.name.endswith(_LABELS) for p in itertools.islice(path.rglob("*"), _FIRST))
        or kitti_labels(path) is not None
        or has_result_lists(path)
    )


def _root(path: Path) -> Path:
    return next((path / name for name in ("gtFine", "gtCoarse") if (path / name).is_dir()), path)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open a folder of labels of Cityscapes or KITTI, the one above ``gtFine``, results, or one file."""
    if (labels := kitti_labels(path)) is not None:
        return read_kitti(path, labels, images, on_bad)
    if is_result_list(path):
        return read_results(path, images, on_bad)
    root = path.parent if path.is_file() else _root(path)
    said = {} if path.is_file() else load_sidecar(root, "cityscapes")
    files = [path] if path.is_file() else sorted(root.rglob("*_" + _IDS)) + sorted(root.rglob("*_" + _POLYGONS))
    found: dict[str, Path] = dict.fromkeys(said.get("images", {}), root)
    for file in files:
        match = _ENDING.match(file.name)
        if match is None:
            raise FormatError(path, f"is no label file of Cityscapes: *_{_IDS} or *_{_POLYGONS}")
        key = (file.parent.relative_to(root) / match[1]).as_posix()
        # pixels win over polygons: they are what the polygons were drawn as
        if found.get(key, root) == root or not found[key].name.endswith(_IDS):
            found[key] = file
    if not found and not said and has_result_lists(path):
        return read_results(path, images, on_bad)
    if not found and not (root / SIDECAR).exists():
        raise FormatError(path, f"holds no label files of Cityscapes (*_{_IDS} or *_{_POLYGONS})")
    found = {key: root / f"{key}_gtFine_{_IDS}" if file == root else file for key, file in found.items()}
    folder = images or _image_folder(root)
    notes = tuple(said.get("images", {}).get(key, {}) for key in found)
    refs = tuple(_ref(folder, key, note) for key, note in zip(found, notes, strict=True))
    own = {} if said else _own_classes(root)
    classes = tuple(said["classes"] if said else own or THINGS)
    given = list(own.values()) or numbers_of(classes, THINGS, set(STUFF.values()), path)
    stuff = {} if own else {number: name for name, number in STUFF.items()}
    context = {n: k for k, n in enumerate(given)}, stuff
    metadata = {"cityscapes": {"stuff": JUDGED}} if stuff else {}
    return LabelImageSet(refs, tuple(found.values()), classes, _decode, notes, metadata, context, on_bad).sound()


def _own_classes(root: Path) -> dict[str, int]:
    """Return the classes of datumaro's list, which has the background in front; none where they are Cityscapes' own."""
    listed = listed_classes(root)
    if listed is None:
        return {}
    own = own_classes([listed.ground, *(name for name in listed.names if name != listed.ground)])
    own.pop(listed.ground, None)
    return own


def _image_folder(root: Path) -> Path:
    """Return ``leftImg8bit/...`` for ``gtFine/...``, however deep the folder that was named."""
    parts = root.resolve().parts
    for name in ("gtFine", "gtCoarse"):
        if name in parts:
            at = len(parts) - 1 - parts[::-1].index(name)
            return Path(*parts[:at], "leftImg8bit", *parts[at + 1 :])
    return root


def _ref(folder: Path, key: str, note: Mapping[str, Any]) -> ImageRef:
    bare = "name" not in note and find_image(folder, key + _IMAGE) is None and find_image(folder, key) is not None
    return image_ref(folder, key if bare else key + _IMAGE, note.get("name"))


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file = noted_file(labels.files[i])
    if not file.name.endswith(_IDS) and not labels.context[1]:
        raise FormatError(file, f"is of Cityscapes' own classes, and {LIST} above it lists others; remove one")
    array = read_raster(file) if file.name.endswith(_IDS) else _drawn(labels, i, file)
    numbers, stuff = labels.context
    regions = regions_of(array, stuff)
    left = np.where(np.isin(array, list(stuff)), 0, array)
    found = instances_of(left, numbers, labels.classes, labels.rows[i], file, labels.report, crowds=True)
    return found, {"stuff": regions} if regions else {}


def _drawn(labels: LabelImageSet, i: int, file: Path) -> Int:
    """Return the label image that cityscapesScripts makes of a file of polygons."""
    said = load_json(file)
    if type(said) is not dict or type(said.get("objects")) is not list:
        raise FormatError(file, "objects: must be a list")
    height, width = said.get("imgHeight"), said.get("imgWidth")
    if type(height) is not int or type(width) is not int or not (0 < height <= _LONGEST and 0 < width <= _LONGEST):
        raise FormatError(file, f"imgHeight, imgWidth: must be integers from 1 to {_LONGEST}, got {height}, {width}")
    # its own size, as the largest values do not fit 16 bits while drawing
    canvas = Pillow.new("I", (width, height), 0)
    pen, count = ImageDraw.Draw(canvas), dict.fromkeys(THINGS, 0)
    beyond: list[Cut] = []
    for k, shape in enumerate(said["objects"]):
        with skip_bad(labels.on_bad, file, f"objects[{k}]"):
            if not an_object(shape).get("deleted"):
                value, points = _value(shape.get("label"), count), _points(shape.get("polygon"))
                if value >= 0:
                    corners = np.concatenate([np.min(points, 0), np.max(points, 0)])[None]
                    cut, refused = labels.border.judge(corners, (height, width))
                    if refused:
                        raise FormatError(file, Message(f"objects[{k}]: ", refused[0]))
                    beyond += cut.values()
                    pen.polygon(points, fill=value)
    labels.border.note(i, beyond)
    return np.array(canvas, np.int64)


def _value(label: object, count: dict[str, int]) -> int:
    """Return the pixel value of the next polygon with this label."""
    if type(label) is not str:
        raise BadEntryError("label must be a string")
    plain = {**STUFF, **UNDRAWN, **THINGS}
    if label in THINGS:
        value = THINGS[label] * 1000 + count[label]
        count[label] += 1
        return value
    name = label if label in plain else label.removesuffix("group")
    if name not in plain:
        raise BadEntryError(f"there is no label {label!r} in Cityscapes")
    return plain[name]


def _points(polygon: object) -> list[tuple[float, float]]:
    if type(polygon) is not list or not all(type(p) is list and len(p) == 2 for p in polygon):
        raise BadEntryError("polygon must be a list of [x, y]")
    if len(polygon) < 3:
        raise BadEntryError(f"polygon has {len(polygon)} points; at least 3 are needed")
    numbers = [v for p in polygon for v in p]
    if not all(type(v) in (int, float) and abs(v) <= 2 * _LONGEST for v in numbers):
        raise BadEntryError("polygon has a coordinate that is no number or far outside of the image")
    return [(x, y) for x, y in polygon]


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a ``gtFine`` folder.

    Refused as a loss: more objects of a class than fit, two crowd regions of a class, stuff under an instance.
    """
    numbers = numbers_of(classes, THINGS, set(STUFF.values()), path)
    values = Values(path, numbers, crowds=True)
    with written_set(path, "cityscapes", classes) as out:
        for ref, instances in records:
            key = out.key(ref).removesuffix(_IMAGE)
            own, note = values.of(ref, instances)
            out.note(key, ref, **note)
            painted = instances.masks.to_label_map(own, np.uint16)
            for name, number in STUFF.items():
                add_region(painted, ref, "stuff", name, number, path)
            save_label_png(painted, out.folder / f"{key}_gtFine_{_IDS}")


FORMAT = LabelFormat(
    summary="Cityscapes gtFine, or results; KITTI instances: PNG, or polygons.json; groups as crowd; no overlap",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, classes=True, ids=True, id_range=ANY_INT64, crowd=True),
    folders=("gtFine", "leftImg8bit"),
)
