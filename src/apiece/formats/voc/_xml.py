"""The XML file of one image in Pascal VOC: its objects in order, read and written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, whole
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.safe_xml import parse_xml, xml_text

_FLAGS = ("truncated", "difficult", "occluded")
_OBJECT = ("annotation", "object")
_SAID = {"0": False, "1": True, "no": False, "yes": True}  # the words are LabelMe's
_LARGEST = 1 << 26


Texts = dict[tuple[str, ...], list[str]]
"""What elements say, by the names that lead to them."""


@dataclass
class VocObject:
    """One ``<object>``."""

    line: int
    name: str | None = None
    id: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    polygons: list[Texts] = field(default_factory=list)
    texts: Texts = field(default_factory=dict)
    """What has no meaning in VOC: of LabelMe, ``deleted``, ``parts`` and ``segm``."""


@dataclass
class Annotation:
    """The file of one image."""

    head: dict[str, str] = field(default_factory=dict)
    """What it says beside its objects, such as ``filename``, ``size/width`` and ``imagesize/nrows``."""
    objects: list[VocObject] = field(default_factory=list)


def read_objects(path: Path) -> list[VocObject]:
    """Return every object in file order; what is wrong with one is in its ``fault``."""
    return read_annotation(path).objects


def read_annotation(path: Path) -> Annotation:
    """Return what the file of an image says; what is wrong with an object is in its ``fault``."""
    if path.stat().st_size > _LARGEST:
        raise FormatError(path, f"is larger than the annotation of any image ({_LARGEST} bytes)")
    said = Annotation()
    found = said.objects
    where: list[str] = []
    pending: list[str] = []

    def start(name: str, attributes: dict[str, str], line: int) -> None:
        where.append(name)
        if len(where) == 1 and name != "annotation":
            raise FormatError(path, f"line {line}: begins with <{name}>, not with <annotation>")
        if tuple(where) == _OBJECT:
            found.append(VocObject(line))

    def end(name: str, text: str) -> None:
        inner = tuple(where[2:])
        if tuple(where[:2]) == _OBJECT and inner:
            try:
                _take(found[-1], inner, text, pending)
            except BadEntryError as error:
                found[-1].fault = found[-1].fault or str(error)
        elif tuple(where[:2]) != _OBJECT:
            said.head["/".join(where[1:])] = text.strip()
        where.pop()

    parse_xml(path, start, end)
    return said


def _take(found: VocObject, inner: tuple[str, ...], text: str, pending: list[str]) -> None:
    """Take one element inside an object; ``inner`` are the names from there down."""
    if inner == ("name",):
        found.name = text
    elif inner == ("instance_id",):
        found.id = whole(text, "instance_id")
    elif inner == ("pose",):
        found.extras["pose"] = text
    elif len(inner) == 1 and inner[0] in _FLAGS and text.strip():
        if text.strip() not in _SAID:
            raise BadEntryError(f"{inner[0]} must be 0 or 1, got {text.strip()[:40]!r}")
        found.extras[inner[0]] = _SAID[text.strip()]
    elif inner == ("attributes", "attribute", "name"):
        pending[:] = [text]
    elif inner == ("attributes", "attribute", "value"):
        if not pending:
            raise BadEntryError("an attribute has a value before its name")
        found.extras[pending.pop()] = _value(text)
    elif inner[0] == "part" and len(inner) > 1:
        parts = found.extras.setdefault("part", [])
        if not parts or (inner[1] == "name" and "name" in parts[-1]):
            parts.append({})
        within = parts[-1].setdefault("bndbox", {}) if inner[1] == "bndbox" and len(inner) > 2 else parts[-1]
        if inner[1:] != ("bndbox",):
            within[inner[-1]] = text if inner[1] == "name" else _value(text)
    elif inner[0] in ("point", "actions") and len(inner) == 2:
        found.extras.setdefault(inner[0], {})[inner[1]] = _value(text)
    elif inner == ("polygon",):
        of_it = [key for key in found.texts if key[0] == "polygon"]
        found.polygons.append({key[1:]: found.texts.pop(key) for key in of_it})
    elif text.strip():
        found.texts.setdefault(inner, []).append(text.strip())


def _value(text: str) -> Any:
    """Return a value: `annotation_text` writes JSON, others write plain text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def annotation_text(ref: ImageRef, instances: Instances, path: Path) -> str:
    """Return the file of one image; boxes count pixels from 1, both ends included, as VOC's do."""
    height, width = instances.size
    where = f"image {ref.name!r}"

    def text(value: str) -> str:
        return xml_text(path, value, where)

    lines = [
        "<annotation>",
        f"\t<filename>{text(ref.name)}</filename>",
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "\t<segmented>1</segmented>",
    ]
    boxes = instances.boxes.astype(int).tolist()
    columns = {key: values.tolist() for key, values in instances.attributes.items()}
    flags = [k for k in _FLAGS if k in columns and all(type(v) is bool for v in columns[k])]
    if "pose" in columns and all(type(v) is str for v in columns["pose"]):
        flags.insert(0, "pose")
    rest = [key for key in columns if key not in flags]
    ids = None if instances.ids is None else instances.ids.tolist()
    for k, (label, (x0, y0, x1, y1)) in enumerate(zip(instances.names, boxes, strict=True)):
        lines.append(f"\t<object>\n\t\t<name>{text(label)}</name>")
        for key in flags:
            value = columns[key][k]
            lines.append(f"\t\t<{key}>{text(value) if key == 'pose' else int(value)}</{key}>")
        if ids is not None and ids[k] != k + 1:
            lines.append(f"\t\t<instance_id>{ids[k]}</instance_id>")
        lines.append(
            f"\t\t<bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        )
        if rest:
            said = {key: text(dump_json(path, columns[key][k], f"{where}, attribute {key!r}")) for key in rest}
            pairs = (f"<name>{text(key)}</name><value>{value}</value>" for key, value in said.items())
            lines.append("\t\t<attributes>" + "".join(f"<attribute>{p}</attribute>" for p in pairs) + "</attributes>")
        lines.append("\t</object>")
    return "\n".join([*lines, "</annotation>", ""])
