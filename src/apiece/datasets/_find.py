"""Where the label files of a data set are, split by split."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from apiece import formats
from apiece.errors import DataError, FormatError, Option
from apiece.formats.contract import ROOM, SPLITS, split_of

_log = logging.getLogger("apiece")

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
_LABEL_FOLDERS = ("annotations", "labels", "annotation", "ann", "anns")
_WITHIN = "annotations"  # in a split's folder, in any case; "labels" there are YOLO's, which name their splits
_KINDS = ("instances", "panoptic", "stuff", "keypoints", "labels_")
"""Kinds of COCO files, as their names have it, from the one that holds most of what is wanted; `labels_` holds tags."""
_NAMED = 5
_LOOKED_AT, _LEVELS = 20, 3  # folders of a level, and levels, below a folder without labels
_NO_OBJECTS = re.compile("captions|image_info")


def find_labels(path: Path, format: str | None) -> dict[str, Path]:
    """Return labels by split; the key of labels without splits is empty."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_file():
        return {"": path}
    found = {split: at for split in SPLITS if (at := _find_split(path, split, format)) is not None}
    if found:
        return found
    whole = _find_whole(path, format)
    if whole is None and format is not None:
        whole = path
    packed = next((file for file in sorted(path.iterdir()) if file.suffix.lower() in _ARCHIVES), None)
    if whole is None and packed is not None:
        formats.detect(packed)  # raises, and says how to unpack it
    if whole is None:
        if below := _deeper(path, format):
            one = "name that folder" if len(below) == 1 else "name one of them, or join them with apiece merge"
            raise DataError(f"{path}: no labels here, but in {', '.join(map(str, below[:_NAMED]))}; {one}")
        _refuse_foreign(path)
        raise DataError(
            f"{path}: no labels here. Looked for train.json, annotations/*train*.json, a folder train/ with "
            f"labels, one label file, and these formats: {', '.join(formats.names())}. Images whose values are classes "
            "have no objects of their own: each separate region is one with "
            + Option("format='class_map'", flag="--instances components")
        )
    return {"": whole}


def _refuse_foreign(path: Path) -> None:
    """Raise what speaks against a folder, or the first JSON or XML file in it, if its kind is known."""
    files = (itertools.islice(path.rglob(f"*.{ending}"), 1) for ending in ("json", "ndjson", "xml"))
    for place in (*itertools.chain.from_iterable(files), path):
        try:
            formats.detect(place)
        except FormatError as error:
            if not error.options:  # it does not ask for the format
                raise


def _find_whole(path: Path, format: str | None) -> Path | None:
    """Return the labels without splits in a folder, or in a folder of labels in it."""
    places = (path, *(path / name for name in _LABEL_FOLDERS))
    return next((at for place in places if (at := _labels_in(place, format)) is not None), None)


def _deeper(path: Path, format: str | None) -> list[Path]:
    """Return the folders below ``path`` that hold labels, whole or by splits, of the first level that has any."""
    level = [path]
    for _ in range(_LEVELS):
        inner = (sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) for folder in level)
        level = list(itertools.islice(itertools.chain.from_iterable(inner), _LOOKED_AT))
        if found := [folder for folder in level if _holds_labels(folder, format)]:
            return found
    return []


def _holds_labels(folder: Path, format: str | None) -> bool:
    try:
        places = [_find_split(folder, split, format) for split in SPLITS]
        return any(places) or _find_whole(folder, format) is not None
    except DataError:
        return False


@cache
def _endings() -> tuple[str, ...]:
    """Return the endings of label files that hold many images."""
    return tuple(dict.fromkeys(format.ending for format in ROOM.load_all().values() if format.ending))


def _find_split(folder: Path, split: str, format: str | None) -> Path | None:
    words = SPLITS[split]
    files = [folder / f"{word}{ending}" for word in words for ending in _endings()]
    files += [folder / "annotations" / f"{word}.json" for word in words]
    here = [f for f in files if f.is_file() and (f.suffix == ".json" or _format_of(f, format))]
    if not here:
        beside = (sorted(_lists(folder / name)) for name in ("", *_LABEL_FOLDERS))
        named = ([f for f in some if split_of(f.stem) == split] for some in beside)
        here = next((best for some in named if (best := _best(some, format))), [])
    if not here:
        places = [folder / name / word for name in ("", *_LABEL_FOLDERS) for word in words]
        within = (folder / word for word in words if (folder / word).is_dir())
        places += [place for part in within for place in sorted(part.iterdir()) if place.name.lower() == _WITHIN]
        found = [at for place in places if (at := _labels_in(place, format)) is not None]
        here = [at for at in found if not set(at.parents) & set(found)]  # a folder comes with what lies in it
    if len(here) > 1:
        raise DataError(
            f"{folder}: {' and '.join(str(f.relative_to(folder)) for f in here)} could both be {split!r}; keep one"
        )
    return here[0] if here else None


def _lists(folder: Path) -> list[Path]:
    """Return the files in a folder that may hold the labels of a split: JSON, and tables."""
    return [*folder.glob("*.json"), *folder.glob("*.csv")]


def _best(files: Iterable[Path], format: str | None) -> list[Path]:
    """Return the label files of the kind that holds most, among files such as COCO's of one split; tells the others."""
    ranks: dict[int, list[Path]] = {}
    for file in files:
        kind = next((k for k, word in enumerate(_KINDS) if word in file.stem.lower()), 0)
        if not _NO_OBJECTS.search(file.stem.lower()):
            ranks.setdefault(kind, []).append(file)
    best = next((good for k in sorted(ranks) if (good := [f for f in ranks[k] if _holds_many(f, format)])), [])
    others = [f.name for f in files if f not in best]
    if len(best) == 1 and others:
        _log.info("%s is read; %s beside it %s not", best[0], ", ".join(others), "is" if len(others) == 1 else "are")
    return best


def _holds_many(file: Path, format: str | None) -> bool:
    """Return whether a file holds the labels of many images, as a COCO file does and a file of labelme does not."""
    kind = _format_of(file, format)
    return kind is not None and (kind == "coco_panoptic" or file.suffix == ".csv" or bool(formats.load(kind).ending))


def _labels_in(folder: Path, format: str | None) -> Path | None:
    """Return the one label file in a folder, or the folder if it is laid out as a format; None for neither."""
    if not folder.is_dir():
        return None
    kinds = {
        f: kind for f in sorted(folder.iterdir()) if f.suffix.lower() in _endings() and (kind := _format_of(f, format))
    }
    whole = _format_of(folder, format)
    if whole is not None and set(kinds.values()) <= {whole}:
        return folder  # files of the folder's own format are parts of it, as labelme's are
    if len(kinds) > 1 and len(best := _best(list(kinds), format)) == 1:
        return best[0]
    if len(kinds) > 1:
        raise DataError(f"{folder}: holds several label files ({', '.join(f.name for f in kinds)}); name one of them")
    return next(iter(kinds), None)


def _format_of(path: Path, format: str | None) -> str | None:
    try:
        if format is not None:
            return format if formats.load(format).detect(path) else None
        return formats.detect(path)
    except FormatError:
        return None
