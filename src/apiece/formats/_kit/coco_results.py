"""Bare lists of COCO results, put on images and classes of labels that may be no COCO file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from apiece import images as image_files
from apiece.errors import ImageError
from apiece.formats._kit.coco_table import Images
from apiece.formats._kit.columns import table
from apiece.formats._kit.files import IMAGE_SUFFIXES
from apiece.formats.contract import LabelSet

_log = logging.getLogger("apiece")
_KNOWN = ("coco", "lvis", "coco_panoptic")
"""The formats whose metadata has categories with ids, as results name them."""


def header_of(truth: LabelSet) -> dict[str, Any]:
    """Return what the file of ``truth`` says beside images and annotations; empty where it has no category ids."""
    return dict(next((truth.metadata[name] for name in _KNOWN if truth.metadata.get(name)), {}))


def numbered_classes(path: Path, rows: list[Any], truth: LabelSet) -> list[dict[str, Any]]:
    """Return the categories that results mean where ``truth`` has no ids of its own: its classes in their order.

    They count from 1, or from 0 if there is a 0. All are the one class ``object`` where ``truth`` tells no classes
    apart.
    """
    given = {row["category_id"] for row in rows if type(row) is dict and type(row.get("category_id")) is int}
    if truth.classes == ("object",):
        return [{"id": number, "name": "object"} for number in sorted(given | {1})]
    first = 0 if 0 in given else 1
    said = ", ".join(f"{k} is {name}" for k, name in enumerate(truth.classes[:8], first))
    _log.warning("%s: the data has no category ids, so that they are taken in its order of classes: %s", path, said)
    return [{"id": k, "name": name} for k, name in enumerate(truth.classes, first)]


def images_of(truth: LabelSet) -> Images:
    """Return the images of labels of any format, numbered from 1 where they have no ids."""
    refs = truth.refs
    ids = tuple(k if ref.id is None else ref.id for k, ref in enumerate(refs, 1))
    sizes = np.array([_size(truth, k) for k in range(len(refs))], np.int64).reshape(-1, 2)
    extras = table([ref.attributes for ref in refs], ())
    names, files = (
        np.array(some, np.dtypes.StringDType())
        for some in ([ref.name for ref in refs], [str(ref.path) for ref in refs])
    )
    return Images(ids, names, sizes, extras, Path(), files)


def _size(truth: LabelSet, index: int) -> tuple[int, int]:
    ref = truth.refs[index]
    if ref.size is not None:
        return ref.size
    try:
        return image_files.image_size(ref.path, page=ref.page)
    except ImageError:
        return truth[index][1].size  # a label map has the size of its image


def by_file_name(path: Path, rows: list[Any], images: Images, own_ids: bool) -> list[Any]:
    """Return results with the ids of images where they have files' names, or stems or their numbers, in place of ids.

    They are names where one of them is no id and each of them names one image. Without ``own_ids`` the images are
    numbered by their order, which a line of the log tells.
    """
    given = {row["image_id"] for row in rows if type(row) is dict and type(row.get("image_id")) in (int, str)}
    names = images.names.tolist()
    if given <= set(images.ids) or {str(g) for g in given} <= {str(i) for i in images.ids}:
        if given and not own_ids:
            _log.warning("%s: the data has no image ids, so that they are taken in its order: 1 is %s", path, names[0])
        return rows
    owners: dict[str, int | str] = {}
    known = [{*_keys(name), *_keys(file)} for name, file in zip(names, images.files.tolist(), strict=True)]
    times = Counter(key for keys in known for key in keys)
    for keys, number in zip(known, images.ids, strict=True):
        owners |= {key: number for key in keys if times[key] == 1}
    found = {g: next((owners[key] for key in _keys(str(g)) if key in owners), None) for g in given}
    if None in found.values():
        return rows
    first = next(iter(sorted(found, key=str)))
    name = names[images.ids.index(found[first])]
    _log.warning("%s: image_id is taken as the name of the image's file: %r is %s", path, first, name)
    named = (int, str)
    return [
        row | {"image_id": found[row["image_id"]]} if type(row) is dict and type(row.get("image_id")) in named else row
        for row in rows
    ]


def _keys(name: str) -> Iterator[str]:
    """Yield what may be meant by a name: the path, its last part, without ending, and as a number without zeros."""
    last = PurePosixPath(name.replace("\\", "/"))
    stem = last.stem if last.suffix.lower() in IMAGE_SUFFIXES else last.name
    yield name
    yield last.name
    yield stem
    if stem.isdecimal():
        yield str(int(stem))
