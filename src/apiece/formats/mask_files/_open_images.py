"""Open Images' masks (https://storage.googleapis.com/openimages/web/download.html), as it, FiftyOne, CVAT and datumaro
lay them out.

A CSV ``annotations/SPLIT-annotations-object-segmentation.csv``, or ``labels/segmentations.csv``, has a row for each
mask: file, image, class. Masks lie in folders with ``mask`` in their names, images in ``images/SPLIT``, ``SPLIT`` or
``data``. ``class-descriptions*.csv`` or ``metadata/classes.csv`` name the classes. A mask may be of another size than
its image; the reader scales it then. It reads no boxes and no clicks. So groups, which only the lists of boxes mark,
are objects like others.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apiece._arrays import Bool
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, number, skip_bad
from apiece.formats._kit.columns import table, taken
from apiece.formats._kit.files import files_in, inside, is_file
from apiece.formats._kit.image_places import image_size, images_in
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.long_csv import long_fields
from apiece.formats._kit.mask_lists import LISTS
from apiece.formats._kit.mask_stack import MaskStack, read_mask
from apiece.formats.contract import SPLITS, OnBad, split_of

_DESCRIBED = ("class-descriptions", "classes.csv")
_METADATA = "metadata"  # FiftyOne's folder of classes
_LIST = "-annotations-object-segmentation"
_ALL = 1000  # classes of a list that are all meant; the list of all of Open Images has 20,000


class _Row(NamedTuple):
    """A mask."""

    line: int
    mask: str
    image: str
    label: str
    extras: dict[str, Any]


def read_lists(lists: list[Path], images: Path | None, on_bad: OnBad) -> LabelImageSet:
    """Open lists of masks, one for each split; all have the same classes."""
    named = _described(lists[0])
    rows = {file: list(_rows(file, named, on_bad)) for file in lists}
    used = {row.label for own in rows.values() for row in own}
    labels = [label for label in named if len(named) <= _ALL or label in used] if named else sorted(used)
    classes = _display_names(labels, named)
    refs, files, kept = [], [], []
    for file, own in rows.items():
        split = split_of(file.stem)
        found = _images(file, images, split)
        of: dict[str, list[_Row]] = {}
        for row in own:
            of.setdefault(row.image, []).append(row)
        for key, some in of.items():
            picture = found.get(key, (images or _root(file) / "images") / f"{key}.jpg")
            refs.append(ImageRef(picture, picture.name))
            files.append(file)
            kept.append(some)
    context = {label: k for k, label in enumerate(labels)}, {file: _masks(file) for file in lists}
    return LabelImageSet(tuple(refs), tuple(files), classes, _decode, kept, context=context, on_bad=on_bad).sound()


def _root(file: Path) -> Path:
    """Return the folder of the set that a list is of."""
    folder = file.absolute().parent
    return folder.parent if folder.name in LISTS else folder


def _described(file: Path) -> dict[str, str]:
    """Return the classes of a list of descriptions and their names; none where there is no such list."""
    near = [folder for at in (file.absolute().parent, _root(file)) for folder in (at, at / LISTS[0], at / _METADATA)]
    found = [f for folder in near for f in files_in(folder, (".csv",)) if any(word in f.name for word in _DESCRIBED)]
    best = min(found, key=lambda f: ("boxable" not in f.name, found.index(f)), default=None)
    if best is None:
        return {}
    rows = [row for _, row in _read(best) if row]
    wrong = next((k for k, row in enumerate(rows, 1) if len(row) != 2), None)
    if wrong is not None:
        raise FormatError(best, f"line {wrong}: must be a label and its name, such as /m/0199g,Bicycle")
    return {label: name for label, name in rows if label != "LabelName"}


def _display_names(labels: list[str], named: Mapping[str, str]) -> tuple[str, ...]:
    """Return what classes are called; two of one name keep their labels beside it."""
    names = [named.get(label, label) for label in labels]
    return tuple(
        f"{name} ({label})" if names.count(name) > 1 else name for label, name in zip(labels, names, strict=True)
    )


def _read(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV, and the line that each ends on."""
    try:
        with long_fields, file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            for row in rows:
                yield rows.line_num, row
    except OSError as error:
        raise FormatError(file, f"cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(file, f"is no CSV in UTF-8: {error}") from None


def _rows(file: Path, named: Mapping[str, str], on_bad: OnBad) -> Iterator[_Row]:
    lines = _read(file)
    _, header = next(lines)
    for line, fields in lines:
        if fields:
            with skip_bad(on_bad, file, f"line {line}"):
                yield _row(line, fields, header, named)


def _row(line: int, fields: list[str], header: list[str], named: Mapping[str, str]) -> _Row:
    if len(fields) != len(header):
        raise BadEntryError(f"has {len(fields)} values, but the header {len(header)}; is the file cut short?")
    said = dict(zip(header, fields, strict=True))
    mask, image, label = said["MaskPath"], said["ImageID"], said["LabelName"]
    for name, value in (("MaskPath", mask), ("ImageID", image)):
        if (reason := inside(value)) is not None or "/" in value:
            raise BadEntryError(f"{name} {reason or f'{value!r} must be a name without folders'}")
    if not label or (named and label not in named):
        raise BadEntryError(f"LabelName: there is no class {label!r} in the descriptions of classes")
    extras: dict[str, Any] = {}
    if said.get("BoxID"):
        extras["box_id"] = said["BoxID"]
    if said.get("PredictedIoU"):
        extras["predicted_iou"] = number(said["PredictedIoU"], "PredictedIoU")
        if not 0 <= extras["predicted_iou"] <= 1:
            raise BadEntryError(f"PredictedIoU must lie from 0 to 1, got {said['PredictedIoU'][:40]}")
    return _Row(line, mask, image, label, extras)


def _images(file: Path, images: Path | None, split: str | None) -> dict[str, Path]:
    """Return the images of a list by name without ending, from the most special folder that has some."""
    subset, roots = file.stem.removesuffix(_LIST), [_root(file) / "images", _root(file)] if images is None else [images]
    words = [subset, *SPLITS.get(split or "", ()), "", "data"]
    return next(filter(None, (images_in(root / word) for root in roots for word in words)), {})


def _masks(file: Path) -> dict[str, Path]:
    """Return all masks that may be of a list, by name."""
    around = dict.fromkeys((file.absolute().parent, _root(file)))
    found = {p.name: p for folder in around for p in files_in(folder, (".png",))}
    for folder in around:
        for below in sorted(p for p in folder.iterdir() if p.is_dir() and "mask" in p.name.lower()):
            for at, _, names in os.walk(below):
                found |= {name: Path(at, name) for name in names}
    return found


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file, ref = labels.files[i], labels.refs[i]
    places, masks = labels.context
    size = image_size(file, ref) if is_file(ref.path) else None
    stack, kept = MaskStack(size), []
    for row in labels.rows[i]:
        with skip_bad(labels.on_bad, file, f"line {row.line}: {row.mask}"):
            if row.mask not in masks[file]:
                raise BadEntryError(f"there is no such file in a folder of masks in {_root(file)}")
            mask = read_mask(masks[file][row.mask])
            stack.add(mask if size is None else _scaled(mask, size))
            kept.append(row)
    if stack.size is None:
        raise FormatError(file, f"image {ref.name!r}: has neither a mask that can be read nor an image, {ref.path}")
    label = np.array([places[row.label] for row in kept], np.int64)
    attributes = taken(table([row.extras for row in kept], ()), np.arange(len(kept)))
    return Instances(stack.masks(stack.size), label, labels.classes, attributes=attributes), {}


def _scaled(mask: Bool, size: Size) -> Bool:
    """Return the mask with the nearest pixel of it at each pixel of the image; refuse one of other proportions."""
    (height, width), (tall, wide) = size, mask.shape
    if (tall, wide) == size:
        return mask
    if abs(tall * width / wide - height) > 1 + height / tall:
        raise BadEntryError(f"mask of {mask.shape} pixels, which is not {size}, the size of the image, at any scale")
    y, x = (((np.arange(n) + 0.5) * of / n).astype(np.int64) for n, of in ((height, tall), (width, wide)))
    return mask[y[:, None], x]
