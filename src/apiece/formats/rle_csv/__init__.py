"""Run-length CSV, as many Kaggle competitions have it: a row per object, ``ImageId,EncodedPixels``.

``EncodedPixels`` is ``start length start length ...``: pixels counted from 1, down the first column, then the next. A
row without runs says that an image has no object (of that class). Further columns, in any order and case: ``ClassId``
(or ``Class``, ``Label``, ``CategoryId``), ``Height`` and ``Width``; ``ImageId_ClassId`` and ``Image_Label`` hold both,
``a.jpg_4``. What other columns say is kept as text in ``Instances.attributes``. An ``ImageId`` may lack its ending, and
images may lie as ``<ImageId>/images/<ImageId>.png`` (Data Science Bowl 2018). ``id`` and ``rle`` are such columns too
(HuBMAP). Beside an ``id`` and a class, ``annotation`` (Sartorius) and ``segmentation`` (UW-Madison) hold runs that go
along the rows of the image, the first from the left. The last line needs an end, as every
other: without it the reader cannot tell whether runs are missing.

Class names come from ``<name>_label_descriptions.json`` or ``label_descriptions.json`` beside the file (iMaterialist
2019: ``{"categories": [{"id": 0, "name": "shirt"}]}``); without that file, what the column holds are the names. Sizes
come from the columns or else from the headers of the images, when a mask is asked for.

Written: iMaterialist's columns ``ImageId,EncodedPixels,Height,Width,ClassId`` and the file of class names; neither
``ClassId`` nor that file if the only class is ``object``.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from apiece._arrays import Int
from apiece.core.image import ImageRef
from apiece.core.runs import offsets_of
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import IMAGE_SUFFIXES, head_of, is_file
from apiece.formats._kit.image_places import image_size, located
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.written import Names, text_file
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record, refuse
from apiece.formats.rle_csv._rows import Columns, Rows, fields_of, find_columns, find_rows, pixel_runs

__all__ = ["FORMAT"]

_NAMES = "label_descriptions.json"


def detect(path: Path) -> bool:
    """Return whether ``path`` is a CSV whose first line names a column of images and one of ``EncodedPixels``."""
    try:
        return find_columns(next(csv.reader(head_of(path).splitlines()[:1]), [])) is not None
    except (OSError, csv.Error):
        return False


@dataclass(frozen=True)
class _Runs:
    """Where in the file the runs are; rows are ordered by image."""

    columns: Columns
    labels: Int
    """Class of each row."""
    spans: Int
    """(N, 2): where in the file each row begins and ends."""
    lines: Int
    offsets: Int
    """Image i has the rows ``offsets[i]`` to ``offsets[i + 1] - 1``."""


def _decode(labels: EntrySet, index: int, size: tuple[int, int]) -> list[Entry]:
    runs: _Runs = labels.context
    path, others, found = labels.files[index], runs.columns.others, []
    rows = slice(int(runs.offsets[index]), int(runs.offsets[index + 1]))
    spans, lines, own = runs.spans[rows].tolist(), runs.lines[rows].tolist(), runs.labels[rows].tolist()
    with path.open("rb") as file:
        for (begin, end), line, label in zip(spans, lines, own, strict=True):
            where = f"line {line}"
            file.seek(begin)
            with skip_bad(labels.on_bad, path, where):
                try:
                    fields = fields_of(file.read(end - begin))
                    counts = pixel_runs(fields[runs.columns.pixels].strip(), size, runs.columns.along_rows)
                except (ValueError, IndexError, StopIteration, csv.Error) as error:
                    raise BadEntryError(str(error)) from None
                extras = {runs.columns.names[k]: fields[k] for k in others}
                found.append(Entry(where, label, {"size": size, "counts": counts}, extras=extras))
    for name in dict.fromkeys(runs.columns.names[k] for k in others):
        if not any(entry.extras[name] for entry in found):
            for entry in found:
                del entry.extras[name]
    return found


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a run-length CSV file; masks are decoded when a record is asked for.

    Parameters
    ----------
    images : the only folder to look for images in. None: the CSV file's own folder, in it ``<stem>/`` and
        ``<stem>_images/``, where ``<stem>`` is the file's name without ``.csv``, and the places of all formats.
    on_bad : called with the error of each bad entry, which the reader then leaves out; None: the first error is raised.
        An image whose size is neither in the CSV nor in the image's header is left out on opening; without ``on_bad``
        its error is raised when its record is asked for.
    """
    rows = find_rows(path, on_bad)
    named = rows.columns.joined or rows.columns.label is not None
    classes, of_label = _classes(path, rows.labels) if named else (("object",), np.zeros(len(rows.labels), np.int64))
    image, label = np.array(rows.image, np.int64), of_label[np.array(rows.label, np.int64)]
    usable = label >= 0
    for row in np.flatnonzero(~usable).tolist():
        reason = f"line {rows.line[row]}: there is no class {rows.labels[rows.label[row]]!r} in {_NAMES}"
        refuse(FormatError(path, reason), on_bad)
    refs, place = _refs(path, rows, images, on_bad)
    order = np.flatnonzero(usable & (place[image] >= 0))
    order = order[np.argsort(image[order], kind="stable")]
    offsets = offsets_of(place[image[order]], len(refs))
    spans = np.stack([np.array(rows.begin, np.int64), np.array(rows.end, np.int64)], 1)[order]
    lines = np.array(rows.line, np.int64)[order]
    runs = _Runs(rows.columns, label[order], spans, lines, offsets)
    return EntrySet(refs, (path,) * len(refs), classes, _decode, context=runs, on_bad=on_bad)


def _names_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}_{_NAMES}")


def _classes(path: Path, labels: list[str]) -> tuple[tuple[str, ...], Int]:
    """Return class names, and the class of each distinct entry of the column, -1 for none."""
    source = next((p for p in (_names_file(path), path.with_name(_NAMES)) if p.is_file()), None)
    if source is None:
        whole = all(text.isascii() and text.isdigit() for text in labels)
        names = sorted(labels, key=int) if whole else labels
        return tuple(names), np.array([names.index(text) for text in labels], np.int64)
    document = load_json(source)
    entries = document.get("categories") if type(document) is dict else None
    if type(entries) is not list:
        raise FormatError(source, "must be an object with a list of categories")
    found: dict[str, int] = {}
    for i, entry in enumerate(entries):
        if type(entry) is not dict or type(entry.get("id")) not in (int, str) or type(entry.get("name")) is not str:
            raise FormatError(source, f"categories[{i}]: must be an object with an id and a name")
        if found.setdefault(str(entry["id"]), i) != i:
            raise FormatError(source, f"categories[{i}].id: {entry['id']!r} is used twice")
    names = [entry["name"] for entry in entries]
    if len(set(names)) != len(names):
        raise FormatError(source, "categories: two have the same name")
    return tuple(names), np.array([found.get(text, -1) for text in labels], np.int64)


def _refs(path: Path, rows: Rows, images: Path | None, on_bad: OnBad) -> tuple[tuple[ImageRef, ...], Int]:
    """Return the images, and the place of each of the file's images among them, -1 for one that is left out."""
    beside = path.parent
    home = [beside, beside / path.stem, beside / f"{path.stem}_images"]
    found = located(path, rows.names, images, home)
    folders = [f for f in ([images] if images is not None else [*home, beside / "images"]) if f.is_dir()] or [
        images or beside
    ]
    refs: list[ImageRef] = []
    place = np.full(len(rows.names), -1, np.int64)
    for i, (name, file) in enumerate(zip(found.names, found.files, strict=True)):
        at = found.folder / file
        ref = ImageRef(at if is_file(at) else _image(name, folders), name, rows.sizes.get(i))
        with skip_bad(on_bad, path, name):
            if images is not None and i in found.unclear:
                raise BadEntryError(found.unclear[i])
            if on_bad is not None and ref.size is None:
                image_size(path, ref)
            place[i] = len(refs)
            refs.append(ref)
    return tuple(refs), place


def _image(name: str, folders: list[Path]) -> Path:
    """Return where an image is, or where it would be if it is nowhere."""
    endings = ("",) if Path(name).suffix.lower() in IMAGE_SUFFIXES else IMAGE_SUFFIXES
    options = itertools.chain((f"{name}{e}" for e in endings), (f"{name}/images/{name}{e}" for e in endings))
    tried = [folder / option for option in options for folder in folders]
    return next((p for p in tried if is_file(p)), folders[0] / name)


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write the CSV, and the file of class names if there are others than ``object``."""
    named = classes != ("object",)
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(text_file(path))
        if named:
            names = stack.enter_context(text_file(_names_file(path)))
            entries = [{"id": i, "name": name} for i, name in enumerate(classes)]
            names.write(json.dumps({"categories": entries}, ensure_ascii=False, indent=1))
        _write_rows(out, records, path, named)


def _write_rows(out: IO[str], records: Iterable[Record], path: Path, named: bool) -> None:
    writer, names = csv.writer(out, lineterminator="\n"), Names(path)
    writer.writerow(["ImageId", "EncodedPixels", "Height", "Width", *(["ClassId"] if named else [])])
    for ref, instances in records:
        names.once(ref)
        if not len(instances):
            writer.writerow([ref.name, "", *instances.size, *([""] if named else [])])
        for rle, label in zip(instances.masks.to_coco(compressed=False), instances.labels.tolist(), strict=True):
            counts = np.array(rle["counts"], np.int64)
            length = counts[1::2]
            start = np.cumsum(counts)[: 2 * len(length) : 2] + 1
            runs = np.stack([start, length], 1).ravel().tolist()
            writer.writerow([ref.name, " ".join(map(str, runs)), *instances.size, *([label] if named else [])])


FORMAT = LabelFormat(
    summary="run-length CSV (Kaggle): ImageId, EncodedPixels down the columns from 1, classes; no ids, no scores",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(overlap=True, holes=True, parts=True, classes=True),
    suffixes=(".csv",),
    ending=".csv",
)
