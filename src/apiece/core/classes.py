"""Lists of classes beside each other, and instances under another list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances

__all__ = ["in_classes", "places", "relabelled", "without_classes"]


def places(classes: Sequence[str], among: Sequence[str]) -> Int:
    """Return the position of each class in ``among``, -1 for one that is not there: int64 of shape (K,).

    >>> places(("nut", "bolt"), ("bolt", "washer"))
    array([-1,  0])
    """
    known = {name: k for k, name in enumerate(among)}
    return np.array([known.get(name, -1) for name in classes], np.int64)


def relabelled(instances: Instances, table: Int, classes: tuple[str, ...]) -> Instances:
    """Return instances with the classes that ``table`` gives them, without instances to which it gives -1."""
    labels = table[instances.labels]
    if (labels < 0).any():
        instances, labels = instances[labels >= 0], labels[labels >= 0]
    return instances.replace(labels=labels, classes=classes)


def in_classes(instances: Instances, classes: tuple[str, ...]) -> Instances:
    """Return instances whose labels index into ``classes``, without those of other classes."""
    if instances.classes == classes:
        return instances
    return relabelled(instances, places(instances.classes, classes), classes)


def without_classes(classes: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether one side knows no classes: it has the one class ``object``, which the other has not.

    >>> without_classes(("object",), ("nut", "bolt")), without_classes(("object",), ("object", "nut"))
    (True, False)
    """
    return tuple(classes) == ("object",) and "object" not in others
