"""COCO instances: one JSON file of images, annotations and categories (https://cocodataset.org/#format-data).

Read: polygons, RLE compressed or not, crowd regions, predictions written as annotations with a ``score``, and bare
result lists (`read_results`). Everything else in the file is kept: values of images in ``ImageRef.attributes``, values
of annotations in ``Instances.attributes``, the rest (categories with their ids, info, licenses) in
``LabelSet.metadata["coco"]``. Opening parses and checks the file but decodes no mask; iterating decodes a bounded
number of masks at a time.

Instances have ``attributes["area"]`` (N,) and ``attributes["bbox"]`` (N, 4: x, y, width, height) only on images where
the file states other values than the masks give; pycocotools measures by the stated values.

Key points without a segmentation are no masks and come as ``ImageRef.shapes``.

Full masks are read as KINS, COCOA and D2SA write them: ``segmentation`` is the whole object where the visible part
stands beside it (``visible_mask``, ``inmodal_seg``, ``i_segm``, ``visible_seg``), or the whole object has a name of
its own (``amodal_seg``, ``amodal_mask``, ``a_segm``). COCOA's regions are things and stuff, with their names in free
text as attributes. Where a rim of the visible mask lies outside the full mask, the full mask gets it; more is an
error.

Written: visible masks as ``segmentation`` and full masks as ``amodal_seg``, both as compressed RLE, which loses
nothing. Where a class is stuff, categories have ``isthing``. Annotation ids must be unique in a file: where several
images use the same ids, the writer gives new ones and keeps the instance's own beside them as ``apiece_id``. An image
that is a page of its file has ``apiece_page``, from 0, where `apiece predict` wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from apiece._arrays import Int
from apiece._scipy import sp
from apiece._strict_json import kind_of, uncollected
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, InvalidInstancesError, Message
from apiece.formats._kit.border import Border
from apiece.formats._kit.checked_rows import Checker
from apiece.formats._kit.coco_full import united
from apiece.formats._kit.coco_kinds import kind_of_coco
from apiece.formats._kit.coco_results import by_file_name, header_of, images_of, numbered_classes
from apiece.formats._kit.coco_segments import POLYGON, by_size, stretches
from apiece.formats._kit.coco_table import Images, Stated, Table, read_annotations, read_table, stated_otherwise
from apiece.formats._kit.coco_write import write
from apiece.formats._kit.columns import taken
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats.contract import (
    EVERYTHING,
    PAGE,
    Cut,
    LabelFormat,
    LabelSet,
    OnBad,
    OpenedLabels,
    Outlines,
    Record,
    Seen,
    shape_counts,
)

__all__ = ["FORMAT", "CocoSet", "is_results", "read_results"]

_COLUMNS = (
    1 << 19
)  # mask columns decoded together while iterating, at most: about 800 instances on images of 640 pixels
_OUTLINES = 1 << 14  # that `CocoSet.outlines` hands on in one go
_RESULT = frozenset(["image_id", "category_id", "score"])
_WINDOW = 256  # images looked at together while iterating

Both: TypeAlias = tuple[Masks, Masks | None]
"""Visible masks, and full ones where the file has them."""


def detect(path: Path) -> bool:
    """Return whether ``path`` is JSON with images or annotations (no panoptic, no LVIS), or a list of COCO results."""
    return kind_of_coco(path) == "coco"


def is_results(path: Path | str) -> bool:
    """Return whether a file is what `read_results` reads: a bare list of COCO results, perhaps empty, or one a line."""
    seen = peek_json(Path(path))
    if seen is None:
        return False
    return seen.keys >= _RESULT if seen.opening == "{" else "image_id" in seen.keys or not seen.keys


@dataclass(frozen=True)
class CocoSet(OpenedLabels):
    """A COCO file, opened: a `LabelSet`. It is small, picklable, and shared by forked workers without copies."""

    table: Table
    images: Images
    format: str = "coco"
    """What `metadata` is filed under."""
    boxes_only: bool = False
    """Whether the file holds results with a ``bbox`` and none with a mask; the masks are empty then."""
    on_bad: OnBad = None
    border: Border = field(default_factory=Border, compare=False, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Category names in file order."""
        return self.table.classes

    @cached_property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image in file order."""
        return tuple(self._refs(list(range(len(self)))))

    @property
    def repeated_ids(self) -> int:
        """How many annotations have the id of an earlier one; the reader numbered them anew."""
        return self.table.annotations.repeated

    @property
    def metadata(self) -> dict[str, Any]:
        """``{"coco": ...}`` with every top-level key but images and annotations."""
        return {self.format: self.table.header}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "refs"}

    def __len__(self) -> int:
        return len(self.images.ids)

    def record(self, index: int) -> Record:
        """Return the record of one image."""
        return next(self._decode([index]))

    def __iter__(self) -> Iterator[Record]:
        # an instance has no more runs than its image has columns, give or take
        cost, i = np.cumsum(np.diff(self.table.annotations.offsets) * self.images.sizes[:, 1]), 0
        while i < len(self):
            done = cost[i - 1] if i else 0
            last = int(np.searchsorted(cost, done + _COLUMNS, "right"))
            last = min(max(last, i + 1), i + _WINDOW)
            yield from self._decode(list(range(i, last)))
            i = last

    def fingerprint(self) -> str:
        """Return the SHA-256 of classes, image names and sizes, and every mask as stored with class and crowd flag."""
        digest, notes = hashlib.sha256(), self.table.annotations
        digest.update(json.dumps([self.classes, self.images.names.tolist()]).encode())
        own = (notes.labels, notes.crowd, notes.order, notes.offsets, self.images.sizes)
        whole = () if notes.full is None else notes.full.arrays
        for array in (*own, *notes.segments.arrays, *whole):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def shape_counts(self) -> Counter[str]:
        """Return how many annotations of each kind are no masks."""
        return shape_counts(self.refs) if self.table.shapes else Counter()

    def class_counts(self) -> sp.csr_array:
        """Return how many instances of each class are on each image: int64 (images, classes)."""
        notes = self.table.annotations
        image = np.repeat(np.arange(len(self)), np.diff(notes.offsets))
        labels = notes.labels[notes.order]
        return sp.csr_array((np.ones(len(labels), np.int64), (image, labels)), shape=(len(self), len(self.classes)))

    @cached_property
    def _judged(self) -> tuple[dict[int, Cut], dict[int, Message]]:
        """The annotations to cut at the border of their image, and the ones to refuse."""
        notes = self.table.annotations
        image = np.empty(len(notes.order), np.int64)
        image[notes.order] = np.repeat(np.arange(len(self)), np.diff(notes.offsets))
        rows, boxes = notes.segments.extents()
        cut, refused = self.border.judge(boxes, self.images.sizes[image[rows]])
        return {int(rows[k]): c for k, c in cut.items()}, {int(rows[k]): reason for k, reason in refused.items()}

    def outlines(self, look: Callable[[Outlines], Seen]) -> Iterator[Seen]:
        """Yield what ``look`` returns of annotations that are drawn as polygons."""
        notes, refused = self.table.annotations, list(self._judged[1])
        row = notes.order[~np.isin(notes.order, refused)]
        image = np.repeat(np.arange(len(self)), np.diff(notes.offsets))[~np.isin(notes.order, refused)]
        place = np.arange(len(row)) - np.searchsorted(image, image)
        drawn = notes.segments.kind[row] == POLYGON
        row, image, place = row[drawn], image[drawn], place[drawn]
        for lo in range(0, len(row), _OUTLINES):
            some = slice(lo, lo + _OUTLINES)
            points, rings, parts = notes.segments.polygons(row[some])
            none = np.zeros(len(rings) - 1, bool)  # COCO has no holes
            yield look(Outlines(image[some], place[some], notes.labels[row[some]], points, rings, parts, none))

    def _refs(self, chosen: list[int]) -> Iterator[ImageRef]:
        """Yield the chosen images, their columns made Python values together."""
        names, sizes = self.images.names[chosen].tolist(), self.images.sizes[chosen].tolist()
        extras = [(key, column[chosen].tolist()) for key, column in self.images.extras.items()]
        for k, (i, name, (height, width)) in enumerate(zip(chosen, names, sizes, strict=True)):
            attributes = {key: values[k] for key, values in extras if values[k] is not None}
            page = attributes.pop(PAGE, None)
            key = self.images.ids[i]
            shapes = self.table.shapes.get(key, ())
            yield ImageRef(self.images.path(i), name, (height, width), key, attributes, page, shapes)

    def _decode(self, chosen: list[int]) -> Iterator[Record]:
        """Yield the chosen images' records; masks on images of one size are decoded together."""
        notes = self.table.annotations
        rows = [notes.order[notes.offsets[i] : notes.offsets[i + 1]] for i in chosen]
        sizes = [(h, w) for h, w in self.images.sizes[chosen].tolist()]
        found: list[tuple[Both, list[Stated]] | None] = [None] * len(chosen)
        beyond, refused = self._judged[0], self._judged[1].keys()
        for size, members in by_size(sizes).items():
            if len(members) == 1:
                continue
            together = np.concatenate([rows[k] for k in members])
            if refused and not refused.isdisjoint(together.tolist()):
                continue
            try:
                masks, full = self._masks(together, size)
            except InvalidInstancesError:
                continue  # decoded again below, image by image, so that the error comes at the image it is about
            stated = self._stated(together, masks)
            for k, part in zip(members, stretches(len(rows[k]) for k in members), strict=True):
                both = masks[part], None if full is None else full[part]
                found[k] = both, [(name, values[part], other[part]) for name, values, other in stated]
        for k, ref in enumerate(self._refs(chosen)):
            some = found[k]
            if some is None:
                rows[k], both = self._sound(rows[k], sizes[k])
                some = both, self._stated(rows[k], both[0])
            found[k] = None
            if beyond:
                cut = [beyond[row]._replace(instance=i) for i, row in enumerate(rows[k].tolist()) if row in beyond]
                self.border.note(chosen[k], cut)
            yield ref, self._instances(rows[k], *some)

    def _masks(self, rows: Int, size: tuple[int, int]) -> Both:
        """Return visible and full masks of the chosen annotations, all on an image of ``size``."""
        notes = self.table.annotations
        masks = notes.segments.masks(rows, size)
        return masks, None if notes.full is None else united(masks, notes.full.masks(rows, size))

    def _stated(self, rows: Int, masks: Masks) -> list[Stated]:
        notes = self.table.annotations
        return stated_otherwise(masks, notes.area, notes.bbox, rows)

    def _instances(self, rows: Int, both: Both, stated: list[Stated]) -> Instances:
        notes = self.table.annotations
        attributes = {name: values for name, values, other in stated if other.any()}
        attributes |= taken(notes.extras, rows)
        ids = notes.ids[rows]
        if notes.kept is not None and notes.instance_ids is not None:
            ids = np.where(notes.kept[rows], notes.instance_ids[rows], ids)
        return Instances(
            both[0],
            notes.labels[rows],
            self.classes,
            None if notes.scores is None else notes.scores[rows],
            ids,
            notes.crowd[rows],
            attributes,
            both[1],
        )

    def _sound(self, rows: Int, size: tuple[int, int]) -> tuple[Int, Both]:
        """Return the chosen annotations that can be decoded, and their masks."""
        refused = self._judged[1]
        rows = self._without(rows, {row: (0, refused[row]) for row in rows.tolist() if row in refused})
        try:
            return rows, self._masks(rows, size)
        except InvalidInstancesError as error:
            faults = self._faults(rows, size)
            if not faults:  # each of them is right, but not all together
                raise FormatError(self.table.path, f"{self.table.key}: {error}") from None
        rows = self._without(rows, faults)
        return rows, self._masks(rows, size)

    def _faults(self, rows: Int, size: tuple[int, int]) -> dict[int, tuple[int, str]]:
        """Return the chosen annotations that cannot be decoded: whether by their full mask, and why."""
        found = {}
        for row in rows:
            full = 0
            try:
                self.table.annotations.segments.masks(np.array([row]), size)
                full = 1
                self._masks(np.array([row]), size)
            except InvalidInstancesError as error:
                found[int(row)] = full, error.reason
        return found

    def _without(self, rows: Int, faults: Mapping[int, tuple[int, str]]) -> Int:
        """Report the annotations with faults, and by which of their two masks; return the others."""
        places, keys = self.table.annotations.places, self.table.annotations.mask_keys
        for row, (full, reason) in faults.items():
            place = row if places is None else int(places[row])
            where = f"{self.table.key}[{place}].{keys[full][row] if keys[full] else 'segmentation'}: "
            self.report(FormatError(self.table.path, Message(where, reason)))
        return rows[~np.isin(rows, list(faults))] if faults else rows


@uncollected()
def read(path: Path, images: Path | None, on_bad: OnBad = None) -> CocoSet:
    """Open a COCO file; its images are found below ``images``, or in the places where tools have them."""
    found = read_table(path, images, on_bad)
    return CocoSet(found, found.images, on_bad=on_bad)


@uncollected()
def read_results(path: Path | str, truth: LabelSet, on_bad: OnBad = None) -> CocoSet:
    """Read COCO results (``image_id, category_id, segmentation, score``), a list or one a line, on images of ``truth``.

    Category ids are the ones of ``truth`` if it is a COCO file, and 1, 2, ... in the order of its classes otherwise. An
    ``image_id`` may be the name of the image's file, with or without ending, as ultralytics writes it. As pycocotools
    does, results have the area of their ``bbox`` as their area if the first result states one. Results of a detector,
    with boxes and no segmentation at all, get empty masks.

    Parameters
    ----------
    path : the file of results.
    truth : ground truth of the same images.
    on_bad : as `apiece.formats.read` has it.

    Raises
    ------
    FormatError
        naming file, key and reason.
    """
    path = Path(path)
    constants: list[str] = []
    rows = load_json(path, constants, lines=True)
    if type(rows) is not list:
        raise FormatError(path, f"a file of results is a list, got {kind_of(rows)}")
    header = header_of(truth)
    if not header.get("categories"):
        header["categories"] = numbered_classes(path, rows, truth)
    ids = {c["id"]: truth.classes.index(c["name"]) for c in header["categories"] if c["name"] in truth.classes}
    images = truth.images if isinstance(truth, CocoSet) else images_of(truth)
    rows = by_file_name(path, rows, images, own_ids=all(ref.id is not None for ref in truth.refs))
    boxes_only = bool(rows) and all(
        type(row) is dict and "bbox" in row and row.get("segmentation") in (None, []) for row in rows
    )
    if boxes_only:
        empty = {
            number: {"size": [int(height), int(width)], "counts": [int(height * width)]}
            for number, (height, width) in zip(images.ids, images.sizes.tolist(), strict=True)
        }
        rows = [{**row, "segmentation": empty.get(row.get("image_id"))} for row in rows]
    found = read_annotations(Checker(path, ""), rows, images, ids, on_bad, bool(constants))
    boxes = found.bbox
    stated = boxes is not None and not np.isnan(boxes[0]).any()
    if boxes is not None and stated:
        found = dataclasses.replace(found, area=boxes[:, 2] * boxes[:, 3])
    whole = Table(path, "", truth.classes, images, found, header)
    return CocoSet(whole, images, boxes_only=boxes_only, on_bad=on_bad, border=Border(True, path))


FORMAT = LabelFormat(
    summary="COCO instances JSON: polygons and RLE, crowd, scores; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=replace(EVERYTHING, full=True),
    numbers_entries=True,
    suffixes=(".json",),
    ending=".json",
    shapes="coco",
    pieces="objects",
)
