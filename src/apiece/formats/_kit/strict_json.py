"""JSON, strictly: UTF-8, exact numbers, no NaN, every failure a `FormatError`; and a look at the first keys."""

from __future__ import annotations

import gc
import json
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.files import read_text

_PEEK = 1 << 18
_ENTRY = 1 << 16
_LIST = re.compile(rb"\s*:\s*\[\s*(\{|\])")
_ENCODER = json.JSONEncoder(allow_nan=False)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]|:')


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def load_json(path: Path, constants: list[str] | None = None) -> Any:
    """The parsed file.

    NaN and Infinity, which Python writes too, are refused, or, given a list for ``constants``, read and
    noted there, so that the entries that hold them can be left out.

    Raises
    ------
    FormatError
        if it cannot be read, is not UTF-8, is cut short or otherwise no JSON, holds NaN or Infinity, or is nested
        thousands deep.
    """
    text = read_text(path)
    if not text.strip():
        raise FormatError(path, "is empty")

    def constant(word: str) -> float:
        if constants is None:
            raise FormatError(path, f"holds {word}, which is no number in JSON")
        constants.append(word)
        return float(word)

    try:
        with uncollected():
            return json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        cut = " (the file seems cut short)" if error.pos >= len(text.rstrip()) - 1 else ""
        raise FormatError(path, f"line {error.lineno}, column {error.colno}: {error.msg}{cut}") from None
    except RecursionError:
        raise FormatError(path, "is nested too deep to be a label file") from None
    except ValueError as error:
        raise FormatError(path, f"holds a number that cannot be read: {error}") from None


def dump_json(path: Path, value: Any, where: str) -> str:
    """A value as JSON, exactly.

    Raises
    ------
    LossyFormatError
        naming the file that is written and ``where`` in it, for NaN, infinities, and what is no JSON value.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise LossyFormatError(path, f"{where}: JSON cannot hold {str(value)[:60]} ({error}); leave it out") from None


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which JSON does not make: it would walk through all that was parsed.

    Also a decorator, of a function that parses a file and lets go of it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def peek_json(path: Path) -> tuple[str, frozenset[str]] | None:
    """``"{"`` or ``"["`` and the keys of the outermost object, or of the objects in the outermost list, near the start.

    Reads the first 256 kB only. None if that is no JSON object or list; never raises.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as f:
            text = f.read(_PEEK).decode("utf-8-sig", errors="replace").lstrip()
    except OSError:
        return None
    if text[:1] not in ("{", "["):
        return None
    return text[0], _keys(text, 1 if text[0] == "{" else 2)


def _keys(text: str, level: int) -> frozenset[str]:
    """The keys at this depth of braces and brackets, to the end of the outermost of them."""
    depth, last, keys = 0, "", set()
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
            if depth == 0:
                break
        elif token == ":":
            if depth == level and last:
                keys.add(last[1:-1])
            last = ""
        else:
            last = token
    return frozenset(keys)


def first_keys(path: Path, name: str) -> frozenset[str] | None:
    """The keys of the first object in the list under ``name``; none for an empty list, None if there is no such list.

    Searches the file's bytes without parsing them; never raises.
    """
    wanted = json.dumps(name).encode()
    try:
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(wanted)
            while at >= 0:
                begin = at + len(wanted)
                match = _LIST.match(data[begin : begin + 256])
                if match and match[1] == b"]":
                    return frozenset()
                if match:
                    begin += match.start(1)
                    return _keys(data[begin : begin + _ENTRY].decode("utf-8", errors="replace"), 1)
                at = data.find(wanted, begin)
    except (OSError, ValueError):  # an empty file cannot be mapped
        pass
    return None
