"""How large defects may be, and how many of them, by zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apiece.rules._kit.limits import of_members
from apiece.rules.contract import (
    CLASSES,
    COUNT,
    PROPERTY,
    ZONE,
    Needs,
    Quantity,
    Readings,
    RuleKind,
    Scene,
    key,
    quantity,
)
from apiece.rules.count import counted

__all__ = ["RULE"]


@dataclass(frozen=True)
class Defect:
    """Keys of the rule."""

    defect: tuple[str, ...] = key(CLASSES, "the defects: a class, or several")
    of: str = key(PROPERTY, "what of a defect is limited, such as area or feret_max", "area")
    max: Quantity | None = key(quantity(None), "greatest single defect", None)
    total: Quantity | None = key(quantity(None), "greatest sum over all defects", None)
    count: int | None = key(COUNT, "greatest number of defects", None)
    zone: str = key(ZONE, "the zone for which these limits hold", "")

    def __post_init__(self) -> None:
        if self.max is None and self.total is None and self.count is None:
            raise ValueError("give max, total or count")

    @property
    def limits(self) -> tuple[Quantity | None, ...]:
        """All quantities of the rule."""
        return self.max, self.total


def _needs(rule: Defect) -> Needs:
    return Needs(frozenset({rule.of}), frozenset(rule.defect))


def _read(scene: Scene, rule: Defect) -> Iterator[Readings]:
    if rule.count is not None:
        yield counted(scene, rule.defect, rule.zone, -np.inf, rule.count)
    found = scene.members(rule.defect, rule.zone)
    if not len(found.index):
        return
    values, spread = (column[found.index] for column in scene.measured(rule.of))
    unit = scene.unit_of(rule.of)
    if rule.max is not None:
        yield of_members(rule.of, unit, values, spread, -np.inf, scene.number(rule.max, np.inf), found.index)
    if rule.total is not None:
        sure = found.inside & ~found.doubtful
        low, high = float((values - spread)[sure].sum()), float((values + spread).sum())
        most = scene.number(rule.total, np.inf)
        total = float(values[found.inside].sum())
        yield Readings.of(
            f"total {rule.of}", unit, [total], low=low, high=high, most=most, objects=found.index[None], settled=True
        )


RULE = RuleKind(
    "defects are small and few enough, in the picture or in a zone",
    Defect,
    _read,
    "defect: [scratch, dent]\nof: feret_max\nmax: 2 mm\ntotal: 5 mm\ncount: 3",
    _needs,
)
