"""How many objects there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece.rules.contract import CLASSES, COUNT, ZONE, Proposal, Readings, RuleKind, Scene, key

__all__ = ["RULE", "counted"]


@dataclass(frozen=True)
class Count:
    """Keys of the rule."""

    count: tuple[str, ...] = key(CLASSES, "the objects that are counted: a class, several, or any")
    equals: int | None = key(COUNT, "the right number", None)
    min: int | None = key(COUNT, "the least number", None)
    max: int | None = key(COUNT, "the greatest number", None)
    zone: str = key(ZONE, "count only what lies in this zone", "")

    def __post_init__(self) -> None:
        if (self.equals is None) == (self.min is None and self.max is None):
            raise ValueError("give equals, or min and max, or one of these two")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")


def counted(scene: Scene, classes: tuple[str, ...], zone: str, least: float, most: float) -> Readings:
    """Return the number of objects: certain objects alone are its lower bound, doubtful objects too its upper one."""
    found = scene.members(classes, zone)
    sure, number = found.counts
    high = np.inf if scene.crowds(classes) else len(found.index)
    here = found.index[None] if len(found.index) else None
    return Readings.of("count", "", [number], 0, least, most, here, low=sure, high=high, settled=True)


def _read(scene: Scene, rule: Count) -> Iterator[Readings]:
    least = rule.equals if rule.equals is not None else rule.min if rule.min is not None else -np.inf
    most = rule.equals if rule.equals is not None else rule.max if rule.max is not None else np.inf
    yield counted(scene, rule.count, rule.zone, least, most)


def _propose(scenes: Sequence[Scene]) -> Iterator[Proposal]:
    classes = scenes[0].instances.classes
    counts = np.array([[len(scene.members((name,)).index) for name in classes] for scene in scenes])
    for name, column in zip(classes, counts.T, strict=True):
        low, high = int(column.min()), int(column.max())
        if low == high > 0:
            yield Proposal({"count": name, "equals": low}, f"{low} on each of {len(scenes)} pictures")
        elif high > 0:
            mean = f"{column.mean():.1f} on average"
            yield Proposal(
                {"count": name, "min": low, "max": high}, f"{low} to {high} on {len(scenes)} pictures, {mean}"
            )


RULE = RuleKind(
    "how many objects there are, in the picture or in a zone",
    Count,
    _read,
    "count: screw\nequals: 4",
    propose=_propose,
)
