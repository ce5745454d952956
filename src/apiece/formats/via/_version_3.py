"""Projects of VIA 3, as VIA 2 would say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apiece.formats._kit.checks import BadEntryError, an_object, skip_bad
from apiece.formats._kit.json_files import load_object
from apiece.formats._kit.json_keys import JsonKeys
from apiece.formats.contract import OnBad
from apiece.formats.via._table import Picture, Table

_KEYS = frozenset(["project", "attribute", "file", "view", "metadata"])
_NAMES = {8: "extreme rectangle", 9: "extreme circle", 7: "polygon", 6: "polyline", 5: "line"}
_VALUES = {
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
}
_IMAGE, _ELSEWHERE = 2, (2, 3)  # the kind of file; an address, or a path
_CHECKBOX, _RADIO, _SELECT = 2, 3, 4
_TYPES = {_CHECKBOX: "checkbox", _RADIO: "radio", _SELECT: "dropdown"}


def is_version_3(seen: JsonKeys) -> bool:
    """Return whether these are the keys of a VIA 3 project."""
    return seen.keys >= _KEYS


def read_version_3(path: Path, on_bad: OnBad) -> Table:
    """Return the images of a project with their regions; a view of several files, and a video, are refused."""
    document, _ = load_object(path)
    with skip_bad(None, path, ""):
        tables = {key: an_object(document[key], key) for key in _KEYS}
        attributes = {key: an_object(found, f"attribute[{key!r}]") for key, found in tables["attribute"].items()}
    pictures: dict[str, Picture] = {}
    for view, found in tables["view"].items():
        where = f"view[{view!r}]"
        with skip_bad(on_bad, path, where):
            pictures[view] = Picture(where, _name(tables["file"], an_object(found)), {})
    for key, found in tables["metadata"].items():
        where = f"metadata[{key!r}]"
        with skip_bad(on_bad, path, where):
            picture = pictures.get(str(an_object(found).get("vid")))
            if picture is None:
                if str(found.get("vid")) in tables["view"]:
                    continue  # the view was refused
                raise BadEntryError(f"there is no view {found.get('vid')!r}")
            if found.get("z"):
                raise BadEntryError("is of a moment in a video; images are read")
            values = dict(_value(attributes, *one) for one in an_object(found.get("av", {}), "av").items())
            if found.get("xy"):
                picture.regions.append((where, _shape(found["xy"]), values))
            else:
                picture.attributes |= values
    return Table(list(pictures.values()), {"region": _defined(attributes), "file": {}})


def _name(files: dict[str, Any], view: dict[str, Any]) -> Any:
    fids = view.get("fid_list")
    if type(fids) is not list or len(fids) != 1:
        raise BadEntryError("shows several files; a view of one image is read")
    file = an_object(files.get(str(fids[0])), f"file[{str(fids[0])!r}]")
    if file.get("type") != _IMAGE:
        raise BadEntryError(f"shows {str(file.get('fname'))[:60]!r}, which is no image")
    return (file.get("src") if file.get("loc") in _ELSEWHERE else None) or file.get("fname")


def _value(attributes: dict[str, Any], key: str, value: Any) -> tuple[str, Any]:
    """Return what an attribute is called, and its value: the text of the option that is chosen."""
    said = attributes.get(key, {})
    options = said.get("options")
    if said.get("type") in _TYPES and type(options) is dict:
        if said["type"] == _CHECKBOX:
            value = {options.get(one, one): True for one in str(value).split(",") if one}
        else:
            value = options.get(str(value), value)
    return str(said.get("aname", key)), value


def _shape(numbers: Any) -> dict[str, Any]:
    if type(numbers) is not list or type(numbers[0]) is not int:
        raise BadEntryError("xy: must be a list of a shape's number and its values")
    kind, *values = numbers
    if kind in _VALUES:
        name, keys = _VALUES[kind]
        return {"name": name, **dict(zip(keys, values, strict=False))}
    return {"name": _NAMES.get(kind, f"shape {kind}"), "all_points_x": values[::2], "all_points_y": values[1::2]}


def _defined(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of regions, as a project of VIA 2 defines them."""
    defined = {}
    for key, said in attributes.items():
        options = said.get("options")
        if str(said.get("anchor_id", "")).endswith("XY1"):
            chosen = dict.fromkeys(options.values(), "") if type(options) is dict else {}
            kind = {"type": _TYPES.get(said.get("type"), "text"), "options": chosen, "default_options": {}}
            defined[str(said.get("aname", key))] = {"description": str(said.get("desc", "")), **kind}
    return defined
