"""Images in pieces: objects that come in any order become rows of a label image, in memory that does not grow.

What lies in each band of rows is kept in a temporary file beside the target until all objects have come.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from apiece.core.instances import Instances
from apiece.errors import LossyFormatError
from apiece.formats._engine.guard import guarded, named, overlapping
from apiece.formats.contract import BAND, LabelFormat, Record, by_image, comes_in_bands
from apiece.ops.row_bands import RowBands


def pieced(
    records: Iterable[Record], path: Path, format: LabelFormat, allow_lossy: bool, lost: list[str]
) -> Iterator[Record]:
    """Yield the records, each examined as `guarded` does, in the pieces that the format takes."""
    if format.pieces == "objects":
        yield from guarded(records, path, format.holds, allow_lossy, lost)
        return
    for ref, pieces in by_image(records):
        first = next(pieces)
        given = (piece for some in ([first], pieces) for piece in some)
        if format.pieces != "bands" and not comes_in_bands(first.size):
            # an image of this size comes whole: the same one again is the format's to refuse
            yield from guarded(((ref, one) for one in given), path, format.holds, allow_lossy, lost)
            continue
        if format.pieces != "bands" or not comes_in_bands(first.size):
            every = list(given)
            whole = every[0] if len(every) == 1 else Instances.concatenate(every)
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
        spill, count, numbers = RowBands(file, size, BAND), 0, [np.zeros(0, np.int64)]
        for ref, piece in records:  # noqa: B007  # one image's, so that it is the same each time
            ids = np.arange(count + 1, count + 1 + len(piece)) if piece.ids is None else piece.ids
            spill.add(piece.masks, ids)
            numbers.append(ids)
            count += len(piece)
        if len(np.unique(np.concatenate(numbers))) < count:
            raise LossyFormatError(path, f"image {ref.name!r} uses an id twice, which this format cannot hold", "ids")
        del numbers, ids, piece
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
