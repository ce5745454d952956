"""What the suites of all rooms share: a promise is a function that raises where a plugin breaks it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from apiece._plugins import Room

Plugin = TypeVar("Plugin")


def expect(kept: object, detail: str) -> None:
    """Raise `AssertionError` with ``detail`` unless ``kept`` is true."""
    if not kept:
        raise AssertionError(detail)


@contextmanager
def refused(kind: type[Exception], pattern: str, what: str) -> Iterator[None]:
    """Expect that the block, which does ``what``, raises ``kind`` with a message that matches ``pattern``."""
    try:
        yield
    except kind as error:
        expect(re.search(pattern, str(error)), f"{what} is refused, but {pattern!r} is not in: {error}")
    else:
        raise AssertionError(f"{what} is not refused with {kind.__name__}")


def check(room: Room[Plugin], plugin: Plugin | str, promises: Sequence[Callable[..., None]], *given: Any) -> None:
    """Check every promise, each with an empty folder of its own, and raise one error that names all that are broken.

    Raises
    ------
    AssertionError
        if a promise is broken, or the plugin is not of the room's kind.
    """
    name = plugin if isinstance(plugin, str) else getattr(plugin, "__name__", type(plugin).__name__)
    found = room.load(plugin) if isinstance(plugin, str) else plugin
    kind = f"{room.kind.__module__}.{room.kind.__name__}"
    expect(room.fits(found), f"{found!r} is no plugin of {room.package}: it has to be like {kind}")
    broken = []
    for promise in promises:
        with tempfile.TemporaryDirectory() as folder:
            try:
                promise(found, Path(folder), *given)
            except Exception as error:
                why = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                broken.append(f"{promise.__name__}: {(promise.__doc__ or '').partition(chr(10))[0]} But: {why}")
    if broken:
        raise AssertionError(
            f"{room.package} {name!r} breaks {len(broken)} of {len(promises)} promises:\n" + "\n".join(broken)
        )
