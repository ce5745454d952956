"""From a sentence to a `Phrase`: a small grammar, read from left to right.

::

    question  := phrase { ("and" | ",") phrase }
    phrase    := [ "all but" phrase | "all except" phrase ]
                 [ article ] { word } noun [ place ] { relation } [ ("but" | "except") phrase ]
    article   := the | a | an | any | all | every | each | number
    word      := colour | size | superlative | ordinal | side | "not" colour
    noun      := class | class in the plural | synonym | object(s) | thing(s) | one(s) | everything
    place     := "from the" side | "on the" side | "at the" side | "in the middle"
    relation  := [ "not" ] name phrase | [ "not" ] "between" phrase "and" phrase | comparative "than" phrase
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from apiece.errors import PromptError
from apiece.language.phrases import Phrase, Pick, Test
from apiece.language.words import (
    COMPARED,
    NUMBERS,
    ORDINALS,
    RELATIONS,
    SIDES,
    SIZES,
    SKIPPED,
    SUPERLATIVES,
    Nouns,
    tokens,
)
from apiece.ops import COLOURS

__all__ = ["parse"]

_ANY = {
    "object": False,
    "thing": False,
    "one": False,
    "objects": True,
    "things": True,
    "ones": True,
    "everything": True,
}
_ALL, _THE, _SOME = ("all", "every", "each", "everything"), ("the", "that", "this"), ("a", "an", "any", "some")
_ARTICLES, _JOINING = (*_ALL, *_THE, *_SOME), ("and", "or", "but", "except", "not", "of", "from", "than", "to")
_SHADES = {"gray": "grey", "violet": "purple", "magenta": "pink", "turquoise": "cyan"} | {
    name: name for name in COLOURS
}
_SIGNS = re.compile(r"(?<!\w)[-+\u2212]\d\w*|[<>=\u2264\u2265]+")  # -1st door, width > 5: no words
_COMMA = re.compile(r"\s*[,;]\s*(and\b|or\b)?\s*", re.IGNORECASE)
_NEAR = 0.77  # likeness from which an unknown word may be a known one misspelled; "der" is no "under"
_LISTED = 20
_PLACES: dict[str, str] = {**SIDES, **dict.fromkeys(("middle", "centre", "center"), "middle")}
_SPOKEN = sorted(((name.split(), meant) for name, meant in RELATIONS.items()), key=lambda one: -len(one[0]))


def parse(sentence: str, nouns: Nouns) -> Phrase:
    """Return what a sentence asks for.

    Raises
    ------
    PromptError
        naming the word that is not understood, and the nearest that is.
    """
    signs = _SIGNS.search(sentence)
    if signs is not None:
        raise PromptError(f"{signs[0]!r} is not understood; {_english(nouns)}")
    try:
        return _parsed(sentence, nouns)
    except PromptError as error:
        # commas list objects where the sentence means nothing without them: not in "the large, red door"
        listed = _COMMA.sub(" and ", sentence.strip(" ,.;!?"))
        try:
            return _parsed(listed, nouns)
        except PromptError:
            raise error from None


def _parsed(sentence: str, nouns: Nouns) -> Phrase:
    words = [_SHADES.get(word, word) for word in tokens(sentence)]
    while words and words[0] in SKIPPED:
        del words[0]
    if not words:
        raise PromptError("there is no question; write, for example, 'third door from the left'")
    reader = _Reader(words, nouns)
    found = reader.question()
    if reader.at < len(words):
        raise reader.unknown()
    return found


class _Reader:
    def __init__(self, words: list[str], nouns: Nouns) -> None:
        self.words, self.nouns, self.at = words, nouns, 0

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, *phrase: str) -> bool:
        """Skip these words if they come next."""
        if tuple(self.words[self.at : self.at + len(phrase)]) == phrase:
            self.at += len(phrase)
            return True
        return False

    def unknown(self) -> PromptError:
        word = self.peek()
        if not word:
            return PromptError(f"{' '.join(self.words)!r} ends where the name of an object should follow")
        where = f" after {' '.join(self.words[: self.at])!r}" if self.at else ""
        if self.at and (self.nouns.at(self.words, self.at) is not None or word in _ANY):
            return PromptError(f"{word!r} may not stand{where}; join objects with 'and', or say how they lie")
        known = {*self.nouns.known(), *SUPERLATIVES, *ORDINALS, *SIZES, *SIDES, *RELATIONS, *_SHADES, *_ANY}
        if word in known or word in _ARTICLES or word in _JOINING:
            return PromptError(f"{word!r} may not stand {where.strip() or 'there'}; {_english(self.nouns)}")
        near = difflib.get_close_matches(word, known, n=1, cutoff=_NEAR)
        if near:
            return PromptError(f"{word!r} is not understood{where}. Did you mean {near[0]!r}?")
        return PromptError(f"{word!r} is not understood{where}; {_english(self.nouns)}")

    def question(self) -> Phrase:
        first = self.phrase()
        more = []
        while self.peek() in ("and", "or"):
            self.at += 1
            more.append(self.phrase())
        return replace(first, union=tuple(more)) if more else first

    def phrase(self) -> Phrase:
        begin = self.at
        for word in ("all", "everything"):
            if self.take(word, "but") or self.take(word, "except"):
                left = self.phrase()
                # all but the largest door: the other doors; all but the doors, everything but the largest: the rest
                some = left.tests or left.picks or left.number
                labels = left.labels if word == "all" and some else None
                return Phrase(self._said(begin), labels, "all", True, without=left)
        article = self._article()
        tests, picks, rank, count, side = self._before_noun()
        if self.take("of"):
            inner = self.phrase()
            picked = (*inner.picks, *picks)
            return replace(inner, words=self._said(begin), picks=picked, plural=(count or 1) > 1, number=count)
        labels, plural = self._noun(bool(picks or rank or count))
        tests += self._relations(picks)
        tests, key, sign = self._relations_after(picks, tests)
        if rank is not None:
            picks.append(Pick(key or "x", sign, rank, count or 1))
        elif count is not None and not picks and key:
            picks.append(Pick(key, sign, 1, count))
        elif count is not None and picks:
            picks[-1] = replace(picks[-1], count=count)
        number = None if picks else count
        if side:
            name, way = _ORDER[side]
            many = plural or (count or 1) > 1
            tests, picks = ([*tests, Test("half", side)], picks) if many else (tests, [*picks, Pick(name, way)])
        without = None
        if self.peek() in ("but", "except"):
            self.at += 1
            self.take("for")
            without = self.phrase()
        return Phrase(self._said(begin), labels, article, plural, number, tuple(tests), tuple(picks), without)

    def _said(self, begin: int) -> str:
        return " ".join(self.words[begin : self.at])

    def _skip(self) -> None:
        while self.peek() in SKIPPED:
            self.at += 1

    def _article(self) -> str:
        self._skip()
        article = ""
        for kind, spoken in (("all", _ALL), ("the", _THE), ("any", _SOME)):
            if self.peek() in spoken and self.peek() != "everything":
                article = kind
                self.at += 1
                break
        self.take("of")
        if article == "all":
            self.take("the")
        return article

    def _before_noun(self) -> tuple[list[Test], list[Pick], int | None, int | None, str]:
        """Return what the words before the noun say: tests, superlatives, ordinal, number, and side."""
        tests: list[Test] = []
        picks: list[Pick] = []
        rank: int | None = None
        count: int | None = None
        side = ""
        while not self._noun_here():
            word = self.peek()
            negated = word == "not"
            if negated:
                self.at += 1
                word = self.peek()
            if word in COLOURS:
                self.at += 1
                shades = [word]
                while self.peek() in ("and", "or") and self.peek(1) in COLOURS:
                    shades.append(self.peek(1))
                    self.at += 2
                tests.append(Test("colour", tuple(shades), negated=negated))
            elif word in SIZES:
                self.at += 1
                tests.append(Test("size", SIZES[word], negated=negated))
            elif negated:
                self.at -= 1
                raise self.unknown()
            elif word in SUPERLATIVES:
                self.at += 1
                key, sign = SUPERLATIVES[word]
                picks.append(Pick(key, sign, 1 if rank is None else rank, count or 1))
                rank = None
            elif word in ("nearest", "closest", "farthest", "furthest"):
                self.at += 1
                picks.append(Pick("near", 1 if word in ("nearest", "closest") else -1, rank or 1, count or 1))
                rank = None
            elif word in ORDINALS or re.fullmatch(r"0*[1-9]\d{0,8}(st|nd|rd|th)", word):
                self.at += 1
                number = ORDINALS.get(word) or int(word[:-2])
                # the second last door
                rank = -rank if rank is not None and number == -1 else number
            elif word in ("middle", "central"):
                self.at += 1
                rank = 0
            elif word in NUMBERS or re.fullmatch(r"0*[1-9]\d{0,8}", word):
                self.at += 1
                count = NUMBERS.get(word) or int(word)
            elif word in SIDES and self.peek(1) != "of":
                self.at += 1
                side = SIDES[word]
            else:
                break
        return tests, picks, rank, count, side

    def _noun_here(self) -> bool:
        """Whether a noun comes next: of an orange that may be a colour too, whether no noun follows it."""
        found = self.nouns.at(self.words, self.at)
        if found is None:
            return self.peek() in _ANY and not (self.peek() == "one" and self.nouns.at(self.words, self.at + 1))
        word = self.peek()
        if found[0] == 1 and (word in COLOURS or word in SUPERLATIVES or word in SIDES or word in SIZES):
            after = self.at + 1
            return self.nouns.at(self.words, after) is None and self.peek(1) not in _ANY
        return True

    def _noun(self, described: bool) -> tuple[frozenset[int] | None, bool | None]:
        self._skip()
        found = self.nouns.at(self.words, self.at)
        if found is not None:
            self.at += found[0]
            return found[1], found[2]
        if self.peek() in _ANY:
            plural = _ANY[self.peek()]
            self.at += 1
            return None, plural
        if described and self.peek() in ("", *(name.split()[0] for name in RELATIONS), "from", "and"):
            return None, None  # the largest; the two on the left
        raise self.unknown()

    def _relations(self, picks: list[Pick]) -> list[Test]:
        """Return the relations behind a noun; ``nearest to`` becomes a pick, and so does a superlative with ``to``."""
        tests: list[Test] = []
        while True:
            start = self.at
            self._skip()
            if tests and self.peek() == "and":
                self.at += 1
                self._skip()
            negated = self.take("not")
            if not (
                self._compared(tests, negated) or self._side(tests, negated) or self._related(tests, picks, negated)
            ):
                self.at = start
                return tests

    def _compared(self, tests: list[Test], negated: bool) -> bool:
        if self.peek() not in COMPARED or self.peek(1) != "than":
            return False
        value = COMPARED[self.peek()]
        self.at += 2
        tests.append(Test("compared", value, (self.phrase(),), negated))
        return True

    def _side(self, tests: list[Test], negated: bool) -> bool:
        """Read ``on the left`` or ``in the middle`` (of the picture); ``on the left of the door`` is a relation."""
        for before in (("on", "the"), ("at", "the"), ("in", "the")):
            side = _PLACES.get(self.peek(2))
            if tuple(self.words[self.at : self.at + 2]) != before or side is None:
                continue
            after = 3 + (self.peek(3) in ("side", "half"))
            if self.peek(after) == "of" and self.peek(after + 1) in ("the", "a"):
                if self.peek(after + 2) not in ("picture", "image", "photo"):
                    return False
                after += 3
            elif self.nouns.at(self.words, self.at + 3) is not None:
                return False  # in the left door
            tests.append(Test("half", side, negated=negated))
            self.at += after
            return True
        return False

    def _related(self, tests: list[Test], picks: list[Pick], negated: bool) -> bool:
        for spoken, meant in _SPOKEN:
            if not self.take(*spoken):
                continue
            other = self.phrase()
            if meant in ("nearest", "farthest"):
                sign = 1 if meant == "nearest" else -1
                waiting = [k for k, pick in enumerate(picks) if pick.key == "near" and pick.other is None]
                if waiting:
                    picks[waiting[0]] = replace(picks[waiting[0]], other=other)
                else:
                    picks.append(Pick("near", sign, other=other))
            elif meant == "between" and self.take("and"):
                tests.append(Test("between", None, (other, self.phrase()), negated))
            else:
                tests.append(Test(meant, None, (other,), negated))
            return True
        waiting = [k for k, pick in enumerate(picks) if pick.key == "near" and pick.other is None]
        if waiting and not negated and (self.take("to") or self.take("from")):
            picks[waiting[0]] = replace(picks[waiting[0]], other=self.phrase())
            return True
        return False

    def _relations_after(self, picks: list[Pick], tests: list[Test]) -> tuple[list[Test], str, int]:
        """Return the tests, and from which side is counted: ``from the left``; more relations may follow."""
        key, sign = "", 1
        if self.take("from", "the") or self.take("counted", "from", "the") or self.take("from"):
            if self.peek() not in SIDES:
                raise self.unknown()
            key, sign = _ORDER[SIDES[self.peek()]]
            self.at += 1
            tests = [*tests, *self._relations(picks)]
        return tests, key, sign


def _english(nouns: Nouns) -> str:
    """Return what may be said instead."""
    named = list(dict.fromkeys(nouns.classes)) or ["object"]
    more = f" and {len(named) - _LISTED:,} more" if len(named) > _LISTED else ""
    return f"a question is English, such as 'the largest {named[0]}', about {', '.join(named[:_LISTED])}{more}"


_ORDER: dict[str, tuple[str, int]] = {"left": ("x", 1), "right": ("x", -1), "top": ("y", 1), "bottom": ("y", -1)}
