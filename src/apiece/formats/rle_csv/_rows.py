"""Rows of a run-length CSV: found and checked without their masks, which are read one image at a time."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.image_names import spelled
from apiece.formats._kit.long_csv import long_fields
from apiece.formats.contract import OnBad, refuse

_IMAGE = ("imageid", "image_id", "image", "id")
_BOTH = ("imageid_classid", "image_label")
_PIXELS = ("encodedpixels", "encoded_pixels", "rle")
_ALONG_ROWS = ("annotation", "segmentation")  # Sartorius 2021, UW-Madison 2022; columns of texts are called so too
_CLASS = ("classid", "class_id", "class", "label", "categoryid", "category_id", "category", "cell_type")
_MAX_SIDE = 1 << 18
_DIGITS = frozenset("0123456789 ")


@dataclass(frozen=True)
class Columns:
    """Where the header has what; None for a column that it lacks."""

    names: tuple[str, ...]
    image: int
    pixels: int
    label: int | None
    height: int | None
    width: int | None
    joined: bool
    """The image's column holds image and class: ``a.jpg_4``."""
    along_rows: bool = False
    """Runs go along the rows of the image, not down its columns."""

    @property
    def others(self) -> list[int]:
        """Return the columns that mean nothing to the format."""
        own = (self.image, self.pixels, self.label, self.height, self.width)
        return [i for i in range(len(self.names)) if i not in own]


def find_columns(header: list[str]) -> Columns | None:
    """Return the columns, if there is one of images and one of runs."""
    lower = [name.strip().lower() for name in header]

    def place(*names: str) -> int | None:
        return next((lower.index(name) for name in names if name in lower), None)

    image, both, pixels = place(*_IMAGE), place(*_BOTH), place(*_PIXELS)
    along_rows = pixels is None and place("id") is not None and place(*_CLASS) is not None
    pixels = place(*_ALONG_ROWS) if along_rows else pixels
    joined = image is None and both is not None
    image = both if image is None else image
    if image is None or pixels is None:
        return None
    label = None if joined else place(*_CLASS)
    sides = place("height", "img_height"), place("width", "img_width")
    return Columns(tuple(header), image, pixels, label, *sides, joined, along_rows)


@dataclass
class Rows:
    """What the rows say besides their runs."""

    columns: Columns
    names: list[str] = field(default_factory=list)
    """Of images, in order of appearance."""
    labels: list[str] = field(default_factory=list)
    """Of classes, in order of appearance; what the column holds."""
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(height, width) of the images whose rows state it."""
    image: array[int] = field(default_factory=lambda: array("q"))
    label: array[int] = field(default_factory=lambda: array("q"))
    begin: array[int] = field(default_factory=lambda: array("q"))
    end: array[int] = field(default_factory=lambda: array("q"))
    line: array[int] = field(default_factory=lambda: array("q"))
    """One entry per row with runs: index of image and class, first and last byte, line."""


class _Lines:
    """The file's lines as text, and how far the reader has come."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file, self.end, self.count = path, file, 0, 0
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        for data in self.file:
            self.count += 1
            try:
                text = data.decode("utf-8-sig" if self.count == 1 else "utf-8")
            except UnicodeDecodeError:
                raise FormatError(self.path, f"line {self.count}: is not UTF-8; save it as UTF-8") from None
            self.end += len(data)
            self.whole = data.endswith((b"\n", b"\r"))
            yield text


def find_rows(path: Path, on_bad: OnBad) -> Rows:
    """Read all rows but keep no runs."""
    try:
        with path.open("rb") as file, long_fields:
            lines = _Lines(path, file)
            try:
                return _find_rows(lines, csv.reader(lines, strict=True), on_bad)
            except csv.Error as error:
                raise FormatError(path, f"line {lines.count}: is no CSV ({error})") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None


def _find_rows(lines: _Lines, reader: Iterator[list[str]], on_bad: OnBad) -> Rows:
    cut = "has no line end; is the file cut short? If it is whole, add one"
    header = next(reader, None)
    if header is None:
        raise FormatError(lines.path, "is empty")
    if not lines.whole:
        raise FormatError(lines.path, f"line 1: {cut}")
    columns = find_columns(header)
    if columns is None:
        named = ", ".join(header)[:80]
        raise FormatError(lines.path, f"line 1: needs the columns ImageId and EncodedPixels, got {named!r}")
    rows, images, labels = Rows(columns), dict[str, int](), dict[str, int]()
    begin, line = lines.end, lines.count + 1
    for fields in reader:
        if fields:
            try:
                if not lines.whole:  # the last number of a run may have lost digits, and nothing else would show it
                    raise ValueError(cut)
                _note(rows, images, labels, fields, (begin, lines.end, line))
            except ValueError as error:
                refuse(FormatError(lines.path, f"line {line}: {error}"), on_bad)
        begin, line = lines.end, lines.count + 1
    return rows


def _note(
    rows: Rows, images: dict[str, int], labels: dict[str, int], fields: list[str], place: tuple[int, int, int]
) -> None:
    """Keep one row; a `ValueError` says what is wrong with it."""
    columns = rows.columns
    if len(fields) != len(columns.names):
        raise ValueError(f"has {len(fields)} values, but the header {len(columns.names)}; is the file cut short?")
    name, label = fields[columns.image], "" if columns.label is None else fields[columns.label]
    if columns.joined:
        name, _, label = name.rpartition("_")
    try:
        name = spelled(name)
    except BadEntryError as error:
        raise ValueError(f"{columns.names[columns.image]} {error}") from None
    drawn = bool(fields[columns.pixels].strip())
    if drawn and not label and (columns.joined or columns.label is not None):
        raise ValueError("has runs, but no class")
    size = _size(columns, fields)
    index = images.get(name, len(images))
    if size is not None and rows.sizes.setdefault(index, size) != size:
        (h, w), (height, width) = size, rows.sizes[index]
        raise ValueError(f"image {name!r} is {h} x {w} pixels here, but {height} x {width} in a row before")
    if index == len(images):
        images[name] = index
        rows.names.append(name)
    if drawn:
        rows.image.append(index)
        if label not in labels:
            labels[label] = len(labels)
            rows.labels.append(label)
        rows.label.append(labels[label])
        for kept, value in zip((rows.begin, rows.end, rows.line), place, strict=True):
            kept.append(value)


def _size(columns: Columns, fields: list[str]) -> tuple[int, int] | None:
    if columns.height is None or columns.width is None:
        return None
    stated = fields[columns.height].strip(), fields[columns.width].strip()
    if stated == ("", ""):
        return None
    for text in stated:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MAX_SIDE):
            raise ValueError(f"Height and Width must lie in 1 to {_MAX_SIDE}, got {text[:20]!r}")
    return int(stated[0]), int(stated[1])


def fields_of(data: bytes) -> list[str]:
    """Return the values of one row, from its bytes."""
    with long_fields:
        return next(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def pixel_runs(text: str, size: tuple[int, int], along_rows: bool = False) -> Int:
    """Return COCO counts of ``start length start length ...``: pixels counted from 1 down the columns, or along rows.

    A `ValueError` says what is wrong: no numbers, an odd number of them, runs outside the image or not in order.
    """
    total = size[0] * size[1]
    if not set(text) <= _DIGITS:
        raise ValueError("EncodedPixels must be numbers with spaces between them: start length start length ...")
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise ValueError("EncodedPixels hold a number that is too large") from None
    if len(numbers) % 2:
        raise ValueError(
            f"EncodedPixels hold {len(numbers)} numbers, but a start needs a length; is the row cut short?"
        )
    start, length = numbers[::2] - 1, numbers[1::2]
    if (start < 0).any() or (length < 1).any():
        raise ValueError("EncodedPixels hold a start or length of 0; pixels are counted from 1")
    if (start >= total).any() or (length > total - start).any():
        raise ValueError(f"EncodedPixels reach beyond the image of {size[0]} x {size[1]} pixels")
    end = start + length
    if (start[1:] < end[:-1]).any():
        raise ValueError("EncodedPixels have runs that overlap or do not rise; are they counted from elsewhere?")
    counts = np.diff(np.stack([start, end], 1).ravel(), prepend=0, append=total)
    if along_rows:  # down the columns of the image on its side
        turned = Masks.from_coco([{"size": size[::-1], "counts": counts}], size[::-1]).transpose()
        counts = np.asarray(turned.to_coco(compressed=False)[0]["counts"])
    return counts
