"""Folders of YOLO label files without a list of classes, as prediction writes them: ``runs/segment/predict/labels``."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path

from apiece.core.image import ImageRef
from apiece.formats._kit.files import files_below, head_of, never_raises
from apiece.formats._kit.label_sets import EntrySet
from apiece.formats.contract import LabelSet, OnBad
from apiece.formats.yolo._layout import config_file
from apiece.formats.yolo._rows import decode, decode_boxes, first_outline

_log = logging.getLogger("apiece")
_LOOKED_AT = 20  # files
_NAMED = 8  # classes in a message


@never_raises
def is_rows(path: Path) -> bool:
    """Return whether a folder, or its ``labels``, has files of YOLO rows, and nothing in it names the classes."""
    if not path.is_dir() or config_file(path) is not None:
        return False
    return any(_is_row(head_of(file)) for file in itertools.islice(_files(path), _LOOKED_AT))


def _files(folder: Path) -> list[Path]:
    return files_below(folder / "labels" if (folder / "labels").is_dir() else folder, (".txt",))


def _is_row(text: str) -> bool:
    try:
        number, *values = map(float, text.strip().partition("\n")[0].split())
    except ValueError:
        return False
    return number.is_integer() and number >= 0 and len(values) >= 4 and all(-1 <= v <= 2 for v in values[:-1])


@dataclass(frozen=True)
class Boxes(EntrySet):
    """Predicted boxes: empty masks with the attribute ``bbox``."""

    boxes_only: bool = True


def read_rows(path: Path, truth: LabelSet, on_bad: OnBad = None) -> EntrySet:
    """Open predictions in a folder for which `is_rows` holds; their images lack endings and sizes.

    The number of a class is the one that the YOLO set ``truth`` gives it, or its position among the classes of other
    labels. A line of the log says so.
    """
    files = _files(path)
    root = path / "labels" if (path / "labels").is_dir() else path
    names = truth.metadata.get("yolo", {}).get("names") or dict(enumerate(truth.classes))
    said = ", ".join(f"{number} is {name}" for number, name in itertools.islice(names.items(), _NAMED))
    _log.warning("%s: no file names the classes, so that they are the classes of the data: %s", path, said)
    scored, boxes = first_outline(files)
    refs = []
    for file in files:
        name = file.relative_to(root).with_suffix("").as_posix()
        refs.append(ImageRef(root / name, name))
    numbers = {number: truth.classes.index(name) for number, name in names.items() if name in truth.classes}
    made, decoded = (Boxes, decode_boxes) if boxes else (EntrySet, decode)
    rows = [0] * len(files)
    return made(tuple(refs), tuple(files), truth.classes, decoded, rows, {}, (numbers, None, scored), on_bad)
