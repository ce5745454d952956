"""YOLO segmentation: ``data.yaml`` with class names, and a text file of normalised polygons for each image
(https://docs.ultralytics.com/datasets/segment/).

Read: train, val and test given as folders, as lists of images in text files, or several of them; label files lie in
``labels`` where images lie in ``images``, or beside them. Without ``data.yaml``, ``classes.txt`` or ``obj.names``
beside ``labels``, as Label Studio exports it, gives the classes, or beside folders of splits with ``labels`` in each; a
``data.yaml`` of names alone, as supervision writes
it, is one. A row is a class number and x, y pairs as parts of the
image's width and height, rasterised by COCO's rule. An image without label file has no objects. Images are named by
their path without the folder ``images``; ``ImageRef.attributes["split"]`` says where one belongs. Sizes come from the
images' headers, or from the notes that `write` leaves in ``apiece.jsonl``. A row of a bounding box has no mask: each is
reported as a bad entry, and a set of nothing else is refused as a whole.

Predictions have a score from 0 to 1 behind the outline, so that the numbers of a row are even in count. All rows of a
set have a score, or none has: the first outline decides. `write` writes no scores, so its own sets have none.

Written: ``data.yaml``, a list of images for each split (``train`` for images without a split), ``labels/`` and the
notes. The images, which are not copied, belong into ``images/`` under their names. A row holds one outline, so holes
and several parts are refused; ten digits make the way back exact.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.topology import trace
from apiece.errors import FormatError, LossyFormatError, Option
from apiece.formats._kit.checks import BadEntryError, skip_bad
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_below, is_file, never_raises, stem_key
from apiece.formats._kit.image_names import folded
from apiece.formats._kit.image_places import longest
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats._kit.written import Names, atomic_folder
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record, refuse
from apiece.formats.yolo._layout import (
    NOTES,
    SPLITS,
    Item,
    Note,
    config_file,
    home_of,
    items_of,
    label_path,
    name_of,
    read_config,
    read_notes,
)
from apiece.formats.yolo._predictions import is_rows, read_rows
from apiece.formats.yolo._rows import decode, first_outline

__all__ = ["FORMAT", "is_rows", "read_rows"]

_IMAGES = Option("images", ...)


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a YAML file with names and splits, or a folder with one, or with ``classes.txt``."""
    return config_file(path) is not None


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a ``data.yaml`` or the folder that holds it; images lie with it, or below ``images`` under their names."""
    chosen = path if path.is_file() else config_file(path)
    if chosen is None:
        raise FormatError(path, "holds no data.yaml, or several YAML files with names and splits; name the file")
    config = read_config(chosen)
    home = home_of(chosen)
    root = home / config.root if os.path.isdir(home / config.root) else home
    notes = read_notes(root)
    items: dict[str, Item] = {}
    labels: dict[Path, Item] = {}
    for item in items_of(config, root, on_bad):
        if item.relative in items:
            continue  # val is often train again
        other = labels.setdefault(item.labels, item)
        if other is not item:
            said = f"is the label file of both {other.relative!r} and {item.relative!r}; rename one of the images"
            refuse(FormatError(item.labels, said), on_bad)
            continue
        items[item.relative] = item
    _check_whole(root, notes, items)
    first, boxes = first_outline(item.labels for item in items.values())
    if boxes:
        raise FormatError(chosen, f"is a detection set: {boxes}; it has no masks to read")
    places = _pictures(images, root)
    index = defaultdict[str, list[str]](list)
    for key in places:
        index[folded(key.rpartition("/")[2])].append(key)
    refs, kept = [], dict[str, Item]()
    for relative, item in items.items():
        with skip_bad(on_bad, item.labels, "its image"):
            refs.append(_ref(item, root, places, index, notes))
            kept[relative] = item
    files = tuple(item.labels if is_file(item.labels) else chosen for item in kept.values())
    rows = [0 if note is None else note.rows for note in map(notes.get, kept)]
    numbers = {number: k for k, number in enumerate(config.names)}
    metadata = {"yolo": {"names": config.names}}
    classes = tuple(config.names.values())
    scored = "" if notes else first
    return EntrySet(tuple(refs), files, classes, decode, rows, metadata, (numbers, chosen, scored), on_bad)


def _check_whole(root: Path, notes: Mapping[str, Note], items: Mapping[str, Item]) -> None:
    missing = set(notes) - set(items)
    if missing:
        said = f"{len(missing)} of {len(notes)} images, such as {min(missing)!r}, are in no list of images"
        raise FormatError(root / NOTES, f"{said}; lists were cut short, or remove their lines here")


def _pictures(images: Path | None, root: Path) -> dict[str, Path]:
    """Return the images in a folder of their own, by path without ending."""
    return {} if images is None or images == root else {stem_key(p, images): p for p in files_below(images)}


def _ref(
    item: Item, root: Path, places: Mapping[str, Path], index: Mapping[str, Sequence[str]], notes: Mapping[str, Note]
) -> ImageRef:
    note, path = notes.get(item.relative), root / item.relative
    name = name_of(item.relative) if note is None else note.name
    if not is_file(path):
        bare = PurePosixPath(item.relative).suffix.lower() in IMAGE_SUFFIXES
        keys = [str(PurePosixPath(n).with_suffix("")) if bare else n for n in (name, item.relative)]
        found = [key for key in keys if key in places][:1] or longest(keys[-1], index, Path(), item.split)[1]
        if len(found) > 1:
            raise BadEntryError(f"could be {places[found[0]]} or {places[found[1]]}; name its folder with " + _IMAGES)
        path = places[found[0]] if found else path
        if not bare and is_file(path):
            name += path.suffix
    return ImageRef(path, name, None if note is None else note.size, None, {"split": item.split})


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder: ``data.yaml``, lists of images, ``labels/``.

    An image that trainers do not take is refused, and class or image names that their files cannot hold are a loss.
    """
    known = metadata.get("yolo", {}).get("names", {})
    numbers = {name: number for number, name in known.items()}
    if not set(classes) <= set(numbers):
        numbers = {name: number for number, name in enumerate(classes)}
    names = Names(path)
    used: set[str] = {"train"}
    with atomic_folder(path) as folder, ExitStack() as stack:
        lists: dict[str, IO[str]] = {}

        def out(name: str) -> IO[str]:
            if name not in lists:
                lists[name] = stack.enter_context((folder / name).open("w", encoding="utf-8", newline="\n"))
            return lists[name]

        out("train.txt")
        for ref, instances in records:
            split = _split(path, ref)
            name = _checked_name(path, ref)
            target = label_path(f"images/{name}")
            names.take(target, ref, target)
            used.add(split)
            out(f"{split}.txt").write(f"./images/{name}\n")
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / target).write_bytes(_rows(instances, [numbers[c] for c in classes]))
            note = [f"images/{name}", *instances.size, len(instances)]
            note += [ref.name] if name_of(f"images/{name}") != ref.name else []
            out(NOTES).write(json.dumps(note, ensure_ascii=False) + "\n")
        (folder / "data.yaml").write_text(_config(path, {numbers[c]: c for c in classes}, used), "utf-8", newline="\n")
        stack.close()  # files are whole before the folder gets its name


def _split(path: Path, ref: ImageRef) -> str:
    split = ref.attributes.get("split", "train")
    if split not in SPLITS:
        raise LossyFormatError(path, f"image {ref.name!r}: its split is {split!r}; YOLO knows {', '.join(SPLITS)}")
    return str(split)


def _checked_name(path: Path, ref: ImageRef) -> str:
    name = ref.name.replace("\\", "/")
    if any(part.startswith(".") for part in name.split("/")):
        raise FormatError(path, f"image name {name!r} is hidden; rename it")
    if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
        raise FormatError(path, f"image {name!r} is none that trainers take ({', '.join(IMAGE_SUFFIXES)}); rename it")
    if name != name.strip() or len(name.splitlines()) > 1:
        raise LossyFormatError(path, f"image name {name!r} cannot stand in a list of images; rename it")
    return name


def _rows(instances: Instances, numbers: list[int]) -> bytes:
    if not len(instances):
        return b""
    height, width = instances.size
    rings = trace(instances.masks.runs, instances.size)  # one outline each: the guard refused holes and parts
    places = (rings.points + np.array([0, width + 1])).ravel()
    codes = np.insert(places, 2 * rings.offsets[:-1], width + height + 2 + instances.labels)
    texts = np.concatenate([_shares(width), _shares(height), np.array([f"\n{number}" for number in numbers], "S")])
    return texts[codes].tobytes().translate(None, b"\0")[1:] + b"\n"  # NumPy fills texts up with zeros


@lru_cache(maxsize=64)
def _shares(length: int) -> NDArray[np.bytes_]:
    """Return every pixel edge of a side as a part of it: outlines run along pixel edges, so these are all numbers."""
    return np.array([f" {v:.10g}" for v in (np.arange(length + 1) / length).tolist()], "S")


def _config(path: Path, names: dict[int, str], used: set[str]) -> str:
    # names come last, so that a file cut short is no YAML
    lines = ["# YOLO segmentation. Images belong into images/ under the names in the lists.", f"nc: {len(names)}"]
    lines += [f"{split}: {split if split in used else 'train'}.txt" for split in ("train", "val")]
    lines += ["test: test.txt"] if "test" in used else []
    entries = ", ".join(f"{number}: {json.dumps(name, ensure_ascii=False)}" for number, name in sorted(names.items()))
    text = "\n".join(lines) + f"\nnames: {{{entries}}}\n"
    try:
        text.encode()
        whole = yaml.safe_load(text)["names"] == names
    except (yaml.YAMLError, UnicodeEncodeError):
        whole = False
    if not whole:
        raise LossyFormatError(path, f"one of the class names {list(names.values())} cannot stand in YAML; rename it")
    return text


FORMAT = LabelFormat(
    summary="YOLO segmentation: data.yaml and text files of polygons, one outline per object; no ids",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(overlap=True, classes=True),
    splits=True,
)
