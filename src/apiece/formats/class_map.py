"""Class maps: one integer image per image, whose value is the class; each separate region of a class is an object.

Read: files as ``labelmap`` finds them, PNG or TIFF. Regions hang together over 8 neighbours, so that touching objects
of one class come as one. 0 is background. 255 is void, and no class, beside values below 64. A file ``classes.json`` in
the folder names the values (``{"1": "bolt"}``), as ``apiece predict --save semantic`` writes it, or ``_classes.csv``,
as Roboflow exports it. Else classes have their value as name, a single one ``object``. The format is never guessed:
name it, or say ``--instances components``.

Not written: a class map cannot tell objects that touch.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import label_map_masks, label_map_values
from apiece.errors import FormatError
from apiece.formats import labelmap
from apiece.formats._kit.checks import refuse_repeated
from apiece.formats._kit.files import read_text
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.label_images import read_raster
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats.contract import Holds, LabelFormat, OnBad
from apiece.ops.parts import parts_of

__all__ = ["FORMAT"]

_log = logging.getLogger("apiece")
_VOID, _FEW = 255, 64


def detect(path: Path) -> bool:
    """Return whether ``path`` is what `labelmap` is too: the format is taken only when it is named."""
    return labelmap.FORMAT.detect(path)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open one class map or a folder of them; all are decoded once, to know the classes."""
    found = labelmap.read(path, images, on_bad)
    values = sorted({v for file, ref in zip(found.files, found.refs, strict=True) for v in _values(file, ref)})
    if values[1:] and values[-1] == _VOID and values[-2] < _FEW:
        _log.warning("%s: the value 255 is taken for void, beside the classes %s to %s", path, values[0], values[-2])
        del values[-1]
    named = _names(path / "classes.json") or _listed(path / "_classes.csv")
    values = sorted({*values, *named})
    classes = tuple(named.get(v, str(v)) for v in values)
    if len(values) == 1 and not named:
        classes = ("object",)
    numbers = {value: k for k, value in enumerate(values)}
    return LabelImageSet(
        found.refs, found.files, classes or ("object",), _decode, context=numbers, on_bad=on_bad
    ).sound()


def _names(file: Path) -> dict[int, str]:
    """Return the names of values but 0 in a ``classes.json``; none where there is no such file."""
    if not file.is_file():
        return {}
    found = load_json(file)
    wrong = type(found) is not dict or any(not k.isdecimal() or type(v) is not str for k, v in found.items())
    if wrong or len(set(found.values())) < len(found):
        raise FormatError(file, "must be an object of values and distinct names, such as {'1': 'bolt'}")
    return {int(k): v for k, v in found.items() if int(k)}


def _listed(file: Path) -> dict[int, str]:
    """Return the names of values but 0 in Roboflow's ``_classes.csv``; none where there is no such file."""
    if not file.is_file():
        return {}
    rows = [line.split(",", 1) for line in read_text(file).splitlines()[1:] if line.strip()]
    if any(len(row) != 2 or not row[0].strip().isdecimal() for row in rows):
        raise FormatError(file, "must be a line of headings, then lines of a value and a name: 1, bolt")
    found = {int(value): name.strip() for value, name in rows if int(value)}
    refuse_repeated(found.values(), file)
    return found


def _values(file: Path, ref: ImageRef) -> list[int]:
    try:
        return [int(v) for v in label_map_values(read_raster(file, ref.page))]
    except FormatError:
        return []  # said when it is decoded


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    values, masks = label_map_masks(read_raster(labels.files[i], labels.refs[i].page))
    known = np.array([labels.context.get(int(v), -1) for v in values], np.int64)
    parts, owner = parts_of(masks[known >= 0])  # without void
    return Instances(parts, known[known >= 0][owner], labels.classes), {}


FORMAT = LabelFormat(
    summary="class maps: one PNG or TIFF per image, its values are classes; each separate region is an object",
    detect=detect,
    read=read,
    write=None,
    holds=Holds(holes=True, classes=True),
    guessed=False,
)
