"""`Grid`: an image cut into windows that overlap, and into cores that do not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apiece._arrays import Float, Int
from apiece.errors import ConfigError, Option

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """Cut an image into overlapping windows of one size, numbered row by row.

    Windows are spread evenly. An image no larger than one window has one.

    Attributes
    ----------
    size : (height, width) of the image.
    tile : side of a window in pixels, halo included (default 1024).
    halo : least distance in pixels from a core to its window's border within the image (default 64).
    align : windows begin at multiples of it (default 1): a network's stride, so that its cells lie alike in all tiles.

    Raises
    ------
    ConfigError
        If no core is left between the halos.

    Examples
    --------
    >>> grid = Grid((100, 150), tile=64, halo=8)
    >>> grid.rows, grid.columns
    (2, 3)
    >>> grid.windows[:3].tolist(), grid.cores[:3].tolist()
    ([[0, 0, 64, 64], [43, 0, 107, 64], [86, 0, 150, 64]], [[0, 0, 53, 50], [53, 0, 96, 50], [96, 0, 150, 50]])
    """

    size: tuple[int, int]
    tile: int = 1024
    halo: int = 64
    align: int = 1

    def __post_init__(self) -> None:
        if self.halo < 1 or self.align < 1 or self.tile - 2 * self.halo < max(self.align, 1):
            raise ConfigError(
                f"tiles of {self.tile} pixels with a halo of {self.halo} leave no core; "
                f"make {Option('tile')} larger than twice {Option('halo')}, which is at least 1"
            )

    @cached_property
    def cuts(self) -> tuple[tuple[Int, Int, Int], tuple[Int, Int, Int]]:
        """Along y and along x: where windows begin and end, int64 (n,), and the edges of the cores, int64 (n + 1,)."""
        return _cuts_of(self, self.size[0]), _cuts_of(self, self.size[1])

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return len(self.cuts[0][0])

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return len(self.cuts[1][0])

    def __len__(self) -> int:
        return self.rows * self.columns

    @cached_property
    def windows(self) -> Int:
        """What each tile sees, half-open x0, y0, x1, y1: int64 (tiles, 4)."""
        (top, bottom, _), (left, right, _) = self.cuts
        return _boxes(left, top, right, bottom)

    @cached_property
    def cores(self) -> Int:
        """What each tile answers for, half-open x0, y0, x1, y1: int64 (tiles, 4); cores partition the image."""
        (_, _, y), (_, _, x) = self.cuts
        return _boxes(x[:-1], y[:-1], x[1:], y[1:])

    def margin(self, boxes: Int, tile: Int) -> Float:
        """Return how far each box is from its tile's border within the image, in pixels; infinite if there is none."""
        height, width = self.size
        inner = self.windows[tile] != np.array([0, 0, width, height])
        distance = np.abs(boxes - self.windows[tile])
        return np.where(inner, distance, np.inf).min(1, initial=np.inf)


def _cuts_of(grid: Grid, length: int) -> tuple[Int, Int, Int]:
    """Return begin and end of each window along one side, and the edges of the cores between them."""
    step, spare = (grid.tile - 2 * grid.halo) // grid.align * grid.align, max(length - grid.tile, 0)
    count = 1 - (-spare // step)
    # evenly spread; rounded down, so that no two windows are further apart than a step
    begin = np.arange(count) * (-(-spare // grid.align) * grid.align) // max(count - 1, 1) // grid.align * grid.align
    end = np.minimum(begin + grid.tile, length)
    return begin, end, np.concatenate([[0], (end[:-1] + begin[1:]) // 2, [length]])


def _boxes(left: Int, top: Int, right: Int, bottom: Int) -> Int:
    rows, columns = len(top), len(left)
    across, down = np.stack([left, right], 1), np.stack([top, bottom], 1)
    return np.concatenate([np.tile(across, (rows, 1)), np.repeat(down, columns, axis=0)], 1)[:, [0, 2, 1, 3]]
