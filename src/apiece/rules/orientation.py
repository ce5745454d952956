"""Objects have to lie in a direction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece.rules._kit.limits import nothing, of_members
from apiece.rules.contract import CLASSES, FLAG, ZONE, Needs, Quantity, Readings, RuleKind, Scene, key, quantity

__all__ = ["RULE", "turned"]


@dataclass(frozen=True)
class Orientation:
    """Keys of the rule."""

    orientation: tuple[str, ...] = key(CLASSES, "the objects: a class, several, or any")
    expected: Quantity = key(
        quantity("degree", -360.0),
        "direction of the long axis, clockwise from x; with a layout, in the layout's frame",
    )
    within: Quantity = key(quantity("degree"), "greatest difference to both sides", Quantity(5.0, "deg", "degree"))
    zone: str = key(ZONE, "look only at what lies in this zone", "")
    optional: bool = key(FLAG, "`yes`: a picture without such an object passes. By default it is unsure", False)


def turned(angle: Float, expected: npt.ArrayLike) -> Float:
    """Return the angle between two axes, 0 to 90 degrees.

    >>> turned(np.array([179.0]), 1.0).tolist()
    [2.0]
    """
    return np.abs((angle - np.asarray(expected) + 90) % 180 - 90)


def _needs(rule: Orientation) -> Needs:
    return Needs(frozenset({"orientation"}), frozenset(rule.orientation))


def _read(scene: Scene, rule: Orientation) -> Iterator[Readings]:
    found = scene.members(rule.orientation, rule.zone)
    if not len(found.index):
        yield from nothing(rule.orientation, rule.optional)
        return
    placed = scene.placement if scene.layout is not None else None
    frame = 0.0 if placed is None else placed.angle
    angle, spread = (column[found.index] for column in scene.measured("orientation"))
    off = turned(angle, rule.expected.value + frame)
    yield of_members("turned by", "deg", off, spread, -np.inf, rule.within.value, found.index)


RULE = RuleKind(
    "the long axis of each object has the right direction",
    Orientation,
    _read,
    "orientation: arrow\nexpected: 90 deg\nwithin: 5 deg",
    _needs,
)
