"""Full masks in COCO files, as the data sets of the field write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece import Masks, formats
from apiece.errors import FormatError, LossyFormatError

SIZE = (8, 12)
WHOLE = Masks.from_boxes([[1, 1, 9, 7]], SIZE)
SEEN = Masks.from_boxes([[1, 1, 5, 7]], SIZE)
OTHER = Masks.from_boxes([[5, 0, 12, 8]], SIZE)


def polygon(box: list[float]) -> list[list[float]]:
    x0, y0, x1, y1 = box
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def rle(masks: Masks) -> dict[str, Any]:
    return masks.to_coco()[0]


def file_of(folder: Path, annotations: list[dict[str, Any]], **more: Any) -> Path:
    rows = [{"id": i + 1, "image_id": 1, "iscrowd": 0, "category_id": 1, **a} for i, a in enumerate(annotations)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "car"}],
    } | more
    path = folder / "labels.json"
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return path


# of the first object the whole and the visible part, the second is in front
LAYOUTS = {
    "KINS": [
        {"segmentation": polygon([1, 1, 9, 7]), "inmodal_seg": rle(SEEN), "bbox": [1, 1, 8, 6], "area": 48},
        {"segmentation": polygon([5, 0, 12, 8]), "inmodal_seg": rle(OTHER), "bbox": [5, 0, 7, 8], "area": 56},
    ],
    "KINS of 2019": [
        {"segmentation": polygon([1, 1, 5, 7]), "a_segm": polygon([1, 1, 9, 7]), "i_segm": polygon([1, 1, 5, 7])},
        {"segmentation": polygon([5, 0, 12, 8]), "a_segm": polygon([5, 0, 12, 8]), "i_segm": polygon([5, 0, 12, 8])},
    ],
    "D2SA": [
        {"segmentation": rle(WHOLE), "visible_mask": rle(SEEN)},
        {"segmentation": rle(OTHER)},
    ],
    "amodal beside": [
        {"segmentation": rle(SEEN), "amodal_seg": rle(WHOLE)},
        {"segmentation": rle(OTHER), "amodal_seg": rle(OTHER)},
    ],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_of_the_field(name: str, tmp_path: Path) -> None:
    labels = formats.read(file_of(tmp_path, LAYOUTS[name]))
    ((_, instances),) = labels
    assert instances.masks == Masks.concatenate([SEEN, OTHER])
    assert instances.full == Masks.concatenate([WHOLE, OTHER])
    assert np.asarray(instances.occlusion).tolist() == [0.5, 0.0]
    # the file's area and box speak of the whole object
    assert not instances.attributes
    formats.write(labels, tmp_path / "again.json")
    ((_, again),) = formats.read(tmp_path / "again.json")
    assert again == instances
    written = json.loads((tmp_path / "again.json").read_text())["annotations"][0]
    assert written["segmentation"] == rle(SEEN)
    assert written["amodal_seg"] == rle(WHOLE)


def test_cocoa_has_regions(tmp_path: Path) -> None:
    flat = [polygon([1, 1, 9, 7])[0], polygon([5, 0, 12, 8])[0]]
    regions = [
        {"segmentation": flat[0], "name": "white car", "isStuff": 0, "order": 1, "occlude_rate": 0.5, "area": 48,
         "visible_mask": rle(SEEN), "invisible_mask": rle(SEEN)},
        {"segmentation": flat[1], "name": "wall", "isStuff": 1, "order": 2, "occlude_rate": 0.0, "area": 56},
    ]  # fmt: skip
    path = file_of(tmp_path, [{"regions": regions, "author": "x", "category_id": None}], categories=None)
    ((ref, instances),) = formats.read(path)
    assert (ref.name, instances.names) == ("a.png", ["thing", "stuff"])
    assert instances.full == Masks.concatenate([WHOLE, OTHER])
    assert instances.masks == Masks.concatenate([SEEN, OTHER])
    assert instances.attributes["name"].tolist() == ["white car", "wall"]
    assert instances.attributes["order"].tolist() == [1, 2]


def test_a_rim_joins_the_full_mask_and_more_is_an_error(tmp_path: Path) -> None:
    rim = Masks.from_boxes([[1, 1, 5, 7]], SIZE)
    narrow = Masks.from_polygons([polygon([2, 1, 9, 7])], SIZE)
    path = file_of(tmp_path, [{"segmentation": rle(rim), "amodal_seg": rle(narrow)}, LAYOUTS["amodal beside"][1]])
    with pytest.raises(FormatError, match=r"annotations\[0\].amodal_seg: 6 of 24 visible pixels"):
        list(formats.read(path))
    told: list[FormatError] = []
    ((_, left),) = formats.read(path, on_bad=told.append)
    assert (len(left), len(told)) == (1, 1)
    hair = Masks.from_dense(rim.to_dense() & (np.indices(SIZE).sum(0) != 2))
    path = file_of(tmp_path, [{"segmentation": rle(rim), "amodal_seg": rle(hair)}])
    ((_, instances),) = formats.read(path)
    assert instances.full == rim


def test_other_formats_refuse_full_masks(tmp_path: Path) -> None:
    labels = formats.read(file_of(tmp_path, LAYOUTS["D2SA"]))
    with pytest.raises(LossyFormatError, match="have full masks"):
        formats.write(labels, tmp_path / "out", "labelme")
    lost = formats.write(labels, tmp_path / "out", "labelme", allow_lossy=True)
    assert lost == ["image 'a.png', ids 1, 2: full masks lost"]


def test_faults_name_the_key_of_the_mask(tmp_path: Path) -> None:
    """`check` and `--skip-bad` lead to the line that is wrong."""
    good = {"segmentation": rle(WHOLE), "visible_mask": rle(SEEN)}
    broken = {"size": list(SIZE), "counts": [1, 2]}
    other = {"size": [3, 3], "counts": "0"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"visible_mask": broken}, "visible_mask"),
        ({"segmentation": broken}, "segmentation"),
        ({"visible_mask": other}, "visible_mask"),
        ({"segmentation": other}, "segmentation"),
        ({"amodal_mask": other}, "amodal_mask"),
        ({"amodal_mask": broken}, "amodal_mask"),
        ({"amodal_mask": rle(OTHER)}, "amodal_mask"),
    ]
    for change, key in wrong:
        with pytest.raises(FormatError, match=rf"annotations\[1\]\.{key}: "):
            list(formats.read(file_of(tmp_path, [good, good | change])))
