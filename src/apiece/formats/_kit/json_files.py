"""JSON files as label formats read and write them: every failure is a `FormatError` of the file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from apiece._strict_json import StrictError, kind_of, parse
from apiece.errors import FormatError, LossyFormatError

_BETWEEN = re.compile(rb"\}(\s*\n\s*)\{")


def load_json(path: Path, constants: list[str] | None = None, lines: bool = False) -> Any:
    """Return what a JSON file holds; ``constants`` as in `apiece._strict_json.parse`.

    With ``lines``, a file of objects (JSON lines) is the list of them.
    """
    try:
        text = path.read_bytes()
        if lines and text.lstrip()[:1] == b"{":
            text = b"[" + _BETWEEN.sub(rb"},\1{", text) + b"]"  # no string has a line end in it
        return parse(text, constants, thorough=False)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    except StrictError as error:
        raise FormatError(path, str(error)) from None


def load_object(path: Path) -> tuple[dict[str, Any], bool]:
    """Return a JSON object, and whether NaN or Infinity is in it, so that its entries must be searched."""
    constants: list[str] = []
    document = load_json(path, constants)
    if type(document) is not dict:
        raise FormatError(path, f"must be an object, got {kind_of(document)}")
    return document, bool(constants)


def has_constants(value: Any) -> bool:
    """Return whether a JSON value holds NaN or an infinity, however deep."""
    left = [value]
    while left:
        value = left.pop()
        if type(value) is float:
            if not math.isfinite(value):
                return True
        elif type(value) is list:
            left.extend(value)
        elif type(value) is dict:
            left.extend(value.values())
    return False


def dump_json(path: Path, value: Any, where: str, ascii: bool = True, indent: int | None = None) -> str:
    """Return a value as JSON, exactly; what JSON cannot hold raises a `LossyFormatError` that names ``where``."""
    try:
        text = _encoder(ascii, indent).encode(value)
        text.encode()
        return text
    except (TypeError, ValueError) as error:
        raise LossyFormatError(path, f"{where}: JSON cannot hold {str(value)[:60]} ({error}); leave it out") from None


@cache
def _encoder(ascii: bool, indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(allow_nan=False, ensure_ascii=ascii, indent=indent)


def members(path: Path, values: Mapping[str, Any]) -> str:
    """Return the members of a JSON object, a line each, with a comma behind every one."""
    return "".join(f"{json.dumps(name)}: {dump_json(path, value, name)},\n" for name, value in values.items())
