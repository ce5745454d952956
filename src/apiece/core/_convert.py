"""Runs to and from the other forms of a mask: crops, label maps, dense stacks, polygons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Float, Int
from apiece.core import topology
from apiece.core.runs import LooseRuns, Runs, paint, sums
from apiece.errors import InvalidInstancesError


def clip_runs(runs: LooseRuns, window: tuple[int, int, int, int]) -> LooseRuns:
    """Return the runs' parts inside the half-open window x0, y0, x1, y1; order stays."""
    (owner, x, y0, y1), (left, top, right, bottom) = runs, (int(v) for v in window)
    if right < left or bottom < top:
        raise InvalidInstancesError(
            f"the window x0, y0, x1, y1 = {left}, {top}, {right}, {bottom} is turned inside out"
        )
    # a window without height lies inside a run, too
    kept = np.flatnonzero((x >= left) & (x < right) & (y1 > top) & (y0 < bottom) & (top < bottom))
    y0 = np.maximum(y0[kept].astype(np.int64), top)
    y1 = np.minimum(y1[kept].astype(np.int64), bottom)
    return owner[kept], x[kept].astype(np.int64), y0, y1


def crop_runs(crops: Sequence[Array], corners: Array) -> LooseRuns:
    """Return the runs of small arrays that lie at ``corners`` (N, 2)."""
    corners = corners.reshape(-1, 2) if corners.size == 0 else corners
    if corners.shape != (len(crops), 2) or (len(crops) and corners.dtype.kind not in "iu"):
        raise InvalidInstancesError(
            f"corners must be {len(crops)} integer pairs x, y; got shape {corners.shape}, dtype {corners.dtype}"
        )
    bad = next((i for i, c in enumerate(crops) if c.ndim != 2), None)
    if bad is not None:
        raise InvalidInstancesError(f"crop {bad} must be 2-D, got shape {crops[bad].shape}")
    # columns one after the other, each closed by one pixel outside
    tall = np.array([c.shape[0] + 1 for c in crops], np.int64)
    wide = np.array([c.shape[1] for c in crops], np.int64)
    inside = np.zeros(int((tall * wide).sum()) + 1, bool)
    starts = np.cumsum(tall * wide) - tall * wide
    for crop, start, h, w in zip(crops, starts.tolist(), tall.tolist(), wide.tolist(), strict=True):
        inside[start : start + h * w].reshape(w, h)[:, :-1] = (crop != 0).T
    change = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        change = np.append(0, change)
    begin, end = change[0::2], change[1::2]
    filled = np.flatnonzero(wide)
    owner = filled[np.searchsorted(starts[filled], begin, "right") - 1] if len(begin) else begin
    column, row = np.divmod(begin - starts[owner], np.maximum(tall[owner], 1))
    y0 = row + corners[owner, 1].astype(np.int64)
    return owner, column + corners[owner, 0].astype(np.int64), y0, y0 + (end - begin)


def coco_counts(rles: Sequence[Mapping[str, Any]], size: tuple[int, int] | None) -> tuple[list[Any], tuple[int, int]]:
    """The counts of each RLE, and the one (height, width) that all state."""
    try:  # in a large file nothing is ever wrong: no more than a look at each
        counts, stated = [r["counts"] for r in rles], [r["size"] for r in rles]
    except (KeyError, TypeError):
        counts, stated = [], []
    if size is None or not stated or stated.count(list(size)) < len(stated):
        size = _coco_size(rles, size)
    return counts, size


def _coco_size(rles: Sequence[Mapping[str, Any]], size: tuple[int, int] | None) -> tuple[int, int]:
    """The one (height, width) that all RLEs state; what is wrong is refused by name."""
    sizes = set()
    for i, rle in enumerate(rles):
        if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
            raise InvalidInstancesError(
                f"a COCO RLE is a mapping with 'size' and 'counts', got {type(rle).__name__}", i
            )
        try:
            height, width = rle["size"]
            sizes.add((int(height), int(width)))
        except (TypeError, ValueError):
            raise InvalidInstancesError(f"'size' must be [height, width], got {rle['size']!r}", i) from None
        wanted = tuple(size) if size is not None else next(iter(sizes))
        if (int(height), int(width)) != wanted:
            raise InvalidInstancesError(f"its RLE is of size {[height, width]}, expected {list(wanted)}", i)
    if size is None and not sizes:
        raise InvalidInstancesError("an empty list of RLEs needs the image's size")
    return size or sizes.pop()


def flatten_polygons(polygons: Sequence[Sequence[npt.ArrayLike]]) -> tuple[Float, Int, Int]:
    """(points (P, 2), where each ring begins (K + 1,), owner of each ring (K,)), checked."""
    rings = [_ring(part, i, k) for i, parts in enumerate(polygons) for k, part in enumerate(parts)]
    owner = np.repeat(np.arange(len(polygons)), [len(parts) for parts in polygons])
    sizes = np.array([len(r) for r in rings], np.int64)
    flat = np.concatenate([np.zeros(0), *rings])
    check_rings(flat, sizes, owner)
    return flat.reshape(-1, 2), sums(sizes // 2), owner


def check_rings(flat: Float, sizes: Int, owner: Int) -> None:
    """Refuse rings of fewer than 3 finite points; ``sizes`` are how many of the numbers each has."""
    bad = (sizes % 2 != 0) | (sizes < 6)
    finite = np.isfinite(flat)
    if not finite.all():
        bad[np.searchsorted(np.cumsum(sizes), np.flatnonzero(~finite), "right")] = True
    if bad.any():
        k = int(np.argmax(bad))
        part = k - int(np.searchsorted(owner, owner[k]))
        own = finite[int(sizes[:k].sum()) :][: int(sizes[k])]
        raise InvalidInstancesError(
            f"instance {int(owner[k])}, part {part}: a polygon needs at least 3 points, as finite x, y pairs; "
            f"got {int(sizes[k])} numbers" + ("" if own.all() else ", not all finite")
        )


def _ring(part: npt.ArrayLike, instance: int, place: int) -> Float:
    """x, y, x, y, ... of one part; points may come as rows, and as OpenCV has them, each in a row of its own."""
    try:
        ring = np.asarray(part, np.float64)
        if ring.ndim < 2 or ring.shape[-1] == 2:
            return ring.reshape(-1)
        came = f"an array of shape {ring.shape}"
    except (TypeError, ValueError) as error:
        came = str(error)
    raise InvalidInstancesError(
        f"instance {instance}, part {place}: a polygon is x, y, x, y, ... or an array of shape (K, 2); got {came}"
    )


def label_map(
    runs: Runs, size: tuple[int, int], values: npt.ArrayLike | None, dtype: npt.DTypeLike | None, overlap: str
) -> Array:
    """See `Masks.to_label_map`."""
    count = runs.number
    numbers = np.arange(1, count + 1) if values is None else np.asarray(values)
    if numbers.shape != (count,) or (count and numbers.dtype.kind not in "iu"):
        raise InvalidInstancesError(
            f"values must be {count} integers; got shape {numbers.shape}, dtype {numbers.dtype}"
        )
    low, high = (int(numbers.min()), int(numbers.max())) if count else (0, 0)
    kind = (
        np.dtype(dtype)
        if dtype is not None
        else np.result_type(np.min_scalar_type(high), np.min_scalar_type(min(low, 0)))
    )
    if kind.kind not in "iu" or not (np.iinfo(kind).min <= low and high <= np.iinfo(kind).max):
        raise InvalidInstancesError(
            f"label values from {low} to {high} do not fit {kind}; ask for a wider integer type"
        )
    if overlap == "raise":
        united = Runs.pack((np.zeros_like(runs.x), *runs[:3]), 1, size)
        shared = int(runs.area.sum() - united.area.sum())
        if shared:
            raise InvalidInstancesError(
                f"masks overlap on {shared} pixels, and a label map holds one per pixel; "
                "choose overlap='first', 'last' or 'smallest', or use to_layers()"
            )
    orders = {"raise": slice(None), "last": slice(None), "first": slice(None, None, -1)}
    if overlap == "smallest":
        order: Any = np.argsort(-runs.area, kind="stable")
    elif overlap in orders:
        order = orders[overlap]
    else:
        raise ValueError(f"overlap must be 'raise', 'first', 'last' or 'smallest', got {overlap!r}")
    plain = overlap in ("raise", "last")
    source, numbers = (runs, numbers) if plain else (runs.take(np.arange(count)[order]), numbers[order])
    out = np.zeros(size, kind)
    base = source.y0.astype(np.int64) * size[1] + source.x
    paint(out.reshape(-1), base, size[1], source.y1 - source.y0, numbers.astype(kind)[source.owners])
    return out


def semantic(runs: Runs, size: tuple[int, int], labels: Int, overlap: str, background: int) -> Array:
    """See `Masks.to_semantic`."""
    if labels.shape != (runs.number,):
        raise InvalidInstancesError(f"labels must be {runs.number} integers, got shape {labels.shape}")
    if overlap == "raise":
        labels, group = np.unique(labels, return_inverse=True)
        runs = Runs.pack((group[runs.owners], *runs[:3]), len(labels), size)
    painted = label_map(runs, size, labels + 1, None, overlap)
    if not background:
        return painted
    kind = np.result_type(painted.dtype, np.min_scalar_type(background))
    return np.where(painted == 0, np.asarray(background, kind), painted)


def dense(runs: Runs, size: tuple[int, int]) -> Bool:
    """See `Masks.to_dense`."""
    height, width = size
    out = np.zeros((runs.number, height, width), bool)
    base = (runs.owners * height + runs.y0) * width + runs.x
    paint(out.reshape(-1), base, width, runs.y1 - runs.y0, True)
    return out


def crops(runs: Runs) -> tuple[list[Bool], Int]:
    """See `Masks.to_crops`."""
    box = runs.boxes
    wide, tall = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    starts = np.append(0, np.cumsum(wide * tall))
    out = np.zeros(int(starts[-1]), bool)
    owner = runs.owners
    base = starts[owner] + (runs.y0 - box[owner, 1]) * wide[owner] + runs.x - box[owner, 0]
    paint(out, base, wide[owner], runs.y1 - runs.y0, True)
    cuts = starts.tolist()
    pieces = [
        out[a:b].reshape(h, w) for a, b, h, w in zip(cuts[:-1], cuts[1:], tall.tolist(), wide.tolist(), strict=True)
    ]
    return pieces, box[:, :2]


def _cut(points: Int, offsets: Int) -> Iterator[Float]:
    """Yield each ring's points."""
    floats, cuts = points.astype(np.float64), offsets.tolist()
    return (floats[a:b] for a, b in itertools.pairwise(cuts))


def polygons(runs: Runs, size: tuple[int, int]) -> list[list[list[Float]]]:
    """See `Masks.to_polygons`."""
    out: list[list[list[Float]]] = [[] for _ in range(runs.number)]
    rings = topology.trace(runs, size)
    rows = rings.owner.tolist(), rings.hole.tolist(), _cut(rings.points, rings.offsets)
    for owner, hole, ring in zip(*rows, strict=True):
        # rings come ordered by part, its outline first
        if hole:
            out[owner][-1].append(ring)
        else:
            out[owner].append([ring])
    return out
