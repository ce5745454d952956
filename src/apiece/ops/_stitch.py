"""Join what was found in overlapping tiles into the objects of the whole image: none doubled, cut or merged.

A `Grid` cuts an image into windows that overlap. The middle lines of the overlaps bound the cores, which partition the
image: a pixel's core is the tile that sees the pixel best. Two detections from two tiles are one object if their masks
agree where both tiles look. So a nucleus within a ring stays an object, and neighbours that touch stay two.

Nothing is dense: objects are column runs in the coordinates of the image, and one row of tiles is in memory, with the
objects that reach beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece._scipy import sp
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.run_overlap import intersections
from apiece.core.runs import Runs, chunks, expand, segment_sum, sums
from apiece.errors import DataError
from apiece.ops._grid import Grid

__all__ = ["stitch"]

_SAME = 0.5  # overlap from which on two masks agree, within the place that both tiles see
_LEAD = 0.8  # share of its largest piece that a detection needs in its own core, so that its tile answers for it
_SLIVER = 4  # pixels; what is thinner at a tile's border does not say what it is part of


def stitch(tiles: Iterable[Instances], grid: Grid) -> Iterator[Instances]:
    """Join the instances of a grid's tiles, and yield the whole objects that each row of tiles completes.

    Detections of two tiles are one object if their masks, within the place that both tiles see, have an IoU of at least
    0.5 and no other detection of these tiles fits better; or if one of them, cut by its tile's border, lies by half in
    the other, which has its class. Two detections of one tile are two objects if the tile sees one of them whole, or
    one lies by half on the other. Of the copies of an object the copy farthest from its tile's border is taken whole.
    If all are cut, each tile gives what lies in its core. A detection that only one tile has, outside of what that tile
    answers for, is left out: the tile that sees the place better found nothing there. The class is that of the vote,
    weighted by pixels in the cores; the score that of the copy with most pixels in its tile's core, of those that are
    seen whole if there are any.

    Parameters
    ----------
    tiles : the instances of each tile in the order of ``grid.windows``, on an image of the window's size. All have the
        same classes, and all or none have scores.
    grid : how the image was cut.

    Yields
    ------
    `Instances` of the whole image's size; each object comes once. Full masks are united. Ids are dropped.

    Raises
    ------
    DataError
        If there are fewer or more tiles than the grid has, or one is of another size.

    Examples
    --------
    >>> truth = apiece.Masks.from_boxes([[10, 10, 90, 20], [100, 30, 120, 60]], (100, 150))
    >>> grid = Grid((100, 150), tile=64, halo=8)
    >>> parts = [truth.crop(*window) for window in grid.windows.tolist()]
    >>> parts = [apiece.Instances(masks[masks.area > 0]) for masks in parts]
    >>> joined = apiece.Instances.concatenate(list(stitch(parts, grid)))
    >>> joined.masks.boxes.tolist()
    [[10.0, 10.0, 90.0, 20.0], [100.0, 30.0, 120.0, 60.0]]
    """
    given = iter(tiles)
    open_: _Fragments | None = None
    for row in range(grid.rows):
        numbers = np.arange(row * grid.columns, (row + 1) * grid.columns)
        fresh = _row(given, grid, numbers)
        alone = _alone(fresh, grid)
        finished, open_ = _joined(open_, fresh.take(~alone), grid, row)
        yield Instances.concatenate([fresh.found[alone], finished])
    if next(given, None) is not None:
        raise DataError(f"there are more than the {len(grid)} tiles of the grid")


@dataclass(frozen=True, eq=False)
class _Fragments:
    """Detections in coordinates of the image, the tile each comes from, and a number for the object, where known."""

    found: Instances
    tile: Int
    group: Int

    def take(self, index: Int | Bool) -> _Fragments:
        return _Fragments(self.found[index], self.tile[index], self.group[index])

    @classmethod
    def join(cls, first: _Fragments, second: _Fragments) -> _Fragments:
        found = Instances.concatenate([first.found, second.found])
        return cls(found, *(np.concatenate(pair) for pair in ((first.tile, second.tile), (first.group, second.group))))


def _row(tiles: Iterator[Instances], grid: Grid, numbers: Int) -> _Fragments:
    """Return what one row of tiles found, moved to where it lies on the image."""
    found = []
    for number in numbers.tolist():
        x0, y0, x1, y1 = grid.windows[number].tolist()
        one = next(tiles, None)
        if one is None or one.size != (y1 - y0, x1 - x0):
            what = "is missing" if one is None else f"has {one.size[0]} x {one.size[1]} pixels"
            raise DataError(f"tile {number} of {len(grid)} {what}; its window is {y1 - y0} x {x1 - x0} pixels")
        masks, full = (None if m is None else _moved(m, x0, y0, grid.size) for m in (one.masks, one.full))
        found.append(one.replace(masks=masks, full=full, ids=None))
    tile = np.repeat(numbers, [len(one) for one in found])
    return _Fragments(Instances.concatenate(found), tile, np.arange(len(tile)))


def _moved(masks: Masks, x: int, y: int, size: tuple[int, int]) -> Masks:
    runs = masks.runs
    return Masks.of_runs(size, Runs(runs.x + x, runs.y0 + y, runs.y1 + y, runs.offsets))


def _alone(fresh: _Fragments, grid: Grid) -> Bool:
    """Return which detections no other tile can see a pixel of."""
    boxes, cut = fresh.found.masks.runs.boxes, grid.cuts
    inside = np.ones(len(boxes), bool)
    for (begin, end, _), place, low, high in zip(
        cut, np.divmod(fresh.tile, grid.columns), boxes[:, 1::-1].T, boxes[:, :1:-1].T, strict=True
    ):
        before, behind = np.append(0, end[:-1]), np.append(begin[1:], end[-1])
        inside &= (low >= before[place]) & (high <= behind[place])
    return inside


def _joined(open_: _Fragments | None, fresh: _Fragments, grid: Grid, row: int) -> tuple[Instances, _Fragments]:
    """Unite a row's detections with those still open; return the objects that are complete, and what stays open."""
    old = 0 if open_ is None else len(open_.tile)
    pool = fresh if open_ is None else _Fragments.join(open_, fresh)
    count = len(pool.tile)
    if not count:
        return pool.found, pool
    known = np.append(np.unique(pool.group[:old], return_inverse=True)[1], np.arange(old, count))
    whole = grid.margin(pool.found.masks.runs.boxes, pool.tile) >= grid.halo / 2
    group = _united(_Fragments(pool.found, pool.tile, known), whole, *_links(pool, old, ~whole, grid))
    begin = grid.cuts[0][0]
    below = int(begin[row + 1]) if row + 1 < grid.rows else grid.size[0]
    waits = np.zeros(count, bool)
    waits[group[pool.found.masks.runs.boxes[:, 3] > below]] = True
    pool = _Fragments(pool.found, pool.tile, group)
    return _finished(pool.take(~waits[group]), grid), pool.take(waits[group])


def _united(pool: _Fragments, whole: Bool, a: Int, b: Int) -> Int:
    """Return a number for the object of each detection: pairs (a, b) unite groups, the first pair first.

    They do not where one tile saw two objects: one of them whole, or one that lies by half on the other.
    """
    from scipy.sparse.csgraph import connected_components  # slow to import, and few need it

    edges = sp.coo_array((np.ones(len(a)), (pool.group[a], pool.group[b])), shape=(len(whole), len(whole)))
    every = connected_components(edges, directed=False)[1][pool.group].astype(np.int64)
    several = np.flatnonzero(_several(every, pool.tile))
    upon = several[_upon(pool.found.masks[several], pool.tile[several])]
    odd = _at_odds(every, pool.tile, whole, upon)
    if not odd.any():
        return every
    # few groups are at odds; in a round of theirs every pair is tried that comes first in both its groups
    some, number = np.flatnonzero(odd), np.cumsum(odd) - 1
    tile, whole, own = pool.tile[some], whole[some], np.unique(pool.group[some], return_inverse=True)[1]
    upon, pairs = (number[them[odd[them[:, 0]]]] for them in (upon, np.stack([a, b], 1)))
    while len(pairs := pairs[own[pairs[:, 0]] != own[pairs[:, 1]]]):
        ends = np.sort(own[pairs], axis=1)
        first = np.unique(ends, return_index=True)[1] // 2
        best = np.bincount(first, minlength=len(pairs)) == 2
        goal = np.arange(len(own))
        goal[ends[best, 1]] = ends[best, 0]
        own = np.where(_at_odds(goal[own], tile, whole, upon), own, goal[own])
        pairs = pairs[~np.isin(_key(*ends.T), _key(*ends[best].T))]
    every[some] = len(every) + own
    return np.unique(every, return_inverse=True)[1]


def _several(group: Int, tile: Int) -> Bool:
    """Return whose group has more than one detection of its tile: bool (N,)."""
    _, again, count = np.unique(_key(group, tile), return_inverse=True, return_counts=True)
    return np.asarray(count[again] > 1)


def _upon(masks: Masks, tile: Int) -> Int:
    """Return pairs of one tile, of which the one lies by half on the other: int64 (P, 2)."""
    shared = intersections(masks.columns, masks.columns, (len(masks), len(masks))).tocoo()
    a, b = shared.row.astype(np.int64), shared.col.astype(np.int64)
    on = (a < b) & (tile[a] == tile[b]) & (shared.data >= _SAME * np.minimum(masks.area[a], masks.area[b]))
    return np.stack([a[on], b[on]], 1)


def _at_odds(group: Int, tile: Int, whole: Bool, upon: Int) -> Bool:
    """Return whose group has two objects that one tile saw: bool (N,)."""
    one, other = group[upon].T
    odd: Bool = np.isin(group, np.append(group[whole & _several(group, tile)], one[one == other]))
    return odd


def _links(pool: _Fragments, old: int, cut: Bool, grid: Grid) -> tuple[Int, Int]:
    """Return pairs (a, b) of detections of two tiles that show one object, not both among the ``old`` ones.

    Pairs whose masks agree come first, the more alike the earlier, then those of a part that a tile's border ``cut``.
    """
    masks, tile = pool.found.masks, pool.tile
    columns = masks.columns
    fresh = masks[old:].columns
    shared = intersections(fresh, columns, (len(masks) - old, len(masks))).tocoo()
    a, b, pixels = shared.row.astype(np.int64) + old, shared.col.astype(np.int64), shared.data
    some = (tile[a] != tile[b]) & (a > b)
    a, b, pixels = a[some], b[some], pixels[some]
    windows = grid.windows
    low = np.maximum(windows[tile[a], :2], windows[tile[b], :2])
    both = np.concatenate([low, np.minimum(windows[tile[a], 2:], windows[tile[b], 2:])], 1)
    parts = [_area_within(masks.runs, index, both) for index in (a, b)]
    alike = pool.found.labels[a] == pool.found.labels[b]
    agreement = pixels / (parts[0] + parts[1] - pixels)
    same = _agreeing(a, b, tile, agreement, alike)
    links, boxes = [(a[same], b[same], -1 - agreement[same])], masks.runs.boxes
    for one, other, part in ((a, b, parts[0]), (b, a, parts[1])):
        known = np.isin(_key(one, tile[other]), _key(one[same], tile[other[same]]))
        sides = np.minimum(boxes[one, 2:], both[:, 2:]) - np.maximum(boxes[one, :2], both[:, :2])
        within = cut[one] & alike & ~known & (pixels >= _SAME * part) & (sides.min(1) >= _SLIVER)
        links.append((one[within], other[within], -pixels[within] / part[within]))
    a, b, by = (np.concatenate(values) for values in zip(*links, strict=True))
    order = np.lexsort((b, a, by))
    return a[order], b[order]


def _agreeing(a: Int, b: Int, tile: Int, agreement: Float, alike: Bool) -> Bool:
    """Return which pairs agree: greedily the best first, each detection at most once with another tile."""
    order = np.lexsort((b, a, ~alike, -agreement))
    order = order[agreement[order] >= _SAME]
    sides = _key(a, tile[b]), _key(b, tile[a])
    same = np.zeros(len(a), bool)
    while len(order):  # a round takes every pair that is the best for both; nearly all are taken in the first
        best = np.ones(len(order), bool)
        for side in sides:
            first = np.zeros(len(order), bool)
            first[np.unique(side[order], return_index=True)[1]] = True
            best &= first
        same[order[best]] = True
        taken = [np.isin(side[order], side[order[best]]) for side in sides]
        order = order[~(taken[0] | taken[1])]
    return same


def _key(index: Int, tile: Int) -> Int:
    """Return one number for each (detection, tile)."""
    return index << 32 | tile


def _area_within(runs: Runs, index: Int, boxes: Int) -> Int:
    """Return the pixels of mask ``index[k]`` in the half-open box k: int64 (K,)."""
    counts = np.diff(runs.offsets)[index]
    area = np.zeros(len(index), np.int64)
    for lo, hi in chunks(counts):
        each = counts[lo:hi]
        run = expand(runs.offsets[:-1][index[lo:hi]], each)
        x0, y0, x1, y1 = np.repeat(boxes[lo:hi], each, axis=0).T
        height = np.minimum(runs.y1[run], y1) - np.maximum(runs.y0[run], y0)
        inside = (runs.x[run] >= x0) & (runs.x[run] < x1)
        area[lo:hi] = segment_sum(np.maximum(height, 0) * inside, sums(each))
    return area


def _finished(parts: _Fragments, grid: Grid) -> Instances:
    """Return one instance for each group of detections that is an object."""
    owner, core, *runs = _split(parts.found.masks.runs, grid)
    mine, most = _shares(owner, core, runs[2] - runs[1], parts.tile)
    answered = np.isin(parts.group, parts.group[mine >= _LEAD * most])
    # numbered anew, without the groups that no tile answers for
    group = np.unique(np.where(answered, parts.group, -1), return_inverse=True)[1] - (not answered.all())
    count = int(group.max(initial=-1)) + 1
    kept = np.flatnonzero(answered)
    label, margin = parts.found.labels[kept], grid.margin(parts.found.masks.runs.boxes[kept], parts.tile[kept])
    votes = np.bincount(group[kept] * len(parts.found.classes) + label, mine[kept], minlength=1)
    votes = votes[group[kept] * len(parts.found.classes) + label]
    whole = margin >= grid.halo / 2
    speaker = kept[_first_of(group[kept], (-votes, label, ~whole, -mine[kept], parts.tile[kept]))]
    best = _first_of(group[kept], (-margin, parts.tile[kept]))
    # a tile draws its core, and the cores of tiles that show nothing of the object
    draws = (core == parts.tile[owner]) | ~np.isin(_key(group[owner], core), _key(group, parts.tile))
    draws &= answered[owner]
    united = Runs.pack((group[owner[draws]], *(values[draws] for values in runs)), count, grid.size)
    given = parts.found.masks.runs
    chosen = np.where(whole[best], kept[best], given.number + np.arange(count))
    masks = Masks.of_runs(grid.size, Runs.concatenate([given, united]).take(chosen))
    full = parts.found.full
    if full is not None:
        full = Masks.concatenate([full[kept], masks]).merge(np.concatenate([group[kept], np.arange(count)]), count)
    return parts.found[speaker].replace(masks=masks, full=full)


def _split(runs: Runs, grid: Grid) -> tuple[Int, Int, Int, Int, Int]:
    """Return runs cut where cores meet: (owner, core, x, y0, y1)."""
    owner, x, y0, y1 = runs.loose
    (_, _, rows), (_, _, columns) = grid.cuts
    first, last = (np.searchsorted(rows, y, "right") - 1 for y in (y0, y1 - 1))
    each = last - first + 1
    row = expand(first, each)
    owner, x, y0, y1 = (np.repeat(values, each) for values in (owner, x, y0, y1))
    core = row * grid.columns + np.searchsorted(columns, x, "right") - 1
    return owner, core, x, np.maximum(y0, rows[row]), np.minimum(y1, rows[row + 1])


def _shares(owner: Int, core: Int, length: Int, tile: Int) -> tuple[Int, Int]:
    """Return the pixels that each detection has in its own tile's core, and in the core where it has most."""
    cell, again = np.unique(_key(owner, core), return_inverse=True)
    pixels = np.bincount(again, length, len(cell)).astype(np.int64)
    mine, most = np.zeros((2, len(tile)), np.int64)
    who = cell >> 32
    own = (cell & 0xFFFFFFFF) == tile[who]
    mine[who[own]] = pixels[own]
    np.maximum.at(most, who, pixels)
    return mine, most


def _first_of(group: Int, by: tuple[Float | Int | Bool, ...]) -> Int:
    """Return the index of each group's first member by the given keys, the most important first."""
    order = np.lexsort((*by[::-1], group))
    first: Int = order[np.unique(group[order], return_index=True)[1]]
    return first
