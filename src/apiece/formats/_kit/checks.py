"""Bad entries of a label file, left out or raised; and the checks of single values that find them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from apiece._strict_json import kind_of
from apiece.errors import FormatError
from apiece.formats._kit.json_files import has_constants
from apiece.formats.contract import OnBad, refuse

LONGEST = 1 << 22
"""Pixels along one side of an image, at most; a file that claims more is damaged."""
Size = tuple[int, int]


class BadEntryError(Exception):
    """What is wrong with one entry, without the place."""

    @property
    def reason(self) -> str:
        """The message, as `InvalidInstancesError` has it, with its options."""
        return self.args[0] if self.args else ""


class skip_bad:
    """Leave out the entry that a ``with`` block reads if it is bad; a reason alone gets the file and the place.

    ``with skip_bad(on_bad, path, "line 3"):`` turns a `BadEntryError` into the `FormatError` "path: line 3: reason",
    and calls ``on_bad`` with it and with every `FormatError`. Without ``on_bad`` the error is raised.
    """

    __slots__ = ("on_bad", "path", "where")

    def __init__(self, on_bad: OnBad, path: Path, where: str) -> None:
        self.on_bad, self.path, self.where = on_bad, path, where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, BadEntryError):
            error = FormatError(self.path, f"{self.where}: " + error.reason)
        if not isinstance(error, FormatError):
            return False
        refuse(error, self.on_bad)
        return True


def refuse_repeated(names: Iterable[str], path: Path, where: str = "") -> None:
    """Refuse a file whose names are not distinct, naming the first that occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(path, f"{where}{name!r} is there twice")
        seen.add(name)


def no_constants(value: Any) -> None:
    """Refuse NaN and infinities, however deep in a JSON value."""
    if has_constants(value):
        raise BadEntryError("holds NaN or Infinity, which is no number in JSON")


def an_object(value: Any, name: str = "") -> dict[str, Any]:
    """Return a JSON object."""
    if type(value) is not dict:
        raise BadEntryError(f"{name}{': ' if name else ''}must be an object, got {kind_of(value)}")
    return value


def checked_size(height: Any, width: Any) -> Size:
    """Return (height, width) of an image as a file states them, if they can be true."""
    for value, name in ((height, "height"), (width, "width")):
        if type(value) is not int or not 1 <= value <= LONGEST:
            raise BadEntryError(f"image {name} must be an integer from 1 to {LONGEST}, got {str(value)[:40]}")
    return height, width


def finite(value: Any, name: str) -> float:
    """Return a JSON number as a float."""
    if type(value) not in (int, float):
        raise BadEntryError(f"{name} must be a number, got {kind_of(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadEntryError(f"{name} is not finite")
    return found


def is_int64(value: Any) -> bool:
    """Return whether a JSON value is an integer that fits 64 bits, as every id does."""
    return type(value) is int and -(2**63) <= value < 2**63


def number(text: str | None, name: str) -> float:
    """Return the finite number in a text."""
    if text is None:
        raise BadEntryError(f"{name} is missing")
    try:
        found = float(text)
    except ValueError:
        raise BadEntryError(f"{name} must be a number, got {text[:40]!r}") from None
    if not math.isfinite(found):
        raise BadEntryError(f"{name} is not finite")
    return found


def whole(text: str | None, name: str) -> int:
    """Return the integer of at most 64 bits in a text."""
    if text is None:
        raise BadEntryError(f"{name} is missing")
    try:
        found = int(text) if len(text) <= 20 else 2**63
    except ValueError:
        raise BadEntryError(f"{name} must be an integer, got {text[:40]!r}") from None
    if not is_int64(found):
        raise BadEntryError(f"{name} must be an integer of at most 64 bits, got {text[:40]!r}")
    return found
