"""Keys of JSON files found without parsing: against `json`, in any order, of any size, across the edges of blocks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece import formats
from apiece.formats._kit import json_keys
from apiece.formats._kit.json_keys import peek_json

TEXT = st.text(st.sampled_from('\\"[]{}:, aé\n'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
LONG = "x" * 300_000
NOTE = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2.0, 2.0, 10.0, 2.0, 10.0, 8.0]], "iscrowd": 0}
IMAGE = {"id": 1, "height": 20, "width": 30, "file_name": "a.jpg"}
COCO = {"info": {"about": LONG}, "images": [IMAGE], "annotations": [NOTE], "categories": [{"id": 1, "name": LONG}]}
LVIS = COCO | {"images": [IMAGE | {"neg_category_ids": []}]}
PANOPTIC = COCO | {"annotations": [{"image_id": 1, "file_name": "a.png", "note": LONG, "segments_info": []}]}
ITEM = {"id": LONG, "annotations": [], "image": {"path": "a.png"}}
DATUMARO = {"info": {"images": LONG}, "categories": {"label": {"labels": []}}, "items": [ITEM]}
VIA = {"a.png1": {"file_attributes": {"note": LONG}, "filename": "a.png", "size": 1, "regions": []}}
LABEL_STUDIO = [{"data": {"image": LONG}, "annotations": []}]


@pytest.mark.parametrize("block", [1, 13])
@settings(max_examples=25)
@given(document=st.dictionaries(TEXT, VALUES, max_size=5), indent=st.sampled_from([None, 1]))
def test_keys_are_those_that_json_finds(
    tmp_path_factory: pytest.TempPathFactory, block: int, document: dict[str, Any], indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("keys") / "a.json"
    path.write_text(json.dumps(document, indent=indent), "utf-8")
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(json_keys, "_FIRST", block)
        assert [key for key, _ in json_keys._keys(file, 0, 1)] == list(document)
    seen = peek_json(path)
    assert seen is not None
    assert list(seen.places) == list(document)
    for key, value in document.items():
        assert seen.inner(key) == (set(value) if type(value) is dict else None)
        entry = (value or [{}])[0] if type(value) is list else None
        assert seen.first(key) == (set(entry) if type(entry) is dict else None)


@pytest.mark.parametrize(
    ("name", "document"),
    [("coco", COCO), ("lvis", LVIS), ("coco_panoptic", PANOPTIC), ("datumaro", DATUMARO)],
)
def test_a_format_is_known_whatever_the_order_and_size_of_its_keys(
    tmp_path: Path, name: str, document: dict[str, Any]
) -> None:
    for k, order in enumerate(itertools.permutations(document, 2)):
        path = tmp_path / f"{k}.json"
        path.write_text(json.dumps(dict.fromkeys(order) | document))
        assert formats.detect(path) == name


@pytest.mark.parametrize(("name", "document"), [("via", VIA), ("label_studio", LABEL_STUDIO)])
def test_a_format_is_known_by_its_first_entry_whatever_is_in_it(tmp_path: Path, name: str, document: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert formats.detect(tmp_path / "a.json") == name


def test_a_file_that_changes_is_looked_at_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COCO))
    assert formats.detect(path) == "coco"
    path.write_text(json.dumps(LVIS))
    assert formats.detect(path) == "lvis"
    path.write_text('{"images": [')
    assert peek_json(path) is not None
    path.write_text("hello")
    assert peek_json(path) is peek_json(tmp_path) is peek_json(tmp_path / "absent") is None
