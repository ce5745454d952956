"""Verdicts: the numbers that rules read off a picture become pass, fail or unsure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.core.runs import sums
from apiece.rules._engine.file import Rule
from apiece.rules.contract import Outcome, Readings, Scene

__all__ = ["Finding", "Verdict", "Verdicts", "verdicts_of", "worst"]

_OUTCOMES: tuple[Outcome, ...] = ("pass", "unsure", "fail")  # from the best to the worst


@dataclass(frozen=True)
class Finding:
    """One number that a rule compared with its limits.

    Attributes
    ----------
    outcome : ``pass``, ``fail`` or ``unsure``.
    what, unit : what the number is (``feret_max``), and its unit.
    number, low, high : the number and its 95% interval; infinite where the thing is missing.
    least, most : the limits; infinite where there is none.
    objects : the objects it is of, by position.
    words : what it is about beyond its objects: ``R12 is missing``.
    spot : place in the picture, x and y in pixels, of what is not there; else None.
    """

    outcome: Outcome
    what: str
    unit: str
    number: float
    low: float
    high: float
    least: float
    most: float
    objects: tuple[int, ...] = ()
    words: str = ""
    spot: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """The finding in one line."""
        if not np.isfinite(self.number):
            return self.words
        unit = f" {self.unit}" if self.unit else ""
        said = f"{self.what} {self.number:.4g}{unit}"
        if self.low != self.high and np.isfinite([self.low, self.high]).all():
            said += f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.words}: {said}, {self.limit}" if self.words else f"{said}, {self.limit}"

    @property
    def limit(self) -> str:
        """The limits in words: ``at most 2 mm``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.least == self.most:
            return f"should be {self.least:g}{unit}"
        if np.isinf(self.least):
            return f"at most {self.most:.4g}{unit}"
        if np.isinf(self.most):
            return f"at least {self.least:.4g}{unit}"
        return f"should be {self.least:.4g} to {self.most:.4g}{unit}"


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one picture.

    Attributes
    ----------
    rule : its name.
    kind : its kind.
    outcome : the worst of its findings; ``pass`` where there is none.
    findings : what does not pass, the worst first; of a rule that passes, the number nearest to its limit.
    checked : how many numbers were compared.
    """

    rule: str
    kind: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    checked: int

    def of(self, index: Int) -> Verdict:
        """Return the same verdict, with objects named by their position in ``index``, the objects it was made on."""
        found = (replace(one, objects=tuple(index[list(one.objects)].tolist())) for one in self.findings)
        return replace(self, findings=tuple(found))

    @property
    def text(self) -> str:
        """The first finding in one line, and how many more there are."""
        said = self.findings[0].text if self.findings else "nothing to be judged"
        more = len(self.findings) - 1
        return f"{said}; and {more} more" if more > 0 else said


@dataclass(frozen=True)
class Verdicts:
    """What all rules say of one picture.

    Attributes
    ----------
    image : its name.
    outcome : the worst of all.
    verdicts : one of each rule about pictures, in the order of the file.
    scene : what was judged; findings name objects by their position in ``scene.instances``.
    """

    image: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    scene: Scene = field(default_factory=lambda: Scene(Instances.empty((1, 1))), repr=False, compare=False)

    @property
    def reasons(self) -> list[str]:
        """What does not pass, in one line each, failures first."""
        bad = sorted((v for v in self.verdicts if v.outcome != "pass"), key=lambda v: v.outcome == "unsure")
        return [f"{v.rule}: {v.text}" for v in bad]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst of some outcomes; of none it is ``pass``."""
    return max(outcomes, key=_OUTCOMES.index, default="pass")


class _Compared(NamedTuple):
    """The numbers of all readings, one behind the other.

    Attributes
    ----------
    outcomes : of each, 0 for pass, 1 for unsure, 2 for fail.
    beyond : how far each is beyond its nearer limit: inside the limits negative, of NaN as far as can be.
    numbers : value, low, high, least and most of each.
    """

    outcomes: list[int]
    beyond: list[float]
    numbers: list[list[float]]


def verdicts_of(
    read: list[tuple[Rule, list[Readings]]], scene: Scene | None, exact: bool = False
) -> tuple[Verdict, ...]:
    """Return what rules say. The numbers of all of them are compared at once: of each alone, calls would cost most."""
    every = [one.exact() if exact else one for _, readings in read for one in readings]
    compared = _compared(every, scene)
    own = zip(every, pairwise(sums([len(one.values) for one in every]).tolist()), strict=True)
    return tuple(_verdict(rule, list(islice(own, len(readings))), compared) for rule, readings in read)


def _verdict(rule: Rule, readings: list[tuple[Readings, tuple[int, int]]], compared: _Compared) -> Verdict:
    """Return what a rule says; only what is told becomes a `Finding`."""
    outcomes, beyond, _ = compared
    bad = [
        (-outcomes[k], n, -beyond[k], k)
        for n, (_, part) in enumerate(readings)
        if any(outcomes[slice(*part)])
        for k in range(*part)
        if outcomes[k]
    ]
    told = [(n, k) for _, n, _, k in sorted(bad)]
    if not told:
        every = [(n, k) for n, (_, part) in enumerate(readings) for k in range(*part)]
        told = [max(every, key=lambda one: beyond[one[1]])] if every else []
    findings = tuple(_finding(readings[n][0], k - readings[n][1][0], outcomes[k], compared.numbers[k]) for n, k in told)
    checked = sum(end - begin for _, (begin, end) in readings)
    return Verdict(rule.name, rule.kind_name, findings[0].outcome if findings else "pass", findings, checked)


def _compared(readings: list[Readings], scene: Scene | None) -> _Compared:
    """Compare numbers with their limits."""
    if not readings:
        return _Compared([], [], [])
    columns = zip(*((one.values, one.low, one.high, one.least, one.most) for one in readings), strict=True)
    numbers = np.stack([np.concatenate(column) for column in columns])
    values, low, high, least, most = numbers
    inside = (low >= least) & (high <= most)
    outside = (high < least) | (low > most)
    outcomes = np.where(inside, 0, np.where(outside, 2, 1))
    if scene is not None and scene.doubtful.any():
        doubtful, begin = np.append(scene.doubtful, False), 0
        for one in readings:
            part = slice(begin, begin := begin + len(one.values))
            if not one.settled:
                # what only a doubtful object breaks, or what hangs on a doubtful neighbour, is for a person to decide
                first, *rest = doubtful[one.objects].T
                unsure = first & (outcomes[part] == 2) | np.any(rest, 0)
                outcomes[part] = np.where(unsure, 1, outcomes[part])
    beyond = np.maximum(least - values, values - most)
    beyond[np.isnan(beyond)] = np.inf
    return _Compared(outcomes.tolist(), beyond.tolist(), numbers.T.tolist())


def _finding(one: Readings, k: int, outcome: int, numbers: list[float]) -> Finding:
    objects = one.objects[k].tolist()
    words = one.words[k] if len(one.words) else ""
    spot = None if one.spots is None or objects[0] >= 0 else (float(one.spots[k, 0]), float(one.spots[k, 1]))
    shown = tuple(index for index in objects if index >= 0)
    value, low, high, least, most = numbers
    return Finding(_OUTCOMES[outcome], one.what, one.unit, value, low, high, least, most, shown, words, spot)
