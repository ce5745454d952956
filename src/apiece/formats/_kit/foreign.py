"""Label files that no reader here reads, known by their keys, and what their tool exports instead."""

from __future__ import annotations

import itertools
from pathlib import Path

from apiece.formats._kit.files import files_below, head_of
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.safe_xml import peek_xml

_JSON = (
    ({"schema_ref", "item", "annotations"}, "V7's own JSON (Darwin)", "COCO"),
    ({"annotation_id", "annotator", "lead_time"}, "Label Studio's JSON-MIN", "JSON"),
    ({"data_row", "projects"}, "Labelbox's JSON", "COCO, with its converter"),
)
_XML = (
    (["annotation", "filename", "folder", "source"], "XML of LabelMe 3.0 without an outline", "polygons"),
    (["annotation", "folder", "filename"], "XML of bounding boxes (VOC detection)", "masks"),
)

_LOOKED_AT = 20  # text files of a folder
_BOX = 5  # numbers in a row of YOLO: class, centre, width, height
_MOST = 2.0  # of a coordinate as a part of its side

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib")


def foreign(path: Path) -> str:
    """Return what a file or folder is, and what to export instead; empty if it is of no known kind."""
    if path.is_dir():
        return _rows_of_yolo(path)
    seen = peek_json(path) if path.is_file() and path.suffix.lower() in (".json", ".ndjson") else None
    for keys, what, instead in _JSON:
        if seen is not None and keys <= seen.keys:
            return f"is {what}, which is not read; export {instead}"
    if path.is_file() and path.suffix.lower() in _PICKLES:
        return "is a pickle, which could run anything when it is opened, and is never read; write COCO JSON"
    names = peek_xml(path, 4) if path.suffix.lower() == ".xml" else []
    for begin, what, instead in _XML:
        if names[: len(begin)] == begin:
            return f"is {what}, which is not read; export {instead}"
    return ""


def _rows_of_yolo(folder: Path) -> str:
    """Return what rows of YOLO in a folder lack, if there are any."""
    for file in itertools.islice(files_below(folder, (".txt",)), _LOOKED_AT):
        row = head_of(file).strip().partition("\n")[0].split()
        if len(row) < _BOX or not row[0].isdecimal() or not all(map(_is_share, row[1:])):
            continue
        where = file.relative_to(folder).as_posix()
        if len(row) == _BOX:
            return f"holds boxes of YOLO ({where}), which have no masks to read"
        return (
            f"holds outlines of YOLO ({where}), but nothing says what their classes are called; "
            "write names: [first, second] into data.yaml, in the order of their numbers"
        )
    return ""


def _is_share(text: str) -> bool:
    try:
        return -1 <= float(text) <= _MOST
    except ValueError:
        return False
