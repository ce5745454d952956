"""Write a label image as an OME-Zarr pyramid: each stored object once, by one writer, from bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import UInt32
from apiece._extras import extras
from apiece.core.image import ImageRef, PixelSize
from apiece.core.instances import Instances
from apiece.errors import ImageError
from apiece.formats._kit.label_bands import painted_whole
from apiece.formats.contract import BAND
from apiece.images import image_pixel_size

NOTE = "apiece"
_NAME = "objects"
_WIDE = 16 * BAND  # columns of a shard
_SMALLEST = 2 * BAND  # a level whose sides are no longer has no smaller one
_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "in": "inch"}


def write_labels(ref: ImageRef, pieces: Iterator[Instances], folder: Path) -> None:
    """Write a Zarr group with one label image, ``labels/objects``."""
    with extras():
        import zarr
    old = (ref.path / ".zgroup").is_file()
    size, bands = painted_whole(pieces)
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if old else 3)
    labels = group.create_group("labels")
    label = labels.create_group(_NAME)
    levels = [_Level(label, k, size, old) for k in range(_depth(size))]
    for rows in bands:
        for level in levels:
            level.add(rows)
    for level in levels:
        level.flush()
    _describe(labels, label, ref, [level.factor for level in levels], old)


def _depth(size: tuple[int, int]) -> int:
    return max(int(np.ceil(np.log2(max(size) / _SMALLEST))), 0) + 1


class _Level:
    """One level of the pyramid: it gathers rows until they fill a row of stored objects."""

    def __init__(self, label: Any, number: int, size: tuple[int, int], old: bool) -> None:
        self.factor = 2**number
        height, width = (-(-side // self.factor) for side in size)
        chunk = (min(BAND, height), min(BAND, width))
        shards = {} if old else {"shards": (chunk[0], chunk[1] * -(-min(_WIDE, width) // chunk[1]))}
        self.array = label.create_array(str(number), shape=(height, width), dtype="uint32", chunks=chunk, **shards)
        self.rows, self.columns = (
            np.minimum(np.arange(count) * self.factor + self.factor // 2, side - 1)
            for count, side in zip((height, width), size, strict=True)
        )
        self.seen = self.written = 0
        self.waiting: list[UInt32] = []

    def add(self, rows: UInt32) -> None:
        """Take the rows of this level that lie in the next rows of the image."""
        begin, self.seen = self.seen, self.seen + len(rows)
        if self.factor == 1:
            self._store(rows)
            return
        here = self.rows[(self.rows >= begin) & (self.rows < self.seen)] - begin
        self.waiting.append(rows[here][:, self.columns])
        if sum(map(len, self.waiting)) >= BAND:
            self.flush()

    def flush(self) -> None:
        """Store the rows that wait."""
        if self.waiting:
            self._store(np.concatenate(self.waiting))
            self.waiting = []

    def _store(self, rows: UInt32) -> None:
        for x in range(0, rows.shape[1], _WIDE):
            part = rows[:, x : x + _WIDE]
            if part.any():
                self.array[self.written : self.written + len(rows), x : x + _WIDE] = part
        self.written += len(rows)


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
