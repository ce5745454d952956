"""Names of a package that are imported on first use, so that importing the package is quick and needs no extra."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for ``package``; the latter gives what its ``__all__`` lists.

    Parameters
    ----------
    package : the package's ``__name__``.
    homes : by module, the public names that it defines, with spaces between. Those of ``""`` are submodules.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from apiece._extras import extras  # here, so that `import apiece` itself stays quick

        with extras():
            found = importlib.import_module(home[name] or f"{package}.{name}")
        value = getattr(found, name) if home[name] else found
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(sys.modules[package].__all__)
