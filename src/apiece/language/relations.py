"""How objects lie to each other, read off their masks.

Left of: more than half of an object's pixels lie left of the other object's leftmost column; right, above and below
alike. In: at least 80% of its pixels lie inside the other object's outline, whose holes belong to it. Touching: the gap
between both is at most 1.5 pixels, edge to edge. On: it lies in the other object's outline, or touches it from above.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import expand, segment_sum, sums
from apiece.errors import PromptError
from apiece.measurements import mean_colours, measure
from apiece.ops import box_gaps, colour_names, gaps, intersections, nearest
from apiece.ops.parts import filled

__all__ = ["RELATED", "Relations"]

_IN = 0.8
_TOUCH = 1.5
_LARGE = 1.5  # times the median area of a class
_EDGES = {"left": 0, "right": 2, "above": 1, "below": 3}
"""From a relation to the column of the other object's box beyond which half of the pixels lie."""
RELATED = ("left", "right", "above", "below", "in", "around", "on", "touching")


class Relations:
    """Measures and relations of N objects.

    Parameters
    ----------
    found : the objects.
    image : their picture, for colours.
    """

    def __init__(self, found: Instances, image: Image | None = None) -> None:
        self.found, self.image = found, image
        self._all = np.arange(len(found))

    @cached_property
    def filled(self) -> Masks:
        """The masks without holes."""
        return filled(self.found.masks)

    def values(self, key: str) -> Float:
        """Return what orders objects, one number each; see `apiece.language.phrases.Pick`."""
        masks, box = self.found.masks, self.found.masks.runs.boxes
        if key == "length":
            return measure(self.found, properties=["feret_max"])["feret_max"].astype(np.float64)
        if key == "brightness":
            return self.colours[:, 0]
        values: dict[str, Array] = {
            "x": masks.centroids[:, 0], "y": masks.centroids[:, 1], "area": masks.area,
            "width": box[:, 2] - box[:, 0], "height": box[:, 3] - box[:, 1],
        }  # fmt: skip
        return np.asarray(values[key], np.float64)

    @cached_property
    def colours(self) -> Float:
        """Mean colours, CIE L*a*b*: (N, 3)."""
        if self.image is None:
            raise PromptError("colours need the picture, and only its labels are at hand")
        return mean_colours(self.found, self.image)

    @cached_property
    def colour_names(self) -> list[str]:
        """The name of each mean colour."""
        return colour_names(self.colours)

    def sized(self, sign: int) -> Bool:
        """Return which objects are large (1) or small (-1): 1.5 times the median area of their class, or less."""
        area, labels = self.found.masks.area.astype(np.float64), self.found.labels
        median = np.ones(len(area))
        for label in np.unique(labels):
            median[labels == label] = np.median(area[labels == label])
        return area >= _LARGE * median if sign > 0 else area * _LARGE <= median

    def half(self, side: str) -> Bool:
        """Return which objects lie in a half of the picture, or in the middle of nine parts, by their centroid."""
        height, width = self.found.size
        if side == "middle":
            thirds = [self.values(key) * 3 // most == 1 for key, most in (("x", width), ("y", height))]
            return np.asarray(thirds[0] & thirds[1])
        key, most = ("x", width) if side in ("left", "right") else ("y", height)
        before = self.values(key) < most / 2
        return before if side in ("left", "top") else ~before

    def related(self, name: str, others: Int) -> Bool:
        """Return which objects have a relation, one of `RELATED`, to each of ``others``: (N, K)."""
        if name in _EDGES:
            columns = [self.beyond(name, self._all, np.full(len(self._all), other)) for other in others.tolist()]
            return np.stack(columns, 1) if columns else np.zeros((len(self._all), 0), bool)
        if name == "in":
            return self._inside(self._all, others)
        if name == "around":
            return self._inside(others, self._all).T
        near = self.touching(others)
        if name == "touching":
            return near
        y = self.values("y")
        inside = self._inside(self._all, others)
        return inside | (near & (y[:, None] < y[others][None, :]) & ~self._inside(others, self._all).T)

    def beyond(self, side: str, i: Int, j: Int) -> Bool:
        """Return whether more than half of the pixels of object ``i[k]`` lie beyond an edge of object ``j[k]``."""
        runs, edge = self.found.masks.runs, _EDGES[side]
        count = np.diff(runs.offsets)[i]
        run, limit = expand(runs.offsets[:-1][i], count), np.repeat(runs.boxes[:, edge][j], count)
        if edge in (0, 2):
            there = runs.x[run] < limit if edge == 0 else runs.x[run] >= limit
            pixels = np.where(there, runs.y1[run] - runs.y0[run], 0)
        elif edge == 1:
            pixels = np.maximum(np.minimum(runs.y1[run], limit) - runs.y0[run], 0)
        else:
            pixels = np.maximum(runs.y1[run] - np.maximum(runs.y0[run], limit), 0)
        beyond: Bool = 2 * segment_sum(pixels, sums(count)) > runs.area[i]
        return beyond & (i != j)

    def _inside(self, i: Int, j: Int) -> Bool:
        """Whether objects ``i`` lie inside the outlines of objects ``j``: (len(i), len(j))."""
        own = self.found.masks[i]
        share = intersections(own, self.filled[j]).toarray() / np.maximum(own.area, 1)[:, None]
        # of two masks that cover each other the smaller one is inside
        area = self.filled.area
        return np.asarray((share >= _IN) & (area[i][:, None] < area[j][None, :]), np.bool_)

    def touching(self, others: Int) -> Bool:
        """Return which objects touch each of ``others``: (N, K)."""
        masks = self.found.masks
        table = box_gaps(masks, self._all[:, None], others[None, :]) <= _TOUCH
        table &= self._all[:, None] != others[None, :]
        i, k = np.nonzero(table)
        table[i, k] = gaps(masks, i, others[k]) <= _TOUCH
        return table

    def between(self, first: int, second: int) -> Bool:
        """Return which objects the straight line between two objects' centroids crosses."""
        (x0, y0), (x1, y1) = self.found.masks.centroids[[first, second]].tolist()
        steps = int(np.ceil(2 * np.hypot(x1 - x0, y1 - y0))) + 1
        x = np.clip(np.linspace(x0, x1, steps).astype(np.int64), 0, self.found.size[1] - 1)
        y = np.clip(np.linspace(y0, y1, steps).astype(np.int64), 0, self.found.size[0] - 1)
        count = len(self.found)
        crossed = self.found.masks.contains(np.repeat(self._all, steps), np.tile(x, count), np.tile(y, count))
        table: Bool = np.asarray(crossed.reshape(count, steps).any(axis=1), np.bool_)
        table[[first, second]] = False
        return table

    def nearest_to(self, others: Int) -> Float:
        """Return how far each object lies from the nearest of ``others``, edge to edge."""
        return nearest(self.found.masks, self._all, others)[1]
