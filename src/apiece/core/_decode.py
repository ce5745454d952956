"""Low-resolution logits to run-lengths at image size, without ever drawing the pixels.

Between neighbouring grid rows a bilinear map is linear down each image column, so it crosses the threshold at most once
there, and where is the root of a line. Each column of each box is therefore read off as a few crossings, and the first
pixel centre beyond each crossing is where a run begins or ends. The result equals upsampling the whole map to the
image (bilinear, pixel centres at halves, edges repeated: ``align_corners=False``) and thresholding inside the
box; time grows with boxes' columns times grid rows, memory is bounded whatever the number of masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Array, Bool, Float, Float32, Int
from apiece.core.runs import LooseRuns, chunks, expand
from apiece.errors import InvalidInstancesError

_CELLS = 1 << 17  # grid cells read at once
_SUMS = 1 << 19  # values of weighted prototypes held at once
_TILE = 8  # smallest side, in cells, of the squares in which weighted prototypes are computed


class Grid:
    """Where grids lie on the image.

    Image coordinate ``x`` is grid coordinate ``x * scale + shift`` (continuous, pixel edges at integers).
    ``scale`` and ``shift`` have shape (N, 2), x then y.
    """

    def __init__(self, scale: Float, shift: Float) -> None:
        self.scale, self.shift = scale, shift

    @classmethod
    def of_image(cls, count: int, span: tuple[float, float], size: tuple[int, int]) -> Grid:
        """The first ``span`` (height, width) cells of each grid lie on the whole image; the rest on padding."""
        # of an image without pixels nothing is asked
        scale = np.tile([span[1] / max(size[1], 1), span[0] / max(size[0], 1)], (count, 1))
        return cls(scale, np.zeros((count, 2)))

    @classmethod
    def of_boxes(cls, boxes: Float, shape: tuple[int, int]) -> Grid:
        """Each grid of ``shape`` (h, w) spans its own box."""
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
        scale = np.array([shape[1], shape[0]]) / sides
        return cls(scale, -boxes[:, :2] * scale)


def pixel_window(boxes: Float, size: tuple[int, int]) -> Int:
    """Pixels whose centres lie in each box: (N, 4) integer x0, y0, x1, y1, half-open, inside the image."""
    height, width = size
    window = np.ceil(np.asarray(boxes, np.float64) - 0.5)
    limits = np.array([width, height, width, height])
    return np.clip(np.nan_to_num(window), 0, limits).astype(np.int64)


def logit_runs(
    logits: Array, boxes: Float, size: tuple[int, int], threshold: float, span: tuple[float, float] | None
) -> LooseRuns:
    """See `Masks.from_logits`; without ``span`` each grid spans its own box."""
    maps = np.asarray(logits)
    if maps.ndim != 3 or len(maps) != len(boxes) or maps.dtype.kind != "f" or (len(boxes) and not maps.size):
        raise InvalidInstancesError(
            f"logits must be float of shape ({len(boxes)}, h, w), one map of at least one cell per box; "
            f"got shape {maps.shape}, dtype {maps.dtype}"
        )
    shape = (maps.shape[1], maps.shape[2])
    grid = Grid.of_boxes(boxes, shape) if span is None else Grid.of_image(len(maps), span, size)
    # contiguous, since it is read as one row, a part at a time
    values = np.ascontiguousarray(maps, np.float32)
    return decode_runs(values, grid, _near_inside(values, grid, pixel_window(boxes, size), threshold), threshold)


def _near_inside(values: Float32, grid: Grid, window: Int, threshold: float) -> Int:
    """Return windows cut to the pixels next to a grid cell that is inside: no other pixel can be."""
    shape = np.array(values.shape[:0:-1])
    first, last = np.zeros((2, len(values), 2), np.int64)  # of the columns, and of the rows, with a cell that is inside
    some = np.zeros(len(values), bool)
    for lo, hi in chunks(np.full(len(values), shape.prod())):
        on: Bool = np.greater(values[lo:hi], np.float32(threshold))
        for axis in (0, 1):
            any_on: Bool = np.any(on, axis=axis + 1)
            first[lo:hi, axis] = any_on.argmax(axis=1)
            last[lo:hi, axis] = shape[axis] - 1 - any_on[:, ::-1].argmax(axis=1)
        some[lo:hi] = np.any(any_on, axis=1)
    # edges are repeated, so that what lies beyond the outermost cells is as they are
    low = np.where(first > 0, (first - 0.5 - grid.shift) / grid.scale - 0.5, -np.inf)
    high = np.where(last < shape - 1, (last + 1.5 - grid.shift) / grid.scale + 0.5, np.inf)
    near = np.concatenate([np.maximum(window[:, :2], np.floor(low)), np.minimum(window[:, 2:], np.ceil(high))], 1)
    return np.where(some[:, None], near, 0).astype(np.int64)


def prototype_runs(
    prototypes: Sequence[Array],
    coefficients: Array,
    boxes: Float,
    size: tuple[int, int],
    threshold: float,
    span: tuple[float, float],
) -> Iterator[tuple[Int, LooseRuns]]:
    """See `Masks.from_prototypes`: (which masks, their runs), a few masks at a time.

    A weighted sum is computed near its box only: in a square whose side is a power of two, and whose corner is a
    multiple of a quarter of it. So squares are few of kind, and boxes at one place share one.
    """
    bases, weights = [np.asarray(maps, np.float32) for maps in prototypes], np.asarray(coefficients, np.float32)
    known = sum(len(maps) if maps.ndim == 3 and maps.size else 0 for maps in bases)
    if not known or len({maps.shape[1:] for maps in bases}) != 1 or weights.shape != (len(boxes), known):
        raise InvalidInstancesError(
            "prototypes must be (K, h, w), all at least 1, and coefficients (N, K) for N boxes; "
            f"got {', '.join(str(maps.shape) for maps in bases)}; {weights.shape} for {len(boxes)} boxes"
        )
    shape = np.array(bases[0].shape[:0:-1])
    grid = Grid.of_image(len(boxes), span, size)
    window = pixel_window(boxes, size)
    lie = np.stack([np.floor(_to_grid(grid, window[:, a] - (a > 1), a % 2)) for a in range(4)], 1).astype(np.int64)
    low, high = lie[:, :2].clip(0, shape - 1), (lie[:, 2:] + 2).clip(1, shape)
    # moved to such a corner, a box reaches up to a quarter of the square, less one cell, further
    reach = np.maximum(((high - low).max(axis=1, initial=1) - 1) * (4 / 3), _TILE)
    side = np.left_shift(1, np.ceil(np.log2(reach)).astype(np.int64))
    filled = (window[:, 2:] > window[:, :2]).all(axis=1)
    for tile in np.unique(side[filled]).tolist():
        extent, step = np.minimum(tile, shape), tile // 4
        corner = np.minimum(low // step * step, shape - extent)
        some = np.flatnonzero(filled & (side == tile))
        some = some[np.lexsort((corner[some, 0], corner[some, 1]))]
        at_once = max(_SUMS // int(extent.prod()), 1)
        for i in range(0, len(some), at_once):
            part = some[i : i + at_once]
            near = Grid(grid.scale[part], grid.shift[part] - corner[part])
            sums = _tile_sums(bases, weights[part], corner[part], (int(extent[1]), int(extent[0])))
            yield part, decode_runs(sums, near, window[part], threshold)


def _tile_sums(bases: list[Float32], weights: Float32, corner: Int, extent: tuple[int, int]) -> Float32:
    """Weighted sums of maps in a rectangle each, (n, *extent); masks of one rectangle lie one after the other."""
    sums = np.empty((len(weights), *extent), np.float32)
    row_sums = sums.transpose(1, 0, 2)  # row by row, so that nothing is copied
    change = np.flatnonzero((np.diff(corner, axis=0) != 0).any(axis=1)) + 1
    for a, b in itertools.pairwise([0, *change.tolist(), len(weights)]):
        x, y = corner[a].tolist()
        k = 0
        for maps in bases:
            near = maps.transpose(1, 0, 2)[y : y + extent[0], :, x : x + extent[1]]
            part = weights[a:b, k : k + len(maps)]
            if k:
                row_sums[:, a:b] += part @ near
            else:
                np.matmul(part, near, out=row_sums[:, a:b])
            k += len(maps)
    return sums


def decode_runs(values: Float32, grid: Grid, window: Int, threshold: float) -> LooseRuns:
    """Runs where the upsampled ``values`` exceed ``threshold``.

    Parameters
    ----------
    values : (N, h, w) float32.
    grid : where they lie.
    window : (N, 4) pixels that may be inside, from `pixel_window`.

    Returns
    -------
    (owner, x, y0, y1), ordered; runs may be empty or touch.
    """
    rows = values.shape[1]
    wide = np.maximum(window[:, 2] - window[:, 0], 0) * (window[:, 3] > window[:, 1])
    # the grid rows that the window's first and last pixel centres lie between
    row0 = np.clip(np.floor(_to_grid(grid, window[:, 1], 1)), 0, rows - 1).astype(np.int64)
    row1 = np.clip(np.floor(_to_grid(grid, window[:, 3] - 1, 1)) + 1, 0, rows - 1).astype(np.int64)
    cells = wide * (row1 - row0 + 1)
    parts = []
    for lo, hi in chunks(cells, _CELLS):
        some = lo + np.flatnonzero(cells[lo:hi])
        if len(some):
            runs = _decode_part(values, grid, window, threshold, some, row0, row1)
            parts.append([column.astype(np.int32) for column in runs])
    if not parts:
        none = np.zeros(0, np.int64)
        return none, none, none, none
    owner, x, y0, y1 = (np.concatenate(column) for column in zip(*parts, strict=True))
    return owner, x, y0, y1


def _to_grid(grid: Grid, pixel: Int, axis: int, of: Int | slice = slice(None)) -> Float:
    """Grid index (node centres at integers) of pixel centres."""
    where: Float = (pixel + 0.5) * grid.scale[of, axis] + grid.shift[of, axis] - 0.5
    return where


def _decode_part(
    values: Float32, grid: Grid, window: Int, threshold: float, some: Int, row0: Int, row1: Int
) -> LooseRuns:
    _, rows, columns = values.shape
    # every pixel column of every window, and the two grid columns it lies between
    count = window[some, 2] - window[some, 0]
    owner = np.repeat(some, count)
    x = expand(window[some, 0], count)
    u = np.clip(_to_grid(grid, x, 0, owner), 0, columns - 1)
    left = u.astype(np.int64)
    weight = (u - left).astype(np.float32)
    step = (left < columns - 1).astype(np.int64)
    # its profile down the grid rows, all columns' cells one after the other
    tall = (row1 - row0 + 1)[owner]
    k = expand(np.zeros(len(tall)), tall)
    cell = np.repeat((owner * rows + row0[owner]) * columns + left, tall) + k * columns
    flat = values.reshape(-1)
    profile = flat[cell]
    cell += np.repeat(step, tall)
    profile += np.repeat(weight, tall) * (flat[cell] - profile)
    profile -= np.float32(threshold)
    # one cell that is outside before, between and after the columns, so that begins and ends alternate
    place = np.cumsum(tall + 1) - tall
    inside = np.zeros(int(place[-1] + tall[-1] + 1), bool)
    inside[np.repeat(place, tall) + k] = profile > 0
    change = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    column = np.searchsorted(place, change, "right") - 1
    y = _crossings(profile, change, column, place, tall, owner, row0, grid, window)
    o = owner[column[0::2]]
    return o, x[column[0::2]], y[0::2], y[1::2]


def _crossings(
    profile: Float32, change: Int, column: Int, place: Int, tall: Int, owner: Int, row0: Int, grid: Grid, window: Int
) -> Int:
    """The pixel row where each change of sign takes effect."""
    who = owner[column]
    node = change - place[column]  # the profile node at or after the change
    low, high = window[who, 1], window[who, 3]
    inner = (node > 0) & (node < tall[column])
    # `profile` has no cells between columns; the crossing line runs from the cell before the change to the cell at it
    at = np.where(inner, change - column - 1, 0)
    before, after = profile[at - 1].astype(np.float64), profile[at].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = node - 1 + row0[who] + before / (before - after)
        pixel = (root + 0.5 - grid.shift[who, 1]) / grid.scale[who, 1] - 0.5
    begins = np.arange(len(change)) % 2 == 0
    # a run begins at the first centre strictly beyond the root, and ends at the first at or beyond it
    y = np.where(begins, np.floor(np.nan_to_num(pixel)) + 1, np.ceil(np.nan_to_num(pixel)))
    y = np.where(inner, np.clip(y, low, high), np.where(begins, low, high))
    return y.astype(np.int64)
