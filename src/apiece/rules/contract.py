"""The contract of a kind of rule: one file in this package that defines ``RULE = RuleKind(...)``.

A kind is a settings class, whose fields are the keys of the rule in ``rules.yaml``, and one function, which reads
numbers off a picture with the limits of each. Comparing, wording, drawing and the JSON schema are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int
from apiece._plugins import Room
from apiece.rules._kit.keys import (
    CLASSES,
    COLOUR,
    COUNT,
    FLAG,
    NUMBER,
    PROPERTY,
    SHARE,
    TEXT,
    ZONE,
    KeyType,
    choice,
    key,
    quantity,
    some_of,
)
from apiece.rules._kit.quantities import Quantity
from apiece.rules._kit.scene import Members, Scene

__all__ = [
    "CLASSES", "COLOUR", "COUNT", "FLAG", "NUMBER", "PROPERTY", "ROOM", "SHARE", "TEXT", "ZONE", "KeyType", "Members",
    "Needs", "Outcome", "Proposal", "Quantity", "Readings", "RuleKind", "Scene", "choice", "key", "quantity", "some_of",
]  # fmt: skip

Outcome = Literal["pass", "fail", "unsure"]
"""``unsure``: a person has to look."""


@dataclass(frozen=True, eq=False)
class Readings:
    """K numbers of one kind that a rule reads off a picture, each between its limits or not.

    Attributes
    ----------
    what : what the number is: ``count``, ``feret_max``, ``gap``.
    unit : its unit; empty for none.
    values, low, high : float64 (K,), the numbers, and their 95% intervals.
    least, most : float64 (K,), limits of each; infinite where there is none.
    objects : int64 (K, P), the objects that each number is of; -1 fills a row.
    words : what each is about beyond its objects (``R12: missing``), or nothing.
    spots : float64 (K, 2), the place in the picture that each is about, for what is not there; or nothing.
    settled : whether the intervals cover that doubtful objects are there or not. By default a number that a doubtful
        object breaks is unsure.
    """

    what: str
    unit: str
    values: Float
    low: Float
    high: Float
    least: Float
    most: Float
    objects: Int
    words: Sequence[str] = ()
    spots: Float | None = None
    settled: bool = False

    @classmethod
    def of(
        cls,
        what: str,
        unit: str,
        values: npt.ArrayLike,
        spread: npt.ArrayLike = 0.0,
        least: npt.ArrayLike = -np.inf,
        most: npt.ArrayLike = np.inf,
        objects: npt.ArrayLike | None = None,
        words: Sequence[str] = (),
        low: npt.ArrayLike | None = None,
        high: npt.ArrayLike | None = None,
        spots: Float | None = None,
        settled: bool = False,
    ) -> Readings:
        """Return readings whose intervals reach ``spread`` to both sides, unless ``low`` and ``high`` say otherwise.

        Examples
        --------
        >>> from apiece.rules.contract import Readings
        >>> Readings.of("feret_max", "mm", [11.9, 12.6], 0.1, most=12.5, objects=[[0], [4]]).high.tolist()
        [12.0, 12.7]
        """
        number = np.atleast_1d(np.asarray(values, np.float64))
        count = len(number)
        rows = np.full((count, 1), -1) if objects is None else np.asarray(objects, np.int64).reshape(count, -1)
        off = np.asarray(spread, np.float64)
        each = np.empty((4, count))
        each[0], each[1] = number - off if low is None else low, number + off if high is None else high
        each[2], each[3] = least, most
        return cls(what, unit, number, each[0], each[1], each[2], each[3], rows, words, spots, settled)

    def exact(self) -> Readings:
        """Return the same readings as exact numbers; an unknown number stays open."""
        low, high = (np.where(np.isinf(side), side, self.values) for side in (self.low, self.high))
        return replace(self, low=low, high=high)


@dataclass(frozen=True)
class Needs:
    """What a rule needs to know of a picture.

    Attributes
    ----------
    measures : names of measures, as `apiece.measurements` knows them.
    of : classes of the objects that are measured, or ``any``; of no class, all objects are.
    image, layout : whether it looks at pixels, and whether it compares with the file's layout.
    """

    measures: frozenset[str] = frozenset()
    of: frozenset[str] = frozenset()
    image: bool = False
    layout: bool = False


@dataclass(frozen=True)
class Proposal:
    """A rule that good examples suggest.

    Attributes
    ----------
    keys : the rule as it stands in the file: from key to number, text or list.
    why : what was seen, for the comment beside it.
    """

    keys: dict[str, Any]
    why: str


def nothing_needed(settings: Any) -> Needs:
    """Return the needs of a rule that looks at masks and classes alone."""
    return Needs()


@dataclass(frozen=True)
class RuleKind:
    """A kind of rule.

    Attributes
    ----------
    summary : one line.
    settings : a frozen dataclass whose fields are made by `key`. Its first field has the kind's name. One that is
        called ``zone`` is the zone in which the rule looks.
    read : from a scene and the settings to what is to be compared. Nothing at all passes.
    example : a rule of this kind as it stands in a file, in YAML.
    needs : from the settings to what `read` needs.
    over : in place of ``read``, for a rule about many pictures: from how many fail, are unsure and pass.
    propose : from scenes of good examples to rules.
    """

    summary: str
    settings: type[Any]
    read: Callable[[Scene, Any], Iterable[Readings]] | None
    example: str
    needs: Callable[[Any], Needs] = nothing_needed
    over: Callable[[Sequence[Outcome], Any], Iterable[Readings]] | None = None
    propose: Callable[[Sequence[Scene]], Iterable[Proposal]] | None = None


ROOM: Room[RuleKind] = Room("apiece.rules", "RULE", RuleKind, "kind of rule")
"""The kinds of rules."""
