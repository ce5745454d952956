"""`Report`: the findings of a check, ranked, counted, and ready for JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from apiece._arrays import Int
from apiece.check.contract import LEVELS, Finding, Kind, Level, Place
from apiece.core.instances import Instances

FailOn = Literal["error", "warning", "note", "never"]
"""The least grave level that fails a check."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions of an image that findings refer to."""

    positions: Int
    """(K,) Their positions among the image's predictions."""
    instances: Instances
    """The K predictions."""


@dataclass(frozen=True)
class Suspect:
    """A label, and all findings against it."""

    place: Place
    """Where it is."""
    sure: float
    """How sure it is that the label is wrong, 0 to 1: one minus the product of the findings' doubts (1 - sure)."""
    kinds: tuple[str, ...]
    """Kinds of the findings, the surest first, each once."""


@dataclass(frozen=True, eq=False)
class Report:
    """The findings of a check."""

    findings: tuple[Finding, ...]
    """By level, then by how sure they are."""
    kinds: Mapping[str, Kind]
    """Every kind that the check looked for, by name."""
    images: Mapping[str, int]
    """Images of each split."""
    instances: Mapping[str, int]
    """Instances of each split."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Wanted kinds that the check could not look for, and what they need."""
    predicted: Mapping[tuple[str, int], Predicted] = field(default_factory=dict)
    """Predictions that findings refer to, by split and position of the image."""
    ids: Mapping[tuple[str, int], Mapping[int, int]] = field(default_factory=dict)
    """Ids of the instances that findings refer to, if labels have ids: by split and image, by position."""

    def level(self, finding: Finding) -> Level:
        """Return how grave a finding is."""
        return self.kinds[finding.kind].level

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings of each kind, gravest first, without zeros."""
        found = Counter(f.kind for f in self.findings)
        return {name: found[name] for name in sorted(found, key=lambda name: (self._rank(name), -found[name], name))}

    @property
    def levels(self) -> dict[Level, int]:
        """The number of findings of each level."""
        found = Counter(self.level(f) for f in self.findings)
        return {level: found[level] for level in LEVELS}

    def fails(self, on: FailOn = "error") -> bool:
        """Return whether there is a finding at this level or a graver one."""
        return on != "never" and any(self.levels[level] for level in LEVELS[: LEVELS.index(on) + 1])

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Labels with errors or warnings, the most suspect first.

        Findings count as independent, which they seldom quite are: `Suspect.sure` is a ranking, not a probability. A
        finding of several labels counts against the first of them.
        """
        against: dict[tuple[str, int, int], list[Finding]] = {}
        for f in self.findings:
            if f.place.index is not None and f.place.instances and self.level(f) != "note":
                against.setdefault((f.place.split, f.place.index, f.place.instances[0]), []).append(f)
        found = []
        for (_, _, instance), some in against.items():
            surest = sorted(some, key=lambda f: -f.sure)
            place = replace(surest[0].place, instances=(instance,))
            doubt = math.prod(1 - f.sure for f in surest)
            found.append(Suspect(place, 1 - doubt, tuple(dict.fromkeys(f.kind for f in surest))))
        return tuple(sorted(found, key=lambda s: -s.sure))

    def to_dict(self) -> dict[str, Any]:
        """Return everything but masks, as plain Python values for JSON."""
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
                    **self._place(f.place),
                    "others": [self._place(p) for p in f.others],
                    "predicted": list(f.predicted),
                }
                for f in self.findings
            ],
            "suspects": [
                {"sure": round(s.sure, 4), "kinds": list(s.kinds), **self._place(s.place)} for s in self.suspects
            ],
        }

    def where(self, place: Place) -> str:
        """Return a place in words: split, image, and the instances' ids, or else their positions."""
        words = [place.split] if place.split else []
        if place.image is not None:
            words.append(place.image)
        if place.instances:
            ids = self._ids(place)
            numbers = [f"#{i}" for i in place.instances] if None in ids else [f"id {i}" for i in ids]
            words.append(", ".join(numbers[:5]) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""))
        return " · ".join(words)

    def _ids(self, place: Place) -> list[int | None]:
        known = {} if place.index is None else self.ids.get((place.split, place.index), {})
        return [known.get(i) for i in place.instances]

    def _place(self, place: Place) -> dict[str, Any]:
        return {
            "split": place.split,
            "image": place.image,
            "index": place.index,
            "instances": list(place.instances),
            "ids": self._ids(place),
            "box": None if place.box is None else list(place.box),
        }

    def _rank(self, kind: str) -> int:
        return LEVELS.index(self.kinds[kind].level)


def ranked(findings: list[Finding], kinds: Mapping[str, Kind]) -> tuple[Finding, ...]:
    """Return findings ranked: gravest level first, then the surest, then in the order they were found."""
    return tuple(sorted(findings, key=lambda f: (LEVELS.index(kinds[f.kind].level), -f.sure)))
