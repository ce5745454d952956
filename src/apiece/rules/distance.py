"""How far objects lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.runs import sums
from apiece.ops import nearest
from apiece.rules._kit.canvas import canvas
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


def neighbours(
    scene: Scene, classes: tuple[str, ...], zone: str, to: tuple[str, ...], between: str = "edges"
) -> tuple[Int, Float]:
    """Return the nearest object of classes ``to`` to each of others, and how far it is in the picture's unit.

    -1 and infinity where there is none. The others are those of ``scene.members(classes, zone)``.
    """
    if between == "edges":
        which, far = scene.together(_nearest, classes, zone, to)
        return which, far * scene.scale
    index, others = scene.members(classes, zone).index, scene.members(to).index
    size = np.ones(2) if scene.size is None else np.array([scene.size.x, scene.size.y])
    centres = scene.centres * size
    apart = np.linalg.norm(centres[index][:, None] - centres[others][None], axis=2)
    apart[index[:, None] == others[None, :]] = np.inf
    if not apart.size:
        return np.full(len(index), -1), np.full(len(index), np.inf)
    far = apart.min(1)
    return np.where(np.isfinite(far), others[apart.argmin(1)], -1), far


def _nearest(
    scenes: Sequence[Scene], classes: tuple[str, ...], zone: str, to: tuple[str, ...]
) -> list[tuple[Int, Float]]:
    """Return the nearest object to each, and the gap in pixels. Pictures lie further apart than objects of one do."""
    reach = sum(scenes[0].instances.size)
    begins = sums([len(scene.instances) for scene in scenes])
    own = [scene.members(classes, zone).index + begin for scene, begin in zip(scenes, begins, strict=False)]
    other = [scene.members(to).index + begin for scene, begin in zip(scenes, begins, strict=False)]
    masks = canvas([scene.instances.masks for scene in scenes], gap=2 * reach)
    which, far = nearest(masks, np.concatenate(own), np.concatenate(other))
    lone = far > reach
    which[lone], far[lone] = -1, np.inf
    ends = sums([len(index) for index in own])
    return [
        (np.where(which[a:b] < 0, -1, which[a:b] - begin), far[a:b])
        for (a, b), begin in zip(pairwise(ends), begins, strict=False)
    ]


def both_edges(scene: Scene, index: Int, others: Int, between: str = "edges") -> Float:
    """Return how far the gap between two objects may be off: as far as both outlines, in the picture's unit.

    A centre moves by half as much as the outline as a whole.
    """
    edge = scene.edges.point if between == "edges" else scene.edges.mean / 2
    return (edge[index] + np.append(edge, 0.0)[others]) * scene.scale


def _read(scene: Scene, rule: Distance) -> Iterator[Readings]:
    found, to = scene.members(rule.distance, rule.zone), rule.to or rule.distance
    which, far = neighbours(scene, rule.distance, rule.zone, to, rule.between)
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
