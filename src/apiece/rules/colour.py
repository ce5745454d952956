"""Objects have to have a colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece.rules._kit.limits import nothing, of_members
from apiece.rules.contract import CLASSES, COLOUR, FLAG, ZONE, Needs, Quantity, Readings, RuleKind, Scene, key, quantity

__all__ = ["RULE"]

_SPREAD = 1.0  # difference that people just see


@dataclass(frozen=True)
class Colour:
    """Keys of the rule."""

    colour: tuple[str, ...] = key(CLASSES, "the objects: a class, several, or any")
    expected: tuple[float, float, float] = key(COLOUR, "the right mean colour: a name such as red, or '#c81e28'")
    within: Quantity = key(
        quantity("none"), "greatest difference Delta E (CIE 1976): 2 is just seen, 20 is another shade",
        Quantity(20.0, "", "none"),
    )  # fmt: skip
    zone: str = key(ZONE, "look only at what lies in this zone", "")
    optional: bool = key(FLAG, "`yes`: a picture without such an object passes. By default it is unsure", False)


def _needs(rule: Colour) -> Needs:
    return Needs(image=True)


def _read(scene: Scene, rule: Colour) -> Iterator[Readings]:
    found = scene.members(rule.colour, rule.zone)
    if not len(found.index):
        yield from nothing(rule.colour, rule.optional)
        return
    far = np.linalg.norm(scene.colours[found.index] - np.array(rule.expected), axis=1)
    yield of_members("Delta E", "", far, _SPREAD, -np.inf, rule.within.value, found.index)


RULE = RuleKind(
    "the mean colour of each object is the right one",
    Colour,
    _read,
    "colour: cap\nexpected: red\nwithin: 25",
    _needs,
)
