"""The words of the language: ordinals, numbers, directions, sizes, relations, and class names with their plurals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

__all__ = [
    "COMPARED", "NUMBERS", "ORDINALS", "RELATIONS", "SIDES", "SIZES", "SKIPPED", "SUPERLATIVES", "Nouns", "plural",
    "tokens",
]  # fmt: skip

Side = Literal["left", "right", "top", "bottom"]

_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDERED = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
NUMBERS: Mapping[str, int] = MappingProxyType({"both": 2} | {word: k for k, word in enumerate(_COUNTED, 1)})
"""Counting words; digits count too."""
ORDINALS: Mapping[str, int] = MappingProxyType({word: k for k, word in enumerate(_ORDERED, 1)} | {"last": -1})
"""Ordinals; 1st, 2nd ... count too."""
SIDES: Mapping[str, Side] = MappingProxyType({
    "left": "left", "right": "right", "top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom",
})  # fmt: skip
"""Sides of the picture."""
SUPERLATIVES: Mapping[str, tuple[str, int]] = MappingProxyType({
    **dict.fromkeys(("largest", "biggest", "greatest"), ("area", -1)),
    **dict.fromkeys(("smallest", "littlest", "tiniest"), ("area", 1)),
    "widest": ("width", -1), "narrowest": ("width", 1), "tallest": ("height", -1), "shortest": ("height", 1),
    "longest": ("length", -1), "brightest": ("brightness", -1), "lightest": ("brightness", -1),
    "darkest": ("brightness", 1), "leftmost": ("x", 1), "rightmost": ("x", -1),
    **dict.fromkeys(("topmost", "highest", "uppermost"), ("y", 1)),
    **dict.fromkeys(("bottommost", "lowest", "lowermost"), ("y", -1)),
})  # fmt: skip
"""From a word to what is compared, and 1 where the least is meant, -1 where the most is."""
SIZES: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("large", "big", "huge"), 1) | dict.fromkeys(("small", "little", "tiny"), -1)
)
"""1 for larger, -1 for smaller than most of their class."""
COMPARED: Mapping[str, tuple[str, int]] = MappingProxyType({
    "larger": ("area", 1), "bigger": ("area", 1), "smaller": ("area", -1), "wider": ("width", 1),
    "narrower": ("width", -1), "taller": ("height", 1), "shorter": ("height", -1), "longer": ("length", 1),
})  # fmt: skip
"""Comparatives, before `than`."""
RELATIONS: Mapping[str, str] = MappingProxyType({
    **dict.fromkeys(("left of", "to the left of", "on the left of", "on the left side of"), "left"),
    **dict.fromkeys(("right of", "to the right of", "on the right of", "on the right side of"), "right"),
    **dict.fromkeys(("above", "over", "higher than"), "above"),
    **dict.fromkeys(("below", "under", "underneath", "beneath", "lower than"), "below"),
    **dict.fromkeys(("in", "inside", "within", "inside of"), "in"),
    **dict.fromkeys(("on", "on top of", "upon"), "on"),
    **dict.fromkeys(("touching", "touch", "touches", "in contact with", "adjoining", "against"), "touching"),
    **dict.fromkeys(("containing", "contain", "contains", "around", "enclosing"), "around"),
    **dict.fromkeys(("between",), "between"),
    **dict.fromkeys(("nearest to", "closest to", "nearest", "closest"), "nearest"),
    **dict.fromkeys(("farthest from", "furthest from"), "farthest"),
})  # fmt: skip
"""From how a relation is said to its name."""
SKIPPED = {
    *(
        "please",
        "find",
        "show",
        "me",
        "select",
        "give",
        "where",
        "is",
        "are",
        "that",
        "which",
        "who",
        "lying",
        "standing",
    ),
    *("sitting", "placed", "located", "picture", "image", "photo"),
}
"""Words without meaning here."""

_KIN = (
    "person man woman people human child boy girl", "car automobile auto", "tv television screen", "bicycle bike",
    "motorcycle motorbike", "couch sofa", "airplane plane aeroplane", "cell_phone phone mobile", "cup mug",
    "screw bolt", "pill tablet", "lorry truck", "nucleus nuclei", "defect flaw", "pavement sidewalk",
)  # fmt: skip
_IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice", "goose": "geese",
    "foot": "feet", "tooth": "teeth", "knife": "knives", "shelf": "shelves", "leaf": "leaves", "loaf": "loaves",
    "wolf": "wolves", "half": "halves", "sheep": "sheep", "fish": "fish", "nucleus": "nuclei", "fungus": "fungi",
    "axis": "axes", "die": "dice", "ox": "oxen", "life": "lives", "scissors": "scissors", "bacterium": "bacteria",
}  # fmt: skip


def tokens(text: str) -> list[str]:
    """Return the words of a sentence or of a class name, in lower case.

    >>> tokens("The 3rd traffic_light, please!")
    ['the', '3rd', 'traffic', 'light', 'please']
    """
    return re.findall(r"[^\W_]+", text.lower())


def plural(word: str) -> str:
    """Return the plural of an English noun.

    >>> [plural(word) for word in ("door", "box", "berry", "key", "shelf")]
    ['doors', 'boxes', 'berries', 'keys', 'shelves']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if re.search("(s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search("[^aeiou]y$", word) else word + "s"


class Nouns:
    """Which words name which classes.

    Parameters
    ----------
    classes : class names; two classes that differ in spelling only are both meant by their name.
    synonyms : further words, each with the class that it means.

    Attributes
    ----------
    classes : class names.
    """

    def __init__(self, classes: Sequence[str], synonyms: Mapping[str, str]) -> None:
        self.classes = tuple(classes)
        self.words: dict[tuple[str, ...], tuple[set[int], bool | None]] = {}
        for label, name in enumerate(classes):
            self._add(tokens(name), label)
        known = set(self.words)
        for group in _KIN:
            kin = [tokens(word) for word in group.split()]
            meant = [label for word in kin for label in self.words.get(tuple(word), (set(), None))[0]]
            for word in kin:
                if tuple(word) not in known:
                    for label in meant[:1] if len(set(meant)) == 1 else ():
                        self._add(word, label)
        for spoken, name in synonyms.items():
            self._add(tokens(spoken), list(classes).index(name))

    def _add(self, word: list[str], label: int) -> None:
        if not word:
            return
        many = [*word[:-1], plural(word[-1])]
        for form, is_many in ((word, False), (many, True)):
            labels, number = self.words.setdefault(tuple(form), (set(), is_many))
            labels.add(label)
            if number is not is_many or many == word:
                self.words[tuple(form)] = (labels, None)  # sheep: one or many

    def at(self, words: Sequence[str], start: int) -> tuple[int, frozenset[int], bool | None] | None:
        """Return how many words from ``start`` on are a noun, its labels, and whether it is plural; the longest."""
        for count in range(min(len(words) - start, 6), 0, -1):
            found = self.words.get(tuple(words[start : start + count]))
            if found is not None:
                return count, frozenset(found[0]), found[1]
        return None

    def known(self) -> Iterable[str]:
        """Return all nouns."""
        return (" ".join(word) for word in self.words)
