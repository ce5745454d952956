"""Features that say what others said before, but for their id and outline: each text is parsed once."""

from __future__ import annotations

import json
import re
from typing import Any

from apiece.formats.geojson._outlines import SPACES, Outline, outline_of

KEY = '"coordinates"'
_POLYGONS = r"(?=\[[ \t\n\r]*\[[ \t\n\r]*\[)"
_VALUE = re.compile(rf"[ \t\n\r]*:[ \t\n\r]*{_POLYGONS}")
_BEFORE = re.compile(rf"{KEY}{_VALUE.pattern}")
_TEXT, _NUMBER = r'"([^"\\\x00-\x1f]*)"', r"(-?(?:0|[1-9][0-9]{0,17}))(?=[ \t\n\r,}])"
_ID = re.compile(rf'"id"[ \t\n\r]*:[ \t\n\r]*(?:{_TEXT}|{_NUMBER})')
_MOST = 16, 1000  # different texts before and behind outlines, beyond which features are not alike
_ANY_OUTLINE, _ANY_ID = Outline(""), object()


def span(text: str, at: int) -> tuple[int, int] | None:
    """Return where the lists behind a key, which ends at ``at``, begin and end; None if they are not of polygons.

    Where the text is JSON, they end before the next brace or quotation mark: they hold neither.
    """
    start = _VALUE.match(text, at)
    if start is None:
        return None
    begin = start.end()
    brace, quote = text.find("}", begin), text.find('"', begin)
    stop = brace if 0 <= brace < quote or quote < 0 else quote
    end = text.rfind("]", begin, stop) + 1
    return (begin, end) if text[end:stop].strip(SPACES) == ("" if stop == brace else ",") else None


class _Lead:
    """What features say before their outline: a text with a gap for the id, and what they say behind."""

    def __init__(self, text: str) -> None:
        found = _ID.search(text)
        self.is_text = found is not None and found[1] is not None
        self.has_id = found is not None
        before, gap, behind = text, "", ""
        if found is not None:
            begin, end = found.span(1 if self.is_text else 2)
            around = 1 if self.is_text else 0
            before, behind = text[: begin - around], text[end + around :]
            gap = _TEXT if self.is_text else _NUMBER
        self.match = re.compile(f"{re.escape(before)}{gap}{re.escape(behind)}{_POLYGONS}").match
        self.proof = before + ("Infinity" if self.has_id else "") + behind + "NaN"
        self.known: dict[str, int] = {}
        """The features by their text behind the outline."""

    def feature(self, behind: str) -> Any:
        """Return what `json` reads; None if it is no feature, or the gap is not for its id."""
        value = {"NaN": _ANY_OUTLINE, "Infinity": _ANY_ID}.__getitem__
        try:
            feature = json.loads(self.proof + behind, parse_constant=value)
        except (ValueError, KeyError, RecursionError):
            return None
        own = None if outline_of(feature) is None else feature.get("id")
        return feature if own is (_ANY_ID if self.has_id else None) and outline_of(feature) is not None else None


class Alike:
    """The features of a file, as far as they are different; a file of too many is not read this way."""

    def __init__(self) -> None:
        self.features: list[Any] = []
        self._leads: list[_Lead] = []

    def read(self, text: str, between: str) -> tuple[list[int], list[Any], list[str]] | None:
        """Return which of ``features`` each item of a list is, its id and its outline; None if they are not alike.

        Every item has one outline. What the items say besides is proven JSON, their outlines are not. ``between`` seems
        to stand between two items; where it is part of one, the pieces are no features.
        """
        if "\\" in text or "\0" in text or "Infinity" in text:
            return None
        before, _, behind = between.partition(",")
        which, ids, texts = list[int](), list[Any](), list[str]()
        items = text[1:-1].replace(between, f"{before}\0{behind.lstrip(SPACES)}").lstrip(SPACES).split("\0")
        lead = self._leads[0] if self._leads else None
        for item in items:
            found = None if lead is None else lead.match(item)
            if found is None or lead is None:
                lead = self._lead(item)
                found = None if lead is None else lead.match(item)
                if found is None or lead is None:
                    return None
            begin = found.end()
            end = item.rfind("]", begin, item.find("}", begin)) + 1
            if item.find('"', begin, end) >= 0:
                return None
            k = lead.known.get(item[end:])
            if k is None:
                feature = lead.feature(item[end:])
                if feature is None or len(self.features) >= _MOST[1]:
                    return None
                lead.known[item[end:]] = k = len(self.features)
                self.features.append(feature)
            which.append(k)
            ids.append(found[1] if lead.is_text else int(found[1]) if lead.has_id else None)
            texts.append(item[begin:end])
        return which, ids, texts

    def _lead(self, item: str) -> _Lead | None:
        """Return the lead of a feature, if it has an outline and there are not too many."""
        for lead in self._leads:
            if lead.match(item):
                return lead
        found = _BEFORE.search(item)
        if found is None or len(self._leads) >= _MOST[0]:
            return None
        self._leads.append(_Lead(item[: found.end()]))
        return self._leads[-1]
