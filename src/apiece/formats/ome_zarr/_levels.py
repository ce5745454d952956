"""Write a label image as an OME-Zarr pyramid: each stored object once, by one writer, from bands of rows.

zarr describes the arrays. What they hold is compressed and written here, as the specifications of Zarr 2 and 3 want it
(https://zarr-specs.readthedocs.io): zarr takes five times as long to store zeros and few values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Int, UInt32
from apiece._extras import extras
from apiece.core.image import ImageRef, PixelSize
from apiece.core.instances import Instances
from apiece.errors import ImageError
from apiece.formats._kit.label_bands import WIDE, in_tiles, painted
from apiece.formats.contract import BAND
from apiece.images import image_pixel_size

NOTE = "apiece"
_NAME = "objects"
_SMALLEST = 2 * BAND  # a level whose sides are no longer has no smaller one
_COARSE = BAND // 2  # rows of a coarse level's stored objects, which wait in memory until they are whole
_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "in": "inch"}


def write_labels(ref: ImageRef, pieces: Iterator[Instances], folder: Path) -> None:
    """Write a Zarr group with one label image, ``labels/objects``."""
    with extras():
        import zarr
    old = (ref.path / ".zgroup").is_file()
    first = next(pieces)
    size = first.size
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if old else 3)
    labels = group.create_group("labels")
    label = labels.create_group(_NAME)
    levels = [_Level(label, folder / label.path, k, size, old) for k in range(_depth(size))]
    for y, x, tiles in painted(itertools.chain([first], pieces), size):
        for level in levels:
            level.add(y, x, tiles)
    for level in levels[1:]:
        level.flush()
    _describe(labels, label, ref, [level.factor for level in levels], old)


def _depth(size: tuple[int, int]) -> int:
    return max(int(np.ceil(np.log2(max(size) / _SMALLEST))), 0) + 1


class _Level:
    """One level of the pyramid: it gathers pixels until they fill a row of stored objects."""

    def __init__(self, label: Any, folder: Path, number: int, size: tuple[int, int], old: bool) -> None:
        from numcodecs import CRC32C, Zstd
        from zarr.codecs import ZstdCodec

        self.factor, self.old = 2**number, old
        self.compress, self.check = Zstd(0).encode, CRC32C(location="end").encode
        height, width = (-(-side // self.factor) for side in size)
        chunk, self.tiles = (BAND if number == 0 else _COARSE, BAND), -(-min(WIDE, width) // BAND)
        how: dict[str, Any] = {"compressors": Zstd(0), "chunk_key_encoding": {"name": "v2", "separator": "/"}}
        if not old:
            how = {"compressors": ZstdCodec(), "shards": (chunk[0], self.tiles * BAND)}
        label.create_array(str(number), shape=(height, width), dtype="uint32", chunks=chunk, **how)
        self.folder = folder / str(number) / ("" if old else "c")
        self.taken = [
            np.minimum(np.arange(n) * self.factor + self.factor // 2, s - 1)
            for n, s in zip((height, width), size, strict=True)
        ]
        """Rows and columns of the full level that this one takes."""
        self.columns: dict[int, list[tuple[int, int, slice | Int]]] = {}
        """Of each part of a row of tiles, by its first column: which columns tiles become, and which of theirs."""
        self.waiting = np.zeros((0 if number == 0 else _COARSE, -(-width // BAND) * BAND), np.uint32)
        self.first = 0

    def add(self, y: int, x: int, tiles: UInt32) -> None:
        """Take what this level takes of a row of tiles of the full one."""
        if self.factor == 1:
            self._store(y, x, tiles)
            return
        (top, bottom), (left, right) = (
            np.searchsorted(taken, (begin, begin + length)).tolist()
            for taken, begin, length in zip(self.taken, (y, x), (BAND, len(tiles) * BAND), strict=True)
        )
        if bottom > self.first + len(self.waiting):
            self.flush()
        if x not in self.columns:
            tile, column = np.divmod(self.taken[1][left:right] - x, BAND)
            ends = itertools.pairwise(np.searchsorted(tile, np.arange(len(tiles) + 1)).tolist())
            self.columns[x] = [(a, b, _slice(column[a:b])) for a, b in ends]
        rows = _slice(self.taken[0][top:bottom] - y)
        goal = self.waiting[top - self.first : bottom - self.first, left:right]
        for tile, (a, b, column) in zip(tiles, self.columns[x], strict=True):
            goal[:, a:b] = tile[rows][:, column]

    def flush(self) -> None:
        """Store the rows that wait."""
        if self.first < len(self.taken[0]):
            for x in range(0, self.waiting.shape[1], WIDE):
                self._store(self.first, x, in_tiles(self.waiting[:, x : x + WIDE]))
        self.first += len(self.waiting)
        self.waiting[:] = 0

    def _store(self, y: int, x: int, tiles: UInt32) -> None:
        """Write tiles as chunks of a shard, or of Zarr 2 each for itself."""
        if not tiles.any():
            return
        stored = [self.compress(np.ascontiguousarray(tile)) for tile in tiles]
        place, first = self.folder / str(y // tiles.shape[1]), x // BAND
        place.mkdir(parents=True, exist_ok=True)
        if self.old:
            for k, chunk in enumerate(stored, first):
                (place / str(k)).write_bytes(chunk)
            return
        index = np.full((self.tiles, 2), 2**64 - 1, "<u8")  # place and length; of no chunk there is all ones
        length = [len(chunk) for chunk in stored]
        index[: len(stored)] = np.stack([np.cumsum([0, *length[:-1]]), length], 1)
        (place / str(first // self.tiles)).write_bytes(b"".join([*stored, self.check(index)]))


def _slice(index: Int) -> slice | Int:
    """Return evenly spaced indices as a slice, which copies nothing."""
    if len(index) < 2 or (np.diff(index) != index[1] - index[0]).any():
        return index
    return slice(int(index[0]), int(index[-1]) + 1, int(index[1] - index[0]))


def _describe(labels: Any, label: Any, ref: ImageRef, factors: list[int], old: bool) -> None:
    size = _pixel_size(ref)
    y, x = (1.0, 1.0) if size is None else (size.y, size.x)
    unit = {} if size is None else {"unit": _UNITS[size.unit]}
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [y * factor, x * factor]},
                {"type": "translation", "translation": [y * (factor // 2), x * (factor // 2)]},
            ],
        }
        for k, factor in enumerate(factors)
    ]
    axes = [{"name": name, "type": "space"} | unit for name in "yx"]
    version = {"version": "0.4"} if old else {}
    image: dict[str, Any] = {
        "multiscales": [{"name": _NAME, "axes": axes, "datasets": datasets, "type": "nearest"} | version]
    }
    image["image-label"] = {"source": {"image": "../../"}} | version
    if old:
        labels.attrs["labels"] = [_NAME]
        label.attrs.update(image)
    else:
        labels.attrs["ome"] = {"version": "0.5", "labels": [_NAME]}
        label.attrs["ome"] = {"version": "0.5"} | image
    label.attrs[NOTE] = {"image": ref.name}


def _pixel_size(ref: ImageRef) -> PixelSize | None:
    try:
        return image_pixel_size(ref.path, page=ref.page)
    except ImageError:  # labels can be written without their image
        return None
