"""`LargeSheet`: the objects of a large image as they stand, asked for by key, by tile, or all without their masks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.serve.studio.sheet import Changes, Sheet, changed
from apiece.serve.studio.slides import Slide, touching

__all__ = ["Columns", "LargeSheet", "thinned"]

SEEN = 4
"""Pixels of the screen from which on the mask of an object is shown; a smaller one is a dot."""


class Columns(NamedTuple):
    """All objects without their masks.

    Attributes
    ----------
    keys, labels, areas : int64 (N,), keys ascending.
    boxes : int32 (N, 4): x0, y0, x1, y1.
    scores : float64 (N,), or None.
    """

    keys: Int
    labels: Int
    areas: Int
    boxes: Int
    scores: Float | None


class LargeSheet:
    """The objects of a large image as they stand.

    Parameters
    ----------
    slide : what the label file has.
    keys : the key of each object of the label file.
    changes : what a person has changed.
    revision, next_key, gone : as a `Sheet` has them; how many changed objects the file has no more.
    classes : of the set.
    """

    def __init__(
        self,
        slide: Slide,
        keys: Int,
        changes: Changes,
        revision: int,
        next_key: int,
        gone: int,
        classes: tuple[str, ...],
    ) -> None:
        self.slide, self.revision, self.next_key, self.gone = slide, revision, next_key, gone
        self.keys, self._changes, self._classes = keys, changes, classes
        self._order = None if (np.diff(keys) > 0).all() else np.argsort(keys)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.slide.size

    def part(self, keys: Iterable[int]) -> Sheet:
        """Return some objects as they stand."""
        wanted = np.unique(np.array([*keys], np.int64))
        like = [self._changes.like[key] for key in wanted.tolist() if key in self._changes.like]
        rows = self._rows(np.union1d(wanted, np.array(like, np.int64)))
        base = self.slide.take(rows, self._classes)
        changes, above = self._changes.only(wanted.tolist()), self.slide.highest_id
        sheet = changed(base, self.keys[rows], changes, above, self.revision, self.next_key)
        some = np.flatnonzero(np.isin(sheet.keys, wanted))
        return Sheet(sheet.instances[some], sheet.keys[some], self.revision, self.next_key, self._span)

    def tile(self, level: int, box: tuple[int, int, int, int]) -> Sheet:
        """Return the objects that are more than dots in a box of the picture halved ``level`` times, as they are seen
        there: some of their columns.
        """
        step = 1 << level
        wide = (box[0] - step, box[1] - step, box[2] + step, box[3] + step)
        least = SEEN * step if level else 0
        near = self.keys[self.slide.near(wide, least)]
        again = self._redrawn.keys[touching(list(self._redrawn.instances.masks.runs.boxes.T), wide, least)]
        some = self.part([*near[~np.isin(near, self._touched)].tolist(), *again.tolist()])
        found = some.instances
        return Sheet(found.replace(masks=thinned(found.masks, level, wide)), some.keys, self.revision, self.next_key)

    def columns(self) -> Columns:
        """Return all objects without their masks."""
        kept = ~np.isin(self.keys, self._touched) if len(self._touched) else np.ones(self.slide.count, bool)
        found = self._redrawn.instances
        keys = np.concatenate([self.keys[kept], self._redrawn.keys])
        order = np.argsort(keys, kind="stable")

        def both(old: Array, new: Array) -> Array:
            return np.concatenate([old[kept], new])[order]

        scores = self.slide.maybe("scores")
        return Columns(
            keys[order],
            both(self.slide.column("labels"), found.labels),
            both(self.slide.column("areas"), found.masks.area),
            both(self.slide.boxes, found.masks.runs.boxes),
            None if scores is None or found.scores is None else both(scores, found.scores),
        )

    def whole(self, found: Instances) -> Sheet:
        """Return all objects as they stand, with their attributes, from those of the label file."""
        ids = self.slide.maybe("ids")
        if ids is not None and found.ids is not None and not np.array_equal(ids, found.ids):
            order = np.argsort(found.ids)  # piece by piece they were read in another order
            found = found[order[np.searchsorted(found.ids[order], ids)]]
        return changed(found, self.keys, self._changes, self.slide.highest_id, self.revision, self.next_key)

    @cached_property
    def _touched(self) -> Int:
        return np.array(sorted(self._changes.last), np.int64)

    @cached_property
    def _redrawn(self) -> Sheet:
        return self.part(key for key, put in self._changes.last.items() if put is not None)

    @cached_property
    def _span(self) -> tuple[int, int]:
        own = [0, *(self._changes.orders.values()), *(self.slide.orders or ())]
        return min(own), max(own)

    def _rows(self, keys: Int) -> Int:
        """Return the rows of the objects of the label file that have these keys."""
        if self._order is None:
            at = np.searchsorted(self.keys, keys).clip(0, max(len(self.keys) - 1, 0))
        else:
            at = self._order[np.searchsorted(self.keys, keys, sorter=self._order).clip(0, len(self.keys) - 1)]
        return at[self.keys[at] == keys] if len(self.keys) else at[:0]


def thinned(masks: Masks, level: int, box: tuple[int, int, int, int]) -> Masks:
    """Return masks without the columns that a picture halved ``level`` times does not show, and that lie beside a box.

    Of the columns that fall on one pixel the middle one stays, or all of them where an object is narrow.
    """
    runs, step = masks.runs, 1 << level
    kept: Bool = (runs.x >= box[0]) & (runs.x < box[2])
    if level:
        narrow = runs.boxes[:, 2] - runs.boxes[:, 0] < 3 * step
        kept &= narrow[runs.owners] | ((runs.x & (step - 1)) == step >> 1)
    some = np.flatnonzero(kept)
    return Masks.of_runs(
        masks.size, Runs.ordered(runs.owners[some], runs.x[some], runs.y0[some], runs.y1[some], runs.number)
    )
