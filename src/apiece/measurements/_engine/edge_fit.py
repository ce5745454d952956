"""How many times the softness of a mask's edge an outline is off: learned from labels."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.measurements._engine.measure import families, measure
from apiece.measurements.contract import Edges
from apiece.ops.overlap import iou
from apiece.ops.perimeter import crofton

__all__ = ["EdgeFit", "matched"]

_SAME = 0.5  # IoU from which on a prediction and a label are the same object
_HELD = 0.95
_FEWEST = 40  # objects; of fewer, one or two would decide


class EdgeFit:
    """Learn how far a model's outlines are off, in multiples of how soft the edges of its masks are.

    Softness tells which outlines to trust, and not how far: that follows from labels. `factors` are those with which
    the intervals of lengths, and those of areas, hold the sizes of 95% of the labelled objects.

    Examples
    --------
    >>> from apiece.measurements import EdgeFit
    >>> fit = EdgeFit()
    >>> for image, truth in apiece.read("data/train.json"):
    ...     found = truth.replace(attributes={"edge": np.ones(len(truth))})
    ...     fit.add(truth, found)
    >>> fit.factors  # of too few objects
    """

    def __init__(self) -> None:
        self._point: list[Float] = []
        self._mean: list[Float] = []

    def __len__(self) -> int:
        """Return the number of objects so far."""
        return sum(map(len, self._mean))

    def add(self, truth: Instances, found: Instances) -> None:
        """Add an image; ``found``, best first, has the softness of each mask's edge, in pixels, as its ``edge``."""
        own, label = matched(truth, found)
        named = {p.name: p for family in families() for p in family.properties if p.spread}
        names = [*named, "cut_by_border"]
        one, other = (measure(some, properties=names) for some in (found[own], truth[label]))
        whole = ~(one["cut_by_border"] | other["cut_by_border"])
        around, soft = crofton(found.masks[own])[whole], found.attributes["edge"][own][whole]
        exact, off_by = Edges(soft * 0, soft * 0), Edges(soft, soft)
        for name, prop in named.items():
            off, size = (one[name] - other[name])[whole], one[name][whole]
            pixels = prop.half_width(size, around, exact, 1.0)
            # what pixels do not explain, in multiples of what softness alone would
            width = np.sqrt(prop.half_width(size, around, off_by, 1.0) ** 2 - pixels**2)
            times = np.sqrt(np.maximum(off**2 - pixels**2, 0)) / width
            if name == "area":
                self._mean.append(times)
            elif prop.dimension == "length" and name != "equivalent_diameter":  # which follows from the area
                self._point.append(times)

    @property
    def factors(self) -> tuple[float, float] | None:
        """Factors of ``edge`` and of ``edge_mean``; None of too few objects."""
        if len(self) < _FEWEST:
            return None
        return _held(np.concatenate(self._point)), _held(np.concatenate(self._mean))


def _held(times: Float) -> float:
    """Return the least factor that holds 95% of the objects, and one more (split conformal prediction)."""
    rank = min(_HELD * (len(times) + 1) / len(times), 1.0)
    return float(np.quantile(times, rank, method="higher"))


def matched(truth: Instances, found: Instances) -> tuple[Int, Int]:
    """Return which instances are which labelled objects, of the same class: of several, the first in ``found``."""
    table = iou(found, truth).toarray()
    table[(found.labels[:, None] != truth.labels[None]) | truth.crowd[None]] = 0
    own = np.flatnonzero(table.max(1, initial=0.0) >= _SAME)
    label, first = np.unique(table[own].argmax(1) if len(own) else own, return_index=True)
    return own[first], label
