"""A COCO file as flat arrays: checked once, sorted by image, small to keep and to share, nothing decoded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from apiece.errors import FormatError
from apiece.formats._coco_segments import Segments
from apiece.formats._columns import Column, table
from apiece.formats._files import inside
from apiece.formats._json import kind_of, load_json

__all__ = ["Annotations", "Images", "Table", "read_annotations", "read_table"]

Int = npt.NDArray[np.int64]
_MAX_SIDE = 1 << 18
_ANNOTATION = ("id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score", "apiece_id")


@dataclass(frozen=True)
class Images:
    """The ``images`` of a file, in file order."""

    ids: tuple[int | str, ...]
    names: Column
    """StringDType."""
    sizes: Int
    """(M, 2): height, width."""
    extras: dict[str, Column]


@dataclass(frozen=True)
class Annotations:
    """The annotations, in file order; ``order`` and ``offsets`` sort them by image."""

    labels: Int
    ids: Int
    instance_ids: Int | None
    """Ids that the writer kept apart because several images used the same ones; -1 is no marker, ``kept`` is."""
    kept: npt.NDArray[np.bool_] | None
    crowd: npt.NDArray[np.bool_]
    area: npt.NDArray[np.float64] | None
    """NaN where the file says none."""
    bbox: npt.NDArray[np.float64] | None
    """(N, 4) x, y, width, height."""
    scores: npt.NDArray[np.float64] | None
    segments: Segments
    extras: dict[str, Column]
    order: Int
    """File positions, grouped by image."""
    offsets: Int
    """Image i has the annotations ``order[offsets[i]:offsets[i + 1]]``."""


@dataclass(frozen=True)
class Table:
    """A whole file."""

    path: Path
    key: str
    """What messages call an annotation's list: ``annotations``, or nothing for bare results."""
    classes: tuple[str, ...]
    images: Images
    annotations: Annotations
    header: dict[str, Any] = field(default_factory=dict)
    """Every other top-level key, categories included."""


class _Checker:
    """Raises for the first entry of a list that breaks a rule, naming file and key."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def fail(self, index: int | None, name: str, reason: str) -> NoReturn:
        where = self.key if index is None else f"{self.key}[{index}]"
        raise FormatError(self.path, f"{where}{'.' + name if name else ''}: {reason}")

    def objects(self, rows: Any) -> list[dict[str, Any]]:
        if type(rows) is not list:
            self.fail(None, "", f"must be a list, got {kind_of(rows)}")
        if set(map(type, rows)) - {dict}:
            index = next(i for i, row in enumerate(rows) if type(row) is not dict)
            self.fail(index, "", f"must be an object, got {kind_of(rows[index])}")
        return list(rows)

    def values(self, rows: list[dict[str, Any]], name: str, types: set[type], expected: str) -> list[Any]:
        try:
            values = list(map(itemgetter(name), rows))
        except KeyError:
            self.fail(next(i for i, row in enumerate(rows) if name not in row), name, "is missing")
        if set(map(type, values)) - types:
            index = next(i for i, v in enumerate(values) if type(v) not in types)
            self.fail(index, name, f"must be {expected}, got {kind_of(values[index])} ({str(values[index])[:60]!r})")
        return values

    def distinct(self, values: Sequence[Any], name: str) -> None:
        if len(set(values)) != len(values):
            seen: dict[Any, int] = {}
            for i, value in enumerate(values):
                if value in seen:
                    self.fail(i, name, f"{value!r} is used twice; {self.key}[{seen[value]}] has it too")
                seen[value] = i

    def where(self, bad: npt.NDArray[np.bool_], name: str, reason: Callable[[int], str]) -> None:
        if bad.any():
            index = int(np.argmax(bad))
            self.fail(index, name, reason(index))

    def finite(self, columns: dict[str, Column]) -> None:
        for name, values in columns.items():
            if values.dtype.kind == "f":
                good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
                self.where(np.logical_not(good), name, lambda i: "must be a finite number")


def read_table(path: Path) -> Table:
    """Read and check a COCO data set, decoding no mask.

    Raises
    ------
    FormatError
        naming file, key and reason.
    """
    document = load_json(path)
    if type(document) is list:
        raise FormatError(
            path, "is a bare list of results, without images and classes; read it with read_results(path, truth)"
        )
    if type(document) is not dict:
        raise FormatError(path, f"must be an object with images, annotations and categories, got {kind_of(document)}")
    missing = [k for k in ("images", "annotations", "categories") if k not in document]
    if missing:
        raise FormatError(path, f"{' and '.join(missing)} missing at the top level; not a whole COCO instances file")
    categories, classes = _read_categories(_Checker(path, "categories"), document["categories"])
    images = _read_images(_Checker(path, "images"), document.pop("images"))
    rows = document.pop("annotations")
    annotations = read_annotations(path, "annotations", rows, images, categories)
    return Table(path, "annotations", classes, images, annotations, document)


def _read_categories(check: _Checker, rows: Any) -> tuple[dict[Any, int], tuple[str, ...]]:
    rows = check.objects(rows)
    ids = check.values(rows, "id", {int}, "an integer")
    names = check.values(rows, "name", {str}, "a string")
    check.distinct(ids, "id")
    check.distinct(names, "name")
    return {v: i for i, v in enumerate(ids)}, tuple(names)


def _read_images(check: _Checker, rows: Any) -> Images:
    rows = check.objects(rows)
    ids = check.values(rows, "id", {int, str}, "an integer or a string")
    check.distinct(ids, "id")
    names = check.values(rows, "file_name", {str}, "a string")
    for i, name in enumerate(names):
        reason = inside(name)
        if reason:
            check.fail(i, "file_name", reason)
    sizes = np.empty((len(rows), 2), np.int64)
    for k, side in enumerate(("height", "width")):
        values = check.values(rows, side, {int}, "an integer")
        bad = next((i for i, v in enumerate(values) if not 0 < v <= _MAX_SIDE), None)
        if bad is not None:
            check.fail(bad, side, f"must lie in 1 to {_MAX_SIDE}, got {values[bad]}")
        sizes[:, k] = values
    extras = table(rows, ("id", "file_name", "height", "width"))
    check.finite(extras)
    return Images(tuple(ids), np.array(names, np.dtypes.StringDType()), sizes, extras)


def read_annotations(path: Path, key: str, rows: Any, images: Images, categories: dict[Any, int]) -> Annotations:
    """Check the annotations (or, with an empty ``key``, the results) of known images and categories."""
    check = _Checker(path, key)
    rows = check.objects(rows)
    results = not key
    positions = {v: i for i, v in enumerate(images.ids)}
    image = _look_up(check, rows, "image_id", positions, {int, str}, "image")
    labels = _look_up(check, rows, "category_id", categories, {int}, "category")
    if results:
        ids = np.arange(1, len(rows) + 1)
    else:
        values = check.values(rows, "id", {int}, "an integer")
        check.distinct(values, "id")
        ids = _int64(check, values, "id")
    crowd = [row.get("iscrowd", 0) for row in rows]
    if set(map(type, crowd)) - {int, bool} or set(crowd) - {0, 1}:
        index = next(i for i, v in enumerate(crowd) if type(v) not in (int, bool) or v not in (0, 1))
        check.fail(index, "iscrowd", f"must be 0 or 1, got {crowd[index]!r}")
    kept, instance_ids = _kept_ids(check, rows)
    area = _numbers(check, rows, "area", 1)
    bbox = _numbers(check, rows, "bbox", 4)
    scores = _scores(check, rows)
    given = [row.get("segmentation") for row in rows]
    segments = Segments.read(given, images.sizes[image], lambda i, reason: check.fail(i, "segmentation", reason))
    extras = table(rows, _ANNOTATION) if set(itertools.chain.from_iterable(rows)) - set(_ANNOTATION) else {}
    check.finite(extras)
    order = np.argsort(image, kind="stable")
    offsets = np.zeros(len(images.ids) + 1, np.int64)
    np.cumsum(np.bincount(image, minlength=len(images.ids)), out=offsets[1:])
    return Annotations(
        labels, ids, instance_ids, kept, np.array(crowd, bool), area, bbox, scores, segments, extras, order, offsets
    )


def _look_up(
    check: _Checker, rows: list[dict[str, Any]], name: str, known: dict[Any, int], types: set[type], kind: str
) -> Int:
    values = check.values(rows, name, types, "an integer" if types == {int} else "an integer or a string")
    found = np.fromiter((known.get(v, -1) for v in values), np.int64, len(values))
    check.where(found < 0, name, lambda i: f"there is no {kind} with id {values[i]!r} in this file")
    return found


def _int64(check: _Checker, values: list[int], name: str) -> Int:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        index = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
        check.fail(index, name, f"{values[index]} does not fit 64 bits")


def _kept_ids(check: _Checker, rows: list[dict[str, Any]]) -> tuple[npt.NDArray[np.bool_] | None, Int | None]:
    kept = np.fromiter(("apiece_id" in row for row in rows), bool, len(rows))
    if not kept.any():
        return None, None
    values = np.zeros(len(rows), np.int64)
    chosen = [rows[i] for i in np.flatnonzero(kept)]
    values[kept] = _int64(check, check.values(chosen, "apiece_id", {int}, "an integer"), "apiece_id")
    return kept, values


def _numbers(check: _Checker, rows: list[dict[str, Any]], name: str, width: int) -> npt.NDArray[np.float64] | None:
    """(N,) or (N, width) float64, NaN where the file says nothing; None if it never does."""
    given = [row.get(name) for row in rows]
    empty = [v is None or v == [] for v in given]
    if all(empty):
        return None
    blank: Any = np.nan if width == 1 else [np.nan] * width
    values = [blank if e else v for v, e in zip(given, empty, strict=True)]
    rule = "a finite number" if width == 1 else f"{width} finite numbers"
    flat = values if width == 1 else list(itertools.chain.from_iterable(v if type(v) is list else [v] for v in values))
    if set(map(type, flat)) - {int, float} or len(flat) != width * len(rows):
        index = next(i for i, v in enumerate(values) if not _is_row(v, width))
        check.fail(index, name, f"must be {rule}, got {str(given[index])[:60]}")
    try:
        array = np.array(flat, np.float64).reshape(len(rows), -1)
    except OverflowError:
        raise FormatError(check.path, f"{check.key}: a value of {name} is too large") from None
    check.where(~(np.isfinite(array).all(1) | np.array(empty)), name, lambda i: f"must be {rule}, got {given[i]}")
    return array[:, 0] if width == 1 else array


def _is_row(value: Any, width: int) -> bool:
    if width == 1:
        return type(value) in (int, float)
    return type(value) is list and len(value) == width and all(type(v) in (int, float) for v in value)


def _scores(check: _Checker, rows: list[dict[str, Any]]) -> npt.NDArray[np.float64] | None:
    if not any("score" in row for row in rows):
        return None
    values = check.values(rows, "score", {int, float}, "a number")
    scores = np.array(values, np.float64)
    check.where(~np.isfinite(scores), "score", lambda i: f"must be a finite number, got {values[i]}")
    return scores
