"""LVIS: COCO's JSON for many classes, each image searched for some of them only (https://www.lvisdataset.org).

Read: versions 0.5 and 1. Version 1 names an image by its ``coco_url``; its name here is that address's last two parts
(``val2017/000000397133.jpg``), as LVIS's own users do. An image's ``neg_category_ids`` (classes that annotators looked
for and did not find) and ``not_exhaustive_category_ids`` (classes of which not every instance is marked) are in
``ImageRef.attributes``, as ids of categories. Categories with ``frequency`` (r, c, f), ``synset`` and the rest are in
``LabelSet.metadata["lvis"]``. Masks, ids, attributes and coordinates are as in COCO; there are no crowd regions.

Written: masks as compressed RLE, which LVIS's tool reads and which loses nothing. An image without these lists gets
both, empty. A category without ``frequency`` gets the value that LVIS would give it: r up to 10 images, c up to 100,
else f.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apiece._strict_json import uncollected
from apiece.errors import LossyFormatError
from apiece.formats._kit.checked_rows import Checker, Row
from apiece.formats._kit.coco_kinds import kind_of_coco
from apiece.formats._kit.coco_table import make_table, open_document, read_categories, read_images
from apiece.formats._kit.coco_write import Dialect, write_coco
from apiece.formats.coco import CocoSet
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
_RARE, _COMMON = 10, 100


def detect(path: Path) -> bool:
    """Return whether ``path`` is COCO JSON whose images have `neg_category_ids` or `not_exhaustive_category_ids`."""
    return kind_of_coco(path) == "lvis"


@uncollected()
def read(path: Path, images: Path | None, on_bad: OnBad = None) -> CocoSet:
    """Open an LVIS file; its images are found below ``images``, or in the places where tools have them."""
    document = open_document(path)
    categories, classes = read_categories(path, document.header["categories"])
    for row in document.images if type(document.images) is list else ():
        if type(row) is dict and "file_name" not in row and type(row.get("coco_url")) is str:
            row["file_name"] = "/".join(row["coco_url"].split("/")[-2:])

    def check_lists(check: Checker, rows: list[Row]) -> None:
        for name in _LISTS:
            given = {i: row[name] for i, row in enumerate(rows) if name in row}
            faults = {i: fault for i, value in given.items() if (fault := _fault(value, categories))}
            check.refuse(faults, name, faults.__getitem__)

    found = read_images(document, images, on_bad, check_lists)
    table = make_table(document, classes, categories, found, on_bad)
    return CocoSet(table, found, "lvis", on_bad=on_bad)


def _fault(value: Any, categories: Mapping[Any, int]) -> str:
    if type(value) is not list:
        return f"must be a list of category ids, got {str(value)[:60]}"
    unknown = [v for v in value if type(v) is not int or v not in categories]
    return f"there is no category with id {str(unknown[0])[:60]} in this file" if unknown else ""


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one LVIS file; lists of categories that are not among ``classes`` are refused as a loss."""
    seen = np.zeros((2, len(classes)), np.int64)  # images and instances of each class

    def counted() -> Iterator[Record]:
        for ref, instances in records:
            of_class = np.bincount(instances.labels, minlength=len(classes))
            seen[0] += of_class > 0
            seen[1] += of_class
            yield ref, instances

    def image(attributes: Mapping[str, Any], known: set[int], where: str) -> dict[str, Any]:
        lists = {name: list(attributes.get(name, ())) for name in _LISTS}
        for name, value in lists.items():
            lost = next((v for v in value if v not in known), None)
            if lost is not None:
                raise LossyFormatError(path, f"{where}: {name} holds {lost!r}, the id of no category that is written")
        return dict(attributes) | lists

    def categories(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_with_counts(c, *counts) for c, counts in zip(found, seen.T.tolist(), strict=True)]

    write_coco(counted(), path, classes, metadata.get("lvis", {}), Dialect(image, categories, crowd=False))


def _with_counts(category: dict[str, Any], images: int, instances: int) -> dict[str, Any]:
    if "frequency" in category:
        return category
    frequency = "r" if images <= _RARE else "c" if images <= _COMMON else "f"
    return {"image_count": images, "instance_count": instances} | category | {"frequency": frequency}


FORMAT = LabelFormat(
    summary="LVIS JSON: COCO with classes searched for, image by image, and their frequency; no crowd regions",
    detect=detect,
    read=read,
    write=write,
    numbers_entries=True,
    holds=replace(EVERYTHING, crowd=False, full=True),
    ending=".json",
    shapes="coco",
)
