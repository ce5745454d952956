"""Plugins are files: a file's name is its key, and only the file asked for is imported.

A package such as ``apiece.formats`` holds one module per label format. ``names("apiece.formats")`` lists
them without importing any; ``load("apiece.formats", "coco")`` imports one. ``contract`` says
what a plugin is; modules whose name starts with an underscore are not plugins (``_kit``: shared by several plugins,
``_engine``: runs them).
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from apiece.errors import UnknownNameError

__all__ = ["load", "names"]


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of all plugins of ``package``, sorted; imports the package but none of its plugins."""
    path = importlib.import_module(package).__path__
    return tuple(
        sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_") and m.name != "contract")
    )


def load(package: str, name: str) -> ModuleType:
    """Import the plugin ``name`` of ``package``.

    Raises
    ------
    UnknownNameError
        if there is no such plugin; names the nearest right one.
    """
    if name not in names(package):
        # "apiece.models" -> "model": what a person calls it
        raise UnknownNameError(package.rpartition(".")[2].removesuffix("s"), name, names(package))
    return importlib.import_module(f"{package}.{name}")
