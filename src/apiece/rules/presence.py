"""Something has to be there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece.rules.contract import CLASSES, ZONE, Readings, RuleKind, Scene, key
from apiece.rules.count import counted

__all__ = ["RULE"]


@dataclass(frozen=True)
class Presence:
    """Keys of the rule."""

    presence: tuple[str, ...] = key(CLASSES, "what has to be there: one object of a class, or of one of several")
    zone: str = key(ZONE, "look only in this zone", "")


def _read(scene: Scene, rule: Presence) -> Iterator[Readings]:
    yield counted(scene, rule.presence, rule.zone, 1, np.inf)


RULE = RuleKind(
    "an object is there, in the picture or in a zone",
    Presence,
    _read,
    "presence: label",
)
