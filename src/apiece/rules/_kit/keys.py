"""Keys of a rule: what may stand behind each, what it means, and the JSON schema of it. One table serves all three."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apiece.ops import COLOURS, colour_of
from apiece.rules._kit.quantities import Dimension, Quantity, parse_quantity

__all__ = [
    "CLASSES", "COLOUR", "COUNT", "FLAG", "NUMBER", "PROPERTY", "SHARE", "TEXT", "ZONE", "KeyType", "Names", "Node",
    "WrongValueError", "choice", "key", "key_of", "quantity", "read_mapping", "schema_of", "some_of",
]  # fmt: skip

Settings = TypeVar("Settings")


class WrongValueError(ValueError):
    """What is wrong with a value, and on which line it stands."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


@dataclass(frozen=True)
class Node:
    """A value of a YAML file and the line on which it begins.

    Attributes
    ----------
    value : text, number, bool, None, a list of nodes, or a mapping from a key to the key's line and its node.
    """

    value: Any
    line: int

    @property
    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        if isinstance(self.value, dict):
            return {name: item.plain for name, (_, item) in self.value.items()}
        return self.value

    @property
    def kind(self) -> str:
        """What people call such a value."""
        if isinstance(self.value, list | dict):
            return "a list" if isinstance(self.value, list) else "a group of keys"
        return "nothing" if self.value is None else f"{str(self.value)[:40]!r}"


@dataclass
class Names:
    """Names that a rule may use, and where it used them.

    Attributes
    ----------
    zones : those that the file defines.
    properties : measures by name, with their dimension.
    classes : collects each class that is named, with its first line.
    """

    zones: Iterable[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyType:
    """What may stand behind a key.

    Attributes
    ----------
    read : from a node and the names there are to the value; raises `WrongValueError`, or ValueError for its line.
    schema : of JSON.
    """

    read: Callable[[Node, Names], Any]
    schema: Mapping[str, Any]


def key(type: KeyType, help: str, default: Any = dataclasses.MISSING) -> Any:
    """Return the field of a settings class that is a key of the rule: its type, one line on it, and its default."""
    return field(default=default, metadata={"type": type, "help": help})


def key_of(field: dataclasses.Field[Any]) -> tuple[KeyType, str]:
    """Return the type and the help of a key."""
    return field.metadata["type"], field.metadata["help"]


def required(field: dataclasses.Field[Any]) -> bool:
    """Return whether a key has to be there."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def unknown(kind: str, name: object, known: Iterable[str], line: int) -> WrongValueError:
    """Return the error of a name that does not exist, with the nearest that does."""
    options = list(known)
    near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return WrongValueError(f"no {kind} named {str(name)!r}.{hint} There are: {', '.join(options) or 'none'}.", line)


def read_mapping(settings: type[Settings], node: Node, names: Names, what: str, skip: Sequence[str] = ()) -> Settings:
    """Return the settings that a group of keys spells out.

    Raises
    ------
    WrongValueError
        for an unknown or missing key, and for a value that does not fit its key.
    """
    fields = {f.name: f for f in dataclasses.fields(settings) if f.name not in skip}  # type: ignore[arg-type]
    if not isinstance(node.value, dict):
        raise WrongValueError(f"{what} is a group of keys ({', '.join(fields)}), not {node.kind}", node.line)
    found = {}
    for name, (line, value) in node.value.items():
        if name in skip:
            continue
        if name not in fields:
            raise unknown(f"key of {what}", name, fields, line)
        try:
            found[name] = key_of(fields[name])[0].read(value, names)
        except WrongValueError as error:
            raise WrongValueError(f"{name}: {error.reason}", error.line) from None
        except ValueError as error:
            raise WrongValueError(f"{name}: {error}", value.line) from None
    missing = [name for name, f in fields.items() if name not in found and required(f)]
    if missing:
        raise WrongValueError(f"{what} lacks the key {missing[0]!r}: {key_of(fields[missing[0]])[1]}", node.line)
    try:
        return settings(**found)
    except ValueError as error:
        raise WrongValueError(f"{what}: {error}", node.line) from None


def schema_of(settings: type[Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON schema of a group of keys."""
    fields = dataclasses.fields(settings)
    keys = {f.name: {**key_of(f)[0].schema, "description": key_of(f)[1]} for f in fields}
    return {
        "type": "object",
        "properties": {**keys, **(extra or {})},
        "required": [f.name for f in fields if required(f)],
        "additionalProperties": False,
    }


def _text(node: Node, names: Names) -> str:
    if not isinstance(node.value, str | int | float) or isinstance(node.value, bool) or not str(node.value).strip():
        raise WrongValueError(f"is a text, not {node.kind}", node.line)
    return str(node.value)


def _classes(node: Node, names: Names) -> tuple[str, ...]:
    items = node.value if isinstance(node.value, list) else [node]
    found = tuple(_text(item, names) for item in items)
    if not found:
        raise WrongValueError("names no class; write `any` for all", node.line)
    for name, item in zip(found, items, strict=True):
        names.classes.setdefault(name, item.line)
    return found


def _number(node: Node, names: Names) -> float:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not math.isfinite(node.value):
        raise WrongValueError(f"is a number, not {node.kind}", node.line)
    return float(node.value)


def _count(node: Node, names: Names) -> int:
    if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 0:
        raise WrongValueError(f"is a whole number, 0 or more, not {node.kind}", node.line)
    return node.value


def _share(node: Node, names: Names) -> float:
    value = parse_quantity(node.plain, "none").value
    if not 0 <= value <= 1:
        raise WrongValueError(f"is a share, 0 to 1 or 0 % to 100 %, not {node.kind}", node.line)
    return value


def _flag(node: Node, names: Names) -> bool:
    if not isinstance(node.value, bool):
        raise WrongValueError(f"is yes or no, not {node.kind}", node.line)
    return node.value


def _zone(node: Node, names: Names) -> str:
    name = _text(node, names)
    if name not in names.zones:
        raise unknown("zone", name, names.zones, node.line)
    return name


def _property(node: Node, names: Names) -> str:
    name = _text(node, names)
    if name not in names.properties:
        raise unknown("measure", name, names.properties, node.line)
    return name


def _colour(node: Node, names: Names) -> tuple[float, float, float]:
    found = colour_of(_text(node, names).lower())
    if found is None:
        near = unknown("colour", node.value, COLOURS, node.line)
        raise WrongValueError(f"{near.reason} Or write it as '#c81e28', in quotes.", node.line)
    return found


def quantity(dimension: Dimension | None, least: float = 0.0) -> KeyType:
    """Return the type of a number with a unit of this dimension; of any, where the rule decides."""

    def read(node: Node, names: Names) -> Quantity:
        if isinstance(node.value, list | dict) or node.value is None:
            raise WrongValueError(f"is a number with a unit, not {node.kind}", node.line)
        found = parse_quantity(node.value, dimension)
        if found.value < least:
            raise WrongValueError(f"must be {least:g} or more, got {found}", node.line)
        return found

    return KeyType(read, {"type": ["number", "string"]})


def choice(*options: str) -> KeyType:
    """Return the type of one word out of several."""

    def read(node: Node, names: Names) -> str:
        if node.value not in options:
            raise unknown("choice", node.value, options, node.line)
        return str(node.value)

    return KeyType(read, {"enum": list(options)})


def some_of(inner: KeyType, count: int | None = None) -> KeyType:
    """Return the type of a list, of ``count`` items if it is given."""

    def read(node: Node, names: Names) -> tuple[Any, ...]:
        if not isinstance(node.value, list) or (count is not None and len(node.value) != count):
            many = "" if count is None else f" of {count} values"
            raise WrongValueError(f"is a list{many}, not {node.kind}", node.line)
        return tuple(inner.read(item, names) for item in node.value)

    size = {} if count is None else {"minItems": count, "maxItems": count}
    return KeyType(read, {"type": "array", "items": dict(inner.schema), **size})


_NAME = {"type": "string", "minLength": 1}
TEXT = KeyType(_text, _NAME)
CLASSES = KeyType(_classes, {"oneOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]})
NUMBER = KeyType(_number, {"type": "number"})
COUNT = KeyType(_count, {"type": "integer", "minimum": 0})
SHARE = KeyType(_share, {"type": ["number", "string"]})
FLAG = KeyType(_flag, {"type": "boolean"})
ZONE = KeyType(_zone, _NAME)
PROPERTY = KeyType(_property, _NAME)
COLOUR = KeyType(_colour, _NAME)
