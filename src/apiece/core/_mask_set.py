"""`MaskSet`: the stored form of a set of masks, as an immutable sequence, and what can be read off it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Float32, Int, Int32
from apiece.core import run_overlap, topology
from apiece.core._arguments import Index, check_runs, checked_size, integers, resolve_index
from apiece.core.runs import Keys, Runs, frozen
from apiece.core.stored_runs import StoredRuns

_RUNS = 1 << 17
"""Runs of masks that are changed at once."""
_DTYPES = (np.int32, np.int32, np.int32, np.int64)


class MaskSet:
    """Hold N masks on one image as column runs; `apiece.Masks` adds how masks are made, moved and converted."""

    size: tuple[int, int]
    runs: Runs

    def __init__(
        self, size: tuple[int, int], x: npt.ArrayLike, y0: npt.ArrayLike, y1: npt.ArrayLike, offsets: npt.ArrayLike
    ) -> None:
        # copies: a caller may change its own arrays later
        given = {"x": x, "y0": y0, "y1": y1, "offsets": offsets}
        fields = [integers(name, values) for name, values in given.items()]
        check_runs(checked_size(size), *fields)
        self._set(size, Runs._make(fields))

    def _set(self, size: tuple[int, int], runs: Runs) -> None:
        self.__dict__["size"] = checked_size(size)
        if isinstance(runs, StoredRuns):
            self.__dict__["runs"] = runs
            return
        arrays = (frozen(np.ascontiguousarray(a, t)) for a, t in zip(runs, _DTYPES, strict=True))
        self.__dict__["runs"] = Runs(*arrays)

    @classmethod
    def of_runs(cls, size: tuple[int, int], runs: Runs) -> Self:
        """Return masks of arrays that are of the stored form by construction: they are not checked."""
        masks = cls.__new__(cls)
        masks._set(size, runs)
        return masks

    @classmethod
    def stored(cls, size: tuple[int, int], parts: Iterable[Runs]) -> Self:
        """Return the masks of several sets of runs, in order, on an image of ``size``; the runs lie in a file.

        So memory holds one set at a time, and afterwards only what is read of the masks. See `StoredRuns`.
        """
        return cls.of_runs(size, StoredRuns.write(parts))

    @classmethod
    def _pack(cls, size: tuple[int, int], count: int, *loose: Any) -> Self:
        """Return masks of runs in any order that may overlap, touch or be empty."""
        size = checked_size(size)
        return cls.of_runs(size, Runs.pack(loose, count, size))

    def mapped(self, change: Callable[[Self], MaskSet], limit: int = _RUNS) -> Self:
        """Return the masks that ``change`` makes of each, kept where these are: in memory, or in a file (`stored`).

        Parameters
        ----------
        change : from some masks to as many, each made of the one in its place alone.
        limit : runs of masks that it gets at once; of one mask more.
        """
        made = (change(self.of_runs(self.size, own)).runs for _, _, own in self.runs.parts(limit))
        return self.of_runs(self.size, self.runs.like(made))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Masks are immutable; make new ones instead of setting {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        # arrays come out of a pickle writable
        return type(self).of_runs, (self.size, self.runs)

    @property
    def x(self) -> Int32:
        """Column of each run."""
        return self.runs.x

    @property
    def y0(self) -> Int32:
        """First row of each run."""
        return self.runs.y0

    @property
    def y1(self) -> Int32:
        """Row behind the last of each run."""
        return self.runs.y1

    @property
    def offsets(self) -> Int:
        """Where the runs of each mask begin and end."""
        return self.runs.offsets

    # --- a sequence of masks ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Index | int) -> Self:
        """Return the chosen masks: by an integer array, a bool array of length N, or a slice; an integer gives one."""
        if isinstance(index, slice) and index.step in (None, 1):
            first, last, _ = index.indices(len(self))
            return self.of_runs(self.size, self.runs.span(first, max(first, last)))
        chosen = resolve_index(index, len(self))
        if len(chosen) == len(self) and (chosen[1:] > chosen[:-1]).all():
            return self  # all of them in order
        return self.of_runs(self.size, self.runs.take(chosen))

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskSet):
            return NotImplemented
        return self.size == other.size and all(np.array_equal(self.runs[k], other.runs[k]) for k in range(4))

    __hash__ = None  # type: ignore[assignment]  # equality is by value over large arrays

    def __repr__(self) -> str:
        return f"Masks({len(self)} of {self.size[0]} x {self.size[1]}, {len(self.x)} runs, {self.nbytes / 1e6:.1f} MB)"

    @property
    def nbytes(self) -> int:
        """Memory of the stored form, in bytes."""
        return sum(array.nbytes for array in self.runs)

    # --- what can be read off -----------------------------------------------------------------------------------------

    @cached_property
    def area(self) -> Int:
        """Pixels of each mask: int64 of shape (N,)."""
        return frozen(self.runs.area)

    @cached_property
    def boxes(self) -> Float32:
        """Tight boxes, half-open x0, y0, x1, y1: float32 of shape (N, 4); zeros for an empty mask."""
        return frozen(self.runs.boxes.astype(np.float32))

    @cached_property
    def centroids(self) -> Float:
        """Mean x, y of each mask's pixels, whose centres lie at halves: float64 (N, 2); NaN for an empty mask."""
        twice = np.stack([self.runs.summed(_twice_x), self.runs.summed(_twice_y)], 1)
        with np.errstate(invalid="ignore"):
            centre: Float = twice / (2.0 * self.area)[:, None]
        return frozen(centre)

    @property
    def parts(self) -> Int:
        """4-connected parts of each mask: int64 of shape (N,)."""
        return self._parts_and_holes[0]

    @property
    def holes(self) -> Int:
        """Holes of each mask (8-connected background that does not reach the outside): int64 of shape (N,)."""
        return self._parts_and_holes[1]

    @cached_property
    def _parts_and_holes(self) -> tuple[Int, Int]:
        parts, holes = topology.count_parts_and_holes(self.runs, self.size)
        return frozen(parts), frozen(holes)

    @property
    def columns(self) -> run_overlap.Columns:
        """The runs by image column, which is how sets are compared; see `apiece.iou`."""
        return run_overlap.Columns(self.runs, self.size)

    def contains(self, index: Int, x: Int, y: Int) -> Bool:
        """Return whether mask ``index[k]`` covers the pixel in column ``x[k]``, row ``y[k]``: bool of shape (K,).

        Examples
        --------
        >>> ring = apiece.Masks.from_label_map(np.array([[1, 1], [0, 1]]))
        >>> ring.contains(np.array([0, 0]), np.array([0, 0]), np.array([0, 1]))
        array([ True, False])
        """
        keys = Keys(*self.size)
        begins, ends = self.runs.ends(keys)
        key = keys.pack(index, x, y)
        # index -1: no run begins before
        return np.asarray(key < np.append(ends, -1)[np.searchsorted(begins, key, "right") - 1])


def _twice_x(runs: Runs) -> Int:
    """Return twice the sum of x over the pixels of each run."""
    return (runs.y1 - runs.y0).astype(np.int64) * (2 * runs.x.astype(np.int64) + 1)


def _twice_y(runs: Runs) -> Int:
    """Return twice the sum of y over the pixels of each run."""
    y0, y1 = runs.y0.astype(np.int64), runs.y1.astype(np.int64)
    return y1 * y1 - y0 * y0
