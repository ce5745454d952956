"""VIA's three kinds of file as one: images, each with its regions, and which region attribute is the class."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece._strict_json import StrictError, kind_of, parse
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, an_object, skip_bad
from apiece.formats._kit.files import read_text
from apiece.formats._kit.json_files import load_object
from apiece.formats._kit.long_csv import long_fields
from apiece.formats.contract import OnBad, refuse

_log = logging.getLogger("apiece")
COLUMNS = (
    "filename", "file_size", "file_attributes", "region_count", "region_id",
    "region_shape_attributes", "region_attributes",
)  # fmt: skip
MARK = "apiece"
"""Key in an attribute's definition that says what `write` keeps in it."""
_CLASS_NAMES = ("class", "label", "category", "name", "type", "object", "object_type", "class_name")
_CHOICES = ("dropdown", "radio")


@dataclass
class Picture:
    """One image and its regions, unchecked."""

    where: str
    name: Any
    attributes: dict[str, Any]
    regions: list[tuple[str, Any, Any]] = field(default_factory=list)
    """(place in the file, shape attributes, region attributes) of each."""


@dataclass
class Table:
    """A whole file."""

    pictures: list[Picture]
    definitions: dict[str, Any]
    """What a project says of its attributes: ``{"region": ..., "file": ...}``."""
    folder: str = ""
    """Where a project says its images are."""


def read_table(path: Path, on_bad: OnBad) -> Table:
    """Read a project, exported annotations as JSON, or as CSV; told apart by content."""
    try:
        with path.open("rb") as file:
            head = file.read(4).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    if not head.startswith((b"{", b"[")):
        return Table(_from_csv(path, on_bad), {})
    document, _ = load_object(path)
    key, folder = "", ""
    table: Any = document
    if "_via_img_metadata" in document:
        key, table = "_via_img_metadata", document["_via_img_metadata"]
        core = _inner(_inner(document, "_via_settings"), "core")
        folder = core["default_filepath"] if type(core.get("default_filepath")) is str else ""
    if type(table) is not dict:
        raise FormatError(path, f"{key}: must be an object of images, got {kind_of(table)}")
    if key == "" and not any(type(v) is dict and {"filename", "regions"} <= set(v) for v in table.values()):
        raise FormatError(path, "is neither a VIA project nor annotations exported from VIA")
    pictures = []
    for name, found in table.items():
        where = f"{key}[{name!r}]" if key else repr(name)
        with skip_bad(on_bad, path, where):
            pictures.append(_picture(an_object(found), where))
    defined = _inner(document, "_via_attributes") if key else {}
    return Table(pictures, {kind: _inner(defined, kind) for kind in ("region", "file")}, folder)


def _inner(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if type(found) is dict else {}


def _picture(found: dict[str, Any], where: str) -> Picture:
    regions, attributes = found.get("regions"), found.get("file_attributes") or {}
    if type(regions) is dict:
        regions = list(regions.values())  # as VIA 1 has them, by number
    if type(regions) is not list or type(attributes) is not dict:
        raise BadEntryError("regions must be a list and file_attributes an object")
    picture = Picture(where, found.get("filename"), attributes)
    for k, region in enumerate(regions):
        place = f"{where}.regions[{k}]"
        shape = region.get("shape_attributes") if type(region) is dict else region
        picture.regions.append((place, shape, region.get("region_attributes") if type(region) is dict else {}))
    return picture


def _from_csv(path: Path, on_bad: OnBad) -> list[Picture]:
    pictures: dict[str, Picture] = {}
    counts: dict[str, int] = {}
    for line, row in _rows(path):
        where = f"line {line}"
        with skip_bad(on_bad, path, where):
            if len(row) != len(COLUMNS) or not row[0]:
                raise BadEntryError(f"has {len(row)} columns of {len(COLUMNS)}, or no filename")
            own, shape, attributes = (_object(row[k], COLUMNS[k]) for k in (2, 5, 6))
            count = int(row[3]) if row[3].isascii() and row[3].isdigit() and len(row[3]) < 10 else -1
            if count < 0:
                raise BadEntryError(f"region_count: must be a number, got {row[3][:40]!r}")
            picture = pictures.setdefault(row[0], Picture(where, row[0], own))
            counts[row[0]] = count
            if shape:
                picture.regions.append((where, shape, attributes))
    off = [name for name, picture in pictures.items() if len(picture.regions) != counts[name]]
    if off:
        picture, count = pictures[off[-1]], counts[off[-1]]
        said = f"{off[-1]!r} has {count} regions by its region_count, but {len(picture.regions)} good rows"
        if off[-1] == list(pictures)[-1] and len(picture.regions) < count:
            refuse(FormatError(path, f"{picture.where}: {said}; the file may be cut short"), on_bad)
        else:  # edited by hand or by another tool; nothing is missing at the end
            _log.warning("%s: %s, and so for %d images in all; the rows count", path, said, len(off))
    return list(pictures.values())


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = read_text(path)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        with long_fields:
            found = [(rows.line_num, row) for row in rows if row]
    except csv.Error as error:
        raise FormatError(path, f"line {rows.line_num}: is no CSV ({error})") from None
    header = [name.lstrip("#").strip() for name in found[0][1]] if found else []
    if tuple(header) != COLUMNS:
        raise FormatError(path, f"line 1: must be VIA's header, {','.join(COLUMNS)}")
    yield from found[1:]


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        return an_object(parse((text or "{}").encode(), thorough=False), name)
    except (StrictError, UnicodeEncodeError) as error:
        raise BadEntryError(f"{name}: is no JSON ({error})") from None


def class_attribute(path: Path, table: Table) -> str | None:
    """Return the region attribute that says the class; None if regions have no attributes at all.

    It is the one `write` marked; else the first of class, label, category, name, type ...; else the only one; else the
    only one with a list of choices. A number is no class unless its name says so. Several that could be it refuse the
    file.
    """
    defined = table.definitions.get("region", {})
    marked = [name for name, d in defined.items() if type(d) is dict and d.get(MARK) == "class"]
    if marked:
        return marked[0]
    seen = [a for picture in table.pictures for _, _, a in picture.regions if type(a) is dict]
    names = list(dict.fromkeys([*defined, *(name for a in seen for name in a)]))
    by_lower = {name.lower(): name for name in reversed(names)}
    known = next((by_lower[word] for word in _CLASS_NAMES if word in by_lower), None)
    values = [a[names[0]] for a in seen if names and names[0] in a]
    if len(names) == 1 and known is None and values and all(type(v) in (int, float) for v in values):
        return None  # measured, not chosen
    if known is not None or len(names) < 2:
        return known or (names[0] if names else None)
    choices = [n for n in names if type(defined.get(n)) is dict and defined[n].get("type") in _CHOICES]
    if len(choices) == 1:
        return choices[0]
    named = ", ".join(map(repr, names[:10]))
    raise FormatError(path, f"regions have the attributes {named}; rename the one that is the class to 'class'")


def class_name(value: Any) -> Any:
    """Return what the class attribute says as a name: a number is the text of it."""
    if type(value) not in (int, float):
        return value
    return str(int(value)) if float(value).is_integer() else repr(value)
