"""Lists of masks that lie in a file each: results of Cityscapes and KITTI, a text an image; CSV of Open Images."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from apiece.formats._kit.files import files_in, head_of, never_raises

_LINE = re.compile(r"\s*\S+\.png[ \t]+[+-]?\d+(\.\d*)?[ \t]+\S+[ \t]*(\r?\n|$)", re.IGNORECASE)
_COLUMNS = {"MaskPath", "ImageID", "LabelName"}
_DEPTH = ("*.txt", "*/*.txt", "*/*/*.txt")
LISTS = ("annotations", "labels")
"""Folders in which lists of Open Images lie."""
_LOOKED_AT = 20  # texts in a folder; those of images without results are empty


@never_raises
def is_result_list(path: Path) -> bool:
    """Return whether a text begins with a line ``relative/mask.png 26 0.97``; never raises."""
    return path.suffix.lower() == ".txt" and _LINE.match(head_of(path)) is not None


@never_raises
def has_result_lists(folder: Path) -> bool:
    """Return whether lists of results lie in a folder, at most two folders deep; never raises."""
    texts = itertools.chain.from_iterable(folder.glob(pattern) for pattern in _DEPTH)
    return any(is_result_list(text) for text in itertools.islice(texts, _LOOKED_AT))


@never_raises
def is_object_list(path: Path) -> bool:
    """Return whether a CSV begins with the columns of Open Images' masks; never raises."""
    return path.suffix.lower() == ".csv" and set(head_of(path).partition("\n")[0].strip().split(",")) >= _COLUMNS


def object_lists(folder: Path) -> list[Path]:
    """Return the lists of Open Images' masks in a folder, or in its ``annotations`` or ``labels``; never raises."""
    places = (folder, *(folder / name for name in LISTS))
    return next(filter(None, ([f for f in files_in(at, (".csv",)) if is_object_list(f)] for at in places)), [])
