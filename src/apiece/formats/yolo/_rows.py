"""Rows of YOLO label files: outlines, with a score behind each or behind none, and boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from apiece._arrays import Float
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import read_text
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats.yolo._layout import NOTES

BOX = (5, 6)  # numbers of a row that is a box: class, centre, width, height, and perhaps a score


def first_outline(files: Iterable[Path]) -> tuple[str, str]:
    """Return the place of the first outline if a score stands behind it, else nothing; and how many boxes there are.

    The second text is empty unless all rows are boxes.
    """
    boxes, read = 0, 0
    for path in files:
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    count = len(line.split())
                    if count > BOX[1]:
                        return "" if count % 2 else f"line {number} of {path}", ""
                    boxes += count in BOX
            read += 1
        except OSError:
            continue
    return "", f"all {boxes} rows of {read} label files are boxes (5 numbers, or 6 with a score)" if boxes else ""


def decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    """Return the outlines of an image, whose coordinates are parts of its (height, width); report the bad rows."""
    (numbers, config, scored), file, rows = labels.context, labels.files[index], labels.rows[index]
    lines = [] if file == config else read_text(file, "it must hold rows of numbers").split("\n")
    entries: list[Entry] = []
    found = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found += 1
        with skip_bad(labels.on_bad, file, f"line {number}"):
            if rows and number == len(lines):
                raise BadEntryError(f"is cut short, or remove the image's line in {NOTES} if you edited it")
            entries.append(_entry(line, f"line {number}", size, numbers, scored))
    if found < rows:
        said = f"image {labels.refs[index].name!r} has {found} rows of labels where {rows} were written"
        advice = f"they are cut short; if you removed some, remove the image's line in {NOTES}"
        labels.report(FormatError(file, f"{said}; {advice}"))
    return entries


def decode_boxes(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    """Return the boxes of an image as entries without a pixel, with ``bbox`` (x, y, width, height) and ``area``."""
    (numbers, *_), file, (height, width) = labels.context, labels.files[index], size
    entries = []
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        with skip_bad(labels.on_bad, file, f"line {number}"):
            values = _values(line)
            if len(values) not in BOX:
                raise BadEntryError(f"has {len(values)} numbers; a box has 5, or 6 with a score")
            _check_finite(values)
            x, y, wide, high = values[1:5].tolist()
            box = [(x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height]
            score = float(values[5]) if len(values) == BOX[1] else None
            empty = {"size": [height, width], "counts": [height * width]}
            label, extras = _label(values[0], numbers), {"bbox": box, "area": box[2] * box[3]}
            entries.append(Entry(f"line {number}", label, empty, score=score, extras=extras))
    return entries


def _values(line: str) -> Float:
    try:
        return np.array(line.split(), np.float64)
    except ValueError:
        raise BadEntryError(f"must be numbers, got {line.strip()[:60]!r}") from None


def _check_finite(values: Float) -> None:
    if not np.isfinite(values).all():
        raise BadEntryError("holds a number that is not finite")


def _label(number: float, places: Mapping[int, int]) -> int:
    """Return the position of a class; ``places`` has that of every number."""
    if number not in places:
        known = ", ".join(map(str, list(places)[:8])) + (", ..." if len(places) > 8 else "")
        raise BadEntryError(f"there is no class {number:g} among the names; their numbers are {known}")
    return places[int(number)]


def _entry(line: str, where: str, size: Size, places: Mapping[int, int], scored: str) -> Entry:
    values = _values(line)
    count = len(values)
    if count in BOX:
        more = " with a score" if count == BOX[1] else ""
        raise BadEntryError(f"is a box{more} ({count} numbers), and a box is no mask; draw its outline or remove it")
    if scored and count % 2:
        raise BadEntryError(f"has no score, but {scored} has one: give all rows of the set scores, or none")
    if not scored and count % 2 == 0:
        said = f"has {count} numbers; it must be a class and x, y pairs"
        raise BadEntryError(f"{said}. A score may follow them if it does in all rows of the set, from the first on")
    score = values[-1] if scored else None
    if score is not None and not 0 <= score <= 1:
        raise BadEntryError(f"its last number, {score:g}, must be a score from 0 to 1, as {scored} has one")
    values = values[: count - bool(scored)]
    if len(values) < 7:
        raise BadEntryError(f"has {len(values) // 2} points; at least 3 are needed")
    _check_finite(values)
    label, points = _label(values[0], places), values[1:].reshape(-1, 2)
    if points.min() < -1 or points.max() > 2:
        raise BadEntryError(
            f"has a coordinate outside 0 to 1 ({points.min():g} to {points.max():g}); is it normalised?"
        )
    shape = [[points * np.array([size[1], size[0]])]]
    return Entry(where, label, shape, score=None if score is None else float(score))
