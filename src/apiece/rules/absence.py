"""Something must not be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece.rules.contract import CLASSES, ZONE, Proposal, Readings, RuleKind, Scene, key
from apiece.rules.count import counted

__all__ = ["RULE"]


@dataclass(frozen=True)
class Absence:
    """Keys of the rule."""

    absence: tuple[str, ...] = key(CLASSES, "what must not be there: a class, several, or any")
    zone: str = key(ZONE, "look only in this zone", "")


def _read(scene: Scene, rule: Absence) -> Iterator[Readings]:
    yield counted(scene, rule.absence, rule.zone, -np.inf, 0)


def _propose(scenes: Sequence[Scene]) -> Iterator[Proposal]:
    seen = {name for scene in scenes for name in scene.instances.names}
    never = [name for name in scenes[0].instances.classes if name not in seen]
    if never:
        yield Proposal({"absence": never}, f"on none of {len(scenes)} pictures")


RULE = RuleKind(
    "no object is there, in the picture or in a zone",
    Absence,
    _read,
    "absence: [scratch, dent]",
    propose=_propose,
)
