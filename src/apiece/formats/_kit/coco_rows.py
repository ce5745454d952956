"""Rows of a COCO file that are set right or put aside before the lists are checked."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import Shape
from apiece.formats._kit.checked_rows import Checker, Row

_log = logging.getLogger("apiece")


def one_name_each(path: Path, categories: Any, annotations: Any) -> Any:
    """Return categories without two of one name, as Roboflow lists the group of a class, and the class.

    A category that no annotation uses gives way to another one of its name. Where annotations use several, the last one
    keeps the name, and the others get their id behind it.
    """
    rows = categories if type(categories) is list and all(type(row) is dict for row in categories) else []
    names = Counter(row["name"] for row in rows if type(row.get("name")) is str)
    twice = {name for name, count in names.items() if count > 1}
    if not twice:
        return categories
    notes = [note for note in annotations if type(note) is dict] if type(annotations) is list else []
    parts = (part for note in notes for part in (note, *(note.get("segments_info") or ())) if type(part) is dict)
    ids = {str(part.get("category_id")) for part in parts}  # a text may stand for a number
    used = [str(row.get("id")) in ids for row in rows]
    in_use = {row.get("name") for row, one in zip(rows, used, strict=True) if one}
    kept, seen = [], set()
    for row, one in zip(rows[::-1], used[::-1], strict=True):
        name = row.get("name")
        if name in twice and (one if name in in_use else name not in seen):
            if name in seen:
                row = row | {"name": f"{name} (id {row.get('id')})"}
                _log.warning("%s: several categories are named %r; one is %r here", path, name, row["name"])
            seen.add(name)
            kept.append(row)
        elif name not in twice:
            kept.append(row)
    return kept[::-1]


def without_key_points(
    check: Checker, rows: Any, categories: dict[Any, int], classes: tuple[str, ...]
) -> tuple[Any, dict[Any, tuple[Shape, ...]]]:
    """Return the annotations without those of key points and no outline, and these by the id of their image."""
    given = rows if type(rows) is list else []
    chosen = [i for i, row in enumerate(given) if type(row) is dict and not row.get("segmentation")]
    chosen = [i for i in chosen if given[i].get("keypoints") and type(given[i].get("image_id")) in (int, str)]
    found: dict[Any, list[Shape]] = {}
    for i in chosen:
        label = categories.get(given[i].get("category_id"))
        shape = Shape.of("keypoints", "coco", given[i], [] if label is None else [classes[label]])
        found.setdefault(given[i]["image_id"], []).append(shape)
    if chosen:
        places = np.arange(len(rows)) if check.places is None else check.places
        check.places = np.delete(places, chosen)
        gone = set(chosen)
        rows = [row for i, row in enumerate(rows) if i not in gone]
    return rows, {key: tuple(shapes) for key, shapes in found.items()}


def number_anew(check: Checker, rows: list[Row]) -> int:
    """Give annotations without an id, or with the id of an earlier one, numbers beyond the others; count the latter."""
    given = [row.get("id") for row in rows]
    own = [number for number in given if type(number) is int]
    if len(set(own)) == len(rows):
        return 0
    first, seen = max(max(own, default=0) + 1, 1), set[int]()
    without, twice = list[int](), list[int]()
    for i, number in enumerate(given):
        if number is None:
            without.append(i)
        elif type(number) is int:
            if number in seen:
                twice.append(i)
            seen.add(number)
    for number, i in enumerate(sorted(without + twice), first):
        rows[i] = rows[i] | {"id": number}
    for some, what in ((without, "without an id"), (twice, "with the id of an earlier one")):
        if some:
            said = "%s: %s %s, which are numbered from %d: %d"
            _log.warning(said, check.path, check.key, what, first, len(some))
    return len(twice)
