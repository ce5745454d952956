"""`compare`: how many verdicts are right, and which tolerance would have been better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float
from apiece.rules._engine.verdicts import Finding, Verdict, Verdicts
from apiece.rules.batch import share_interval
from apiece.rules.contract import Outcome

__all__ = ["Share", "Tolerance", "Trust", "compare"]

ALL = "all rules"


@dataclass(frozen=True)
class Share:
    """A share of pictures with its 95% interval (Clopper and Pearson).

    Attributes
    ----------
    count, of : so many pictures out of so many.
    value, low, high : the share; NaN where there is no picture.
    """

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.of if self.of else float("nan")

    @property
    def low(self) -> float:
        """The lower bound of its interval."""
        return share_interval(self.count, self.of)[0] if self.of else float("nan")

    @property
    def high(self) -> float:
        """The upper bound of its interval."""
        return share_interval(self.count, self.of)[1] if self.of else float("nan")


@dataclass(frozen=True)
class Trust:
    """How right the verdicts of one rule, or of all together, are.

    Attributes
    ----------
    rule : its name, or ``all rules``.
    right : verdicts as the truth has them.
    false_accepts : pictures that pass, of those that should fail.
    false_rejects : pictures that fail, of those that should pass.
    unsure : pictures that a person has to look at.
    """

    rule: str
    right: Share
    false_accepts: Share
    false_rejects: Share
    unsure: Share


@dataclass(frozen=True)
class Tolerance:
    """Limits of a rule with which its numbers would have agreed better with the truth.

    Attributes
    ----------
    rule : its name.
    what, unit : the number that is limited.
    least, most : the better limits; infinite where there is none.
    wrong, before : pictures on which the number then lies on the wrong side, and with the limits of now.
    """

    rule: str
    what: str
    unit: str
    least: float
    most: float
    wrong: int
    before: int


def compare(
    judged: Sequence[Verdicts], truth: Sequence[Verdicts] | Sequence[Outcome]
) -> tuple[list[Trust], list[Tolerance]]:
    """Compare verdicts with the truth, picture by picture.

    Parameters
    ----------
    judged : verdicts on what a model found.
    truth : verdicts by the same rules on true labels of the same pictures, or just ``pass`` or ``fail`` of each. A
        picture whose truth is unsure does not count.

    Returns
    -------
    How right all rules together are, then each rule; and the tolerances that would have been better. Of outcomes alone
    there is no more than the former's first.

    Examples
    --------
    >>> from apiece.rules import Verdicts, compare
    >>> found = [Verdicts("a.png", "pass", ()), Verdicts("b.png", "pass", ())]
    >>> compare(found, ["pass", "fail"])[0][0].false_accepts.value
    1.0
    """
    whole = [one if isinstance(one, str) else one.outcome for one in truth]
    trust = [_trust(ALL, [one.outcome for one in judged], whole)]
    if not truth or isinstance(truth[0], str):
        return trust, []
    better = []
    names = [one.rule for one in judged[0].verdicts] if judged else []
    for k, name in enumerate(names):
        own = [one.verdicts[k] for one in judged]
        right = [one.verdicts[k].outcome for one in truth if isinstance(one, Verdicts)]
        trust.append(_trust(name, [one.outcome for one in own], right))
        found = _better(name, own, right)
        if found is not None:
            better.append(found)
    return trust, better


def _trust(rule: str, outcomes: Sequence[Outcome], truth: Sequence[Outcome]) -> Trust:
    pairs = [(a, b) for a, b in zip(outcomes, truth, strict=True) if b != "unsure"]

    def share(one: Outcome, of: Iterable[Outcome]) -> Share:
        among = [a for a, b in pairs if b in of]
        return Share(among.count(one), len(among))

    right = Share(sum(a == b for a, b in pairs), len(pairs))
    return Trust(rule, right, share("pass", ["fail"]), share("fail", ["pass"]), share("unsure", ["pass", "fail"]))


def _better(name: str, verdicts: Sequence[Verdict], truth: Sequence[Outcome]) -> Tolerance | None:
    """Return limits moved out or in, both by as much, with which fewer numbers lie on the wrong side."""
    told = [
        (one.findings[0], right == "fail")
        for one, right in zip(verdicts, truth, strict=True)
        if right != "unsure"
        and one.findings
        and np.isfinite(one.findings[0].number)
        and one.findings[0].what != "count"
    ]
    if not told or not np.isfinite([_limit(one) for one, _ in told]).any():
        return None
    beyond = np.array([max(one.least - one.number, one.number - one.most) for one, _ in told])
    bad = np.array([wrong for _, wrong in told])
    edges = np.unique(beyond)
    moves = np.unique(np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2]))
    wrong = np.array([_wrong(beyond, bad, move) for move in moves])
    best = int(np.lexsort((np.abs(moves), wrong))[0])
    now = _wrong(beyond, bad, 0.0)
    if wrong[best] >= now:
        return None
    first, move = told[0][0], float(moves[best])
    return Tolerance(name, first.what, first.unit, first.least - move, first.most + move, int(wrong[best]), now)


def _limit(finding: Finding) -> float:
    return finding.least if np.isfinite(finding.least) else finding.most


def _wrong(beyond: Float, bad: Float, move: float) -> int:
    return int(((beyond > move) != bad).sum())
