"""The first keys of a JSON file, found without parsing it: what `detect` goes by."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

_START = 1 << 18
_ENTRY = 1 << 16
_LIST = re.compile(rb"\s*:\s*\[\s*(\{|\])")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]|:')


def peek_json(path: Path) -> tuple[str, frozenset[str]] | None:
    """Return ``"{"`` or ``"["``, and the keys of the outermost object, or of the objects in the outermost list.

    Reads the first 256 kB only. None if the file holds no JSON object or list; never raises.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as f:
            text = f.read(_START).decode("utf-8-sig", errors="replace").lstrip()
    except OSError:
        return None
    if text[:1] not in ("{", "["):
        return None
    return text[0], _keys(text, 1 if text[0] == "{" else 2)


def _keys(text: str, level: int) -> frozenset[str]:
    """Return the keys at this depth of braces and brackets, to the end of the outermost of them."""
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
    """Return the keys of the first object in the list under ``name``; none for an empty list, None without a list.

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
