"""How soft the edge of each mask is: half the distance between its outlines at two levels of its chances."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models.contract import DecodeOptions
from apiece.ops.perimeter import crofton

__all__ = ["logit", "with_edges"]

_LOW, _HIGH = 0.4, 0.6


def logit(chance: float) -> float:
    """Return the logit of a chance.

    >>> logit(0.5)
    0.0
    """
    return log(chance / (1 - chance))


def with_edges(found: Instances, draw: Callable[[float], Masks], options: DecodeOptions) -> Instances:
    """Return the instances with the attributes ``edge`` and ``edge_mean``, in pixels, if ``options`` ask for them.

    The area between two outlines, over the length of the outline, is their mean distance. How far outlines are off in
    truth is this softness times factors that labels tell, see `DecodeOptions.edges`.

    Parameters
    ----------
    draw : from a chance to the masks where chances are above it; called only if asked for.
    """
    if options.edges is None:
        return found
    between = np.maximum(draw(_LOW).area - draw(_HIGH).area, 1)  # a pixel at least: nothing is sharper
    soft = between / np.maximum(2 * crofton(found.masks), 1)
    point, mean = options.edges
    return found.replace(attributes={**found.attributes, "edge": point * soft, "edge_mean": mean * soft})
