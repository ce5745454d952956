"""Write a Label Studio export: a task per image, a brush mask per object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import LossyFormatError
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.said import said_of
from apiece.formats._kit.written import Names, text_file
from apiece.formats.contract import Record
from apiece.formats.label_studio._brush import encode_brush

_AT_ONCE = 256  # masks encoded together
_WHO = {"annotations": ("annotator", "completed_by"), "predictions": ("model_version", "model_version")}


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file of tasks; images of 2**30 pixels or more are refused as a loss, and scores on some images only."""
    names, scored = Names(path), set[bool]()
    with text_file(path) as out:
        out.write("[")
        for i, (ref, instances) in enumerate(records):
            names.once(ref)
            _check(ref, instances, path, scored)
            width, height = instances.size[1], instances.size[0]
            note: dict[str, Any] = {"classes": list(classes)} if i == 0 else {}
            if ref.attributes:
                note["image"] = dict(ref.attributes)
            link = "/data/local-files/?d=" + quote(ref.name)
            task: dict[str, Any] = {
                "id": i + 1 if ref.id is None else ref.id,
                "data": {"image": link, "width": width, "height": height},
                "meta": {"apiece": note} if note else {},
            }
            text = dump_json(path, task, f"image {ref.name!r}")
            own = "annotations" if instances.scores is None else "predictions"
            out.write(("," if i else "") + f"\n{text[:-1]}")
            for key in _WHO:
                sessions = _sessions(instances, _WHO[key][0]) if key == own else {}
                results, whole = _no_masks(ref, key, path)
                out.write(f', "{key}": [' if sessions or results or whole else "")
                for k, who in enumerate(dict.fromkeys((*sessions, *results))):
                    out.write((",\n" if k else "\n") + f'{{"{_WHO[key][1]}": {who}, "result": [')
                    rows = sessions.get(who, [])
                    for n in range(0, len(rows), _AT_ONCE):
                        chosen = instances[rows[n : n + _AT_ONCE]]
                        lines = _results(chosen, rows[n : n + _AT_ONCE], path, ref)
                        out.write((",\n" if n else "\n") + ",\n".join(lines))
                    lines = results.get(who, [])
                    out.write((",\n" if rows and lines else "") + ",\n".join(lines) + "]}")
                out.write((",\n" if (sessions or results) and whole else "") + ",\n".join(whole))
                out.write("]" if sessions or results or whole else "")
            out.write("}")
        out.write("\n]\n")


def _check(ref: ImageRef, instances: Instances, path: Path, scored: set[bool]) -> None:
    if instances.size[0] * instances.size[1] >= 1 << 30:
        raise LossyFormatError(path, f"image {ref.name!r}: brush masks hold fewer than 2**30 pixels")
    if len(instances):
        scored.add(instances.scores is not None)
    if len(scored) > 1:
        raise LossyFormatError(
            path, f"image {ref.name!r}: a file of labels and predictions cannot say which is which; write two files"
        )


def _sessions(instances: Instances, attribute: str) -> dict[str, list[int]]:
    """Return rows by who drew them; all of them as one where their order would change."""
    values = instances.attributes.get(attribute)
    whole = {"null": list(range(len(instances)))}
    if values is None or values.ndim != 1:
        return whole
    found: dict[str, list[int]] = {}
    for i, value in enumerate(values.tolist()):
        if type(value) not in (int, str):
            return whole
        found.setdefault(json.dumps(value), []).append(i)
    return found if [i for rows in found.values() for i in rows] == whole["null"] else whole


def _no_masks(ref: ImageRef, key: str, path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return what is no mask under a key of the task: results by who drew them, and whole sessions."""
    results: dict[str, list[str]] = {}
    whole = []
    for shape in ref.shapes:
        content, where = shape.content, f"image {ref.name!r}"
        if content["key"] == key and "session" in content:
            whole.append(dump_json(path, content["session"], where))
        elif content["key"] == key:
            who = dump_json(path, content["who"], where)
            results.setdefault(who, []).append(dump_json(path, _renamed(content["result"], shape), where))
    return results, whole


def _renamed(result: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return a result under the names that its labels have now."""
    if not shape.labels:
        return result
    named = {k: v for k, v in result["value"].items() if k.endswith("labels") and type(v) is list}
    return result | {"value": result["value"] | {k: list(map(shape.now, names)) for k, names in named.items()}}


def _results(instances: Instances, rows: list[int], path: Path, ref: ImageRef) -> list[str]:
    where = f"image {ref.name!r}"
    height, width = instances.size
    lines = []
    for row, said, codes in zip(rows, said_of(instances), encode_brush(instances.masks), strict=True):
        region = said.attributes.pop("region", None)
        note: dict[str, Any] = {"attributes": said.attributes} if said.attributes else {}
        if type(region) is not str:
            note |= {} if region is None else {"attributes": said.attributes | {"region": region}}
            region, note["numbered"] = f"r{row}", True  # Label Studio wants an id, and the region has none
        if said.id is not None:
            note["id"] = said.id
        if said.crowd:
            note["crowd"] = True
        result: dict[str, Any] = {"id": region, "type": "brushlabels", "from_name": "label", "to_name": "image"}
        result |= {"original_width": width, "original_height": height, "image_rotation": 0}
        result["value"] = {"format": "rle", "rle": codes, "brushlabels": [said.name]}
        if said.score is not None:
            result["score"] = said.score
        if note:
            result["meta"] = {"apiece": note}
        lines.append(dump_json(path, result, where))
    return lines
