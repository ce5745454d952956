"""Objects have to lie inside others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.runs import sums
from apiece.ops.overlap import overlapping
from apiece.ops.parts import filled
from apiece.rules._kit.canvas import canvas
from apiece.rules._kit.limits import nothing
from apiece.rules.contract import CLASSES, FLAG, SHARE, Readings, RuleKind, Scene, choice, key

__all__ = ["RULE"]


@dataclass(frozen=True)
class Containment:
    """Keys of the rule."""

    containment: tuple[str, ...] = key(CLASSES, "the objects that lie inside others: a class, several, or any")
    inside: tuple[str, ...] = key(CLASSES, "the objects around them; their holes belong to them")
    expected: str = key(choice("inside", "outside"), "`outside`: they must lie outside", "inside")
    share: float = key(SHARE, "least share of each object's area that lies where it belongs", 0.95)
    optional: bool = key(FLAG, "`yes`: a picture without such an object passes. By default it is unsure", False)


def _read(scene: Scene, rule: Containment) -> Iterator[Readings]:
    found = scene.members(rule.containment)
    outside = rule.expected == "outside"
    if not len(found.index):
        yield from nothing(rule.containment, rule.optional or outside)
        return
    most, which = scene.together(_inside, rule.containment, rule.inside)
    area = scene.instances.masks.area[found.index]
    share = 1 - most if outside else most
    # an outline that is off by `edge` moves that much of a square's border over the other outline
    spread = np.where((most > 0) & (most < 1), scene.edge[found.index] / np.sqrt(np.maximum(area, 1)), 0.0)
    objects = np.stack([found.index, which], 1)
    what = f"share {rule.expected}"
    yield Readings.of(what, "", share, spread, least=rule.share, objects=objects)


def _inside(scenes: Sequence[Scene], classes: tuple[str, ...], others: tuple[str, ...]) -> list[tuple[Float, Int]]:
    """Return the greatest share of each object that lies in another one, and which that is; -1 where there is none."""
    begins = sums([len(scene.instances) for scene in scenes])
    own, around = (
        [scene.members(some).index + begin for scene, begin in zip(scenes, begins, strict=False)]
        for some in (classes, others)
    )
    masks = canvas([scene.instances.masks for scene in scenes])
    index, other = np.concatenate(own), np.concatenate(around)
    found = masks[index]
    # what lies on an object is cut out of its visible mask
    i, j, pixels = overlapping(found, filled(masks[other]))
    first = np.repeat(sums([len(one) for one in around])[:-1], [len(one) for one in own])
    table = np.zeros((len(index), max(map(len, around))))
    table[i, j - first[i]] = np.where(index[i] == other[j], 0, pixels)
    table /= np.maximum(found.area, 1)[:, None]
    most = table.max(1, initial=0.0)
    at = first + table.argmax(1) if table.size else first
    ends = sums([len(one) for one in own])
    return [
        (most[a:b], other[at[a:b]] - begin if len(inner) else np.full(b - a, -1))
        for (a, b), inner, begin in zip(pairwise(ends), around, begins, strict=False)
    ]


RULE = RuleKind(
    "each object lies inside another one, or outside all",
    Containment,
    _read,
    "containment: screw\ninside: plate",
)
