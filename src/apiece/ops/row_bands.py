"""Masks of a large image, which come in any order, ordered by rows in a file: memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand, sums

__all__ = ["RowBands"]


class RowBands:
    """Keep masks by bands of rows in a file: for each band and piece the objects (id, area, runs), then their runs.

    Parameters
    ----------
    file : open for reading and writing, empty.
    size : (height, width) of the image.
    rows : of a band.
    """

    def __init__(self, file: IO[bytes], size: tuple[int, int], rows: int = 512) -> None:
        self.file, self.size, self.rows = file, size, rows
        self.places: list[list[tuple[int, int, int]]] = [[] for _ in range(-(-size[0] // rows))]
        """Of each band: where its chunks begin in the file, and how many objects and runs they hold."""

    def add(self, masks: Masks, ids: Int) -> None:
        """Keep the masks, cut where bands meet."""
        owner, x, y0, y1 = masks.runs.loose
        first, last = y0 // self.rows, (y1 - 1) // self.rows
        if (last > first).any():
            each = last - first + 1
            owner, x, y0, y1 = (np.repeat(values, each) for values in (owner, x, y0, y1))
            band = expand(first, each)
            y0, y1 = np.maximum(y0, band * self.rows), np.minimum(y1, (band + 1) * self.rows)
        else:
            band = first
        order = np.argsort(band, kind="stable")
        owner, area = owner[order], masks.area
        runs = np.stack([x, y0, y1], 1).astype(np.int32)[order]
        cuts = np.searchsorted(band[order], np.arange(len(self.places) + 1))
        for k in np.flatnonzero(np.diff(cuts)).tolist():
            here = slice(cuts[k], cuts[k + 1])
            which, each = np.unique(owner[here], return_counts=True)
            self.places[k].append((self.file.tell(), len(which), cuts[k + 1] - cuts[k]))
            self.file.write(np.stack([ids[which], area[which], each], 1).astype(np.int64).tobytes())
            self.file.write(runs[here].tobytes())

    def bands(self) -> Iterator[Instances]:
        """Yield what lies in each band, the largest objects first."""
        for places in self.places:
            objects, runs = [np.zeros((0, 3), np.int64)], [np.zeros((0, 3), np.int32)]
            for at, count, number in places:
                self.file.seek(at)
                objects.append(np.frombuffer(self.file.read(24 * count), np.int64).reshape(-1, 3))
                runs.append(np.frombuffer(self.file.read(12 * number), np.int32).reshape(-1, 3))
            ids, area, each = np.concatenate(objects).T
            x, y0, y1 = np.concatenate(runs).T
            order = np.lexsort((ids, -area))
            kept = Runs(x, y0, y1, sums(each)).take(order)
            yield Instances(Masks.of_runs(self.size, kept), ids=ids[order])
