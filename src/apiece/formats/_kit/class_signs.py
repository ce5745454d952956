"""Whether the values of label images are classes rather than objects, told from their pixels.

An object is in one piece, or in pieces close to each other; a class covers whatever lies apart. So the sign is how many
values cover several regions, counted over many images. On the label maps of eleven sets of objects (cells, kernels,
bottles, boards, leaves, facades ...) that is at most 4% of the values; on the class maps of the same sets it is 25% and
more, wherever two objects of a class are on one image at all. Where none are, both readings are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from apiece._arrays import Bool, Float32, Int
from apiece.core.masks import Masks, label_map_masks
from apiece.errors import FormatError
from apiece.formats._kit.label_bands import blocks, is_banded, read_in_bands
from apiece.formats._kit.label_images import read_raster
from apiece.ops.parts import parts_of

_IMAGES, _PIXELS = 48, 1 << 26  # looked at, at most
_CLASSES = 255  # higher values number objects
_LEAST = 4  # pixels: a smaller region is dust
_DUST = 0.05  # of a value's largest region: smaller regions are crumbs beside it
_SPLIT, _APART, _MANY = 0.3, 0.1, 10  # shares of values that say so, the second one of so many values
_GREY = 250  # the highest of values that are grey levels: 255, or 85, 170, 255


def class_sign(files: Sequence[Path]) -> str:
    """Return what makes the values of label images look like classes; empty if they look like objects."""
    values, split, apart, example = 0, 0, 0, ""
    known: set[int] = set()
    for file, found, masks in _values(files):
        known.update(found.tolist())
        if max(known, default=0) > _CLASSES:
            return ""
        regions, far = _regions(masks)
        values += len(found)
        split += int((regions > 1).sum())
        apart += int((far | (regions > 2)).sum())
        if (regions > 1).any() and not example:
            k = int(regions.argmax())
            example = f"in {file.name} the value {found[k]} covers {regions[k]} separate regions"
    grey = split and len(known) < 16 and max(known) >= _GREY and min(known) >= 256 // (len(known) + 2)
    if grey or (values and (split >= _SPLIT * values or (values >= _MANY and apart >= _APART * values))):
        return f"{example}; {split} of {values} values on the images looked at do so"
    return ""


def _values(files: Sequence[Path]) -> Iterator[tuple[Path, Int, Masks]]:
    """Yield of some files the values, and what each covers."""
    pixels = 0
    for place in dict.fromkeys(np.linspace(0, len(files) - 1, min(_IMAGES, len(files))).astype(int).tolist()):
        try:
            values, masks = _masks(files[place])
        except FormatError:
            continue  # said when it is read
        yield files[place], values, masks
        pixels += masks.size[0] * masks.size[1]
        if pixels > _PIXELS:
            return


def _masks(file: Path) -> tuple[Int, Masks]:
    """Return the values of a label image and what each covers; the pixels of a large one are in memory band by band.

    A large one with a value that is no class is read no further than to the first of them.
    """
    if not is_banded(file, None):
        return label_map_masks(read_raster(file))
    for _, values, masks in blocks(file, None):
        if values.max(initial=0) > _CLASSES:
            return values, masks
    found = read_in_bands(file, None)
    assert found.ids is not None
    return found.ids, found.masks


def _regions(masks: Masks) -> tuple[Int, Bool]:
    """Return how many regions each mask covers, and whether these lie apart."""
    parts, owner = parts_of(masks)
    area, count = parts.area, np.zeros(len(masks), np.int64)
    largest = np.zeros(len(masks), np.int64)
    np.maximum.at(largest, owner, area)
    real = area >= np.maximum(_LEAST, _DUST * largest[owner])
    np.add.at(count, owner[real], 1)
    far = np.zeros(len(masks), bool)
    for value in np.flatnonzero((count > 1) & (count < 3)).tolist():
        rows = np.flatnonzero(real & (owner == value))
        far[value] = _gap(parts.boxes[rows]) > np.sqrt(area[rows].min()) / 2
    return count, far


def _gap(boxes: Float32) -> float:
    """Return the pixels between two boxes along the axis on which they are further apart."""
    return float((boxes[:, :2].max(0) - boxes[:, 2:].min(0)).max())
