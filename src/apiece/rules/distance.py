"""How far objects lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.ops import nearest
from apiece.rules._kit.limits import bounds, nothing, ordered
from apiece.rules.contract import CLASSES, FLAG, ZONE, Quantity, Readings, RuleKind, Scene, choice, key, quantity

__all__ = ["RULE", "both_edges", "neighbours"]


@dataclass(frozen=True)
class Distance:
    """Keys of the rule."""

    distance: tuple[str, ...] = key(CLASSES, "the objects from which is measured: a class, several, or any")
    to: tuple[str, ...] = key(CLASSES, "the objects to which is measured; the nearest counts. By default the same", ())
    between: str = key(choice("edges", "centres"), "what of both is measured", "edges")
    min: Quantity | None = key(quantity("length"), "the least distance", None)
    max: Quantity | None = key(quantity("length"), "the greatest distance", None)
    zone: str = key(ZONE, "measure only from what lies in this zone", "")
    optional: bool = key(FLAG, "`yes`: a picture without two such objects passes. By default it is unsure", False)

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("give min, max, or both")
        ordered(self.min, self.max)


def neighbours(scene: Scene, index: Int, others: Int, between: str = "edges") -> tuple[Int, Float]:
    """Return the nearest of ``others`` to each object, and how far it is in the picture's unit; -1 where none is."""
    if between == "edges":
        key = ("nearest", index.tobytes(), others.tobytes())
        which, far = scene.kept(key, lambda: nearest(scene.instances.masks, index, others))
        return which, far * scene.scale
    size = np.ones(2) if scene.size is None else np.array([scene.size.x, scene.size.y])
    centres = scene.centres * size
    apart = np.linalg.norm(centres[index][:, None] - centres[others][None], axis=2)
    apart[index[:, None] == others[None, :]] = np.inf
    if not apart.size:
        return np.full(len(index), -1), np.full(len(index), np.inf)
    far = apart.min(1)
    return np.where(np.isfinite(far), others[apart.argmin(1)], -1), far


def both_edges(scene: Scene, index: Int, others: Int, between: str = "edges") -> Float:
    """Return how far the gap between two objects may be off: as far as both outlines, in the picture's unit.

    A centre moves by half as much as the outline as a whole.
    """
    edge = scene.edges.point if between == "edges" else scene.edges.mean / 2
    return (edge[index] + np.append(edge, 0.0)[others]) * scene.scale


def _read(scene: Scene, rule: Distance) -> Iterator[Readings]:
    found, to = scene.members(rule.distance, rule.zone), rule.to or rule.distance
    which, far = neighbours(scene, found.index, scene.members(to).index, rule.between)
    some = which >= 0
    if not some.any():
        yield from nothing(rule.distance if not len(found.index) else to, rule.optional, "to be measured")
        return
    step = both_edges(scene, found.index[some], which[some], rule.between)
    objects = np.stack([found.index, which], 1)[some]
    limits = bounds(scene, rule.min, rule.max)
    what = "gap" if rule.between == "edges" else "distance"
    yield Readings.of(what, scene.unit, far[some], step, *limits, objects)


RULE = RuleKind(
    "how far each object lies from the nearest other one",
    Distance,
    _read,
    "distance: hole\nto: hole\nmin: 3 mm",
)
