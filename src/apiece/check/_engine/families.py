"""Which families there are, what each can find, and which of them a person asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apiece import _plugins
from apiece.check.contract import Check, Kind
from apiece.errors import ConfigError, UnknownNameError

_PACKAGE = "apiece.check"


def names() -> tuple[str, ...]:
    """Names of all families."""
    return _plugins.names(_PACKAGE)


def load(name: str) -> Check:
    """The family of this name.

    Raises
    ------
    UnknownNameError
        naming the nearest right one.
    """
    found: Check = _plugins.load(_PACKAGE, name).CHECK
    return found


def kinds() -> dict[str, Kind]:
    """Every kind of mistake that can be found, by name."""
    return {kind.name: kind for name in names() for kind in load(name).kinds}


def chosen(only: Iterable[str] | None, skip: Iterable[str] | None) -> Mapping[str, tuple[Kind, ...]]:
    """The kinds wanted of each family; the name of a family stands for all its kinds.

    Raises
    ------
    UnknownNameError
        for a name that is neither.
    ConfigError
        if nothing is left.
    """
    families = {name: load(name).kinds for name in names()}
    every = {kind.name for members in families.values() for kind in members}

    def named(given: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for name in given:
            if name not in every and name not in families:
                raise UnknownNameError("kind of finding", name, every | set(families))
            found |= {name} & every or {kind.name for kind in families[name]}
        return found

    wanted = (every if only is None else named(only)) - named(skip or ())
    if not wanted:
        raise ConfigError("nothing is left to look for; name other kinds in only and skip")
    left = {name: tuple(k for k in members if k.name in wanted) for name, members in families.items()}
    return {name: members for name, members in left.items() if members}
