"""A small COCO document with everything in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    """Two images, category ids with gaps, a polygon, both kinds of RLE, and a crowd region."""
    square = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]
    return {
        "info": {"description": "made by hand", "year": 2024},
        "licenses": [{"id": 1, "name": "CC0"}],
        "images": [
            {"id": 7, "file_name": "a.png", "height": 8, "width": 10, "license": 1, "modality": "dark"},
            {"id": "ü-3", "file_name": "sub/b.png", "height": 4, "width": 4},
            {"id": 9, "file_name": "c.png", "height": 4, "width": 4},
        ],
        "categories": [
            {"id": 40, "name": "nut", "supercategory": "metal"},
            {"id": 3, "name": "Schraube ß", "supercategory": "metal"},
        ],
        "annotations": [
            {"id": 11, "image_id": 7, "category_id": 3, "segmentation": [square], "area": 12.5, "bbox": [2, 1, 4, 3]},
            {
                "id": 5,
                "image_id": "ü-3",
                "category_id": 40,
                "segmentation": {"size": [4, 4], "counts": [1, 2, 13]},
                "area": 2,
                "bbox": [0, 1, 1, 2],
                "iscrowd": 1,
            },
            {
                "id": 12,
                "image_id": 7,
                "category_id": 40,
                "segmentation": {"size": [8, 10], "counts": "0`0P2"},
                "area": 16,
                "bbox": [0, 0, 2, 8],
                "iscrowd": 0,
            },
        ],
    }


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    """Saves a document and gives its path."""

    def save(value: Any, name: str = "labels.json") -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return save
