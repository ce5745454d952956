"""Which cell of which grid stands for which object: the assignment of SOLO (Wang et al., ECCV 2020), without loss.

A pyramid of grids lies over the image; each cell stands for at most one object, of a size that suits its level. In the
paper a cell that two objects claim goes to one, and the other may be left with none. Here every object has a cell
before any has a second one. Coordinates are pixels, x to the right, y down; cell (row i, column j) of a grid with cells
of side s covers [j s, (j + 1) s) x [i s, (i + 1) s).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import expand
from apiece.errors import ConfigError, Option

_RANGE = (1.5, 6.0)  # sides of an object over the side of a cell, within which a level learns it
_HOME = 3.0  # the same for the level that suits it best: the geometric middle
_CENTRE = 0.2  # share of an object's box around its centre whose cells stand for it, as in the paper
_PART = 1 << 18  # cells looked at at once


def grid_shapes(size: tuple[int, int], sides: Sequence[int]) -> Int:
    """Return rows and columns of each grid over an image of ``size`` (height, width): int64[L, 2]."""
    side = np.asarray(sides, np.int64)[:, None]
    shapes: Int = -(-np.asarray(size, np.int64) // side)
    return shapes


def assign_cells(boxes: Float, centres: Float, sides: Sequence[int], size: tuple[int, int]) -> tuple[Int, Int]:
    """Return cells that stand for objects: level, row, column int64[K, 3], and the object of each int64[K].

    First each object takes the cell of its centre, on the level that suits its size. Where several want one, it goes to
    the object whose centre is nearest to the cell's, and each other takes its next best free cell: near its centre, on
    its level or one close to it. Then the cells around each object's centre, on all levels that suit its size, join
    where they are free. So every object has at least one cell, and no cell has two objects.

    Parameters
    ----------
    boxes : (N, 4) half-open xyxy, none empty.
    centres : (N, 2) x, y inside the image: centres of mass.
    sides : side of the cells of each grid, finest first, each twice the one before.
    size : (height, width) of the image; with fewer cells than objects it is refused.
    """
    shapes = grid_shapes(size, sides)
    ends = shapes.prod(1).cumsum()
    if len(boxes) > ends[-1]:
        raise ConfigError(
            f"{len(boxes)} objects on {size[0]} x {size[1]} pixels, where the grids have {ends[-1]} cells, each for "
            f"one object: lower cell (now {sides[0]}), or enlarge the images with " + Option("imgsz")
        )
    held = np.full(int(ends[-1]), -1, np.int64)
    grids = _Grids(np.asarray(sides, np.float64), shapes, ends - shapes.prod(1))
    extent = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    home = np.clip(np.round(np.log2(extent / (_HOME * sides[0]))), 0, len(sides) - 1).astype(np.int64)
    everyone = np.arange(len(boxes))
    cell = grids.at(home, np.floor(centres / grids.sides[home][:, None]).astype(np.int64))
    seated = _seat(held, everyone, cell, grids.distance(cell, home, centres))
    _next_best(held, np.flatnonzero(~seated), centres, home, grids)
    owner, cell, cost = _around(boxes, centres, extent, grids)
    _seat(held, owner, cell, cost)
    taken = np.flatnonzero(held >= 0)
    return grids.places(taken), held[taken]


class _Grids:
    """All grids' cells numbered through: level by level, row by row."""

    def __init__(self, sides: Float, shapes: Int, starts: Int) -> None:
        self.sides, self.shapes, self.starts = sides, shapes, starts

    def at(self, level: Int, xy: Int) -> Int:
        """Return the number of the cell at ``xy`` (..., 2): column, row; -1 outside its grid."""
        x, y = xy[..., 0], xy[..., 1]
        inside = (x >= 0) & (y >= 0) & (x < self.shapes[level, 1]) & (y < self.shapes[level, 0])
        number: Int = np.where(inside, self.starts[level] + y * self.shapes[level, 1] + x, -1)
        return number

    def places(self, cell: Int) -> Int:
        """Return level, row and column: int64[K, 3]."""
        level = np.searchsorted(self.starts, cell, "right") - 1
        row, column = np.divmod(cell - self.starts[level], self.shapes[level, 1])
        return np.stack([level, row, column], 1)

    def distance(self, cell: Int, level: Int, centres: Float) -> Float:
        """Return the way from each centre to the middle of its cell, in sides of the cell."""
        place = self.places(np.maximum(cell, 0))
        away: Float = np.hypot(*(place[:, :0:-1] + 0.5 - centres / self.sides[level][:, None]).T)
        return away


def _seat(held: Int, owner: Int, cell: Int, cost: Float) -> Bool:
    """Give each free cell to the object that asks for it at the least cost, in place; return which got theirs."""
    asks = np.flatnonzero(cell >= 0)
    asks = asks[held[cell[asks]] < 0]
    asks = asks[np.lexsort((cost[asks], cell[asks]))]
    wins = asks[np.diff(cell[asks], prepend=-1) > 0]
    held[cell[wins]] = owner[wins]
    seated = np.zeros(len(owner), np.bool_)
    seated[wins] = True
    return seated


def _next_best(held: Int, pending: Int, centres: Float, home: Int, grids: _Grids) -> None:
    """Give each pending object the free cell that costs it least, in place; rounds, each over all that still wait.

    A cell costs its distance in cells of the object's own level, and as much for each level away from that.
    """
    reach, levels = 2, len(grids.sides)
    while len(pending):
        step = np.arange(-reach, reach + 1)
        window = np.stack(np.meshgrid(step, step), -1).reshape(-1, 2)
        some = pending[: max(1, _PART // (levels * len(window)))]
        cells, costs = [], []
        for level, side in enumerate(grids.sides):
            xy = np.floor(centres[some] / side).astype(np.int64)[:, None] + window
            number = grids.at(np.full(len(some), level), xy.swapaxes(0, 1)).T
            away = np.hypot(*np.moveaxis((xy + 0.5) * side - centres[some][:, None], -1, 0))
            free = (number >= 0) & (held[np.maximum(number, 0)] < 0)
            cost = away / grids.sides[home[some]][:, None] + np.abs(level - home[some])[:, None]
            cells.append(number)
            costs.append(np.where(free, cost, np.inf))
        number, cost = np.concatenate(cells, 1), np.concatenate(costs, 1)
        best = cost.argmin(1)
        row = np.arange(len(some))
        found = np.isfinite(cost[row, best])
        seated = _seat(held, some, np.where(found, number[row, best], -1), cost[row, best])
        if not seated.any():
            reach *= 2  # all around is taken; there is a free cell somewhere, as there are more cells than objects
        pending = np.concatenate([some[~seated], pending[len(some) :]])


def _around(boxes: Float, centres: Float, extent: Float, grids: _Grids) -> tuple[Int, Int, Float]:
    """Return cells that the middle of each object touches, at most 3 x 3, on every level that suits its size."""
    owners, cells, costs = [], [], []
    last_level = len(grids.sides) - 1
    half = 0.5 * _CENTRE * (boxes[:, 2:] - boxes[:, :2])
    for level, side in enumerate(grids.sides):
        low = _RANGE[0] * side if level else 0.0
        high = _RANGE[1] * side if level < last_level else np.inf
        members = np.flatnonzero((extent >= low) & (extent <= high))
        middle = np.floor(centres[members] / side)
        first = np.maximum(np.floor((centres - half)[members] / side), middle - 1).astype(np.int64)
        last = np.minimum(np.floor((centres + half)[members] / side), middle + 1).astype(np.int64)
        wide, tall = (last - first + 1).T
        count = wide * tall
        which = np.repeat(np.arange(len(members)), count)
        place = expand(np.zeros_like(count), count)
        xy = first[which] + np.stack([place % wide[which], place // wide[which]], 1)
        levels = np.full(len(which), level)
        cell = grids.at(levels, xy)
        owners.append(members[which])
        cells.append(cell)
        costs.append(grids.distance(cell, levels, centres[members[which]]))
    return np.concatenate(owners), np.concatenate(cells), np.concatenate(costs)
