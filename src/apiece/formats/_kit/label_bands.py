"""Label images that do not fit in memory, painted and read band by band."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from apiece._arrays import Array, UInt32
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_masks
from apiece.core.runs import paint
from apiece.errors import FormatError
from apiece.formats._kit.label_images import decoding, note_text
from apiece.formats._kit.said import numbered
from apiece.formats.contract import BAND, comes_in_bands
from apiece.images import LARGE, open_pyramid

_BIG = 2**28  # pixels from which on a TIFF may need places beyond 4 GB


def painted(bands: Iterable[Instances], size: tuple[int, int]) -> Iterator[UInt32]:
    """Yield `BAND` rows of a label image after the other, the last one with fewer; an array that is used again."""
    columns = np.zeros((size[1], BAND), np.uint32)  # as runs lie
    for top, band in zip(range(0, size[0], BAND), bands, strict=True):
        runs = band.masks.runs
        values = numbered(band).astype(np.uint32)[runs.owners]
        columns[:] = 0
        paint(columns.reshape(-1), runs.x.astype(np.int64) * BAND + runs.y0 - top, 1, runs.y1 - runs.y0, values)
        yield columns[:, : min(BAND, size[0] - top)].T


def painted_whole(pieces: Iterator[Instances]) -> tuple[tuple[int, int], Iterator[UInt32]]:
    """Return the size of an image, and its label image in `BAND` rows, whether or not it comes in bands."""
    first = next(pieces)
    if comes_in_bands(first.size):
        return first.size, painted(itertools.chain([first], pieces), first.size)
    whole = first.masks.to_label_map(numbered(first), np.uint32)
    return first.size, (whole[y : y + BAND] for y in range(0, len(whole), BAND))


def read_in_bands(path: Path, page: int | None) -> Instances:
    """Return what a label image of any size holds; ids are its values. Its pixels are in memory band by band."""
    with decoding(path), open_pyramid(path, page=page) as pyramid:
        height, width = pyramid.size
        if pyramid.channels != 1 or pyramid.dtype.kind not in "bui":
            kind = f"{pyramid.channels} channels of {pyramid.dtype}"
            raise FormatError(path, f"holds {kind}; a label image has one, of integers")
        rows = max(LARGE // 4 // width, 1)
        values, parts = [np.zeros(0, np.int64)], [Masks.empty(pyramid.size)]
        for y in range(0, height, rows):
            band = pyramid.window((0, y, width, min(y + rows, height))).pixels[..., 0]
            if band.dtype.kind != "b" and (band.min() < 0 or int(band.max()) >= 2**63):
                raise FormatError(path, "holds a value below 0 or beyond 63 bits; objects count from 1")
            own, masks = label_map_masks(band)
            values.append(own.astype(np.int64))
            parts.append(masks.shift(0, y, pyramid.size))
        ids, group = np.unique(np.concatenate(values), return_inverse=True)
        whole = Masks.concatenate(parts)
        return Instances(whole if len(ids) == len(whole) else whole.merge(group, len(ids)), ids=ids)


def write_large_raster(bands: Iterable[Instances], size: tuple[int, int], path: Path, note: dict[str, Any]) -> None:
    """Write what `write_raster` does as a tiled TIFF of 32 bits; the label image is never whole in memory."""

    def tiles() -> Iterator[Array]:
        for rows in painted(bands, size):
            for x in range(0, size[1], BAND):
                yield np.ascontiguousarray(rows[:, x : x + BAND])

    tifffile.imwrite(
        path, tiles(), shape=size, dtype=np.uint32, tile=(BAND, BAND), compression="zlib", predictor=True,
        description=note_text(note), metadata=None, bigtiff=size[0] * size[1] > _BIG,
    )  # fmt: skip
