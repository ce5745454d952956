"""YAML read strictly, with the line of every value: no tags, no anchors, no key twice, no tabs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from apiece.errors import FormatError
from apiece.rules._kit.keys import Node

__all__ = ["read_nodes"]

_MOST = 5_000_000  # bytes
_DEEP = 20
_PLAIN = {
    "tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null", "tag:yaml.org,2002:timestamp",
}  # fmt: skip


def read_nodes(path: Path) -> Node:
    """Return what a YAML file holds.

    Raises
    ------
    FormatError
        with the line, for what is no plain YAML.
    """
    try:
        if path.stat().st_size > _MOST:
            raise FormatError(path, f"is larger than {_MOST // 1_000_000} MB: no file of rules")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror or error}") from None
    _refuse_tabs(path, text)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEP:  # at once: nesting costs the parser more than its length
                raise _error(path, event.start_mark, "is nested too deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _error(path, event.start_mark, "an anchor (& or *) is not allowed here; write the value out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _error(path, error.problem_mark or error.context_mark, error.problem or "is no YAML") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise FormatError(path, f"is no YAML: {str(error).splitlines()[0][:200]}") from None
    if node is None:
        raise FormatError(path, "is empty")
    return _node(path, node)


def _refuse_tabs(path: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent:
            raise FormatError(path, f"line {number}: begins with a tab; YAML is indented by spaces")


def _error(path: Path, mark: Any, problem: str) -> FormatError:
    where = "" if mark is None else f"line {mark.line + 1}: "
    return FormatError(path, f"{where}{problem}")


def _node(path: Path, node: Any) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(path, item) for item in node.value], line)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, tuple[int, Node]] = {}
        for key, value in node.value:
            name, at = key.value, key.start_mark.line + 1
            if not isinstance(name, str):
                raise FormatError(path, f"line {at}: a key is a word")
            if name in found:
                raise FormatError(path, f"line {at}: the key {name!r} stands twice, first on line {found[name][0]}")
            found[name] = (at, _node(path, value))
        return Node(found, line)
    if node.tag not in _PLAIN:
        raise FormatError(path, f"line {line}: the tag {node.tag!r} is not allowed here")
    if node.tag == "tag:yaml.org,2002:timestamp":
        return Node(node.value, line)
    try:
        return Node(yaml.SafeLoader("").construct_object(node), line)
    except (ValueError, OverflowError, yaml.YAMLError):
        raise FormatError(path, f"line {line}: {node.value[:40]!r} cannot be read") from None
