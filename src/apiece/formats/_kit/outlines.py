"""Objects as polygons, before they are masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.runs import sums


class Outlines(NamedTuple):
    """Objects that are drawn as polygons, as their label file states them."""

    image: Int
    """Position of its image."""
    place: Int
    """Its place among the instances of that image."""
    label: Int
    """Its class."""
    points: Float
    """(P, 2) x, y of all vertices."""
    rings: Int
    """Where each ring begins among the vertices, and their number."""
    parts: Int
    """Where each object begins among the rings, and their number."""
    holes: Bool
    """Of each ring, whether the file says that it is a hole."""

    def of(self, k: int) -> list[Float]:
        """Return the rings of one object."""
        return [self.points[self.rings[r] : self.rings[r + 1]] for r in range(self.parts[k], self.parts[k + 1])]

    @classmethod
    def concatenate(cls, sets: Sequence[Outlines]) -> Outlines:
        """Return the objects of one set or several, in order."""
        image, place, label, points, _, _, holes = map(np.concatenate, zip(*sets, strict=True))
        rings, parts = (sums(np.concatenate([np.diff(one[k]) for one in sets])) for k in (4, 5))
        return cls(image, place, label, points, rings, parts, holes)
