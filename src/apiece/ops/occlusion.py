"""What is hidden of each object, and which object hides it: read off full and visible masks."""

from __future__ import annotations

from apiece._scipy import sp
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError
from apiece.ops.overlap import intersections

__all__ = ["hidden", "occluders"]


def hidden(instances: Instances) -> Masks:
    """Return what others hide of each object: its full mask without the visible one.

    Raises
    ------
    InvalidInstancesError
        If the instances have no full masks.

    Examples
    --------
    >>> whole = apiece.Masks.from_boxes([[0, 0, 4, 1], [2, 0, 4, 1]], (1, 4))
    >>> seen = apiece.Masks.from_boxes([[0, 0, 2, 1], [2, 0, 4, 1]], (1, 4))
    >>> apiece.ops.hidden(apiece.Instances(seen, full=whole)).boxes.tolist()
    [[2.0, 0.0, 4.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return Masks.of_runs(instances.size, _full(instances).runs.without(instances.masks.runs, instances.size))


def occluders(instances: Instances) -> sp.csr_array:
    """Return how many pixels each object hides of each other one: int64 of shape (N, N), sparse.

    Entry (i, j) counts pixels that belong to the full mask of j, are not visible of j, and are visible of i. An object
    that hides another lies in front of it.

    Raises
    ------
    InvalidInstancesError
        If the instances have no full masks.

    Examples
    --------
    >>> whole = apiece.Masks.from_boxes([[0, 0, 4, 1], [2, 0, 4, 1]], (1, 4))
    >>> seen = apiece.Masks.from_boxes([[0, 0, 2, 1], [2, 0, 4, 1]], (1, 4))
    >>> apiece.ops.occluders(apiece.Instances(seen, full=whole)).toarray().tolist()
    [[0, 0], [2, 0]]
    """
    return intersections(instances.masks, hidden(instances))


def _full(instances: Instances) -> Masks:
    if instances.full is None:
        raise InvalidInstancesError("these instances have no full masks; give them as Instances(..., full=...)")
    return instances.full
