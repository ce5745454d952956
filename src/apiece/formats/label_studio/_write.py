"""Write a Label Studio export: a task per image, a brush mask per object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from apiece.core.image import ImageRef
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
            key = "annotations" if instances.scores is None else "predictions"
            out.write(("," if i else "") + f'\n{text[:-1]}, "{key}": [')
            for k, (who, rows) in enumerate(_sessions(instances, _WHO[key][0]).items()):
                out.write((",\n" if k else "\n") + f'{{"{_WHO[key][1]}": {who}, "result": [')
                for n in range(0, len(rows), _AT_ONCE):
                    chosen = instances[rows[n : n + _AT_ONCE]]
                    lines = _results(chosen, rows[n : n + _AT_ONCE], path, ref)
                    out.write((",\n" if n else "\n") + ",\n".join(lines))
                out.write("]}")
            out.write("]}")
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
