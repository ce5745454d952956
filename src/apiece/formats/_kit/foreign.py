"""Label files that no reader here reads, known by their keys, and what their tool exports instead."""

from __future__ import annotations

from pathlib import Path

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

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib")


def foreign(path: Path) -> str:
    """Return what a file is, and what to export instead; empty if it is of no known kind."""
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
