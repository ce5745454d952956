"""`StoredRuns`: the runs of masks in a temporary file, for images whose objects are too many for memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Any, Self

import numpy as np

from apiece._arrays import Int, Int32
from apiece.core.runs import Runs, chunks, expand, sums

__all__ = ["StoredRuns", "joined"]

_DROP: int | None = getattr(mmap, "MADV_DONTNEED", None)  # not on Windows
_RUNS = 1 << 18
"""Runs that are read in one go (3 MB)."""
_HELD = 1 << 20
"""Runs up to which some of the masks are in memory (12 MB)."""


def _append(file: IO[bytes], values: Int32) -> None:
    """Write values into a file; if there is no room for them, tell where and what to do."""
    try:
        file.write(np.ascontiguousarray(values, np.int32).data)
        file.flush()
    except OSError as error:
        folder = tempfile.gettempdir()
        reason = f"{error.strerror} (masks that are too many for memory are kept here; TMPDIR names another folder)"
        raise OSError(error.errno, reason, folder) from error


class StoredRuns(Runs):
    """`Runs` whose ``x``, ``y0`` and ``y1`` lie in temporary files that are mapped into memory.

    They are equal to `Runs` in every respect but one: what was read for a few masks (``take``, ``span``, ``parts``)
    leaves memory again. The files have no name, and end with the runs. What is made of all masks (``like``, ``merge``),
    or of many (``take``, ``span``), lies in files, too.
    """

    maps: tuple[mmap.mmap, ...]

    @classmethod
    def write(cls, parts: Iterable[Runs]) -> StoredRuns:
        """Return the masks of several sets, in order; one set is in memory at a time.

        Raises
        ------
        OSError
            if the files cannot be written; it names the folder, and how to choose another.
        """
        counts = [np.zeros(0, np.int64)]
        with ExitStack() as opened:
            files = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            for runs in parts:
                for first in range(0, len(runs.x), _RUNS):
                    for file, values in zip(files, runs[:3], strict=True):
                        _append(file, values[first : first + _RUNS])
                    if isinstance(runs, StoredRuns):
                        runs._drop()
                counts.append(np.diff(runs.offsets))
            offsets = sums(np.concatenate(counts))
            some = files if offsets[-1] else []  # nothing cannot be mapped
            maps = tuple(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) for file in some)
        x, y0, y1 = [np.frombuffer(one, np.int32) for one in maps] or [np.zeros(0, np.int32)] * 3
        stored = cls(x, y0, y1, offsets)
        stored.maps = maps
        return stored

    def __reduce__(self) -> tuple[Any, ...]:
        return Runs, tuple(self)

    def like(self, parts: Iterable[Runs]) -> Runs:
        """Return the masks of several sets, in order, in a file."""
        return StoredRuns.write(parts)

    def as_one(self) -> Self:
        """Return all runs as those of one mask, of masks that lie one behind the other from left to right."""
        one = super().as_one()
        one.maps = self.maps
        return one

    def take(self, index: Int) -> Runs:
        """Return the masks at ``index``, in the order asked for; in memory, unless they are many."""
        counts = np.diff(self.offsets)[index]
        if counts.sum() <= _HELD:
            return self._held(index)
        return self.like(self._held(index[lo:hi]) for lo, hi in chunks(counts, _RUNS))

    def _held(self, index: Int) -> Runs:
        """Return the masks at ``index``, in memory; of one file after the other, for they may lie anywhere in it."""
        counts = np.diff(self.offsets)[index]
        runs, taken = expand(self.offsets[:-1][index], counts), list[Int32]()
        for values in self[:3]:
            taken.append(values[runs])
            self._drop()
        x, y0, y1 = taken
        return Runs(x, y0, y1, sums(counts))

    def span(self, first: int, stop: int) -> Runs:
        """Return the masks from ``first`` to ``stop - 1``; in memory, unless they are many."""
        if self.offsets[stop] - self.offsets[first] > _HELD:
            return self.take(np.arange(first, stop))
        some = super().span(first, stop)
        self._drop()
        return some

    def parts(self, limit: int | None = _RUNS) -> Iterator[tuple[int, int, Runs]]:
        """Yield what `Runs.parts` does; a part leaves memory when the next one is asked for."""
        for part in super().parts(limit):
            yield part
            self._drop()

    def stretches(self, limit: int) -> Iterator[Runs]:
        """Yield what `Runs.stretches` does; a stretch leaves memory when the next one is asked for."""
        for some in super().stretches(limit):
            yield some
            self._drop()

    def columns(self) -> Iterator[Int32]:
        """Yield what `Runs.columns` does; what was read leaves memory when more is asked for."""
        for some in super().columns():
            yield some
            self._drop()

    def between(self, left: int, right: int) -> Runs:
        """Return what of each mask lies in the columns from ``left`` to ``right - 1``, in memory."""
        return Runs.concatenate([own.between(left, right) for _, _, own in self.parts()] or [self])

    def _drop(self) -> None:
        """Let go of the pages that are in memory; they are read again when they are needed."""
        for one in getattr(self, "maps", ()):  # not of what `_replace` makes
            if _DROP is not None:
                one.madvise(_DROP)


def joined(sets: Sequence[Runs]) -> Runs:
    """Return the masks of several sets, in order; in a file if those of one of them are."""
    kept = next((runs for runs in sets if isinstance(runs, StoredRuns)), sets[0])
    return kept.like(sets)
