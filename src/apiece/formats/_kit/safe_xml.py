"""XML as a stream of elements, read safely: no DTD, no entities, bounded depth; every failure is a `FormatError`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from apiece.errors import FormatError, LossyFormatError

_DEPTH = 64
_CHUNK = 1 << 16
# XML 1.0 has no way to say these, not even as a number
_UNSAYABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SIGNS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_ESCAPE = re.compile("[" + "".join(_SIGNS) + "]")

Start = Callable[[str, dict[str, str], int], None]
End = Callable[[str, str], None]


class _EnoughError(Exception):
    """Stops the parser once the first element has been seen."""


def parse_xml(path: Path, start: Start, end: End) -> None:
    """Call ``start(name, attributes, line)`` and ``end(name, text inside)`` for every element, in order.

    A document type is refused, since its entities can grow without bound.
    """
    parser = _parser(path, start, end)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code) if error.code else str(error)
        cut = " (the file seems cut short)" if error.code in (3, 5, 6) else ""
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise FormatError(path, f"{where}: no well-formed XML: {reason}{cut}") from None
    except (LookupError, ValueError) as error:
        raise FormatError(path, f"is of an encoding that cannot be read: {error}") from None


def _parser(path: Path, start: Start, end: End) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    texts: list[list[str]] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(texts) >= _DEPTH:
            raise FormatError(path, f"line {parser.CurrentLineNumber}: is nested too deep to be a label file")
        texts.append([])
        start(name, attributes, parser.CurrentLineNumber)

    def finish(name: str) -> None:
        end(name, "".join(texts.pop()))

    def refuse(*_: object) -> NoReturn:
        raise FormatError(
            path,
            f"line {parser.CurrentLineNumber}: has a document type (<!DOCTYPE ...>), through which entities can "
            f"fill the memory; label files need none: remove it",
        )

    parser.StartElementHandler = begin
    parser.EndElementHandler = finish
    parser.CharacterDataHandler = lambda text: texts[-1].append(text)
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def peek_xml(path: Path, wanted: int = 1) -> list[str]:
    """Return the names of the first elements; none if the file does not begin as XML; reads 64 kB; never raises."""
    names: list[str] = []

    def start(name: str, attributes: dict[str, str], line: int) -> None:
        names.append(name)
        if len(names) >= wanted:
            raise _EnoughError

    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            head = file.read(_CHUNK)
        if b"<" not in head[:64]:
            return []
        _parser(path, start, lambda name, text: None).Parse(head, False)
    except (_EnoughError, expat.ExpatError, FormatError, OSError, LookupError, ValueError):
        pass
    return names


def xml_text(path: Path, text: str, where: str) -> str:
    """Return a text as it stands in an element or attribute; a character that XML lacks is refused as a loss."""
    wrong = _UNSAYABLE.search(text)
    if wrong:
        raise LossyFormatError(path, f"{where}: XML cannot hold the character {wrong[0]!r} of {text[:40]!r}")
    return _ESCAPE.sub(lambda m: _SIGNS[m[0]], text)
