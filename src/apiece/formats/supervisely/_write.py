"""Write a Supervisely project: bitmaps, tags, and ``meta.json`` at the end, when all tags are known."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.png_in_text import to_png
from apiece.formats._kit.written import Names, atomic_folder
from apiece.formats.contract import Record

NO_FOLDER = "ds0"
"""The dataset of images whose names have no folder: Supervisely knows no images outside datasets."""
OWN = "apiece"
"""Key of an object for values that no tag holds."""
_COLOURS = ("#E6194B", "#3CB44B", "#4363D8", "#F58231", "#911EB4", "#42D4F4", "#F032E6", "#BFEF45")


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a project folder without images: ``meta.json`` and ``DATASET/ann/IMAGE.json``."""
    meta = dict(metadata.get("supervisely", {}))
    tags = _Tags(meta.get("tags", []))
    names = Names(path)
    masked, bare = set[str](), set[str]()  # classes of masks, and of what is no mask
    with atomic_folder(path) as folder:
        for ref, instances in records:
            target = _target(path, ref)
            names.take(target, ref, target)
            document = _document(path, ref, instances, tags)
            masked.update(instances.names)
            bare.update(name for shape in ref.shapes for name in shape.labels.values())
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / target).write_text(_text(path, f"image {ref.name!r}", document), "utf-8", newline="\n")
        meta |= {"classes": _classes(classes, meta.get("classes", []), masked, bare), "tags": list(tags.metas.values())}
        meta.setdefault("projectType", "images")
        (folder / "meta.json").write_text(_text(path, "meta.json", meta), "utf-8", newline="\n")


def _text(path: Path, where: str, document: Any) -> str:
    return dump_json(path, document, where, ascii=False) + "\n"


def _target(path: Path, ref: ImageRef) -> str:
    """Return where the annotation of an image goes, in the project."""
    name = ref.name.replace("\\", "/")
    parts = name.split("/")
    if any(part.startswith(".") or not part for part in parts):
        raise FormatError(path, f"image name {ref.name!r} has a hidden part; rename it")
    if parts[0] == NO_FOLDER and len(parts) == 2:
        raise FormatError(path, f"image {ref.name!r}: {NO_FOLDER!r} is for images without a folder; rename the folder")
    datasets = parts[:-1] or [NO_FOLDER]
    return "/datasets/".join(datasets) + f"/ann/{parts[-1]}.json"


def _classes(
    classes: tuple[str, ...], known: list[dict[str, Any]], masked: set[str], bare: set[str]
) -> list[dict[str, Any]]:
    """Return what the project says of each class; masks are bitmaps, and a class of other shapes besides is ``any``."""
    before = {entry["title"]: entry for entry in known}
    found = []
    for i, name in enumerate(classes):
        fresh = {"title": name, "color": _COLOURS[i % len(_COLOURS)], "geometry_config": {}, "shape": "any"}
        entry = before.get(name, fresh)
        if name not in bare:
            entry = entry | {"shape": "bitmap"}
        elif name in masked:
            entry = entry | {"shape": "any"}
        found.append(entry)
    return found


class _Tags:
    """Declare each tag of a project once, with one type of value."""

    def __init__(self, known: list[dict[str, Any]]) -> None:
        self.metas = {tag["name"]: tag for tag in known}

    def fits(self, name: str, value: Any) -> bool:
        """Return whether a tag holds the value; declare the tag if it is new."""
        kind = "none" if value is True else {str: "any_string", int: "any_number", float: "any_number"}.get(type(value))
        if kind is None:
            return False
        fresh = {"name": name, "value_type": kind, "color": _COLOURS[len(self.metas) % len(_COLOURS)]}
        meta = self.metas.setdefault(name, fresh)
        among = meta["value_type"] == "oneof_string" and kind == "any_string" and value in (meta.get("values") or [])
        return among or meta["value_type"] == kind


def _document(path: Path, ref: ImageRef, instances: Instances, tags: _Tags) -> dict[str, Any]:
    height, width = instances.size
    document = {"description": "", "tags": [], "size": {"height": height, "width": width}} | dict(ref.attributes)
    if document["size"] != {"height": height, "width": width} or "objects" in document:
        raise LossyFormatError(path, f"image {ref.name!r}: attributes named size or objects are Supervisely's own")
    crops, corners = instances.masks.to_crops()
    objects: list[dict[str, Any]] = []
    for crop, origin, name in zip(crops, corners.tolist(), instances.names, strict=True):
        data = base64.b64encode(zlib.compress(to_png(crop, True))).decode()
        bitmap = {"data": data, "origin": origin}
        objects.append({"description": "", "geometryType": "bitmap", "tags": [], "classTitle": name, "bitmap": bitmap})
    if instances.ids is not None:
        objects = [{"id": number} | entry for number, entry in zip(instances.ids.tolist(), objects, strict=True)]
    for name, values in instances.attributes.items():
        for entry, value in zip(objects, values.tolist(), strict=True):
            if values.dtype.kind != "b" and tags.fits(name, value):
                entry["tags"].append({"name": name} | ({} if value is True else {"value": value}))
            elif value is not None:
                entry.setdefault(OWN, {})[name] = value
    no_masks = [s.content | {"classTitle": s.now(s.content.get("classTitle"))} for s in ref.shapes]
    return document | {"objects": objects + no_masks}
