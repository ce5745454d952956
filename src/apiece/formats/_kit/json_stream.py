"""A JSON file whose one list is long, read a batch at a time in memory that does not grow with the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from apiece._strict_json import StrictError, first_constant
from apiece.errors import FormatError

_BLOCK = 1 << 20  # bytes read together
_NEAR = 16  # characters from the end of what is read, within which an error may only be its end
_SPACE = re.compile(r"[ \t\n\r]*")

Parse = Callable[[str, str], Any]
"""Returns the items of a JSON list, and gets what seems to stand between two of them, from the last character of one
to the first colon of the next. A `ValueError` leaves the list to the parser that says what is wrong, and where."""


def _constant(word: str) -> float:
    raise StrictError(f"holds {word}, which is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def items_of(text: str, between: str = "") -> list[Any]:
    """Return the items of a JSON list, or raise a `ValueError`."""
    found: list[Any] = _DECODER.decode(text)
    return found


class JsonList:
    """Read the list under ``name`` of a JSON object, or the list that a file is.

    Parameters
    ----------
    path : a JSON file in UTF-8.
    name : the key of the list.
    parse : reads many items at once, and may return anything that holds them; it must accept no text that is not a
        JSON list.

    Attributes
    ----------
    members : all other members of the object, complete when the batches have ended; None if the file is a list.
    whole : the value of a file that is neither.
    found : whether there is such a list.

    Raises
    ------
    FormatError
        As `load_json`, with line and column.
    """

    def __init__(self, path: Path, name: str, parse: Parse = items_of) -> None:
        self.path, self.name, self.parse = path, name, parse
        self.members: dict[str, Any] | None = None
        self.whole: Any = None
        self.found = False

    def batches(self) -> Iterator[Any]:
        """Yield the items of the list in order: lists of a few, and what ``parse`` returns."""
        try:
            with self.path.open("rb") as file:
                text = _Text(file, self.parse)
                first = text.peek()
                if first == "[":
                    self.found = True
                    yield from text.items()
                elif first == "{":
                    self.members = {}
                    yield from self._members(text)
                else:
                    self.whole = text.value()
                if text.peek():
                    raise text.error("Extra data", text.at)
        except OSError as error:
            raise FormatError(self.path, f"cannot be read: {error.strerror}") from None
        except StrictError as error:
            raise FormatError(self.path, str(error)) from None

    def _members(self, text: _Text) -> Iterator[Any]:
        assert self.members is not None
        text.at += 1
        while text.peek() != "}" or self.members or self.found:
            if text.peek() != '"':
                raise text.error("Expecting property name enclosed in double quotes", text.at)
            key = text.value()
            text.expect(":")
            if key == self.name and text.peek() == "[" and not self.found:
                self.found = True
                yield from text.items()
            else:
                self.members[key] = text.value()
            if text.peek() == "}":
                break
            text.expect(",")
        text.at += 1


class _Text:
    """The text of a file as far as it has been read and not yet parsed."""

    def __init__(self, file: Any, parse: Parse) -> None:
        self.file, self.parse = file, parse
        self.text, self.at, self.ended = "", 0, False
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._bytes, self._line, self._column = 0, 1, 1  # of the beginning of the text

    def more(self) -> None:
        """Read on, by as much again as is left to be parsed."""
        left, gone = self.text[self.at :], self.text[: self.at]
        lines = gone.count("\n")
        self._line += lines
        self._column = len(gone) - gone.rfind("\n") if lines else self._column + len(gone)
        data = self.file.read(max(_BLOCK, len(left)))
        try:
            new = self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            begin = self._bytes - len(error.object) + len(data)  # bytes of a cut character came before
            raise StrictError(f"is not UTF-8 (byte {begin + error.start}); save it as UTF-8") from None
        self._bytes += len(data)
        self.text, self.at, self.ended = left + new, 0, not data

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def expect(self, sign: str) -> None:
        """Pass over a sign."""
        if self.peek() != sign:
            raise self.error(f"Expecting '{sign}' delimiter", self.at)
        self.at += 1

    def value(self) -> Any:
        """Return the value that begins here."""
        while True:
            self.peek()
            try:
                found, end = _DECODER.raw_decode(self.text, self.at)
                if self.text[end - 1] in '}]"' or end < len(self.text) - _NEAR or self.ended:  # a number may go on
                    self.at = end
                    return found
            except json.JSONDecodeError as error:
                self._refuse(error.msg, error.pos)
            except RecursionError:
                raise StrictError("is nested too deep") from None
            except StrictError as error:
                raise self.error(str(error), first_constant(self.text, self.at)) from None
            except ValueError as error:
                raise StrictError(f"holds a number that cannot be read: {error}") from None
            self.more()

    def items(self) -> Iterator[Any]:
        """Yield the items of the list that begins here, as many together as one block holds."""
        self.at += 1
        if self.peek() == "]":
            self.at += 1
            return
        batch, tried = list[Any](), ""
        while True:
            batch.append(self.value())
            end, text = self.at, self.text
            sign = self.peek()
            if sign not in ("]", ","):
                raise self.error("Expecting ',' delimiter", self.at)
            self.at += 1
            if sign == "]":
                break
            if self.text is not tried and self.peek() and self.text is text:
                yield batch
                batch = []
                yield from self._many(end)
                tried = self.text
        yield batch

    def _many(self, end: int) -> Iterator[Any]:
        """Yield the items up to the last place of each block that looks as it does from ``end`` on, between two items.

        It may only look so. What is a JSON list with brackets around it does end where an item ends.
        """
        colon = self.text.find(":", self.at, self.at + _NEAR * 4)  # behind the first key, if items are objects
        between = self.text[end - 1 : max(colon, self.at) + 1]
        while (cut := self.text.rfind(between, self.at)) >= 0:
            cut = self.text.index(",", cut)
            try:
                found = self.parse(f"[{self.text[self.at : cut]}]", between)
            except (ValueError, RecursionError):
                return
            self.at = cut + 1
            yield found
            del found
            self.more()

    def _refuse(self, message: str, at: int) -> None:
        """Raise an error that more text would not mend."""
        if self.ended or (at < len(self.text) - _NEAR and not message.startswith("Unterminated")):
            raise self.error(message, at)

    def error(self, message: str, at: int) -> StrictError:
        """Return the error at a place of the text, as `apiece._strict_json.parse` words it."""
        while not self.ended and len(self.text) - at <= _NEAR:
            before = self.at
            self.at = 0
            self.more()
            self.at = before
        end = len(self.text.rstrip())
        if self._line == 1 and not self.text.strip() and self.ended and self._column == 1:
            return StrictError("is empty")
        short = self.ended and (at >= end or (at == end - 1 and self.text[at] not in "}]"))
        cut = " (the file seems cut short)" if short else ""
        lines = self.text.count("\n", 0, at)
        column = at - self.text.rfind("\n", 0, at) if lines else self._column + at
        return StrictError(f"line {self._line + lines}, column {column}: {message}{cut}")
