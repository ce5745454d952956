"""Segment Anything: a JSON file for each image, as in SA-1B (https://ai.meta.com/datasets/segment-anything).

``{"image": {"file_name", "height", "width", ...}, "annotations": [{"segmentation": RLE, "predicted_iou", ...}]}``, or
the bare list of annotations that SAM's own script writes with ``--convert-to-rle``.

Read: one file, or a folder of them with the images beside them or in ``images/``. There is one class, ``object``.
``predicted_iou`` is the score where every annotation has one. ``stability_score``, ``crop_box``, ``point_coords`` and
further keys are attributes; ``area`` and ``bbox`` (x, y, width, height) only where the masks give others.

Written: a file for each image, masks as compressed RLE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece.core.boxes import to_xywh
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, an_object, checked_size, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import files_below, never_raises
from apiece.formats._kit.image_places import image_of
from apiece.formats._kit.json_files import dump_json, load_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.said import refuse_own, said_of
from apiece.formats._kit.shapes import rle_shape
from apiece.formats._kit.written import write_each
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_ENDINGS = (".json",)
_SCORE = "predicted_iou"
_OWN = frozenset(["id", "segmentation", _SCORE])
_IMAGE = ("image_id", "file_name", "height", "width")


class SamSet(EntrySet):
    """The files of Segment Anything, opened."""

    def record(self, index: int) -> Record:
        """Return the image and its instances, without the areas and boxes that their masks give too."""
        ref, found = super().record(index)
        own: dict[str, Array] = {"area": found.masks.area, "bbox": to_xywh(found.boxes)}
        other = {k: v for k, v in found.attributes.items() if k not in own or not np.array_equal(v, own[k])}
        return ref, found.replace(attributes=other)


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is JSON with an image and its annotations, or SAM's list, or a folder of such files."""
    if path.is_dir():
        return any(map(detect, files_below(path, _ENDINGS)[:1]))
    seen = peek_json(path)
    if seen is None:
        return False
    if seen.opening == "[":
        return {"segmentation", _SCORE} <= seen.keys
    image, first = seen.inner("image"), seen.first("annotations")
    return image is not None and first is not None and ("segmentation" in first or (not first and "file_name" in image))


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> SamSet:
    """Open one file or a folder of them; images lie beside the files, in ``images/``, or in ``images``."""
    root, files = label_files(path, _ENDINGS)
    found = list(opened(path, files, lambda file: (_ref(file, root, images), None), on_bad))
    refs, kept = tuple(ref for _, ref, _ in found), tuple(file for file, _, _ in found)
    return SamSet(refs, kept, ("object",), _decode, on_bad=on_bad)


def _load(file: Path) -> tuple[dict[str, Any], list[Any]]:
    """Return what a file says of its image, and the annotations."""
    document = load_json(file)
    if type(document) is list:
        return {}, document
    if type(document) is not dict or type(document.get("annotations")) is not list:
        raise FormatError(file, "annotations: must be a list; without it this is no file of Segment Anything")
    return an_object(document.get("image", {}), "image"), document["annotations"]


def _ref(file: Path, root: Path, images: Path | None) -> ImageRef:
    said, notes = _load(file)
    name = said.get("file_name")
    if name is not None and type(name) is not str:
        raise BadEntryError(f"image.file_name: must be a name, got {str(name)[:40]}")
    if name is not None and "/" not in name:
        name = (file.parent.relative_to(root) / name).as_posix()
    sides: list[Any] = [said.get("height"), said.get("width")]
    if sides == [None, None] and notes:  # a bare list
        rle = notes[0].get("segmentation") if type(notes[0]) is dict else None
        stated = rle.get("size") if type(rle) is dict else None
        sides = stated if type(stated) is list and len(stated) == 2 else sides
    number = said.get("image_id")
    return replace(
        image_of(file, root, images, name),
        size=None if sides == [None, None] else checked_size(*sides),
        id=number if is_int64(number) or type(number) is str else None,
        attributes={k: v for k, v in said.items() if k not in _IMAGE},
    )


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file = labels.files[index]
    entries: list[Entry] = []
    for k, note in enumerate(_load(file)[1]):
        with skip_bad(labels.on_bad, file, f"annotations[{k}]"):
            entries.append(_entry(an_object(note), f"annotations[{k}]", size))
    if any(entry.score is None for entry in entries):
        for entry in entries:
            entry.extras |= {} if entry.score is None else {_SCORE: entry.score}
    return entries


def _entry(note: dict[str, Any], where: str, size: Size) -> Entry:
    number, score = note.get("id"), note.get(_SCORE)
    if number is not None and not is_int64(number):
        raise BadEntryError(f"id: must be an integer, got {str(number)[:40]}")
    extras = {k: v for k, v in note.items() if k not in _OWN and v is not None}
    shape = rle_shape(note.get("segmentation"), "segmentation", size)
    return Entry(where, 0, shape, number, None if score is None else finite(score, _SCORE), extras=extras)


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file for one image, if ``path`` ends in .json, or else a folder with a file per image."""

    def write_one(ref: ImageRef, instances: Instances, target: Path) -> None:
        where = f"image {ref.name!r}"
        refuse_own(path, where, instances, _OWN, "Segment Anything")
        height, width = instances.size
        image = {k: v for k, v in ref.attributes.items() if k not in _IMAGE}
        image |= {"file_name": ref.name, "height": height, "width": width}
        image |= {} if ref.id is None else {"image_id": ref.id}
        document = {"image": image, "annotations": list(_notes(instances))}
        target.write_text(dump_json(path, document, where) + "\n", "utf-8", newline="\n")

    write_each(records, path, _ENDINGS, ".json", write_one)


def _notes(instances: Instances) -> Iterable[dict[str, Any]]:
    masks = instances.masks
    boxes = to_xywh(masks.boxes).astype(int).tolist()
    for said, rle, area, box in zip(said_of(instances), masks.to_coco(), masks.area.tolist(), boxes, strict=True):
        own = {"id": said.id, "segmentation": rle, "area": area, "bbox": box, _SCORE: said.score}
        yield {k: v for k, v in (own | said.attributes).items() if v is not None}


FORMAT = LabelFormat(
    summary="Segment Anything (SA-1B): a JSON file per image, masks as RLE, predicted_iou as score; no classes",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, classes=False, crowd=False),
)
