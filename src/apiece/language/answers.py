"""`find`: the objects that a sentence is about, or why nobody can say which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import PromptError, UnknownNameError
from apiece.language.grammar import parse
from apiece.language.phrases import Phrase, Pick, Test
from apiece.language.relations import Relations
from apiece.language.words import Nouns, plural

__all__ = ["Answer", "find"]

_EQUAL = {"area": 0.02, "width": 0.02, "height": 0.02, "length": 0.02}
"""Share up to which two sizes are equal."""
_PLACE = 0.1  # share of their extent up to which two places are equal, and at least a pixel
_SAME = {"x": "left", "y": "high", "area": "large", "width": "wide", "height": "tall", "length": "long",
         "brightness": "bright", "near": "near"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """What a sentence is about.

    Attributes
    ----------
    status : ``found``; ``none``: there is no such object; ``ambiguous``: the sentence fits several, and means one.
    index : int64, positions of the objects that were found; of an ambiguous answer the candidates.
    found : these objects.
    text : the answer in one line, with the reason where nothing is found or several are.
    """

    status: Literal["found", "none", "ambiguous"]
    index: Int
    found: Instances
    text: str


class _UnclearError(Exception):
    """No answer: why, and between which objects."""

    def __init__(self, status: Literal["none", "ambiguous"], text: str, index: Int) -> None:
        super().__init__(text)
        self.status, self.index = status, index


def find(
    instances: Instances, sentence: str, image: Image | None = None, *, synonyms: Mapping[str, str] | None = None
) -> Answer:
    """Find the objects that an English sentence is about, by a small grammar and without a language model.

    Parameters
    ----------
    instances : the objects of a picture.
    sentence : such as ``"third door from the left"``; the page "Find by words" has the whole grammar.
    image : the pixels, for colours.
    synonyms : further words, each with the class that it means.

    Raises
    ------
    PromptError
        naming the word that is not understood, and the nearest that is; or if colours are asked for without an image.
    UnknownNameError
        if a synonym means a class that there is not.

    Examples
    --------
    >>> from apiece.language import find
    >>> masks = apiece.Masks.from_boxes([[2, 2, 6, 9], [10, 2, 14, 9], [18, 2, 22, 9]], (12, 24))
    >>> doors = apiece.Instances(masks, classes=("door",))
    >>> find(doors, "second door from the right").index
    array([1])
    >>> find(doors, "the largest door").text
    '3 doors are equally large'
    """
    for name in (synonyms or {}).values():
        if name not in instances.classes:
            raise UnknownNameError("class", name, instances.classes)
    phrase = parse(sentence, Nouns(instances.classes, synonyms or {}))
    asked = _Asked(instances, image)
    try:
        index = asked.answer(phrase)
    except _UnclearError as unclear:
        return Answer(unclear.status, unclear.index, instances[unclear.index], str(unclear))
    return Answer("found", index, instances[index], asked.counted(index, phrase))


class _Asked:
    """Answers phrases about one picture."""

    def __init__(self, found: Instances, image: Image | None) -> None:
        self.found, self.relations = found, Relations(found, image)

    def answer(self, phrase: Phrase) -> Int:
        """Return the objects of the whole sentence."""
        parts = [self.one(phrase), *(self.one(part) for part in phrase.union)]
        return np.unique(np.concatenate(parts))

    def one(self, phrase: Phrase) -> Int:
        """Return the objects of one phrase, as many as its words mean."""
        index = self.matching(phrase)
        wanted = phrase.number
        if not len(index):
            raise _UnclearError("none", f"there is no {self._named(phrase, False)} {self._rest(phrase)}".strip(), index)
        single = phrase.plural is False and phrase.article in ("", "the") and all(p.count == 1 for p in phrase.picks)
        if wanted is not None and len(index) != wanted:
            status: Literal["none", "ambiguous"] = "ambiguous" if len(index) > wanted else "none"
            raise _UnclearError(status, f"{self.counted(index, phrase)}, not {wanted}", index)
        if single and len(index) > 1:
            raise _UnclearError("ambiguous", f"{self.counted(index, phrase)}; say which", index)
        return index

    def matching(self, phrase: Phrase) -> Int:
        """Return the objects that pass all tests, and of them those that are picked."""
        found = self.found
        chosen = ~found.crowd & (found.masks.area > 0)
        if phrase.labels is not None:
            chosen &= np.isin(found.labels, list(phrase.labels))
        for test in phrase.tests:
            chosen &= self.passes(test, chosen) != test.negated
        index = np.flatnonzero(chosen)
        for pick in phrase.picks:
            index = self.picked(index, pick, phrase)
        if phrase.without is not None:
            index = np.setdiff1d(index, self.one(phrase.without))
        return index

    def passes(self, test: Test, chosen: Bool) -> Bool:
        """Return which objects pass a test, whether or not it is negated."""
        if test.name == "colour":
            assert isinstance(test.value, tuple)
            return np.array([name in test.value for name in self.relations.colour_names], bool)
        if test.name == "size":
            assert isinstance(test.value, int)
            return self.relations.sized(test.value)
        if test.name == "half":
            return self.relations.half(str(test.value))
        if test.name == "between":
            return self._between(test.others)
        other = test.others[0]
        index = self.target(other)
        every = other.article == "all" or (other.article == "the" and len(index) > 1)
        if test.name == "compared":
            assert isinstance(test.value, tuple)
            key, sign = test.value
            values = self.relations.values(key)
            margin = values[:, None] * sign > values[index][None] * sign * (1 + sign * _EQUAL[key])
            return margin.all(1) if every else margin.any(1)
        table = self.relations.related(test.name, index)
        own = np.arange(len(self.found))[:, None] == index[None, :]
        # an object has no relation to itself: of all others it need not have one
        held = (table | own).all(axis=1) & ~own.all(axis=1) if every else table.any(axis=1)
        return np.asarray(held, np.bool_)

    def target(self, phrase: Phrase) -> Int:
        """Return the objects that a relation is about: one, unless the words mean any or all."""
        if phrase.article == "any":
            index = self.matching(phrase)
            if not len(index):
                raise _UnclearError("none", f"there is no {self._named(phrase, False)}", index)
            return index
        return self.one(phrase)

    def _between(self, others: tuple[Phrase, ...]) -> Bool:
        ends = np.concatenate([self.target(other) for other in others])
        if len(ends) != 2:
            said = "; say which two" if len(ends) > 2 else ", and between needs two"
            raise _UnclearError("ambiguous", f"{self.counted(ends, others[0])}{said}", ends)
        return self.relations.between(int(ends[0]), int(ends[1]))

    def picked(self, index: Int, pick: Pick, phrase: Phrase) -> Int:
        """Return the objects at some ranks; ambiguous where another object is equal to one at their edge."""
        values = self._order_values(index, pick)
        if pick.key == "near":
            index, values = index[np.isfinite(values)], values[np.isfinite(values)]
        count, rank = len(index), pick.rank
        order = np.argsort(values * pick.sign, kind="stable")
        if rank == 0:
            middle = (count - 1) // 2
            if count and count % 2 == 0:
                both = index[order[[middle, middle + 1]]]
                raise _UnclearError("ambiguous", f"{count} {self._named(phrase, True)} have no middle one", both)
            begin = middle
        else:
            begin = rank - 1 if rank > 0 else count + rank
        if begin < 0 or begin + pick.count > count:
            said = f"there {'is' if count == 1 else 'are'} only {count} {self._named(phrase, count != 1)}"
            said = said if count else f"there is no {self._named(phrase, False)}"
            raise _UnclearError("none", said, index[:0])
        end = begin + pick.count
        for edge in (begin, end):
            if 0 < edge < count and self._equal(pick.key, index, values, int(order[edge - 1]), int(order[edge])):
                self._refuse_equals(index, values, order, edge, pick, phrase)
        return index[np.sort(order[begin:end])]

    def _refuse_equals(self, index: Int, values: Float, order: Int, edge: int, pick: Pick, phrase: Phrase) -> None:
        """Say which objects are equal around a place in the order."""
        low, high = edge - 1, edge
        while low > 0 and self._equal(pick.key, index, values, int(order[low - 1]), int(order[low])):
            low -= 1
        while high < len(order) - 1 and self._equal(pick.key, index, values, int(order[high]), int(order[high + 1])):
            high += 1
        equal = index[np.sort(order[low : high + 1])]
        word = _SAME[pick.key]
        if pick.sign < 0 and pick.key in ("x", "y"):
            word = {"left": "right", "high": "low"}[word]
        raise _UnclearError("ambiguous", f"{len(equal)} {self._named(phrase, True)} are equally {word}", equal)

    def _order_values(self, index: Int, pick: Pick) -> Float:
        if pick.key != "near":
            return self.relations.values(pick.key)[index]
        if pick.other is None:
            raise PromptError("nearest to what? Write, for example, 'nearest to the door'")
        return self.relations.nearest_to(self.target(pick.other))[index]

    def _equal(self, key: str, index: Int, values: Float, a: int, b: int) -> bool:
        """Whether people would call two objects equal in what they are ordered by."""
        apart = abs(float(values[a] - values[b]))
        if key in ("x", "y"):
            box = self.found.masks.runs.boxes[index[[a, b]]]
            side = 0 if key == "x" else 1
            extent = float((box[:, side + 2] - box[:, side]).mean())
            return apart <= max(_PLACE * extent, 1.0)
        if key in ("near", "brightness"):
            return apart <= 1.0
        return apart <= _EQUAL[key] * max(abs(float(values[a])), abs(float(values[b])))

    def counted(self, index: Int, phrase: Phrase) -> str:
        """Return how many of what there are: ``3 doors``."""
        labels = np.unique(self.found.labels[index])
        if len(labels) == 1:
            name = self.found.classes[labels[0]]
            return f"{len(index)} {name if len(index) == 1 else plural(name)}"
        return f"{len(index)} {'object' if len(index) == 1 else 'objects'}"

    def _named(self, phrase: Phrase, many: bool) -> str:
        names = [self.found.classes[k] for k in sorted(phrase.labels or ())]
        if not names:
            return "objects" if many else "object"
        return " or ".join(plural(name) if many else name for name in names)

    def _rest(self, phrase: Phrase) -> str:
        return f"that is meant by {phrase.words!r}" if phrase.tests or phrase.picks or phrase.without else ""
