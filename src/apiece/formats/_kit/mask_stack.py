"""Masks that lie in files of their own, one after the other, as the masks of one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apiece._arrays import Bool
from apiece.core.masks import Masks
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size
from apiece.formats._kit.files import is_file
from apiece.formats._kit.label_images import read_raster

_BATCH = 256  # masks put together at a time


class MaskStack:
    """Collects dense masks, of which it keeps run-lengths.

    ``size`` is that of the image; where it is None, the first mask decides.
    """

    def __init__(self, size: Size | None) -> None:
        self.size = size
        self._parts: list[Masks] = []
        self._crops: list[Bool] = []
        self._corners: list[tuple[int, int]] = []

    def add(self, mask: Bool, others: str = "other masks of the image are") -> None:
        """Add a mask; refuse one of another size than the image or its other masks."""
        size = (mask.shape[0], mask.shape[1])
        self.size = self.size or size
        if size != self.size:
            raise BadEntryError(f"is of {size} pixels, and {others} of {self.size}")
        crop, corner = _cut(mask)
        self._crops.append(crop)
        self._corners.append(corner)
        if len(self._crops) == _BATCH:
            self._put_together(self.size)

    def masks(self, size: Size) -> Masks:
        """Return all masks; ``size`` is that of the image."""
        self._put_together(size)
        return Masks.concatenate([Masks.empty(size), *self._parts])

    def _put_together(self, size: Size) -> None:
        if self._crops:
            self._parts.append(Masks.from_crops(self._crops, self._corners, size))
            self._crops, self._corners = [], []


def read_mask(file: Path) -> Bool:
    """Return where a mask's file is not 0; what is wrong with it is a `BadEntryError`, as a list names it."""
    if not is_file(file):
        raise BadEntryError(f"there is no such file in {file.parent}")
    try:
        return read_raster(file) != 0
    except FormatError as error:
        raise BadEntryError(error.reason) from None


def _cut(mask: Bool) -> tuple[Bool, tuple[int, int]]:
    """Return the mask inside its own box, and the x, y of the box's corner."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros((1, 1), bool), (0, 0)
    y, x = int(rows[0]), int(columns[0])
    return mask[y : rows[-1] + 1, x : columns[-1] + 1].copy(), (x, y)
