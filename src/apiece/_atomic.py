"""Files and folders that are either whole or not there: written beside their target, then renamed over it.

And one folder that lives as long as the process, for images that are taken out of label files.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

__all__ = [
    "atomic",
    "fleeting",
    "hold",
    "is_temporary",
    "relocated",
    "staged",
    "take_place",
    "temporary_folder",
    "write_text",
]

_lasting = ContextVar("_lasting", default=True)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well, remove it otherwise.

    The temporary name keeps the suffix, since some writers choose by it. Makes the parent folders.

    Raises
    ------
    OSError
        as the file system says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:60]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        if _lasting.get():
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # else a crash after the rename can leave an empty file under the final name
        temporary.replace(path)
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename = str(path)  # the name that the caller knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of text in UTF-8: all of it, or nothing."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def fleeting() -> Iterator[None]:
    """Do not wait for the disk in the block: what is written there is read at once and removed."""
    token = _lasting.set(False)
    try:
        yield
    finally:
        _lasting.reset(token)


def hold(file: IO[Any]) -> bool:
    """Lock an open file until it is closed or this process ends, however it ends; False if another process holds it.

    Windows has no such locks, and nothing is locked there.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@functools.cache
def temporary_folder() -> Path:
    """Return a folder that vanishes when the process ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="apiece-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked process has a copy of this function
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def is_temporary(path: Path) -> bool:
    """Return whether a file lies in the folder that vanishes with the process, so that nothing may link to it."""
    return temporary_folder.cache_info().currsize > 0 and path.is_relative_to(temporary_folder())


@contextlib.contextmanager
def staged(parent: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder in ``parent`` that vanishes after the block, as do new parents if they are still empty."""
    new = [p for p in (parent, *parent.parents) if not p.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name[:60]}.", suffix=".part", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for made in new:
            with contextlib.suppress(OSError):
                made.rmdir()  # only if it is empty


def take_place(made: Path, target: Path, stage: Path) -> None:
    """Rename ``made`` to ``target``; what was there goes to ``stage``, and comes back if the rename fails."""
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        made.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=".old.", dir=stage)) / target.name
    target.rename(old)
    try:
        made.rename(target)
    except OSError:
        old.rename(target)
        raise


def relocated(path: Path, old: Path, new: Path) -> Path:
    """Return where ``path`` is after the folder ``old`` has become ``new``."""
    return new / path.relative_to(old) if path.is_relative_to(old) else path
