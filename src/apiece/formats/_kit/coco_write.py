"""Write COCO instances: annotations stream through a temporary file, masks are encoded many at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from apiece.core.boxes import to_xywh
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.coco_full import VISIBLE, WHOLE, WRITTEN
from apiece.formats._kit.coco_segments import by_size, stretches
from apiece.formats._kit.json_files import dump_json, members
from apiece.formats._kit.said import refuse_own, said_stuff, stated
from apiece.formats._kit.written import text_file
from apiece.formats.contract import Record

_AT_ONCE = 512  # instances encoded together
_WINDOW = 256
_OWN = frozenset(["id", "image_id", "category_id", "segmentation", "iscrowd", "score", "apiece_id", *VISIBLE, *WHOLE])
_CROWD = (', "iscrowd": 0', ', "iscrowd": 1')


@dataclass(frozen=True)
class Dialect:
    """What a format writes otherwise that is COCO but for a few keys."""

    image: Callable[[Mapping[str, Any], set[int], str], Mapping[str, Any]] | None = None
    """``(attributes, category ids, what messages call the image)`` to the attributes that are written."""
    categories: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    """The categories as they are written when all images have been."""
    crowd: bool = True
    """Whether ``iscrowd`` is written."""


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one COCO file.

    Two images with one id are refused, and attribute values that JSON cannot hold. Where some classes are stuff, the
    categories have ``isthing``, as in COCO panoptic.
    """
    said, stuff = metadata.get("coco", {}), said_stuff(metadata, classes)
    if stuff:
        said = {**said, "categories": with_isthing(categories_of(classes, said.get("categories", ())), stuff)}
    write_coco(records, path, classes, said, Dialect())


def write_coco(
    records: Iterable[Record], path: Path, classes: tuple[str, ...], said: Mapping[str, Any], dialect: Dialect
) -> None:
    """Write one file as `write` does; ``said`` is what the file itself says, categories included."""
    header = {k: v for k, v in said.items() if k != "categories"}
    categories = categories_of(classes, said.get("categories", ()))
    writer = _Writer(path, [c["id"] for c in categories], dialect)
    with text_file(path) as out:
        out.write("{" + members(path, header))
        if dialect.categories is None:
            out.write(f'"categories": {dump_json(path, categories, "categories")},\n')
        out.write('"annotations": [')
        for batch in _batches(records):
            writer.annotations(out, batch)
        writer.no_masks(out, classes)
        out.write('\n],\n"images": [')
        for i, line in enumerate(writer.images.lines):
            out.write(("\n" if i == 0 else ",\n") + line)
        out.write("\n]")
        if dialect.categories is not None:
            out.write(f',\n"categories": {dump_json(path, dialect.categories(categories), "categories")}')
        out.write("}\n")


def categories_of(classes: tuple[str, ...], known: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one category per class: the entry it had in the file it came from, or the next free id."""
    by_name = {c["name"]: dict(c) for c in known}
    used = {by_name[name]["id"] for name in classes if name in by_name}
    free = (i for i in itertools.count(1) if i not in used)
    return [by_name.get(name) or {"id": next(free), "name": name} for name in classes]


def with_isthing(categories: Iterable[dict[str, Any]], stuff: Container[str]) -> list[dict[str, Any]]:
    """Return the categories, each saying whether it is a thing (1) or stuff (0)."""
    return [c if "isthing" in c else c | {"isthing": int(c["name"] not in stuff)} for c in categories]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    count = 0
    for record in records:
        batch.append(record)
        count += len(record[1])
        if count >= _AT_ONCE or len(batch) >= _WINDOW:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


@dataclass
class _Ids:
    """Hand out numbers that are not in use."""

    used: set[Any] = field(default_factory=set)
    last: int = 0

    def free(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            self.last += 1
            if self.last not in self.used:
                found.append(self.last)
        self.used.update(found)
        return found

    def claim(self, wanted: list[Any]) -> bool:
        """Take all of them, or none if one is taken or occurs twice."""
        distinct = set(wanted)
        if len(distinct) < len(wanted) or not self.used.isdisjoint(distinct):
            return False
        self.used |= distinct
        return True


@dataclass
class ImageTable:
    """Gather what is written under ``images``."""

    path: Path
    lines: list[str] = field(default_factory=list)
    """An entry each, as JSON."""
    _ids: _Ids = field(default_factory=_Ids)

    def add(self, ref: ImageRef, size: tuple[int, int], extras: Mapping[str, Any]) -> int | str:
        """Note an image of (height, width) and its further values; return the id that it has in the file."""
        number: int | str = self._ids.free(1)[0] if ref.id is None else ref.id
        if ref.id is not None and not self._ids.claim([number]):
            raise FormatError(self.path, f"image {ref.name!r}: id {number!r} is another image's already")
        entry = {"id": number, "file_name": ref.name, "height": size[0], "width": size[1]}
        entry |= {k: v for k, v in extras.items() if k not in entry}
        self.lines.append(dump_json(self.path, entry, f"image {ref.name!r}"))
        return number


class _Writer:
    def __init__(self, path: Path, category_ids: list[int], dialect: Dialect) -> None:
        self.path, self.category_ids, self.dialect = path, category_ids, dialect
        self.known = set(category_ids)
        self.images, self.ids = ImageTable(path), _Ids()
        self.begun = False
        self.last: tuple[ImageRef, str] | None = None
        """The image of the record before, and its id as JSON: records of one image in a row are pieces of it."""
        self.shapes: list[tuple[str, ImageRef]] = []
        """Images with annotations that are no masks: the id as JSON, and the image."""

    def no_masks(self, out: IO[str], classes: tuple[str, ...]) -> None:
        """Write annotations that are no masks as they were, but for ids that are taken now."""
        for image_id, ref in self.shapes:
            for shape in ref.shapes:
                row = dict(shape.content) | {"image_id": json.loads(image_id)}
                if type(row.get("id")) is not int or not self.ids.claim([row["id"]]):
                    row["id"] = self.ids.free(1)[0]
                for name in shape.labels.values():
                    row["category_id"] = self.category_ids[classes.index(name)]
                out.write(("," if self.begun else "") + "\n" + dump_json(self.path, row, f"image {ref.name!r}"))
                self.begun = True

    def annotations(self, out: IO[str], batch: list[Record]) -> None:
        image_ids = [self._image(ref, instances) for ref, instances in batch]
        encoded = _encode([instances.masks for _, instances in batch])
        for (ref, instances), image_id, masks in zip(batch, image_ids, encoded, strict=True):
            if len(instances):
                lines = self._lines(ref, instances, image_id, masks)
                out.write(("," if self.begun else "") + "\n" + ",\n".join(lines))
                self.begun = True

    def _image(self, ref: ImageRef, instances: Instances) -> str:
        """Note the image; return its id as JSON."""
        if self.last is not None and self.last[0] is ref:
            return self.last[1]
        extras = ref.attributes
        if self.dialect.image is not None:
            extras = self.dialect.image(extras, self.known, f"image {ref.name!r}")
        number = self.images.add(ref, instances.size, extras)
        key = str(number) if type(number) is int else json.dumps(number)
        if ref.shapes:
            self.shapes.append((key, ref))
        self.last = ref, key
        return key

    def _lines(self, ref: ImageRef, instances: Instances, image_id: str, masks: _Encoded) -> Iterator[str]:
        height, width = instances.size
        head = f'"image_id": {image_id}, "category_id": '
        shape = f', "segmentation": {{"size": [{height}, {width}], "counts": "'
        numbers, own = self._numbers(instances)
        categories = [self.category_ids[i] for i in instances.labels.tolist()]
        where = f"image {ref.name!r}"
        areas, boxes = (
            stated(self.path, where, instances, "area", ()),
            stated(self.path, where, instances, "bbox", (4,)),
        )
        tails = [""] * len(instances)
        if self.dialect.crowd:
            tails = [_CROWD[c] for c in instances.crowd.tolist()]
        if instances.scores is not None:
            if not np.isfinite(instances.scores).all():
                raise LossyFormatError(self.path, f"image {ref.name!r}: JSON cannot hold an infinite score")
            tails = [f'{t}, "score": {s!r}' for t, s in zip(tails, instances.scores.tolist(), strict=True)]
        if instances.full is not None:
            own.append((WRITTEN, [json.dumps(rle) for rle in instances.full.to_coco()]))
        for name, values in itertools.chain(own, self._extras(ref, instances)):
            key = json.dumps(name)
            tails = [t if v is None else f"{t}, {key}: {v}" for t, v in zip(tails, values, strict=True)]
        rows = zip(numbers, categories, masks.texts, areas or masks.areas, boxes or masks.boxes, tails, strict=True)
        for number, category, text, area, box, tail in rows:
            text = text.replace("\\", "\\\\")
            yield f'{{"id": {number}, {head}{category}{shape}{text}"}}, "area": {area}, "bbox": {box}{tail}}}'

    def _numbers(self, instances: Instances) -> tuple[list[int], list[tuple[str, list[Any]]]]:
        """Return annotation ids, and the instances' own ids where those cannot serve."""
        if instances.ids is None:
            return self.ids.free(len(instances)), []
        wanted = instances.ids.tolist()
        if self.ids.claim(wanted):
            return wanted, []
        return self.ids.free(len(instances)), [("apiece_id", wanted)]

    def _extras(self, ref: ImageRef, instances: Instances) -> Iterator[tuple[str, list[Any]]]:
        """Yield every further attribute as JSON texts, None where a value is absent."""
        refuse_own(self.path, f"image {ref.name!r}", instances, _OWN, "COCO")
        for name, values in instances.attributes.items():
            if name not in ("area", "bbox"):
                where = f"image {ref.name!r}, attribute {name!r}"
                yield name, [None if v is None else dump_json(self.path, v, where) for v in values.tolist()]


@dataclass(frozen=True)
class _Encoded:
    """What is written of each mask of one image."""

    texts: list[str]
    """Compressed RLE."""
    areas: list[int]
    boxes: list[list[int]]
    """x, y, width, height."""


def _encode(masks: list[Masks]) -> list[_Encoded]:
    """Encode masks, the ones of one size together."""
    found = [_Encoded([], [], []) for _ in masks]
    for group in by_size(m.size for m in masks).values():
        joined = Masks.concatenate([masks[k] for k in group])
        texts = [rle["counts"] for rle in joined.to_coco()]
        # boxes of pixels are whole; as integers they are shorter, and faster to write
        areas, rows = joined.area.tolist(), to_xywh(joined.boxes).astype(np.int64).tolist()
        for k, part in zip(group, stretches(len(masks[k]) for k in group), strict=True):
            found[k] = _Encoded(texts[part], areas[part], rows[part])
    return found
