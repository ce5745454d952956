"""What a question means: objects in words, what they have to be, and which of them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Phrase", "Pick", "Test"]


@dataclass(frozen=True)
class Test:
    """What an object has to be, or must not be.

    Attributes
    ----------
    name : ``colour``, ``size``, ``half``, ``compared``, or a relation.
    value : the colour, the size (1 or -1), the side or ``middle``, or what is compared and how.
    others : the phrases that a relation is about.
    negated : whether it must not hold.
    """

    name: str
    value: object = None
    others: tuple[Phrase, ...] = ()
    negated: bool = False


@dataclass(frozen=True)
class Pick:
    """Which of the objects, put in order.

    Attributes
    ----------
    key : what decides the order: ``x``, ``y``, ``area``, ``width``, ``height``, ``length``, ``brightness``, ``near``.
    sign : 1 from the least on, -1 from the most on.
    rank : which of them, from 1; -1 the last one, 0 the middle one.
    count : how many from there on.
    other : with ``near`` the phrase to which the distance counts.
    """

    key: str
    sign: int = 1
    rank: int = 1
    count: int = 1
    other: Phrase | None = None


@dataclass(frozen=True)
class Phrase:
    """Some objects in words.

    Attributes
    ----------
    words : as they were said.
    labels : classes; None for any.
    article : ``the``, ``all``, ``any``, or nothing.
    plural : whether several are meant; None where the word does not tell.
    number : how many there have to be; None for any number.
    tests, picks : what they have to be, and which of them in which order.
    without : what is left out.
    union : further objects: ``and ...``.
    """

    words: str
    labels: frozenset[int] | None = None
    article: str = ""
    plural: bool | None = False
    number: int | None = None
    tests: tuple[Test, ...] = ()
    picks: tuple[Pick, ...] = ()
    without: Phrase | None = None
    union: tuple[Phrase, ...] = field(default=())
