"""Prompts as a person writes them: ``--point``, ``--box``, ``--mask``, and files of many.

A point is ``X,Y``, then ``+`` or ``-``, then the number of its object, from 1; a box is ``X0,Y0,X1,Y1``, then the
number. Points without a number are of object 1. One box without a number is of object 1, too, and several boxes
without numbers are an object each; beside points these need numbers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apiece import formats
from apiece.core.masks import Masks, label_map_masks
from apiece.core.prompts import Prompts
from apiece.errors import FormatError, Message, Option, PromptError
from apiece.images import read_image

_SIGNS = {"+": True, "-": False, "1": True, "0": False, "": True}
_POINT = "a point is X,Y, then + (on the object, the default) or -, then its object's number: 812,430 or 300,200,-,2"
_BOX = "a box is X0,Y0,X1,Y1, then its object's number: 100,80,400,300 or 100,80,400,300,2"


def parse_prompts(points: Sequence[str], boxes: Sequence[str], mask: Path | None) -> Prompts | None:
    """Return the prompts of options; None where there are none."""
    if not (points or boxes or mask):
        return None
    at = [_point(text) for text in points]
    drawn = [_box(text) for text in boxes]
    numbered = [number for _, number in drawn if number is not None]
    if numbered and len(numbered) < len(drawn):
        raise PromptError("some boxes have the number of their object and some have none: " + _BOX)
    if len(drawn) > 1 and at and not numbered:
        raise PromptError(
            f"{len(drawn)} boxes are {len(drawn)} objects, so each point and each box needs the number of its own: "
            + Option("point", "X,Y,+,2") + " and " + Option("box", "X0,Y0,X1,Y1,2")
        )  # fmt: skip
    owner = [1 if number is None else number for *_, number in at]
    of_boxes = numbered or list(range(1, len(drawn) + 1))
    return _gathered(
        [place for place, *_ in at], [sign for _, sign, _ in at], owner, [box for box, _ in drawn], of_boxes,
        None if mask is None else _masks(mask),
    )  # fmt: skip


def _point(text: str) -> tuple[tuple[float, ...], bool, int | None]:
    parts = [part.strip() for part in text.split(",")]
    sign, number = True, None
    try:
        place = float(parts[0]), float(parts[1])
        rest = parts[2:]
        if rest and rest[0] in ("+", "-"):
            sign, rest = _SIGNS[rest[0]], rest[1:]
        if rest:
            (one,) = rest
            number = int(one)
    except (ValueError, IndexError):
        raise PromptError("cannot read " + Option("point", text) + f": {_POINT}") from None
    return place, sign, number


def _box(text: str) -> tuple[tuple[float, ...], int | None]:
    parts = text.split(",")
    try:
        if len(parts) not in (4, 5):
            raise ValueError
        return tuple(map(float, parts[:4])), int(parts[4]) if len(parts) == 5 else None
    except ValueError:
        raise PromptError("cannot read " + Option("box", text) + f": {_BOX}") from None


def _gathered(
    points: Sequence[Sequence[float]],
    signs: Sequence[bool],
    owner: Sequence[int],
    boxes: Sequence[Sequence[float]],
    of_boxes: Sequence[int],
    masks: Masks | None = None,
) -> Prompts:
    """Return prompts whose objects are numbered from 1."""
    if min([*owner, *of_boxes], default=1) < 1:
        raise PromptError("objects are numbered from 1")
    if len(set(of_boxes)) < len(of_boxes):
        raise PromptError("an object has two boxes; an object has one box at most")
    padded = np.full((max(of_boxes, default=0), 4), np.nan)
    if len(of_boxes):
        padded[np.array(of_boxes) - 1] = boxes
    place = np.array(points, np.float64).reshape(-1, 2)
    return Prompts.of(place, signs, np.array(owner, np.int64) - 1, padded, masks)


def _masks(path: Path) -> Masks:
    """Return the masks of a label image: value k is what is known of object k."""
    pixels = read_image(path).pixels
    if pixels.shape[2] != 1 or pixels.dtype.kind not in "bui":
        raise PromptError(
            Message(
                f"{path} is a photo, not masks: it has {pixels.shape[2]} channels of {pixels.dtype}. ",
                Option("mask", ...),
                " takes a label image: one channel of whole numbers, where 0 is background and 1 is object 1, such as "
                "a PNG of ",
                Option("save", "labelmap"),
            )
        )
    values, masks = label_map_masks(pixels[:, :, 0])
    numbers = values.astype(np.int64)
    if len(numbers) and (numbers.min() < 1 or numbers.max() > 65535):
        raise PromptError(f"{path}: the values of earlier masks are the numbers of objects, 1 to 65535")
    return masks.merge(numbers - 1, int(numbers.max(initial=0)))


# --- files ------------------------------------------------------------------------------------------------------------


def read_prompts(path: Path) -> dict[str, Prompts]:
    """Read the prompts of many images by image name: CSV, JSON, or a COCO file that `apiece segment` wrote.

    CSV has a header with ``x`` and ``y``, or ``x0``, ``y0``, ``x1``, ``y1``; and ``image``, ``object`` and ``sign``
    (+ or -), all of which may be left out. Without ``object`` every row is an object of its own. JSON maps each image
    to its objects, as `Prompts.to_json` gives them.

    Raises
    ------
    FormatError
        If the file is none of these; says the line or the image.
    """
    if not path.is_file():
        raise FormatError(path, "does not exist" if not path.exists() else "is no file; name one with points")
    if path.suffix.lower() == ".csv":
        return _from_csv(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise FormatError(path, f"is neither CSV nor JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise FormatError(path, 'maps no images to objects: {"photo.jpg": [{"points": [[812, 430, 1]]}]}')
    if "annotations" in content and "images" in content:
        return _from_coco(path)
    return {name: _of_image(path, name, entries) for name, entries in content.items()}


def _of_image(path: Path, name: str, entries: Any, size: tuple[int, int] | None = None) -> Prompts:
    if not isinstance(entries, list):
        raise FormatError(path, f"image {name!r}: must be a list of objects, got {type(entries).__name__}")
    try:
        return Prompts.from_json(entries, size)
    except PromptError as error:
        raise FormatError(path, Message(f"image {name!r}: ", error.message)) from error


def _from_coco(path: Path) -> dict[str, Prompts]:
    """Return the prompts that the instances of a COCO file have as attributes; what was found for words has none."""
    found = {}
    for ref, instances in formats.read(path, format="coco"):
        entries = [
            {key: value for key, value in entry.items() if key in ("points", "box", "mask")}
            for entry in instances.attributes.get("prompt", np.zeros(0, object)).tolist()
            if isinstance(entry, Mapping) and "text" not in entry
        ]
        if entries:
            found[ref.name] = _of_image(path, ref.name, entries, instances.size)
    if not found:
        raise FormatError(path, "has no instances with prompts; apiece segment writes such files")
    return found


def _from_csv(path: Path) -> dict[str, Prompts]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        known = {"image", "object", "sign", "x", "y", "x0", "y0", "x1", "y1"}
        if not ({"x", "y"} <= columns or {"x0", "y0", "x1", "y1"} <= columns) or columns - known:
            raise FormatError(path, f"needs a header out of {', '.join(sorted(known))}; it has {', '.join(columns)}")
        rows: dict[str, _Rows] = {}
        for row in reader:
            try:
                rows.setdefault(row.get("image") or "", _Rows("object" in columns)).add(row)
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError(path, f"line {reader.line_num}: {error}") from error
    if not rows:
        raise FormatError(path, "has no rows")
    found = {}
    for name, one in rows.items():
        try:
            found[name] = _gathered(one.points, one.signs, one.owner, one.boxes, one.of_boxes)
        except PromptError as error:
            raise FormatError(path, Message(f"image {name!r}: " if name else "", error.message)) from error
    return found


class _Rows:
    """The rows of one image."""

    def __init__(self, numbered: bool) -> None:
        self.numbered, self.rows = numbered, 0
        self.points: list[list[float]] = []
        self.boxes: list[list[float]] = []
        self.signs: list[bool] = []
        self.owner: list[int] = []
        self.of_boxes: list[int] = []

    def add(self, row: Mapping[str, str | None]) -> None:
        """Take a row: a point, a box, or both."""
        self.rows += 1
        number = int(row["object"] or "") if self.numbered else self.rows
        sign = (row.get("sign") or "").strip()
        if sign not in _SIGNS:
            raise ValueError(f"sign is + or -, not {sign!r}")
        if row.get("x"):
            if not _SIGNS[sign] and not self.numbered:
                raise ValueError("a negative point needs the number of its object: add the column object")
            self.points.append([float(row["x"] or ""), float(row["y"] or "")])
            self.signs.append(_SIGNS[sign])
            self.owner.append(number)
        if row.get("x0"):
            self.boxes.append([float(row[key] or "") for key in ("x0", "y0", "x1", "y1")])
            self.of_boxes.append(number)
        if not (row.get("x") or row.get("x0")):
            raise ValueError("has neither a point nor a box")
