"""The outlines of many objects in flat arrays: drawn all at once, with no Python object for any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.masks import Masks
from apiece.core.runs import owners, sums
from apiece.core.set_operations import pairwise_difference, replaced
from apiece.formats._kit.checks import Size
from apiece.formats._kit.shapes import Part


class FlatParts(NamedTuple):
    """The parts of N objects, each an outline and its holes."""

    points: Float
    """(P, 2) x, y in pixels of all rings, each of at least 3 finite points."""
    rings: Int
    """Where each ring begins among the points, and their number."""
    parts: Int
    """Where each part begins among the rings, and their number; its first ring is the outline, the others are holes."""
    objects: Int
    """Where each object begins among the parts, and their number."""

    @classmethod
    def of(cls, shapes: Sequence[list[Part]]) -> FlatParts:
        """Return the shapes of some objects."""
        parts = [part for shape in shapes for part in shape]
        rings = [ring for part in parts for ring in part]
        lengths = (sums(list(map(len, some))) for some in (rings, parts, shapes))
        return cls(np.concatenate([np.zeros((0, 2)), *rings]), *lengths)

    def shape(self, k: int) -> list[Part]:
        """Return the parts of one object."""
        cuts, parts = self.rings, self.parts
        return [
            [self.points[cuts[r] : cuts[r + 1]] for r in range(parts[p], parts[p + 1])]
            for p in range(self.objects[k], self.objects[k + 1])
        ]

    @property
    def boxes(self) -> Float:
        """The box of each object's points: (N, 4) x0, y0, x1, y1; NaN where it has none."""
        starts = self.rings[self.parts[self.objects]]
        boxes, some = np.full((len(starts) - 1, 4), np.nan), np.flatnonzero(np.diff(starts))
        x, y = np.ascontiguousarray(self.points.T)
        if len(some):
            ends = [ufunc.reduceat(axis, starts[some]) for ufunc in (np.minimum, np.maximum) for axis in (x, y)]
            boxes[some] = np.stack(ends, 1)
        return boxes

    @property
    def holes(self) -> Bool:
        """Of each ring, whether it is a hole."""
        found = np.ones(len(self.rings) - 1, bool)
        found[self.parts[:-1]] = False
        return found

    def passages(self, size: Size) -> int:
        """Return how many columns all edges of the rings cross, without their closing ones, and how many points."""
        across = np.abs(np.diff(np.clip(self.points[:, 0], 0, size[1])))
        across[self.rings[1:-1] - 1] = 0
        return int(across.sum()) + len(self.points)

    def draw(self, size: Size) -> Masks:
        """Return the mask of each object on an image of (height, width)."""
        count, part, hole = len(self.parts) - 1, owners(self.parts), self.holes
        if len(part) == count:
            drawn = Masks.from_rings(self.points, self.rings, part, count, size)
        else:
            holed, of = np.unique(part[hole], return_inverse=True)
            lengths = np.diff(self.rings)
            drawn, holes = (
                Masks.from_rings(self.points[np.repeat(some, lengths)], sums(lengths[some]), owner, number, size)
                for some, owner, number in ((~hole, np.arange(count), count), (hole, of, len(holed)))
            )
            drawn = replaced(drawn, holed, pairwise_difference(drawn[holed], holes))
        each = np.diff(self.objects)
        return drawn if (each == 1).all() else drawn.merge(owners(self.objects), len(each))
