"""COCO panoptic, read: the checked table of segments, and the colour images whose colours are their ids."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array, Bool, Float, Int, Int32
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import expand, offsets_of
from apiece.errors import FormatError
from apiece.formats._kit.checked_rows import Checker, Row, sifted
from apiece.formats._kit.coco_table import (
    Document,
    Images,
    flags,
    numbers,
    scores_of,
    spelled_names,
    stated_otherwise,
    without_images,
)
from apiece.formats._kit.columns import plain, table, taken
from apiece.formats._kit.files import is_file
from apiece.formats._kit.image_names import called
from apiece.formats._kit.label_images import colour_numbers, read_colours
from apiece.formats.contract import OnBad, OpenedLabels, Record

HIGHEST = 256**3 - 1
"""The largest id that three channels hold."""
_OWN = ("id", "category_id", "iscrowd", "area", "bbox", "score")


@dataclass(frozen=True)
class Segments:
    """The segments of all images, in file order; ``order`` and ``offsets`` sort them by image."""

    files: Array
    """PNG of each image, as the file spells it; empty for an image without annotation."""
    ids: Int
    labels: Int
    crowd: Bool
    area: Float | None
    bbox: Float | None
    scores: Float | None
    extras: dict[str, Array]
    order: Int
    offsets: Int


class _SegmentChecker(Checker):
    """Name a segment by annotation and place in it."""

    def __init__(self, path: Path, owner: Int, within: Int) -> None:
        super().__init__(path, "annotations")
        self.owner, self.within = owner, within

    def where(self, index: int) -> str:
        place = self.place(index)
        return f"annotations[{self.owner[place]}].segments_info[{self.within[place]}]"


def read_segments(document: Document, images: Images, categories: Mapping[Any, int], on_bad: OnBad) -> Segments:
    """Check annotations, then the segments of all of them."""
    check = Checker(document.path, "annotations")
    positions = {v: i for i, v in enumerate(images.ids)}

    def annotations(rows: Any) -> tuple[list[Row], Int, Sequence[str]]:
        rows = check.objects(rows)
        image = check.look_up(rows, "image_id", positions, {int, str}, "image")
        check.distinct([images.ids[i] for i in image.tolist()], "image_id")
        names = called(spelled_names(check, rows))
        check.values(rows, "segments_info", {list}, "a list")
        return rows, image, names

    rows, image, names = sifted(check, without_images(check, document, images), annotations, on_bad)
    counts = np.array([len(row["segments_info"]) for row in rows], np.int64)
    places = np.arange(len(rows)) if check.places is None else check.places
    within = expand(np.zeros_like(counts), counts)
    segment_check = _SegmentChecker(document.path, np.repeat(places, counts), within)
    files = np.full(len(images.ids), "", np.dtypes.StringDType())
    files[image] = np.array(names, np.dtypes.StringDType())
    of = np.repeat(image, counts)
    return _segments(segment_check, rows, of, images, files, dict(categories), on_bad, document.constants)


def _segments(
    check: _SegmentChecker,
    annotations: list[Row],
    of: Int,
    images: Images,
    files: Array,
    categories: dict[Any, int],
    on_bad: OnBad,
    constants: bool,
) -> Segments:
    def build(rows: Any) -> Segments:
        rows = check.objects(rows)
        image = of if check.places is None else of[check.places]
        ids = check.int64(check.values(rows, "id", {int}, "an integer"), "id")
        wrong = (ids < 1) | (ids > HIGHEST)
        check.refuse(wrong, "id", lambda i: f"must lie in 1 to {HIGHEST}, what a colour holds; got {ids[i]}")
        check.refuse(
            _repeated(image, ids),
            "id",
            lambda i: f"{ids[i]} is used twice on image {str(images.names[image[i]])!r}; give each segment its own",
        )
        labels = check.look_up(rows, "category_id", categories, {int}, "category")
        crowd = flags(check, rows, "iscrowd")
        area, bbox = numbers(check, rows, "area", 1), numbers(check, rows, "bbox", 4)
        scores = scores_of(check, rows)
        extras = table(rows, _OWN) if set(itertools.chain.from_iterable(rows)) - set(_OWN) else {}
        check.finite(extras)
        if constants:
            check.no_constants(rows)
        order = np.argsort(image, kind="stable")
        return Segments(files, ids, labels, crowd, area, bbox, scores, extras, order, offsets_of(image, len(files)))

    rows = list(itertools.chain.from_iterable(row["segments_info"] for row in annotations))
    return sifted(check, rows, build, on_bad)


def _repeated(image: Int, ids: Int) -> Bool:
    """Return a flag for each segment whose image has an earlier segment of the same id."""
    bad = np.ones(len(ids), bool)
    bad[np.unique(image * (HIGHEST + 1) + ids, return_index=True)[1]] = False
    return bad


@dataclass(frozen=True)
class PanopticSet(OpenedLabels):
    """A COCO panoptic file, opened: a `LabelSet`. Its PNG files are read when an item is asked for."""

    path: Path
    """The JSON file."""
    classes: tuple[str, ...]
    header: Mapping[str, Any]
    images: Images
    segments: Segments
    pngs: Path
    """What the names of PNG files are relative to."""
    on_bad: OnBad = None
    chosen: tuple[int, ...] | None = None
    """The images whose PNG file is whole, if that was looked at."""

    @property
    def metadata(self) -> dict[str, Any]:
        """``{"coco_panoptic": ...}`` with every top-level key but images and annotations."""
        return {"coco_panoptic": self.header}

    @cached_property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image in file order."""
        return tuple(self._ref(self._row(i)) for i in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "refs"}

    def __len__(self) -> int:
        return len(self.images.ids) if self.chosen is None else len(self.chosen)

    def record(self, index: int) -> Record:
        """Return the image and its segments; its PNG file is read."""
        row = self._row(index)
        return self._ref(row), self._instances(row)

    def fingerprint(self) -> str:
        """Return the SHA-256 of classes, image names, segments and the PNG files' bytes."""
        digest, rows = hashlib.sha256(), [self._row(i) for i in range(len(self))]
        digest.update(json.dumps([self.classes, self.images.names[rows].tolist()]).encode())
        for array in (self.segments.ids, self.segments.labels, self.segments.crowd, self.segments.order):
            digest.update(np.ascontiguousarray(array).data)
        for row in rows:
            if self.segments.files[row]:
                digest.update(hashlib.sha256((self.pngs / str(self.segments.files[row])).read_bytes()).digest())
        return digest.hexdigest()

    def id_map(self, row: int) -> Int32:
        """Return (height, width): the id that each pixel's colour stands for; ``row`` counts the file's images."""
        size = (int(self.images.sizes[row, 0]), int(self.images.sizes[row, 1]))
        name = str(self.segments.files[row])
        return read_ids(self.pngs / name, size) if name else np.zeros(size, np.int32)

    def _row(self, index: int) -> int:
        return index if self.chosen is None else self.chosen[index]

    def _ref(self, row: int) -> ImageRef:
        name, (height, width) = str(self.images.names[row]), self.images.sizes[row].tolist()
        said = {k: plain(v, row) for k, v in self.images.extras.items()}
        attributes = {k: v for k, v in said.items() if v is not None}
        return ImageRef(self.images.path(row), name, (height, width), self.images.ids[row], attributes)

    def _instances(self, row: int) -> Instances:
        painted, segments = self.id_map(row), self.segments
        masks = Masks.from_label_map(painted)
        values = painted[masks.y0[masks.offsets[:-1]], masks.x[masks.offsets[:-1]]].astype(np.int64)
        rows = segments.order[segments.offsets[row] : segments.offsets[row + 1]]
        name, image = str(segments.files[row]), str(self.images.names[row])
        absent = ~np.isin(segments.ids[rows], values)
        for number in segments.ids[rows[absent]].tolist():
            reason = f"image {image!r}: no pixel of {name} has id {number}; remove the segment, or draw it"
            self.report(FormatError(self.path, reason))
        for number in np.setdiff1d(values, segments.ids[rows]).tolist():
            reason = f"image {image!r}: has pixels of id {number}, for which {self.path.name} lists no segment"
            self.report(FormatError(self.pngs / name, reason))
        rows = rows[~absent]
        masks = masks[np.searchsorted(values, segments.ids[rows])]
        stated = stated_otherwise(masks, segments.area, segments.bbox, rows)
        attributes = {key: values for key, values, _ in stated}
        attributes |= taken(segments.extras, rows)
        scores = None if segments.scores is None else segments.scores[rows]
        crowd = segments.crowd[rows]
        return Instances(masks, segments.labels[rows], self.classes, scores, segments.ids[rows], crowd, attributes)


def read_ids(path: Path, size: tuple[int, int]) -> Int32:
    """Return the ids of a PNG whose colours are R + 256 G + 65536 B; alpha says nothing.

    A file that is missing, damaged, not in colour or of another size is refused.
    """
    if not is_file(path):
        packed = path.parent.with_name(f"{path.parent.name}.zip")
        raise FormatError(path, f"is missing; unpack {packed} so that it is there" if is_file(packed) else "is missing")
    colours = read_colours(path)
    if colours is None:
        raise FormatError(path, "has one channel; ids are held by the colours of an 8-bit PNG")
    height, width, _ = colours.shape
    if (height, width) != size:
        raise FormatError(path, f"is {height} x {width} pixels, but its image {size[0]} x {size[1]}")
    return colour_numbers(colours)
