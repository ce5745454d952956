"""Objects have to touch, or must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece.rules._kit.limits import nothing
from apiece.rules.contract import CLASSES, FLAG, ZONE, Quantity, Readings, RuleKind, Scene, key, quantity
from apiece.rules.distance import both_edges, neighbours

__all__ = ["RULE"]


@dataclass(frozen=True)
class Touching:
    """Keys of the rule."""

    touching: tuple[str, ...] = key(CLASSES, "the objects that touch, or must not: a class, several, or any")
    to: tuple[str, ...] = key(CLASSES, "what they touch. By default others of the same classes", ())
    expected: bool = key(FLAG, "`no`: they must not touch", True)
    within: Quantity = key(quantity("length"), "gap up to which two objects touch", Quantity(1.5, "px", "length"))
    zone: str = key(ZONE, "look only at what lies in this zone", "")
    optional: bool = key(FLAG, "`yes`: a picture without such an object passes. By default it is unsure", False)


def _read(scene: Scene, rule: Touching) -> Iterator[Readings]:
    found = scene.members(rule.touching, rule.zone)
    if not len(found.index):
        yield from nothing(rule.touching, rule.optional or not rule.expected)
        return
    which, far = neighbours(scene, rule.touching, rule.zone, rule.to or rule.touching)
    limit = scene.number(rule.within, 0.0)
    least, most = (-np.inf, limit) if rule.expected else (limit, np.inf)
    # masks share whole pixels or none, so a gap of 0 is none at all
    spread = np.where(far > 0, both_edges(scene, found.index, which), 0.0)
    yield Readings.of("gap", scene.unit, far, spread, least, most, np.stack([found.index, which], 1))


RULE = RuleKind(
    "each object touches another one, or none does",
    Touching,
    _read,
    "touching: pin\nto: pad",
)
