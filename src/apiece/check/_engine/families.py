"""The kinds of mistakes that each family can find, and the ones a person asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apiece.check.contract import ROOM, Kind
from apiece.errors import ConfigError, Option, UnknownNameError


def kinds() -> dict[str, Kind]:
    """Return every kind of mistake that `check` can find, by name."""
    return {kind.name: kind for family in ROOM.load_all().values() for kind in family.kinds}


def chosen(only: Iterable[str] | None, skip: Iterable[str] | None) -> Mapping[str, tuple[Kind, ...]]:
    """Return the wanted kinds of each family; a name is that of a kind, or of a family for all its kinds."""
    families = {name: family.kinds for name, family in ROOM.load_all().items()}
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
        raise ConfigError(
            "nothing is left to look for; name other kinds in " + Option("only") + " or " + Option("skip")
        )
    left = {name: tuple(k for k in members if k.name in wanted) for name, members in families.items()}
    return {name: members for name, members in left.items() if members}
