"""Label images that do not fit in memory, painted and read band by band."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from apiece._arrays import Array, Int, UInt32
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_masks
from apiece.core.runs import Runs, paint
from apiece.core.stored_runs import StoredRuns
from apiece.errors import FormatError, ImageError
from apiece.formats._kit.label_images import decoding, note_text
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.said import numbered
from apiece.formats.contract import BAND, Record, comes_in_bands
from apiece.images import Tag, image_size, open_pyramid
from apiece.ops.row_bands import RowBands

WIDE = 16 * BAND
"""Columns of a row of tiles of a label image."""
_BIG = 2**28  # pixels from which on a TIFF may need places beyond 4 GB


def painted(pieces: Iterable[Instances], size: tuple[int, int]) -> Iterator[tuple[int, int, UInt32]]:
    """Yield a label image in rows of tiles, from the top down and left to right, whether or not it comes in bands.

    A part is its first row, its first column, and tiles (n, BAND, BAND), at most `WIDE` columns of them, in an array
    that is used again. They are zero beyond the image.
    """
    height, width = size
    corners = itertools.product(range(0, height, BAND), range(0, width, WIDE))
    if not comes_in_bands(size):
        (one,) = pieces
        whole = one.masks.to_label_map(numbered(one), np.uint32)
        for y, x in corners:
            part = whole[y : y + BAND, x : x + WIDE]
            rows = np.zeros((BAND, -(-part.shape[1] // BAND) * BAND), np.uint32)
            rows[: len(part), : part.shape[1]] = part
            yield y, x, in_tiles(rows)
        return
    tiles = np.zeros((WIDE // BAND, BAND, BAND), np.uint32)  # a tile fits in the processor's cache
    for top, one in zip(range(0, height, BAND), pieces, strict=True):
        runs = one.masks.runs
        tile, column = np.divmod(runs.x.astype(np.int64), BAND)
        order = np.argsort(tile, kind="stable")
        tile, y0, length = tile[order], runs.y0[order], (runs.y1 - runs.y0)[order]
        base = (tile * BAND + y0 - top) * BAND + column[order]
        values = numbered(one).astype(np.uint32)[runs.owners[order]]
        edges = np.append(np.arange(0, width, WIDE), width)
        cuts = np.searchsorted(tile, -(-edges // BAND))
        for left, right, a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), cuts[:-1], cuts[1:], strict=True):
            tiles[:] = 0
            paint(tiles.reshape(-1), base[a:b] - left * BAND, BAND, length[a:b], values[a:b])
            yield top, left, tiles[: -(-(right - left) // BAND)]


def in_tiles(rows: UInt32) -> UInt32:
    """Return rows (height, n * BAND) as tiles (n, height, BAND)."""
    return rows.reshape(len(rows), -1, BAND).swapaxes(0, 1)


class BandedSet(LabelImageSet):
    """Label images whose values are ids; large ones are read in pieces."""

    def pieces(self, index: int) -> Iterator[Record]:
        """Yield the objects of an image from the top down."""
        ref, file = self.refs[index], self.files[index]
        if not is_banded(file, ref.page):
            yield self.record(index)
            return
        for piece in pieces_in_bands(file, ref.page):
            yield ref, piece

    def look(self, index: int) -> None:
        """Decode an image piece by piece."""
        for _ in self.pieces(index):
            pass


def is_banded(path: Path, page: int | None) -> bool:
    """Return whether a label image is read in bands, as large TIFF and Zarr are; one that cannot be opened is not."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(2) not in (b"II", b"MM"):
                    return False
        return comes_in_bands(image_size(path, page=page))
    except (ImageError, OSError):
        return False


def read_in_bands(path: Path, page: int | None) -> Instances:
    """Return what a label image of any size holds; ids are its values. The masks lie in a file, see `StoredRuns`."""
    values, size = [np.zeros(0, np.int64)], (0, 0)

    def parts() -> Iterator[Runs]:
        nonlocal size
        for _, own, masks in blocks(path, page):
            values.append(own)
            size = masks.size
            yield masks.runs

    found = StoredRuns.write(parts())
    ids, group = np.unique(np.concatenate(values), return_inverse=True)
    return Instances(Masks.stored(size, found.merged(group, len(ids), size)), ids=ids)


def pieces_in_bands(path: Path, page: int | None) -> Iterator[Instances]:
    """Yield the same objects from the top down: those that end in each band, which are all that is in memory.

    What lies in each band waits in a temporary file until it is known where each value occurs for the last time.
    """
    with tempfile.TemporaryFile() as file:
        kept: RowBands | None = None
        seen = list[tuple[int, Int]]()
        for y, own, masks in blocks(path, page):
            kept = kept or RowBands(file, masks.size, BAND)
            kept.add(masks, own)
            seen.append((y // BAND, own))
        assert kept is not None
        ids = np.unique(np.concatenate([own for _, own in seen]))
        last = np.zeros(len(ids), np.int64)
        for k, own in seen:
            last[np.searchsorted(ids, own)] = k
        waiting = Instances.empty(kept.size).replace(ids=np.zeros(0, np.int64))
        for k, band in enumerate(kept.bands()):
            waiting = Instances.concatenate([waiting, band])
            assert waiting.ids is not None
            done = last[np.searchsorted(ids, waiting.ids)] <= k
            own, group = np.unique(waiting.ids[done], return_inverse=True)
            if len(own):
                yield Instances(waiting.masks[done].merge(group, len(own)), ids=own)
            waiting = waiting[~done]
        if not len(ids):
            yield waiting


def blocks(path: Path, page: int | None) -> Iterator[tuple[int, Int, Masks]]:
    """Yield the first row of each block of an image, the values that occur there, and where they lie on the image.

    A block is a part of a band of rows, about as many pixels in any image. Each stored tile or strip is decoded once,
    but for those taller than a band.
    """
    with decoding(path), open_pyramid(path, page=page) as pyramid:
        height, width = pyramid.size
        if pyramid.channels != 1 or pyramid.dtype.kind not in "bui":
            kind = f"{pyramid.channels} channels of {pyramid.dtype}"
            raise FormatError(path, f"holds {kind}; a label image has one, of integers")
        tall, wide = pyramid.tile
        columns = min(-(-WIDE // wide) * wide, width)
        rows = BAND if columns <= WIDE else max(BAND * WIDE // columns // tall * tall, min(tall, BAND))
        tops = (y for top in range(0, height, BAND) for y in range(top, min(top + BAND, height), rows))
        for y, x in itertools.product(tops, range(0, width, columns)):
            bottom = min(y + rows, y - y % BAND + BAND, height)
            block = pyramid.window((x, y, min(x + columns, width), bottom)).pixels[..., 0]
            if block.dtype.kind != "b" and (block.min() < 0 or int(block.max()) >= 2**63):
                raise FormatError(path, "holds a value below 0 or beyond 63 bits; objects count from 1")
            own, masks = label_map_masks(block)
            del block  # the next one needs its room
            yield y, own.astype(np.int64), masks.shift(x, y, pyramid.size)


def write_large_raster(
    bands: Iterable[Instances], size: tuple[int, int], path: Path, note: dict[str, Any], tags: Sequence[Tag] = ()
) -> None:
    """Write what `write_raster` does as a tiled TIFF of 32 bits; the label image is never whole in memory."""

    def tiles() -> Iterator[Array]:
        for _, _, row in painted(bands, size):
            yield from row.copy()

    tifffile.imwrite(
        path, tiles(), shape=size, dtype=np.uint32, tile=(BAND, BAND), compression="zlib", predictor=True,
        description=note_text(note), metadata=None, extratags=tags, bigtiff=size[0] * size[1] > _BIG,
    )  # fmt: skip
