"""Results as the evaluation of Cityscapes reads them (``evalInstanceLevelSemanticLabeling.py``), and that of KITTI.

A text for each image, called ``CITY_000000_000019*.txt`` after it (of KITTI as the image itself), with a line
``relative/mask.png 26 0.97`` for each object: its mask, white on black, the number of its class, and its score.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, number, skip_bad
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_below, read_text
from apiece.formats._kit.image_places import find_image, image_ref, image_size
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.mask_stack import MaskStack, read_mask
from apiece.formats.cityscapes._classes import STUFF, THINGS
from apiece.formats.contract import OnBad, refuse

_CITY = re.compile(r"(([^_]+)_\d{6}_\d{6}).*")
_IMAGE, _RESULT = "_leftImg8bit", "_pred"
_CLASSES = tuple(THINGS)
_NAMES = {value: name for name, value in (STUFF | THINGS).items()}


class _Result(NamedTuple):
    """A line of a list."""

    line: int
    mask: Path
    label: int
    score: float


def read_results(path: Path, images: Path | None, on_bad: OnBad) -> LabelImageSet:
    """Open one list of results, or all of a folder."""
    root = path if path.is_dir() else path.parent
    files = files_below(path, (".txt",)) if path.is_dir() else [path]
    of: dict[str, Path] = {}
    refs, kept, rows = [], [], []
    for file in files:
        ref = _image(file, images or root)
        if of.setdefault(ref.name, file) is not file:
            refuse(FormatError(file, f"and {of[ref.name]} are results on one image; remove one"), on_bad)
            continue
        refs.append(ref)
        kept.append(file)
        rows.append(_lines(file, root if file.parent != root else root.parent, on_bad))
    return LabelImageSet(tuple(refs), tuple(kept), _CLASSES, _decode, tuple(rows), on_bad=on_bad).sound()


def _image(file: Path, folder: Path) -> ImageRef:
    """Return the image of a list; lists do not say in which folder it lies."""
    match = _CITY.fullmatch(file.stem)
    if match is None:
        return image_ref(folder, file.stem.removesuffix(_RESULT), None)
    for near in (folder, folder / match[2], *folder.glob(f"*/{glob.escape(match[2])}")):
        found = find_image(near, match[1] + _IMAGE) or find_image(near, match[1])
        if found is not None:
            return ImageRef(found, found.relative_to(folder).as_posix())
    name = match[1] + _IMAGE + IMAGE_SUFFIXES[0]
    return ImageRef(folder / name, name)


def _lines(file: Path, within: Path, on_bad: OnBad) -> list[_Result]:
    """Return the objects of a list, whose masks lie below the folder ``within``; none is read yet."""
    found: list[_Result] = []
    seen: dict[Path, int] = {}
    for k, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        with skip_bad(on_bad, file, f"line {k}"):
            result = _result(k, line, file, within)
            if seen.setdefault(result.mask, k) != k:
                raise BadEntryError(f"{result.mask.name} is the mask of line {seen[result.mask]} already")
            found.append(result)
    return found


def _result(k: int, line: str, file: Path, within: Path) -> _Result:
    fields = line.split()
    if len(fields) != 3:
        raise BadEntryError(f"has {len(fields)} fields instead of a mask's path, a class and a score")
    stated = fields[0].replace("\\", "/")
    mask = Path(os.path.abspath(file.parent / stated))
    if not mask.is_relative_to(os.path.abspath(within)):
        raise BadEntryError(f"the mask {fields[0][:80]!r} lies outside of {within}")
    number_of, score = number(fields[1], "the class"), number(fields[2], "the score")
    name = _NAMES.get(int(number_of)) if number_of.is_integer() else None
    if name not in THINGS:
        said = f"{fields[1][:40]} is {name}, which has no objects" if name else f"there is no class {fields[1][:40]}"
        raise BadEntryError(f"{said}; those with objects are {min(THINGS.values())} to {max(THINGS.values())}")
    if not 0 <= score <= 1:
        raise BadEntryError(f"the score must lie from 0 to 1, got {fields[2][:40]}")
    return _Result(k, mask, _CLASSES.index(name), score)


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file, ref, rows = labels.files[i], labels.refs[i], labels.rows[i]
    stack, kept = MaskStack(ref.size), []
    others = "the image is" if ref.size else "other masks of the image are"
    for row in rows:
        with skip_bad(labels.on_bad, file, f"line {row.line}: {row.mask.name}"):
            stack.add(read_mask(row.mask), others)
            kept.append(row)
    masks = stack.masks(stack.size or image_size(file, ref))
    classes = np.array([row.label for row in kept], np.int64)
    return Instances(masks, classes, labels.classes, np.array([row.score for row in kept], np.float64)), {}
