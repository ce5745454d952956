"""COCO panoptic: JSON and a folder of PNG whose colours are ids (https://cocodataset.org/#format-data, panoptic).

Each pixel belongs to one segment at most: its id is R + 256 G + 65536 B; 0 is void. The JSON lists the segments of each
image: id, category, crowd. Categories are things (``isthing`` 1: a segment per object) or stuff (0: a segment per
class); both come as instances, and ``LabelSet.metadata["coco_panoptic"]["categories"]`` says which is which. The folder
lies beside the JSON and has its name without ending: ``panoptic_val2017.json``, ``panoptic_val2017/``.

Instances have ``attributes["area"]`` and ``["bbox"]`` (x, y, width, height) only where the file states others than the
pixels give. A segment without a pixel and a colour without a segment are errors.

Also read: a release of Segments.ai, a JSON whose bitmaps of ids lie below its folder.

Written: for a path that ends in ``.json`` that file and the folder; else, in COCO's layout, a folder ``NAME`` with
``annotations/panoptic_NAME.json`` and ``annotations/panoptic_NAME/``. Instances without ids are numbered from 1. A
class that no format names as stuff becomes a thing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from apiece._arrays import Int
from apiece.core.boxes import to_xywh
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import skip_bad
from apiece.formats._kit.coco_kinds import kind_of_coco
from apiece.formats._kit.coco_table import open_document, read_categories, read_images
from apiece.formats._kit.coco_write import ImageTable, categories_of, with_isthing
from apiece.formats._kit.files import is_file, never_raises
from apiece.formats._kit.json_files import dump_json, members
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.said import numbered, refuse_own, said_stuff, stated
from apiece.formats._kit.written import Names, atomic_file, atomic_folder
from apiece.formats.coco_panoptic._read import HIGHEST, PanopticSet, read_segments
from apiece.formats.coco_panoptic._segments import is_release, read_release
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_NAME, _ANNOTATIONS = "panoptic", "annotations"
_FIRST = 32  # PNG files looked for to tell their folder
_OWN = frozenset(["id", "category_id", "iscrowd", "score"])


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is JSON with ``segments_info``, of Segments.ai, or a folder with ``*panoptic*.json``."""
    if path.is_dir():
        return bool(_files(path))
    return kind_of_coco(path) == "coco_panoptic" or is_release(path)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> PanopticSet | LabelImageSet:
    """Open a panoptic file, a folder with one, or a release of Segments.ai.

    With ``on_bad`` every PNG is decoded once now, so that ``refs`` names no image whose file is broken.
    """
    if path.is_dir():
        path = _only(path)
    elif is_release(path):
        return read_release(path, images, on_bad)
    document = open_document(path)
    categories, classes = read_categories(path, document.header["categories"])
    found = read_images(document, images, on_bad, never=path.with_suffix(""))
    segments = read_segments(document, found, categories, on_bad)
    some = [name for name in segments.files[:_FIRST].tolist() if name]
    places = (path.with_suffix(""), path.parent, path.parent.parent / path.stem)
    pngs = next((folder for folder in places if any(is_file(folder / name) for name in some)), places[0])
    opened = PanopticSet(path, classes, document.header, found, segments, pngs, on_bad)
    if on_bad is None:
        return opened
    whole = []
    for i in range(len(opened)):
        with skip_bad(on_bad, path, f"images[{i}]"):
            opened.id_map(i)
            whole.append(i)
    return replace(opened, chosen=tuple(whole))


def _files(folder: Path) -> list[Path]:
    """Return the panoptic files in a folder, or in its ``annotations`` if nothing else is there."""
    here, there = (sorted(at.glob("*.json")) for at in (folder, folder / _ANNOTATIONS))
    found = [p for p in here if _NAME in p.name and kind_of_coco(p) == "coco_panoptic"]
    if found or here or not all(_NAME in p.name and kind_of_coco(p) == "coco_panoptic" for p in there):
        return found
    return there


def _only(folder: Path) -> Path:
    files = _files(folder)
    if len(files) != 1:
        names = ", ".join(p.name for p in files[:5]) or "none"
        raise FormatError(folder, f"must hold one *panoptic*.json to be read as a folder ({names}); name the file")
    return files[0]


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write the JSON file and the folder of PNG."""
    said = metadata.get("coco_panoptic", {})
    known = categories_of(classes, said.get("categories", ()))
    categories = with_isthing(known, said_stuff(metadata, classes))
    header = {k: v for k, v in said.items() if k != "categories"} | {"categories": categories}
    with contextlib.ExitStack() as stack:
        if path.suffix.lower() == ".json":
            target = stack.enter_context(atomic_file(path))
            pngs = stack.enter_context(atomic_folder(path.with_suffix("")))
        else:
            folder = stack.enter_context(atomic_folder(path))
            target = folder / _ANNOTATIONS / f"{_NAME}_{path.name}.json"
            pngs = target.with_suffix("")
            pngs.mkdir(parents=True)
        writer = _Writer(path, pngs, [c["id"] for c in categories])
        with target.open("w", encoding="utf-8", newline="\n") as out:
            out.write("{" + members(path, header) + '"annotations": [')
            for i, (ref, instances) in enumerate(records):
                out.write(("," if i else "") + "\n" + writer.annotation(ref, instances))
            out.write('\n],\n"images": [\n' + ",\n".join(writer.images.lines) + "\n]}\n")


class _Writer:
    def __init__(self, path: Path, pngs: Path, category_ids: list[int]) -> None:
        self.path, self.pngs, self.category_ids = path, pngs, category_ids
        self.images = ImageTable(path)
        self.names = Names(path)

    def annotation(self, ref: ImageRef, instances: Instances) -> str:
        """Write the PNG and note the image; return the annotation as JSON."""
        number, file = self.images.add(ref, instances.size, ref.attributes), self.names.file(ref, ".png")
        ids = numbered(instances)
        if ids.max(initial=0) > HIGHEST:
            raise LossyFormatError(self.path, f"image {ref.name!r}: {len(ids)} instances need more than {HIGHEST} ids")
        target = self.pngs / file
        target.parent.mkdir(parents=True, exist_ok=True)
        painted = instances.masks.to_label_map(ids, np.int64)
        Pillow.fromarray(np.stack([painted & 255, painted >> 8 & 255, painted >> 16], -1).astype(np.uint8)).save(
            target, format="PNG"
        )
        where = f"image {ref.name!r}"
        entry = {"image_id": number, "file_name": file, "segments_info": self._segments(where, instances, ids)}
        return dump_json(self.path, entry, where)

    def _segments(self, where: str, instances: Instances, ids: Int) -> list[dict[str, Any]]:
        refuse_own(self.path, where, instances, _OWN, "the format")
        boxes = to_xywh(instances.boxes).astype(np.int64).tolist()
        columns: dict[str, list[Any]] = {
            "id": ids.tolist(),
            "category_id": [self.category_ids[i] for i in instances.labels.tolist()],
            "iscrowd": instances.crowd.astype(int).tolist(),
            "area": stated(self.path, where, instances, "area", ()) or instances.masks.area.tolist(),
            "bbox": stated(self.path, where, instances, "bbox", (4,)) or boxes,
        }
        if instances.scores is not None:
            columns["score"] = instances.scores.tolist()
        for name, values in instances.attributes.items():
            columns.setdefault(name, values.tolist())
        rows = zip(*columns.values(), strict=True)
        return [{k: v for k, v in zip(columns, row, strict=True) if v is not None} for row in rows]


FORMAT = LabelFormat(
    summary="COCO panoptic: a PNG of ids per image and a JSON of their classes; no overlap",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, overlap=False, empty=False, id_range=(1, HIGHEST)),
)
