"""CVAT XML 1.1, "for images" and "for video" (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat).

Read: ``polygon`` (COCO's rasterisation), ``mask`` (run-lengths by rows of the box ``left, top, width, height``,
beginning with background), ``box`` and ``ellipse`` (the pixels whose centres they hold, turned by ``rotation`` about
the centre; turned boxes as polygons). A box around the other shapes of its group and label, as datumaro writes beside
each mask, is no object of its own. ``polyline``, ``points``, ``skeleton``, ``cuboid`` and ``tag`` are no masks and
come as ``ImageRef.shapes``. Coordinates are pixels from the upper left corner. Also a folder with ``annotations.xml``;
images lie beside it or in ``images/``.

For images: one record per image. For video: one record per frame, named ``frame_000000.png`` as CVAT names them, with
track ids as instance ids. Between key frames the reader interpolates boxes, ellipses, and polygons with equal numbers
of points linearly. Masks stay as they are, and so does everything after a track's last key frame, until ``outside``.
In a project, images that have one name in two tasks, and the frames of several videos, get the task's name as a folder.

``occluded``, ``z_order``, ``group_id`` (where not 0) and ``source`` (where not manual) are attributes, and so is all
that annotators filled in: numbers and checkboxes by the type that the label declares, the rest as text.

Written: "for images", a mask per object, which loses nothing, and the shapes that are no masks as they were. What CVAT
has no place for (ids, scores, crowd flags) are attributes ``apiece_id``, ``apiece_score``, ``apiece_crowd``, declared
with each label.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.masks import Masks
from apiece.formats._kit.checks import BadEntryError, Size, is_int64, number, skip_bad, whole
from apiece.formats._kit.entries import Entry, stated_boxes
from apiece.formats._kit.files import inside
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.image_places import LABEL_FOLDERS, placed
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.safe_xml import peek_xml
from apiece.formats._kit.shapes import Drawn, box_shape, check_window, ellipse_shape, ring
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad
from apiece.formats.cvat._model import NO_AREA, Document, Shape, frame_size, no_mask, read_document
from apiece.formats.cvat._tracks import timeline
from apiece.formats.cvat._write import JSON_VALUES, write

__all__ = ["FORMAT"]

_CROP = 1 << 20  # pixels of a mask's box unpacked as such; larger ones go by runs alone


def detect(path: Path) -> bool:
    """Return whether ``path`` is an XML file of CVAT annotations, or a folder with ``annotations.xml``."""
    file = path / "annotations.xml" if path.is_dir() else path
    return {"version", "meta"} & set(peek_xml(file, 3)) != set() and peek_xml(file) == ["annotations"]


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a CVAT file; its images are found below ``images``, or in the places where tools have them."""
    file = path / "annotations.xml" if path.is_dir() else path
    document = read_document(file, on_bad)
    used = [s.attributes.get("label") for p in document.pictures for s in p.shapes] + [t.label for t in document.tracks]
    # a file made by hand has no list of labels
    classes = tuple(document.labels) or tuple(dict.fromkeys(name for name in used if name))
    metadata = {"cvat": {"task": document.task, "labels": document.labels, "joints": document.joints}}
    rows: list[Any] = []
    refs: list[ImageRef] = []
    if document.is_video:
        for task, own in _tasks(document, file):
            times = timeline(own, file, on_bad)
            for k, (name, shapes) in enumerate(zip(times.names, times.no_masks(), strict=True)):
                frame = None if task else times.frames[k]
                refs.append(ImageRef(Path(task + name), task + name, own.size, frame, shapes=shapes))
                rows.append((times, k))
    else:
        named = []
        for picture in document.pictures:
            with skip_bad(on_bad, file, f"image {picture.id}"):
                named.append((picture, spelled(picture.name)))
        counts, seen = Counter(name for _, name in named), set[Any]()
        for picture, name in named:
            with skip_bad(on_bad, file, f"image {picture.id}"):
                if counts[name] > 1 and picture.task:
                    name = f"{_folder(document, picture.task)}/{name}"
                if name in seen:
                    raise BadEntryError(f"image name {name!r} is another image's already")
                shapes = tuple(no_mask(shape) for shape in picture.shapes if shape.kind in NO_AREA)
                key = None if picture.id in seen else picture.id  # the tasks of a project count on their own
                refs.append(ImageRef(Path(name), name, picture.size, key, shapes=shapes))
                rows.append([shape for shape in picture.shapes if shape.kind not in NO_AREA])
                seen |= {name, picture.id}
    home = [] if file.absolute().parent.name.lower() in LABEL_FOLDERS else [file.parent / "images"]
    places = placed(file, refs, images, home, on_bad)
    decode = _decode_frame if document.is_video else _decode_picture
    return EntrySet(places, (file,) * len(refs), classes, decode, rows, metadata, document, on_bad)


def _tasks(document: Document, path: Path) -> Iterator[tuple[str, Document]]:
    """Yield each video of the file: a folder for its frames, if there are several, and the document with its tracks."""
    of = [track.attributes.get("task_id", "") for track in document.tracks]
    if len(document.tasks) < 2 or not set(of) <= set(document.tasks):
        yield "", document
        return
    for key, said in document.tasks.items():
        tracks = [track for track, task in zip(document.tracks, of, strict=True) if task == key]
        size = frame_size(path, said) if "height" in said else None
        yield f"{_folder(document, key)}/", replace(document, task=said, tracks=tracks, size=size)


def _folder(document: Document, task: str) -> str:
    """Return a folder for the images of one of several tasks: its name, if no other has it, else ``task_5``."""
    names = [said.get("name", "") for said in document.tasks.values()]
    name = document.tasks.get(task, {}).get("name", "")
    return name if names.count(name) == 1 and name and inside(name) is None else f"task_{task}"


def _decode_picture(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    found: list[Entry] = []
    boxes: list[bool] = []
    for shape in labels.rows[index]:
        with skip_bad(labels.on_bad, labels.files[index], f"line {shape.line}: <{shape.kind}>"):
            found.append(_entry(shape, shape.attributes.get("label"), size, labels))
            boxes.append(shape.kind == "box")
    groups = [(one.label, group) if (group := one.extras.get("group_id")) else None for one in found]
    again = stated_boxes(found, groups, boxes, size)
    return [one for i, one in enumerate(found) if i not in again]


def _decode_frame(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    times, k = labels.rows[index]
    found = []
    for track, shape in times.at(k):
        if shape.kind in NO_AREA:
            continue
        where = f"line {shape.line}: track {track.id}, frame {times.frames[k]}: <{shape.kind}>"
        with skip_bad(labels.on_bad, labels.files[index], where):
            entry = _entry(shape, track.label, size, labels)
            entry.id = track.id
            found.append(entry)
    return found


def _entry(shape: Shape, label: str | None, size: Size, labels: EntrySet) -> Entry:
    document: Document = labels.context
    if label not in labels.classes:
        raise BadEntryError(f"label {str(label)[:60]!r} is none of {', '.join(labels.classes)}"[:300])
    given = shape.attributes
    extras: dict[str, Any] = {}
    if whole(given.get("occluded", "0"), "occluded"):
        extras["occluded"] = True
    for name in ("z_order", "group_id"):
        if value := whole(given.get(name, "0"), name):
            extras[name] = value
    if given.get("source", "manual") != "manual":
        extras["source"] = given["source"]
    for name, text in shape.values:
        extras[name] = _value(text, *document.kinds.get((label, name), ("text", "")), name)
    own, score, crowd = (extras.pop(f"apiece_{key}", None) for key in ("id", "score", "crowd"))
    return Entry(
        f"line {shape.line}: <{shape.kind}>",
        labels.classes.index(label),
        _DRAW[shape.kind](given, size),
        own if is_int64(own) else None,
        score if type(score) is float else None,
        crowd is True,
        extras,
    )


def _value(text: str, kind: str, values: str, name: str) -> Any:
    """Return what an annotator filled in, by the type that the label declares."""
    if kind == "checkbox" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    if kind == "number" and text.strip():
        bare = text.strip()
        return whole(bare, name) if bare.lstrip("-").isdecimal() else number(bare, name)
    if values == JSON_VALUES:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise BadEntryError(f"{name} is no JSON") from None
    return text


def _polygon(given: dict[str, str], size: Size) -> Any:
    pairs = [pair.split(",") for pair in given.get("points", "").split(";") if pair]
    if not all(len(pair) == 2 for pair in pairs):
        raise BadEntryError("points must be x,y pairs, separated by ;")
    try:
        points = np.array(pairs, np.float64).reshape(-1, 2)
    except ValueError:
        raise BadEntryError("points must be numbers") from None
    return [[ring(points)]]


def _box(given: dict[str, str], size: Size) -> Any:
    x0, y0, x1, y1 = (number(given.get(k), k) for k in ("xtl", "ytl", "xbr", "ybr"))
    turn = number(given.get("rotation", "0"), "rotation")
    return box_shape(x0, y0, x1 - x0, y1 - y0, turn, ((x0 + x1) / 2, (y0 + y1) / 2), size)


def _ellipse(given: dict[str, str], size: Size) -> Any:
    cx, cy, rx, ry = (number(given.get(k), k) for k in ("cx", "cy", "rx", "ry"))
    return ellipse_shape(cx, cy, rx, ry, number(given.get("rotation", "0"), "rotation"), size)


def _mask(given: dict[str, str], size: Size) -> Any:
    left, top, width, height = (whole(given.get(k), k) for k in ("left", "top", "width", "height"))
    check_window(width, height, size)
    try:
        counts = np.array(given.get("rle", "").split(","), np.int64)
    except (ValueError, OverflowError):
        raise BadEntryError("rle must be integers, separated by commas") from None
    if counts.min() < 0 or counts.max() > width * height or int(counts.sum()) != width * height:
        raise BadEntryError(f"rle covers {int(counts.sum())} pixels, but its box has {width} x {height}")
    if width * height > _CROP:
        window = Masks.from_coco([{"size": [width, height], "counts": counts.tolist()}]).transpose()
        return Drawn(window.shift(left, top, size), (left, top, left + width, top + height))
    crop = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    return crop, (left, top)


_DRAW = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}


FORMAT = LabelFormat(
    summary="CVAT XML 1.1: polygons, masks, boxes, ellipses; tracks of a video, interpolated; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    suffixes=(".xml",),
    ending=".xml",
    shapes="cvat",
)
