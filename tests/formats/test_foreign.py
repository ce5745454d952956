"""Files of tools that no reader reads: what they are is said, and what to export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiece import formats
from apiece.datasets import open_data
from apiece.errors import FormatError

DARWIN = {"version": "2.0", "schema_ref": "https://...", "item": {"name": "a.png"}, "annotations": [{"name": "nut"}]}
JSON_MIN = [{"image": "a.png", "id": 1, "label": [], "annotator": 1, "annotation_id": 1, "lead_time": 1.5}]
LABELME_3 = "<annotation><filename>a.png</filename><folder>x</folder><source></source><object></object></annotation>"
LABELBOX = {"data_row": {"id": "x", "external_id": "a.png"}, "media_attributes": {}, "projects": {}}
BOXES = "<annotation><folder>x</folder><filename>a.png</filename><size></size></annotation>"


@pytest.mark.parametrize(
    ("name", "document", "reason"),
    [
        ("a.json", DARWIN, r"is V7's own JSON \(Darwin\), which is not read; export COCO"),
        ("a.json", JSON_MIN, "is Label Studio's JSON-MIN, which is not read; export JSON"),
        ("a.ndjson", LABELBOX, "is Labelbox's JSON, which is not read; export COCO"),
        ("a.xml", LABELME_3, "is XML of LabelMe 3.0 without an outline, which is not read"),
        ("a.xml", BOXES, "is XML of bounding boxes"),
    ],
)
def test_what_a_file_is_and_what_to_export(tmp_path: Path, name: str, document: Any, reason: str) -> None:
    (tmp_path / name).write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(FormatError, match=reason):
        formats.detect(tmp_path / name)
    with pytest.raises(FormatError, match=reason):
        open_data(tmp_path)


def test_other_files_are_of_no_known_format(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"annotations": 3, "item": 4}'), ("a.xml", "<note></note>")):
        (tmp_path / name).write_text(text)
        with pytest.raises(FormatError, match="no known label format"):
            formats.detect(tmp_path / name)


def test_a_pickle_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(FormatError, match=r"is a pickle, .* never read; write COCO JSON"):
        formats.detect(tmp_path / "results.pkl")
