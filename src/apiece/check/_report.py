"""`Report`: what a check found, ranked, counted, and as JSON knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from apiece.check._base import LEVELS, Finding, Kind, Level, Place
from apiece.core.instances import Instances

__all__ = ["FailOn", "Predicted", "Report", "ranked"]

FailOn = Literal["error", "warning", "note", "never"]
"""The least grave level that fails a check."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Those of an image's predictions that findings speak of."""

    positions: npt.NDArray[np.int64]
    """(K,) Where each is among the image's predictions."""
    instances: Instances
    """The K predictions."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a check found."""

    findings: tuple[Finding, ...]
    """By level, then by how sure they are."""
    kinds: Mapping[str, Kind]
    """Every kind that was looked for, by name."""
    images: Mapping[str, int]
    """Images of each split."""
    instances: Mapping[str, int]
    """Instances of each split."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Kinds that were asked for but could not be looked for, and what they would need."""
    predicted: Mapping[tuple[str, int], Predicted] = field(default_factory=dict)
    """Predictions that findings speak of, by split and position of the image."""

    def level(self, finding: Finding) -> Level:
        """How grave a finding is."""
        return self.kinds[finding.kind].level

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind, gravest first; only kinds that were found."""
        found = Counter(f.kind for f in self.findings)
        return {name: found[name] for name in sorted(found, key=lambda name: (self._rank(name), -found[name], name))}

    @property
    def levels(self) -> dict[Level, int]:
        """Findings of each level."""
        found = Counter(self.level(f) for f in self.findings)
        return {level: found[level] for level in LEVELS}

    def fails(self, on: FailOn = "error") -> bool:
        """Whether there is a finding at this level or a graver one."""
        return on != "never" and any(self.levels[level] for level in LEVELS[: LEVELS.index(on) + 1])

    def to_dict(self) -> dict[str, Any]:
        """Everything but masks, as JSON knows it."""
        return {
            "images": dict(self.images),
            "instances": dict(self.instances),
            "levels": dict(self.levels),
            "counts": self.counts,
            "unasked": dict(self.unasked),
            "findings": [
                {
                    "kind": f.kind,
                    "level": self.level(f),
                    "sure": round(f.sure, 4),
                    "message": f.message,
                    "fix": self.kinds[f.kind].fix,
                    "repair": f.repair,
                    **_place(f.place),
                    "others": [_place(p) for p in f.others],
                    "predicted": list(f.predicted),
                }
                for f in self.findings
            ],
        }

    def _rank(self, kind: str) -> int:
        return LEVELS.index(self.kinds[kind].level)


def _place(place: Place) -> dict[str, Any]:
    return {
        "split": place.split,
        "image": place.image,
        "index": place.index,
        "instances": list(place.instances),
        "box": None if place.box is None else list(place.box),
    }


def ranked(findings: list[Finding], kinds: Mapping[str, Kind]) -> tuple[Finding, ...]:
    """Gravest level first, then the surest; of equals, in the order they were found."""
    return tuple(sorted(findings, key=lambda f: (LEVELS.index(kinds[f.kind].level), -f.sure)))
