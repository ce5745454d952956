"""The keys of a JSON file, found without parsing it: what `detect` goes by, whatever the order and size of its values.

The file is read from its beginning in blocks, in which NumPy finds quotes, colons and brackets. A file whose images and
annotations both have entries is of the COCO family, and one whose features are typed geometries is GeoJSON; the reader
stops there, as the rest may be gigabytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from apiece._arrays import Int, UInt8

_FIRST, _BLOCK = 1 << 16, 1 << 22  # bytes looked at together: at first, and at most
_HEAD = 1 << 18  # bytes of an outermost list in which all entries count
_BOM = b"\xef\xbb\xbf"
_QUOTE, _COLON, _BACKSLASH = b'":\\'
_STEP = np.zeros(128, np.int64)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1
_LIST = re.compile(rb"\s*\[\s*([]{])")
_OBJECT = re.compile(rb"\s*(\{)")


@dataclass(frozen=True)
class JsonKeys:
    """What `peek_json` finds."""

    path: Path
    opening: str
    """What the file begins with: ``"{"`` or ``"["``."""
    places: dict[str, int]
    """Keys of the outermost object, or of the objects in the outermost list, and where their values are."""
    empty: bool
    """Whether there is nothing in it."""

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys alone."""
        return frozenset(self.places)

    def first(self, name: str) -> frozenset[str] | None:
        """Return the keys of the first object in the list under ``name``; none for an empty list, None without one."""
        return self._below(name, _LIST)

    def inner(self, name: str) -> frozenset[str] | None:
        """Return the keys of the object under ``name``; None without one."""
        return self._below(name, _OBJECT)

    def _below(self, name: str, pattern: re.Pattern[bytes]) -> frozenset[str] | None:
        try:
            with self.path.open("rb") as file:
                return _keys_below(file, self.places[name], pattern)
        except (KeyError, OSError):
            return None


def peek_json(path: Path) -> JsonKeys | None:
    """Return the keys of a JSON file; None if it holds no object or list; never raises."""
    try:
        stat = path.stat()
        return _peek(path, stat.st_size, stat.st_mtime_ns) if path.is_file() else None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=256)
def _peek(path: Path, size: int, changed: int) -> JsonKeys | None:
    """Return what `peek_json` does, found once for all formats; a file of another size or time is looked at anew."""
    with path.open("rb") as file:
        head = file.read(_FIRST).removeprefix(_BOM)
        begin = file.tell() - len(head.lstrip())
        opening = head.lstrip()[:1].decode("latin-1")
        if opening not in ("{", "["):
            return None
        places: dict[str, int] = {}
        for key, at in _keys(file, begin, 1 if opening == "{" else 2):
            if opening == "[" and at > _HEAD and key in places:
                break
            places.setdefault(key, at)
            both = [places.get(name) for name in ("images", "annotations")]
            if key in ("images", "annotations") and all(at and _keys_below(file, at, _LIST) for at in both):
                break
            if (
                key == "features"
                and "type" in places
                and {"type", "geometry"} <= (_keys_below(file, at, _LIST) or set())
            ):
                break
        return JsonKeys(path, opening, places, head.lstrip()[1:].lstrip()[:1] in (b"]", b"}"))


def _keys_below(file: BinaryIO, at: int, pattern: re.Pattern[bytes]) -> frozenset[str] | None:
    """Return the keys of the object whose brace ``pattern`` finds at ``at``; none for an empty list."""
    file.seek(at)
    match = pattern.match(file.read(_FIRST))
    if match is None:
        return None
    return frozenset() if match[1] == b"]" else frozenset(key for key, _ in _keys(file, at + match.start(1), 1))


def _keys(file: BinaryIO, begin: int, level: int) -> Iterator[tuple[str, int]]:
    """Yield each key ``level`` brackets deep, and where its value is, until the bracket at ``begin`` closes."""
    depth, opened = 0, 0
    quotes = np.zeros(0, np.int64)
    for start, data in _blocks(file, begin):
        where, kind = _marks(data)
        count = opened + np.cumsum(kind == _QUOTE)
        free = (count % 2 == 0) | (kind == _QUOTE)  # within a string nothing counts but its end
        opened = int(count[-1]) % 2 if len(count) else opened
        where, kind = where[free] + start, kind[free]
        after = depth + np.cumsum(_STEP[kind])
        closed = np.flatnonzero(after == 0)[:1]
        last = int(closed[0]) if len(closed) else len(after)
        quotes = np.concatenate([quotes[-2:], where[kind == _QUOTE]])
        for colon in where[:last][(kind[:last] == _COLON) & (after[:last] == level)].tolist():
            behind = int(np.searchsorted(quotes, colon))
            yield _text(file, *quotes[behind - 2 : behind].tolist()), colon + 1
        if len(closed):
            return
        depth = int(after[-1]) if len(after) else depth


def _blocks(file: BinaryIO, begin: int) -> Iterator[tuple[int, UInt8]]:
    """Yield the file from ``begin`` on, block by block, each with its place; none ends between backslashes."""
    size, kept = _FIRST, b""
    while True:
        file.seek(begin + len(kept))
        read = file.read(size)
        data = kept + read
        whole = data.rstrip(b"\\") if read else data
        if not data or (not whole and len(data) > _BLOCK):
            return
        yield begin, np.frombuffer(whole, np.uint8)
        begin, kept, size = begin + len(whole), data[len(whole) :], min(4 * size, _BLOCK)


def _marks(data: UInt8) -> tuple[Int, UInt8]:
    """Return where quotes, colons and brackets are in a block, and which; quotes behind a backslash left out."""
    upper = data | 0x20  # makes braces of brackets
    where = np.flatnonzero((data == _QUOTE) | (data == _COLON) | (upper == ord("{")) | (upper == ord("}")))
    kind = data[where]
    behind = np.flatnonzero((kind == _QUOTE) & (data[where - 1] == _BACKSLASH) & (where > 0))
    if len(behind):
        slashes = np.flatnonzero(data == _BACKSLASH)
        firsts = slashes[np.diff(slashes, prepend=-2) > 1]  # of each row of backslashes
        row = firsts[np.searchsorted(firsts, where[behind], "right") - 1]
        whole = np.ones(len(where), bool)
        whole[behind] = (where[behind] - row) % 2 == 0
        where, kind = where[whole], kind[whole]
    return where, kind


def _text(file: BinaryIO, begin: int = 0, end: int = -1) -> str:
    """Return the string between two quotes."""
    file.seek(begin)
    raw = file.read(end + 1 - begin)
    try:
        return str(json.loads(raw))
    except ValueError:
        return raw[1:-1].decode("utf-8", "replace")
