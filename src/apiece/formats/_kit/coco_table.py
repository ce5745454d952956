"""A COCO file as flat arrays: checked once, sorted by image, small to keep and to share, no mask decoded."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece._strict_json import kind_of
from apiece.core.boxes import to_xywh
from apiece.core.image import ImageRef, Shape
from apiece.core.masks import Masks
from apiece.core.runs import offsets_of
from apiece.errors import FormatError, Option
from apiece.formats._kit.checked_rows import Checker, Row, number_of, sifted
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.coco_full import VISIBLE, WHOLE, Keys, regions, seen_and_whole
from apiece.formats._kit.coco_rows import number_anew, one_name_each, without_key_points
from apiece.formats._kit.coco_segments import Segments
from apiece.formats._kit.columns import table
from apiece.formats._kit.image_names import all_plain, spelled
from apiece.formats._kit.image_places import Placed, image_size, located
from apiece.formats._kit.json_files import has_constants, load_json
from apiece.formats.contract import OnBad

_log = logging.getLogger("apiece")
_MAX_SIDE = 1 << 18
_LARGEST = sys.float_info.max
_ANNOTATION = (
    "id",
    "image_id",
    "category_id",
    "segmentation",
    "area",
    "bbox",
    "iscrowd",
    "score",
    "apiece_id",
    *VISIBLE,
    *WHOLE,
)


@dataclass(frozen=True)
class Images:
    """The ``images`` of a file, in file order."""

    ids: tuple[int | str, ...]
    names: Array
    """StringDType."""
    sizes: Int
    """(M, 2): height, width."""
    extras: dict[str, Array]
    folder: Path
    files: Array
    """StringDType; image i is ``folder / files[i]``."""

    def path(self, index: int) -> Path:
        """Return where an image is."""
        return self.folder / str(self.files[index])


@dataclass(frozen=True)
class Annotations:
    """The annotations, in file order; ``order`` and ``offsets`` sort them by image."""

    labels: Int
    ids: Int
    instance_ids: Int | None
    """Ids that the writer kept apart because several images used the same ones; -1 is no marker, ``kept`` is."""
    kept: Bool | None
    crowd: Bool
    area: Float | None
    """NaN where the file says none."""
    bbox: Float | None
    """(N, 4) x, y, width, height."""
    scores: Float | None
    segments: Segments
    extras: dict[str, Array]
    order: Int
    """File positions, grouped by image."""
    offsets: Int
    """Image i has the annotations ``order[offsets[i]:offsets[i + 1]]``."""
    places: Int | None = None
    """Where each is in the file, if some were left out."""
    full: Segments | None = None
    """The whole objects; None where the file has visible masks only."""
    mask_keys: Keys = ([], [])
    """What the file calls the visible and the full mask of each, where it has full ones."""
    repeated: int = 0
    """How many had the id of another one."""


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
    shapes: dict[Any, tuple[Shape, ...]] = field(default_factory=dict)
    """Annotations that are no masks, by the id of their image: key points without an outline."""


@dataclass(frozen=True)
class Document:
    """A COCO-like file, parsed: the lists whose entries may be bad, and the rest."""

    path: Path
    images: Any
    annotations: Any
    header: dict[str, Any]
    constants: bool
    """Whether it holds NaN or Infinity, which the entries must be searched for."""


def open_document(path: Path) -> Document:
    """Parse a file; refuse what is no JSON object with images, annotations and categories."""
    constants: list[str] = []
    document = load_json(path, constants)
    if constants and not has_constants(document):
        raise FormatError(path, f"holds {constants[0]}, which is no number in JSON, under a key that is there twice")
    if type(document) is list:
        raise FormatError(
            path,
            "is a bare list of results, without images and classes; read it with "
            + Option("read_results(path, truth)", flag="apiece evaluate --predictions"),
        )
    if type(document) is not dict:
        raise FormatError(path, f"must be an object with images, annotations and categories, got {kind_of(document)}")
    single = regions(document["annotations"]) if type(document.get("annotations")) is list else None
    if single is not None:
        document["annotations"], document["categories"] = single
    missing = [k for k in ("images", "annotations", "categories") if k not in document]
    if missing:
        raise FormatError(path, f"{' and '.join(missing)} missing at the top level; not a whole COCO instances file")
    images, annotations = document.pop("images"), document.pop("annotations")
    if type(annotations) is dict:  # LIVECell lists them by id
        annotations = list(annotations.values())
    if odd := [key for key, value in document.items() if constants and has_constants(value)]:
        raise FormatError(path, f"{odd[0]}: holds {constants[0]}, which is no number in JSON; mend or remove it")
    document["categories"] = one_name_each(path, document["categories"], annotations)
    return Document(path, images, annotations, document, bool(constants))


def read_table(path: Path, folder: Path | None, on_bad: OnBad = None) -> Table:
    """Read and check a COCO data set, decoding no mask.

    With ``on_bad``, annotations and images that break a rule are reported and left out, an image with its annotations.
    """
    document = open_document(path)
    categories, classes = read_categories(path, document.header["categories"])
    images = read_images(document, folder, on_bad)
    return make_table(document, classes, categories, images, on_bad)


def make_table(
    document: Document, classes: tuple[str, ...], categories: dict[Any, int], images: Images, on_bad: OnBad
) -> Table:
    """Return the whole file, its annotations checked."""
    check = Checker(document.path, "annotations")
    rows = without_images(check, document, images)
    rows, shapes = without_key_points(check, rows, categories, classes)
    annotations = read_annotations(check, rows, images, categories, on_bad, document.constants)
    return Table(document.path, "annotations", classes, images, annotations, document.header, shapes)


def read_categories(path: Path, rows: Any) -> tuple[dict[Any, int], tuple[str, ...]]:
    """Return (label of each category's id, names); a bad category refuses the file."""
    check = Checker(path, "categories")

    def build(rows: Any) -> tuple[dict[Any, int], tuple[str, ...]]:
        rows = check.objects(rows)
        ids = check.values(rows, "id", {int}, "an integer")
        for row in (row for row in rows if type(row.get("name")) is int):  # digits as classes
            row["name"] = str(row["name"])
        names = check.values(rows, "name", {str}, "a string")
        check.distinct(ids, "id")
        check.distinct(names, "name")
        for row, number in zip(rows, ids, strict=True):
            row["id"] = number
        return {v: i for i, v in enumerate(ids)}, tuple(names)

    return sifted(check, rows, build, None)


def read_images(
    document: Document,
    folder: Path | None,
    on_bad: OnBad,
    more: Callable[[Checker, list[Row]], None] | None = None,
    never: Path | None = None,
) -> Images:
    """Check the images, and find their files, below ``folder`` if a person named it.

    ``more`` checks what a format has beyond COCO; ``never`` is a folder of label images.
    """
    check = Checker(document.path, "images")

    def build(rows: Any) -> Images:
        rows = check.objects(rows)
        if document.constants:
            check.no_constants(rows)
        ids = check.values(rows, "id", {int, str}, "an integer or a string")
        check.distinct(ids, "id")
        place = located(document.path, spelled_names(check, rows), folder, never=never)
        if folder is not None:
            check.refuse(place.unclear, "file_name", place.unclear.__getitem__)
        names, files = (np.array(some, np.dtypes.StringDType()) for some in (place.names, place.files))
        _measure(check, rows, place)
        sizes = np.empty((len(rows), 2), np.int64)
        for k, side in enumerate(("height", "width")):
            values = check.values(rows, side, {int}, "an integer")
            bad = [i for i, v in enumerate(values) if not 0 < v <= _MAX_SIDE]
            check.refuse(bad, side, lambda i, values=values: f"must lie in 1 to {_MAX_SIDE}, got {values[i]}")  # type: ignore[misc]
            sizes[:, k] = values
        if more is not None:
            more(check, rows)
        extras = table(rows, ("id", "file_name", "height", "width"))
        check.finite(extras)
        return Images(tuple(ids), names, sizes, extras, place.folder, files)

    return sifted(check, document.images, build, on_bad)


def spelled_names(check: Checker, rows: list[Row]) -> list[str]:
    """Return each row's ``file_name`` as `spelled` makes it."""
    names, reasons = check.values(rows, "file_name", {str}, "a string"), dict[int, str]()
    if all_plain(names):
        return names
    for i, name in enumerate(names):
        try:
            names[i] = spelled(name)
        except BadEntryError as error:
            reasons[i] = str(error)
    check.refuse(reasons, "file_name", reasons.__getitem__)
    return names


def _measure(check: Checker, rows: list[Row], place: Placed) -> None:
    """Give images that do not state both sides the size of their file."""
    sides = [(row.get("height"), row.get("width")) for row in rows]
    without = [i for i, stated in enumerate(sides) if None in stated or stated == (0, 0)]
    reasons = {}
    for i in without:
        ref = ImageRef(place.folder / place.files[i], place.names[i])
        try:
            rows[i] = rows[i] | dict(zip(("height", "width"), image_size(check.path, ref), strict=True))
        except FormatError as error:
            reasons[i] = error.reason
    check.refuse(reasons, "height", reasons.__getitem__)
    if without:
        _log.warning("%s: images without height and width, which their files tell: %d", check.path, len(without))


def without_images(check: Checker, document: Document, images: Images) -> Any:
    """Return the annotations without the ones of images that were left out."""
    rows = document.annotations
    if len(images.ids) == len(document.images) or type(rows) is not list:
        return rows
    given = (row.get("id") for row in document.images if type(row) is dict)
    lost = {i for i in given if type(i) in (int, str)} - set(images.ids)
    keep = [type(row) is not dict or type(i := row.get("image_id")) not in (int, str) or i not in lost for row in rows]
    check.places = np.flatnonzero(keep)
    return list(itertools.compress(rows, keep))


def read_annotations(
    check: Checker, rows: Any, images: Images, categories: dict[Any, int], on_bad: OnBad, constants: bool = False
) -> Annotations:
    """Check the annotations of known images and categories, or results where the checker has no key."""
    results = not check.key
    positions = {v: i for i, v in enumerate(images.ids)}
    repeated: list[int] = []  # of each pass

    def build(rows: Any) -> Annotations:
        rows = check.objects(rows)
        image = check.look_up(rows, "image_id", positions, {int, str}, "image")
        labels = check.look_up(rows, "category_id", categories, {int}, "category")
        # missing masks first: boxes among masks are the likeliest fault
        rows, whole, keys = seen_and_whole(rows)
        given = [row.get("segmentation") for row in rows]
        check.mask_keys = keys[0]
        segments = Segments.read(given, images.sizes[image], check)
        check.mask_keys = keys[1]
        full = None if whole is None else Segments.read(whole, images.sizes[image], check)
        ids = np.arange(1, len(rows) + 1)
        if not results:
            repeated.append(number_anew(check, rows))
            values = check.values(rows, "id", {int}, "an integer")
            check.distinct(values, "id")  # spelled as texts they were not numbered anew
            ids = check.int64(values, "id")
        crowd = flags(check, rows, "iscrowd")
        instance_ids, kept = _kept_ids(check, rows)
        area = numbers(check, rows, "area", 1)
        bbox = numbers(check, rows, "bbox", 4)
        scores = scores_of(check, rows, needed=results)
        extras = table(rows, _ANNOTATION) if set(itertools.chain.from_iterable(rows)) - set(_ANNOTATION) else {}
        check.finite(extras)
        if constants:
            check.no_constants(rows)
        order = np.argsort(image, kind="stable")
        offsets = offsets_of(image, len(images.ids))
        stated = (kept, crowd, area, bbox, scores, segments, extras)
        return Annotations(labels, ids, instance_ids, *stated, order, offsets, check.places, full, keys, sum(repeated))

    return sifted(check, rows, build, on_bad)


def flags(check: Checker, rows: list[Row], name: str) -> Bool:
    """Return a value of 0 or 1 of each row; 0 where there is none, or null."""
    values = [0 if (value := row.get(name)) is None else value for row in rows]
    if str in set(map(type, values)):
        values = list(map(number_of, values))
    if set(map(type, values)) - {int, bool, float} or set(values) - {0, 1}:
        bad = [i for i, v in enumerate(values) if type(v) not in (int, bool, float) or v not in (0, 1)]
        check.stop(bad, name, lambda i: f"must be 0 or 1, got {values[i]!r}")
    return np.array(values, bool)


def _kept_ids(check: Checker, rows: list[Row]) -> tuple[Int | None, Bool | None]:
    kept = np.fromiter(("apiece_id" in row for row in rows), bool, len(rows))
    if not kept.any():
        return None, None
    given = [row.get("apiece_id", 0) for row in rows]
    bad = [i for i, v in enumerate(given) if type(v) is not int]
    check.refuse(bad, "apiece_id", lambda i: f"must be an integer, got {kind_of(given[i])}")
    return check.int64(given, "apiece_id"), kept


def numbers(check: Checker, rows: list[Row], name: str, width: int) -> Float | None:
    """Return (N,) or (N, width) float64, NaN where a row says nothing; None if no row says anything."""
    given = [row.get(name) for row in rows]
    empty = [v is None or v == [] for v in given]
    if all(empty):
        return None
    blank: Any = np.nan if width == 1 else [np.nan] * width
    values: list[Any] = [blank if e else v for v, e in zip(given, empty, strict=True)]
    if any(type(n) is str for v in values for n in (v if type(v) is list else (v,))):
        values = [list(map(number_of, v)) if type(v) is list else number_of(v) for v in values]
    rule = "a finite number" if width == 1 else f"{width} finite numbers"
    flat = values if width == 1 else list(itertools.chain.from_iterable(v if type(v) is list else [v] for v in values))
    if set(map(type, flat)) - {int, float} or len(flat) != width * len(rows):
        bad = (i for i, v in enumerate(values) if not _is_row(v, width))
        check.stop(bad, name, lambda i: f"must be {rule}, got {str(given[i])[:60]}")
    try:
        array = np.array(flat, np.float64).reshape(len(rows), -1)
    except OverflowError:
        bad = (i for i, v in enumerate(values) if any(abs(n) > _LARGEST for n in (v if type(v) is list else [v])))
        check.stop(bad, name, lambda i: "is too large a number")
    wrong = ~(np.isfinite(array).all(1) | np.array(empty))
    check.refuse(wrong, name, lambda i: f"must be {rule}, got {given[i]}")
    return array[:, 0] if width == 1 else array


Stated = tuple[str, Array, Bool]
"""An attribute, its values, and for which masks they differ from what the masks give."""


def stated_otherwise(masks: Masks, area: Float | None, bbox: Float | None, rows: Int) -> list[Stated]:
    """Return the areas and boxes that a file states, where they differ from the ones of the masks of these rows."""
    found: list[Stated] = []
    if area is not None:
        values = np.where(np.isnan(area[rows]), masks.area, area[rows])
        found.append(("area", values, values != masks.area))
    if bbox is not None:
        own = to_xywh(masks.boxes)
        values = np.where(np.isnan(bbox[rows]), own, bbox[rows])
        found.append(("bbox", values, (values != own).any(1)))
    return [one for one in found if one[2].any()]


def _is_row(value: Any, width: int) -> bool:
    if width == 1:
        return type(value) in (int, float)
    return type(value) is list and len(value) == width and all(type(v) in (int, float) for v in value)


def scores_of(check: Checker, rows: list[Row], needed: bool = False) -> Float | None:
    """Return the scores, of every row or of none."""
    if not needed and not any("score" in row for row in rows):
        return None
    if any(type(row.get("score")) is str for row in rows):
        rows = [row | {"score": number_of(row.get("score"))} for row in rows]
    values = check.values(rows, "score", {int, float}, "a number")
    bad = (i for i, v in enumerate(values) if not abs(v) <= _LARGEST)
    check.refuse(bad, "score", lambda i: f"must be a finite number, got {values[i]}")
    return np.array(values, np.float64)
