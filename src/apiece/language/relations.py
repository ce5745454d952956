"""How objects lie to each other, read off their masks: tables of all pairs, made when first asked for.

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
from apiece.core.runs import segment_sum
from apiece.errors import PromptError
from apiece.measurements import measure
from apiece.ops import colour_names, gaps, intersections, lab

__all__ = ["RELATED", "Relations"]

_IN = 0.8
_TOUCH = 1.5
_LARGE = 1.5  # times the median area of a class
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
        masks = self.found.masks
        if not masks.holes.any():
            return masks
        return Masks.from_polygons([[part[0] for part in parts] for parts in masks.to_polygons()], masks.size)

    @cached_property
    def gaps(self) -> Float:
        """Distance in pixels of all pairs, edge to edge: (N, N); infinite of an object to itself."""
        i, j = np.triu_indices(len(self.found), 1)
        table = np.full((len(self.found), len(self.found)), np.inf)
        table[i, j] = table[j, i] = gaps(self.found.masks, i, j)
        return table

    def values(self, key: str) -> Float:
        """Return what orders objects, one number each; see `apiece.language.grammar.Pick`."""
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
        table = measure(self.found, self.image, properties=["intensity_mean"])
        columns = [table[name] for name in table.columns if name.startswith("intensity_mean")]
        kind = self.image.pixels.dtype
        rgb = np.stack(columns[:3] if len(columns) >= 3 else columns[:1] * 3, 1)
        return lab(rgb / (np.iinfo(kind).max if kind.kind in "iu" else 1.0))

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
        """Return which objects lie in a half of the picture, by their centroid."""
        height, width = self.found.size
        key, most = ("x", width) if side in ("left", "right") else ("y", height)
        before = self.values(key) < most / 2
        return before if side in ("left", "top") else ~before

    def related(self, name: str) -> Bool:
        """Return the table of a relation: (N, N), row to column; one of `RELATED`."""
        made: Bool = getattr(self, f"_{name}")
        return made

    @cached_property
    def _left(self) -> Bool:
        return self._beyond("x", 0)

    @cached_property
    def _right(self) -> Bool:
        return self._beyond("x", 2)

    @cached_property
    def _above(self) -> Bool:
        return self._beyond("y", 1)

    @cached_property
    def _below(self) -> Bool:
        return self._beyond("y", 3)

    def _beyond(self, axis: str, edge: int) -> Bool:
        """Whether more than half of the row's pixels lie beyond an edge of the column's box."""
        runs = self.found.masks.runs
        limit = runs.boxes[:, edge]
        table = np.zeros((len(self.found), len(self.found)), bool)
        for other in range(len(self.found)):  # memory stays that of the runs
            if axis == "x":
                inside = runs.x < limit[other] if edge == 0 else runs.x >= limit[other]
                pixels = np.where(inside, runs.y1 - runs.y0, 0)
            elif edge == 1:
                pixels = np.maximum(np.minimum(runs.y1, limit[other]) - runs.y0, 0)
            else:
                pixels = np.maximum(runs.y1 - np.maximum(runs.y0, limit[other]), 0)
            table[:, other] = 2 * segment_sum(pixels, runs.offsets) > self.found.masks.area
        np.fill_diagonal(table, False)
        return table

    @cached_property
    def _in(self) -> Bool:
        share: Float = (
            intersections(self.found.masks, self.filled).toarray() / np.maximum(self.found.masks.area, 1)[:, None]
        )
        table: Bool = np.asarray(share >= _IN)
        np.fill_diagonal(table, False)
        # of two masks that cover each other the smaller one is inside
        area = self.filled.area
        return table & (area[:, None] < area[None, :])

    @cached_property
    def _around(self) -> Bool:
        return self._in.T

    @cached_property
    def _touching(self) -> Bool:
        return self.gaps <= _TOUCH

    @cached_property
    def _on(self) -> Bool:
        y = self.values("y")
        return self._in | (self._touching & (y[:, None] < y[None, :]) & ~self._in.T)

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
        return self.gaps[:, others].min(1, initial=np.inf)
