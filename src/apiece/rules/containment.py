"""Objects have to lie inside others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece.ops import intersections
from apiece.ops.parts import filled
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
    found, around = scene.members(rule.containment), scene.members(rule.inside)
    outside = rule.expected == "outside"
    if not len(found.index):
        yield from nothing(rule.containment, rule.optional or outside)
        return
    masks = scene.instances.masks
    own = masks[found.index]
    area = np.maximum(own.area, 1)
    # what lies on an object is cut out of its visible mask
    table = intersections(own, filled(masks[around.index])).toarray() / area[:, None]
    table[found.index[:, None] == around.index[None, :]] = 0.0
    most = table.max(1, initial=0.0)
    which = around.index[table.argmax(1)] if len(around.index) else np.full(len(own), -1)
    share = 1 - most if outside else most
    # an outline that is off by `edge` moves that much of a square's border over the other outline
    spread = np.where((most > 0) & (most < 1), scene.edge[found.index] / np.sqrt(area), 0.0)
    objects = np.stack([found.index, which], 1)
    what = f"share {rule.expected}"
    yield Readings.of(what, "", share, spread, least=rule.share, objects=objects)


RULE = RuleKind(
    "each object lies inside another one, or outside all",
    Containment,
    _read,
    "containment: screw\ninside: plate",
)
