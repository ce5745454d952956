"""A measure of each object has to lie between limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece.rules._kit.limits import bounds, nothing, of_members, ordered, room, stated
from apiece.rules.contract import (
    CLASSES,
    FLAG,
    PROPERTY,
    ZONE,
    Needs,
    Proposal,
    Quantity,
    Readings,
    RuleKind,
    Scene,
    key,
    quantity,
)

__all__ = ["RULE"]

_LEARNED = ("feret_max", "area")
_LOOSE = 0.3  # share of the mean from which a tolerance says nothing
_FEW = 3  # objects from which limits are learned


@dataclass(frozen=True)
class Dimension:
    """Keys of the rule."""

    dimension: tuple[str, ...] = key(CLASSES, "the objects that are measured: a class, several, or any")
    of: str = key(PROPERTY, "the measure, such as feret_max, area or circularity")
    min: Quantity | None = key(quantity(None, -np.inf), "the least value, such as 11.8 mm", None)
    max: Quantity | None = key(quantity(None, -np.inf), "the greatest value", None)
    nominal: Quantity | None = key(quantity(None, -np.inf), "the right value; goes with tolerance", None)
    tolerance: Quantity | None = key(quantity(None), "how far it may be off to both sides", None)
    uncertainty: Quantity | None = key(
        quantity(None), "how far a measured value is off (95 %). By default it follows from `edge`", None
    )
    zone: str = key(ZONE, "measure only what lies in this zone", "")
    optional: bool = key(FLAG, "`yes`: a picture without such an object passes. By default it is unsure", False)

    def __post_init__(self) -> None:
        both = (self.nominal is None) == (self.tolerance is None)
        if not both or (self.nominal is None) == (self.min is None and self.max is None):
            raise ValueError("give min and max, or one of these, or nominal with tolerance")
        ordered(self.min, self.max)

    @property
    def limits(self) -> tuple[Quantity | None, ...]:
        """All quantities of the rule."""
        return self.min, self.max, self.nominal, self.tolerance, self.uncertainty


def _needs(rule: Dimension) -> Needs:
    return Needs(frozenset({rule.of}), frozenset(rule.dimension))


def _read(scene: Scene, rule: Dimension) -> Iterator[Readings]:
    found = scene.members(rule.dimension, rule.zone)
    if not len(found.index):
        yield from nothing(rule.dimension, rule.optional)
        return
    values, spread = (column[found.index] for column in scene.measured(rule.of))
    if rule.uncertainty is not None:
        spread = np.full(len(values), scene.number(rule.uncertainty, 0.0))
    least, most = bounds(scene, rule.min, rule.max)
    if rule.nominal is not None:
        middle, room = scene.number(rule.nominal, 0.0), scene.number(rule.tolerance, 0.0)
        least, most = middle - room, middle + room
    yield of_members(rule.of, scene.unit_of(rule.of), values, spread, least, most, found.index)


def _propose(scenes: Sequence[Scene]) -> Iterator[Proposal]:
    for name in scenes[0].instances.classes:
        there = [scene.members((name,)).index for scene in scenes]
        if sum(map(len, there)) < _FEW:
            continue
        for measure in _LEARNED:
            read = [np.stack(s.measured(measure))[:, i] for s, i in zip(scenes, there, strict=True)]
            values, spreads = np.concatenate(read, 1)
            tolerance = room(values - values.mean()) + float(spreads.max())  # a good object is not even unsure
            if tolerance > _LOOSE * values.mean():
                continue
            unit = scenes[0].unit + ("2" if measure == "area" else "")
            optional = {} if all(map(len, there)) else {"optional": True}
            yield Proposal(
                {
                    "dimension": name, "of": measure, "nominal": f"{values.mean():.4g} {unit}",
                    "tolerance": f"{stated(tolerance)} {unit}", **optional,
                },
                f"{values.min():.4g} to {values.max():.4g} {unit} on {len(values):,} objects",
            )  # fmt: skip


RULE = RuleKind(
    "a measure of each object lies between limits",
    Dimension,
    _read,
    "dimension: washer\nof: feret_max\nnominal: 12 mm\ntolerance: 0.2 mm",
    _needs,
    propose=_propose,
)
