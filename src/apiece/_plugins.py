"""Plugins are files, or entry points of installed packages; only the plugin asked for is imported.

A room such as ``apiece.formats`` holds one module per label format, and a file's name is its key. ``contract`` says
what a plugin is and holds the room's `Room`; modules whose name starts with an underscore are not plugins (``_kit``:
shared by several plugins, ``_engine``: runs them). Another package adds a plugin with an entry point in the group of
the room's name::

    [project.entry-points."apiece.formats"]
    arrays = "my_package.arrays:FORMAT"
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from apiece._extras import extras
from apiece.errors import PluginError, UnknownNameError

if TYPE_CHECKING:  # takes 0.05 s to import, and most runs never ask for a plugin of another package
    from importlib.metadata import EntryPoint

Plugin = TypeVar("Plugin")

_log = logging.getLogger("apiece")


@cache
def names(package: str) -> tuple[str, ...]:
    """Return the names of all plugins that are files of ``package``, sorted; imports the package but no plugin."""
    path = importlib.import_module(package).__path__
    return tuple(
        sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_") and m.name != "contract")
    )


@cache
def foreign(package: str) -> dict[str, EntryPoint]:
    """Return the plugins that installed packages add to ``package``, by name; imports none of them.

    Raises
    ------
    PluginError
        if two packages give a plugin the same name; names both.
    """
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=package):
        taken = _owner(found[entry.name]) if entry.name in found else "apiece itself"
        if entry.name in found or entry.name in names(package):
            raise PluginError(
                f"{package}: {taken} and {_owner(entry)} both have a plugin named {entry.name!r}; uninstall one of them"
            )
        found[entry.name] = entry
    return found


def _owner(entry: EntryPoint) -> str:
    return "an unnamed package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


@dataclass(frozen=True)
class Room(Generic[Plugin]):
    """The plugins of one kind: those of apiece, and those of other installed packages."""

    package: str
    """Where the files lie, and the group of the entry points: ``"apiece.formats"``."""
    attribute: str
    """What a file calls its plugin: ``"FORMAT"``."""
    kind: type[Any]
    """What a plugin is an instance of; of a protocol, a class that has its members."""
    noun: str = ""
    """What messages call a plugin; default: the package's name in the singular."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all plugins, sorted; imports none of them."""
        return tuple(sorted((*names(self.package), *foreign(self.package))))

    def load(self, name: str) -> Plugin:
        """Return the plugin of this name; imports it, and no other.

        Raises
        ------
        UnknownNameError
            if there is no such plugin; names the nearest right one.
        PluginError
            if the plugin of another package cannot be imported or is of another type; names the package.
        MissingExtraError
            if it needs an optional dependency that is not installed.
        """
        if name in names(self.package):
            with extras():
                module = importlib.import_module(f"{self.package}.{name}")
            own: Plugin = getattr(module, self.attribute)
            return own
        if name not in foreign(self.package):
            noun = self.noun or self.package.rpartition(".")[2].removesuffix("s")  # "apiece.models" -> "model"
            raise UnknownNameError(noun, name, self.names())
        entry = foreign(self.package)[name]
        where = f"{self.package}: the plugin {name!r} of {_owner(entry)} ({entry.value})"
        try:
            found: Plugin = entry.load()
        except Exception as error:
            raise PluginError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
        if not self.fits(found):
            kind = "a class like" if _is_protocol(self.kind) else "an"
            raise PluginError(f"{where} must be {kind} {self.kind.__module__}.{self.kind.__name__}, got {found!r}")
        return found

    def load_all(self) -> dict[str, Plugin]:
        """Return every plugin by name. What another package broke is left out, with one warning."""
        found = {}
        for name in self.names():
            try:
                found[name] = self.load(name)
            except PluginError as error:
                _warn_once(f"left out: {error}")
        return found

    def describe(self) -> dict[str, str]:
        """Return what each plugin is, in one line, by name: its summary, or the first line of its module's docstring.

        Imports every plugin (those of ``apiece.models`` need torch). What another package broke is left out, with one
        warning.
        """
        return {name: self._summary(name, plugin) for name, plugin in self.load_all().items()}

    def _summary(self, name: str, plugin: Plugin) -> str:
        own = name in names(self.package)
        module = sys.modules[f"{self.package}.{name}" if own else foreign(self.package)[name].module]
        return str(getattr(plugin, "summary", None) or (module.__doc__ or "").partition("\n")[0])

    def fits(self, found: object) -> bool:
        """Return whether this is a plugin of the room's kind."""
        if not _is_protocol(self.kind):
            return isinstance(found, self.kind)
        members = [name for name in (*self.kind.__annotations__, *vars(self.kind)) if not name.startswith("_")]
        return isinstance(found, type) and all(hasattr(found, name) for name in members)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


@cache
def _warn_once(message: str) -> None:
    _log.warning(message)
