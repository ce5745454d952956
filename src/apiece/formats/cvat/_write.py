"""Write CVAT XML "for images": a mask element per object, attributes declared with the labels."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from apiece._arrays import Bool
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import LossyFormatError
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.safe_xml import xml_text
from apiece.formats._kit.said import refuse_own
from apiece.formats._kit.written import Names, text_file
from apiece.formats.contract import Record
from apiece.formats.cvat._model import Element

JSON_VALUES = "apiece:json"
"""What a text attribute whose text is JSON declares as its values."""
_AT_ONCE = 256  # masks encoded together
_CROP = 1 << 20
_OWN = ("apiece_id", "apiece_score", "apiece_crowd")
_ELEMENT = {"occluded": (bool,), "z_order": (int,), "group_id": (int,), "source": (str,)}


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file.

    Text that XML cannot hold is refused as a loss, and an attribute that is of different kinds on two images.
    """
    said = metadata.get("cvat", {})
    writer = _Writer(path, classes, said)
    # what the head declares is known only when the last image has been written
    with text_file(path) as out, _unnamed(path.parent) as body:
        count = 0
        for ref, instances in records:
            writer.image(body, ref, instances, count)
            count += 1
        body.seek(0)
        out.write(writer.head(said.get("task", {}).get("name", "apiece"), count))
        shutil.copyfileobj(body, out)
        out.write("</annotations>\n")


def _unnamed(folder: Path) -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)


class _Writer:
    def __init__(self, path: Path, classes: tuple[str, ...], said: Mapping[str, Any]) -> None:
        self.path, self.said = path, said
        self._text = functools.partial(xml_text, path)
        self.names_of = classes
        self.classes = [self._text(name, "class names") for name in classes]
        self.kinds: dict[str, str] = {}
        self.names = Names(path)
        self.ids: set[int] = set()

    def head(self, name: str, count: int) -> str:
        kinds = [
            f"            <attribute>\n"
            f"              <name>{self._text(key, 'attributes')}</name>\n"
            f"              <mutable>False</mutable>\n"
            f"              <input_type>{'text' if kind == 'json' else kind}</input_type>\n"
            f"              <default_value></default_value>\n"
            f"              <values>{JSON_VALUES if kind == 'json' else ''}</values>\n"
            f"            </attribute>\n"
            for key, kind in self.kinds.items()
        ]
        attributes = f"          <attributes>\n{''.join(kinds)}          </attributes>\n"
        labels = [
            f"        <label>\n{self._facts(known)}{attributes}        </label>\n"
            for known in (*map(self._label, self.names_of), *self.said.get("joints", ()))
        ]
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
            f"      <name>{self._text(name, 'task name')}</name>\n      <size>{count}</size>\n"
            "      <mode>annotation</mode>\n      <labels>\n"
            f"{''.join(labels)}      </labels>\n    </task>\n  </meta>\n"
        )

    def _label(self, name: str) -> dict[str, str]:
        """Return what is declared of a class: a skeleton stays one, and any other may hold masks."""
        known = dict(self.said.get("labels", {}).get(name, {})) | {"name": name}
        return known if known.get("type") == "skeleton" else known | {"type": "any"}

    def _facts(self, known: Mapping[str, str]) -> str:
        order = [key for key in ("name", "color", "type", "svg", "parent") if key in known]
        return "".join(f"          <{key}>{self._text(known[key], 'labels')}</{key}>\n" for key in order)

    def _element(self, element: Element, labels: Mapping[str, str], where: str, indent: str = "    ") -> str:
        """Return a shape that is no mask as it was, under the name that its class has now."""
        given = dict(element.attributes)
        if "label" in given:
            given["label"] = labels.get(given["label"], given["label"])
        if element.name == "attribute":
            self.kinds.setdefault(given.get("name", ""), "text")
        head = "".join(f' {name}="{self._text(value, where)}"' for name, value in given.items())
        inner = "".join(f"\n{self._element(e, {}, where, indent + '  ')}" for e in element.children)
        inner += f"\n{indent}" if element.children else self._text(element.text, where)
        return f"{indent}<{element.name}{head}>{inner}</{element.name}>"

    def image(self, out: IO[str], ref: ImageRef, instances: Instances, index: int) -> None:
        where = f"image {ref.name!r}"
        name = self.names.once(ref)
        number = ref.id if isinstance(ref.id, int) and ref.id not in self.ids else index
        while number in self.ids:
            number += 1
        self.ids.add(number)
        height, width = instances.size
        out.write(f'  <image id="{number}" name="{self._text(name, where)}" width="{width}" height="{height}">\n')
        for k in range(0, len(instances), _AT_ONCE):
            out.writelines(self._shapes(instances[k : k + _AT_ONCE], where))
        out.writelines(self._element(shape.content, shape.labels, where) + "\n" for shape in ref.shapes)
        out.write("  </image>\n")

    def _shapes(self, instances: Instances, where: str) -> list[str]:
        said = self._said(instances, where)
        columns = {self._text(name, where): self._column(name, values, where) for name, values in said}
        element = {name: instances.attributes[name].tolist() for name in _ELEMENT if name in instances.attributes}
        labels = instances.labels.tolist()
        lines = []
        for k, mask in enumerate(_encoded(instances.masks)):
            own = {name: values[k] if type(values[k]) in _ELEMENT[name] else None for name, values in element.items()}
            source = self._text(own.get("source") or "manual", where)
            group = f' group_id="{own["group_id"]}"' if own.get("group_id") else ""
            values = [
                f'      <attribute name="{name}">{column[k]}</attribute>\n'
                for name, column in columns.items()
                if column[k] is not None
            ]
            head = f'label="{self.classes[labels[k]]}" source="{source}" occluded="{int(bool(own.get("occluded")))}"'
            order = f'z_order="{own.get("z_order") or 0}"{group}'
            lines.append(f"    <mask {head} {mask} {order}>\n{''.join(values)}    </mask>\n")
        return lines

    def _said(self, instances: Instances, where: str) -> list[tuple[str, list[Any]]]:
        """Return everything that goes into attributes: name, and a value or None for each instance."""
        found: list[tuple[str, list[Any]]] = []
        if instances.ids is not None:
            found.append(("apiece_id", instances.ids.tolist()))
        if instances.scores is not None:
            found.append(("apiece_score", instances.scores.tolist()))
        if instances.crowd.any():
            found.append(("apiece_crowd", [c or None for c in instances.crowd.tolist()]))
        refuse_own(self.path, where, instances, _OWN, "apiece")
        for name, array in instances.attributes.items():
            values = array.tolist()
            plain = [v for v in values if v is not None]
            # CVAT leaves out an element's attribute with its default value, so that only other values come back
            if name not in _ELEMENT or not all(type(v) in _ELEMENT[name] and v and v != "manual" for v in plain):
                found.append((name, values))
        return found

    def _column(self, name: str, values: list[Any], where: str) -> list[str | None]:
        """Return the values as XML text, their kind declared."""
        types = {type(v) for v in values if v is not None}
        if not types:
            return values
        fits = types <= {int, float} and all(type(v) is not int or -(2**63) <= v < 2**63 for v in values)
        kind = "checkbox" if types == {bool} else "number" if fits else "text" if types == {str} else "json"
        declared = self.kinds.setdefault(name, kind)
        if declared not in (kind, "json"):  # anything can be said as JSON
            raise LossyFormatError(
                self.path,
                f"{where}, attribute {name!r}: is {kind} here and {declared} on an earlier image; CVAT wants one kind",
            )
        return [None if v is None else self._value(v, declared, f"{where}, attribute {name!r}") for v in values]

    def _value(self, value: Any, kind: str, where: str) -> str:
        if kind == "checkbox":
            return "true" if value else "false"
        if kind == "number":
            if not np.isfinite(value):
                raise LossyFormatError(self.path, f"{where}: CVAT cannot hold {value}; leave it out")
            return repr(value)
        if kind == "json":
            value = dump_json(self.path, value, where)
        return self._text(value, where)


def _encoded(masks: Masks) -> list[str]:
    """Return each mask as the attributes of its element: run-lengths by rows of its box, and the box."""
    boxes = masks.boxes.astype(np.int64)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    small = wide * high <= _CROP
    crops = dict(zip(np.flatnonzero(small).tolist(), masks[small].to_crops()[0], strict=True))
    found = []
    for k, (left, top, right, bottom) in enumerate(boxes.tolist()):
        if right == left:  # no pixel: a box of one background pixel
            found.append('rle="1" left="0" top="0" width="1" height="1"')
            continue
        if k in crops:
            counts = _counts(crops[k].ravel())
        else:
            window = masks[k : k + 1].crop(left, top, right, bottom)
            counts = window.transpose().to_coco(compressed=False)[0]["counts"]
        text = ", ".join(map(str, counts))
        found.append(f'rle="{text}" left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"')
    return found


def _counts(flat: Bool) -> list[int]:
    """Return the lengths of runs in turn, background first."""
    cuts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts: list[int] = np.diff(np.concatenate([[0], cuts, [len(flat)]])).tolist()
    return [0, *counts] if flat[0] else counts
