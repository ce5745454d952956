"""JSON read strictly, and dataclasses rebuilt from it with every type checked: no file is taken on trust."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, Union, cast

__all__ = [
    "LATER",
    "StrictError",
    "check_keys",
    "dataclass_from",
    "dataclass_to",
    "dump",
    "first_constant",
    "kind_of",
    "parse",
    "plain",
    "uncollected",
]

_T = TypeVar("_T")
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
"""Texts in quotes, and what is no number in JSON."""
LATER = types.MappingProxyType({"later": True})
"""Metadata of a dataclass's field that was added after files had been written."""


class StrictError(ValueError):
    """What is wrong, and at which line or key; callers turn it into the error of their file."""


def parse(data: bytes, constants: list[str] | None = None, thorough: bool = True) -> Any:
    """Return the value of a JSON text in UTF-8; a byte order mark may stand before it.

    Parameters
    ----------
    data : the bytes of a whole file.
    constants : a list takes every ``NaN``, ``Infinity`` and ``-Infinity`` that occurs, and they are read; without a
        list they are refused, since the standard has no such numbers.
    thorough : also refuse a key that an object has twice, and a number beyond float64. Both cost a Python call per
        object and number, so that readers of label files, which check the numbers that they use, turn it off.

    Raises
    ------
    StrictError
        with line and column where the text is no JSON, or cut short, or nested deeper than the parser goes.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StrictError(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if not text.strip():
        raise StrictError("is empty")

    def constant(word: str) -> float:
        if constants is None:
            at = first_constant(text)
            line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            raise StrictError(f"line {line}, column {column}: holds {word}, which is no number in JSON")
        constants.append(word)
        return float(word)

    try:
        with uncollected():
            if thorough:
                return json.loads(text, parse_constant=constant, parse_float=_finite, object_pairs_hook=_unique)
            return json.loads(text, parse_constant=constant)
    except StrictError:
        raise
    except json.JSONDecodeError as error:
        end = len(text.rstrip())
        short = error.pos >= end or (error.pos == end - 1 and text[error.pos] not in "}]")
        cut = " (the file seems cut short)" if short else ""
        raise StrictError(f"line {error.lineno}, column {error.colno}: {error.msg}{cut}") from None
    except RecursionError:
        raise StrictError("is nested too deep") from None
    except ValueError as error:
        raise StrictError(f"holds a number that cannot be read: {error}") from None


def first_constant(text: str, start: int = 0) -> int:
    """Return where ``NaN`` or an infinity first stands outside of quotes, in a text that is JSON up to there."""
    return next(found.start() for found in _WORDS.finditer(text, start) if found[0][0] != '"')


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise StrictError(f"holds the number {text[:20]}, which is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise StrictError(f"holds the key {next(k for k in keys if keys.count(k) > 1)!r} twice in one object")
    return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Stop Python's search for reference cycles, which JSON does not make: it would walk through all that was parsed.

    Also a decorator, of a function that parses a file and keeps little of it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def kind_of(value: object) -> str:
    """Return what JSON calls a value: ``"an object"``, ``"a list"``, ``"a number"`` ..."""
    return _KINDS.get(type(value), "a number")


def dump(value: Any) -> str:
    """Return JSON that `parse` accepts, indented, of a value as `plain` makes it."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: None for NaN and infinities, Python's numbers for NumPy's, lists for tuples."""
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def check_keys(data: Any, wanted: set[str], where: str) -> Mapping[str, Any]:
    """Return ``data``, an object with exactly these keys.

    Raises
    ------
    StrictError
        naming the keys that are missing or unknown.
    """
    if not isinstance(data, dict):
        raise StrictError(f"{where} should be an object, is {_name(data)}")
    missing, unknown = sorted(wanted - data.keys()), sorted(data.keys() - wanted)
    if missing:
        raise StrictError(f"{where} lacks {', '.join(map(repr, missing[:5]))}")
    if unknown:
        raise StrictError(f"{where} has unknown {', '.join(repr(k[:40]) for k in unknown[:5])}")
    return data


def dataclass_to(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values; the inverse of `dataclass_from`."""
    return cast("dict[str, Any]", plain(dataclasses.asdict(value)))


def dataclass_from(kind: type[_T], data: Any, where: str) -> _T:
    """Rebuild a dataclass from JSON values: exactly its fields, each of its declared type (a list for a tuple).

    A field with the metadata `LATER` may be absent, as in files that are older than the field; it has its default then.

    Raises
    ------
    StrictError
        naming the key, what was expected and what came.
    ConfigError
        as the dataclass itself raises for a value outside its range.
    """
    assert dataclasses.is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    fields = {f.name for f in dataclasses.fields(kind) if f.init}
    later = {f.name for f in dataclasses.fields(kind) if f.metadata.get("later")}
    absent = later - data.keys() if isinstance(data, dict) else set()
    fields -= absent
    given = check_keys(data, fields, where)
    return cast("_T", kind(**{name: _value(hints[name], given[name], f"{where}.{name}") for name in sorted(fields)}))


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return dataclass_from(hint, data, where)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, data, where)
    if origin is Literal and any(data == a and type(data) is type(a) for a in arguments):
        return data
    if origin is tuple and isinstance(data, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            arguments = (arguments[0],) * len(data)
        if len(arguments) == len(data):
            return tuple(
                _value(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(arguments, data, strict=True))
            )
    if origin in (dict, Mapping) and isinstance(data, dict) and arguments[0] is str:
        return {key: _value(arguments[1], item, f"{where}.{key[:40]}") for key, item in data.items()}
    if hint is float and type(data) in (int, float) and abs(data) < 1e300:
        return float(data)
    if (hint in (int, str, bool) and type(data) is hint) or (hint in (None, type(None)) and data is None):
        return data
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint).replace("typing.", "")
    raise StrictError(f"{where} should be {expected}, is {_name(data)}")


def _one_of(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return _value(kind, data, where)
        except StrictError:
            continue
    expected = " or ".join(str(getattr(k, "__name__", k)) for k in kinds)
    raise StrictError(f"{where} should be {expected}, is {_name(data)}")


def _name(data: Any) -> str:
    return kind_of(data) if type(data) in (dict, list, type(None)) else f"{str(data)[:40]!r} ({type(data).__name__})"
