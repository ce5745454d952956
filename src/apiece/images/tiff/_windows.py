"""Windows of a TIFF's planes: only the strips and tiles that a window touches are read and decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile

from apiece._arrays import Array
from apiece.errors import ImageError
from apiece.images.contract import Box


def stored(key: tifffile.TiffPage, at: int) -> Array:
    """Return uncompressed pixels, which begin at byte ``at``, as an array on disk."""
    handle = key.parent.filehandle
    return np.memmap(handle.path, np.dtype(key.dtype).newbyteorder(key.parent.byteorder), "r", at, key.shape)


def page_window(page: tifffile.TiffPage, box: Box) -> Array:
    """Return what a page holds in a half-open window: (height, width, samples).

    Raises
    ------
    ImageError
        If a strip or tile cannot be decoded; it says where on the page the strip or tile begins.
    """
    x0, y0, x1, y1 = box
    planar = str(page.axes) == "SYX"
    if page.is_memmappable:
        whole = stored(page, int(page.dataoffsets[0]))
        part = whole[:, y0:y1, x0:x1].transpose(1, 2, 0) if planar else whole[y0:y1, x0:x1]
        return np.array(part if part.ndim == 3 else part[:, :, None])
    height, width = page.shape[planar : planar + 2]
    out = np.full((y1 - y0, x1 - x0, int(page.samplesperpixel)), page.nodata, page.dtype)
    for data, sample, top, left in _segments(page, box, planar):
        a, b = max(y0, top), max(x0, left)
        c, d = (min(*ends) for ends in ((y1, top + data.shape[0], height), (x1, left + data.shape[1], width)))
        out[a - y0 : c - y0, b - x0 : d - x0, sample : sample + data.shape[2]] = data[
            a - top : c - top, b - left : d - left
        ]
    return out


def _segments(page: tifffile.TiffPage, box: Box, planar: bool) -> Iterator[tuple[Array, int, int, int]]:
    """Yield the strips or tiles that a window touches, (height, width, samples): first sample, row and column."""
    x0, y0, x1, y1 = box
    handle = page.parent.filehandle
    tall, wide = page.chunks[:2]
    down, across = page.chunked[planar : planar + 2]
    rows, columns = np.arange(y0 // tall, -(-y1 // tall)), np.arange(x0 // wide, -(-x1 // wide))
    planes = np.arange(page.chunked[0] if planar else 1) * (down * across)
    for index in (planes[:, None, None] + rows[:, None] * across + columns).ravel().tolist():
        count = int(page.databytecounts[index])
        if not count:  # GDAL leaves out tiles that hold nothing
            continue
        handle.seek(int(page.dataoffsets[index]))
        try:
            data, place, _ = page.decode(handle.read(count), index, jpegtables=page.jpegtables)
        except Exception as error:
            row, column = divmod(index % (down * across), across)
            where = f"the strip or tile at x {column * wide}, y {row * tall} cannot be decoded"
            raise ImageError(handle.path, f"is damaged: {where}: {error}") from error
        if data is not None:
            yield data[0], int(place[0]), int(place[2]), int(place[3])


def as_page(page: Any) -> tifffile.TiffPage:
    """Return a page that knows how it is stored; of most pages of a series tifffile holds a frame only."""
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page
