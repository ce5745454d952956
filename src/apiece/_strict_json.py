"""JSON read strictly, and dataclasses rebuilt from it with every type checked: no file is taken on trust."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast

__all__ = ["StrictError", "check_keys", "dataclass_from", "dataclass_to", "dump", "parse"]

_T = TypeVar("_T")


class StrictError(ValueError):
    """What is wrong, and at which key; callers turn it into the error of their file."""


def parse(data: bytes) -> Any:
    """JSON as the standard has it: UTF-8, no ``NaN`` or ``Infinity``, no number beyond float64, no key twice.

    Raises
    ------
    StrictError
        for anything else, and for nesting deeper than the parser goes.
    """

    def no_constant(name: str) -> Any:
        raise StrictError(f"{name} is not a JSON number")

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise StrictError(f"number {text[:20]} is too large")
        return value

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise StrictError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands there twice")
        return dict(pairs)

    try:
        return json.loads(data.decode(), parse_constant=no_constant, parse_float=finite, object_pairs_hook=unique)
    except StrictError:
        raise
    except RecursionError as error:
        raise StrictError("it is nested too deeply") from error
    except ValueError as error:
        raise StrictError(f"not JSON: {error}") from error


def dump(value: Any) -> str:
    """JSON that `parse` accepts, indented; NaN and infinity become null, NumPy numbers plain ones, tuples lists."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def check_keys(data: Any, wanted: set[str], where: str) -> Mapping[str, Any]:
    """``data`` as an object with exactly these keys.

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
    """A dataclass as JSON values; the inverse of `dataclass_from`."""
    return cast("dict[str, Any]", _plain(dataclasses.asdict(value)))


def dataclass_from(kind: type[_T], data: Any, where: str) -> _T:
    """Rebuild a dataclass from JSON values: exactly its fields, each of its declared type (a list for a tuple).

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
    kinds = {dict: "an object", list: "a list", type(None): "null"}
    return kinds.get(type(data)) or f"{str(data)[:40]!r} ({type(data).__name__})"
