"""Images in pieces: objects that come in any order become rows of a label image, in memory that does not grow.

What lies in each band of rows is kept in a temporary file beside the target until all objects have come.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand, sums
from apiece.errors import LossyFormatError
from apiece.formats._engine.guard import guarded, named, overlapping
from apiece.formats._kit.written import by_image
from apiece.formats.contract import BAND, LabelFormat, Record, comes_in_bands


def pieced(
    records: Iterable[Record], path: Path, format: LabelFormat, allow_lossy: bool, lost: list[str]
) -> Iterator[Record]:
    """Yield the records, each examined as `guarded` does, in the pieces that the format takes."""
    if format.pieces != "bands":
        yield from guarded(records, path, format.holds, allow_lossy, lost)
        return
    for ref, pieces in by_image(records):
        first = next(pieces)
        given = (piece for some in ([first], pieces) for piece in some)
        if not comes_in_bands(first.size):
            whole = Instances.concatenate(list(given))
            yield from guarded([(ref, whole)], path, format.holds, allow_lossy, lost)
            continue
        checked = guarded(((ref, one) for one in given), path, format.holds, allow_lossy, lost, banded=True)
        yield from _banded(checked, path, first.size, allow_lossy, lost)


def _banded(
    records: Iterable[Record], path: Path, size: tuple[int, int], allow_lossy: bool, lost: list[str]
) -> Iterator[Record]:
    """Yield one record for each band of an image, the largest objects first."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    with tempfile.TemporaryFile(dir=folder, prefix=".apiece") as file:
        spill, count, numbers = _Spill(file, size), 0, [np.zeros(0, np.int64)]
        for ref, piece in records:  # noqa: B007  # one image's, so that it is the same each time
            ids = np.arange(count + 1, count + 1 + len(piece)) if piece.ids is None else piece.ids
            spill.add(piece.masks, ids)
            numbers.append(ids)
            count += len(piece)
        if len(np.unique(np.concatenate(numbers))) < count:
            raise LossyFormatError(path, f"image {ref.name!r} uses an id twice, which this format cannot hold", "ids")
        for band in spill.bands():
            rows = overlapping(band)
            if len(rows):
                which = named(ref, band, rows)
                if not allow_lossy:
                    raise LossyFormatError(
                        path, f"{which} overlap others, which this format cannot hold; nothing was written"
                    )
                lost.append(f"{which}: overlap resolved, smallest on top")
            yield ref, band


class _Spill:
    """Keep runs by band in a file: for each band and piece the objects (id, area, runs), then their runs."""

    def __init__(self, file: IO[bytes], size: tuple[int, int]) -> None:
        self.file, self.size = file, size
        self.places: list[list[tuple[int, int, int]]] = [[] for _ in range(-(-size[0] // BAND))]
        """Of each band: where its chunks begin in the file, and how many objects and runs they hold."""

    def add(self, masks: Masks, ids: Int) -> None:
        """Keep the masks, cut where bands meet."""
        owner, x, y0, y1 = masks.runs.loose
        first, last = y0 // BAND, (y1 - 1) // BAND
        if (last > first).any():
            each = last - first + 1
            owner, x, y0, y1 = (np.repeat(values, each) for values in (owner, x, y0, y1))
            band = expand(first, each)
            y0, y1 = np.maximum(y0, band * BAND), np.minimum(y1, (band + 1) * BAND)
        else:
            band = first
        order = np.argsort(band, kind="stable")
        owner, area = owner[order], masks.area
        rows = np.stack([x, y0, y1], 1).astype(np.int32)[order]
        cuts = np.searchsorted(band[order], np.arange(len(self.places) + 1))
        for k in np.flatnonzero(np.diff(cuts)).tolist():
            here = slice(cuts[k], cuts[k + 1])
            which, runs = np.unique(owner[here], return_counts=True)
            self.places[k].append((self.file.tell(), len(which), cuts[k + 1] - cuts[k]))
            self.file.write(np.stack([ids[which], area[which], runs], 1).astype(np.int64).tobytes())
            self.file.write(rows[here].tobytes())

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
