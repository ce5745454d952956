"""`Thumbs`: small pictures of images, made ahead of the person who scrolls, and kept on the disk.

They are made ahead in a process of its own, which waits where anything else wants the processor: in a thread it would
make the page wait.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece.core.image import ImageRef
from apiece.errors import ApieceError
from apiece.serve.studio.pictures import Pictures

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

__all__ = ["Thumbs"]

_AHEAD = 2000  # images on either side of the image that was asked for last
_JUMP = 100  # images that are skipped by a person who goes elsewhere
_FEW = 40  # images that are made when they are asked for


class Thumbs:
    """Keep small pictures in one file, each until its image is written anew.

    Parameters
    ----------
    file : where they are kept; in memory, if it cannot be written.
    find : gives the image of a number.
    count : how many images there are.
    make : gives the small picture of an image by its number, as a JPEG.
    """

    def __init__(
        self, file: Path, find: Callable[[int], ImageRef], count: Callable[[], int], make: Callable[[int], bytes]
    ) -> None:
        self._find, self._count, self._make = find, count, make
        self._lock = threading.Lock()  # of the database
        self._near = multiprocessing.get_context("spawn").RawValue("q", 0)
        self._begun = 0
        self._maker: BaseProcess | None = None
        self._file: Path | None = file
        try:
            self._kept = self._open(str(file))
        except sqlite3.Error:
            self._kept, self._file = self._open(":memory:"), None

    @staticmethod
    def _open(place: str) -> sqlite3.Connection:
        kept = sqlite3.connect(place, check_same_thread=False, isolation_level=None)
        kept.execute("PRAGMA journal_mode=WAL")  # who reads does not wait for who writes
        kept.execute("PRAGMA synchronous=OFF")  # what a power cut destroys is made again
        kept.execute("CREATE TABLE IF NOT EXISTS thumbs (name TEXT PRIMARY KEY, stamp TEXT, jpeg BLOB)")
        return kept

    def get(self, number: int) -> bytes:
        """Return the small picture of an image; its neighbours are made next, in the background."""
        self._near.value = number
        self.ahead()
        return self.made(number)

    def ahead(self) -> None:
        """Begin to make pictures ahead, if there are many and nobody does it yet."""
        with self._lock:
            near, count = self._near.value, self._count()
            busy = self._maker is not None and (self._maker.is_alive() or abs(near - self._begun) < _AHEAD // 2)
            if busy or self._file is None or count <= _FEW:
                return
            refs = [self._find(number) for number in range(count)]
            spawn = multiprocessing.get_context("spawn")
            self._begun = near
            self._maker = spawn.Process(target=_make_ahead, args=(self._file, refs, self._near), daemon=True)
            self._maker.start()

    def made(self, number: int) -> bytes:
        """Return the small picture of an image, as it is kept or as it is made now."""
        ref = self._find(number)
        name, stamp = f"{ref.path}|{ref.page}", _stamp(ref)
        with self._lock, suppress(sqlite3.Error):  # of a damaged file nothing is read; the picture is made again
            row = self._kept.execute("SELECT jpeg FROM thumbs WHERE name = ? AND stamp = ?", (name, stamp)).fetchone()
            if row is not None:
                return bytes(row[0])
        data = self._make(number)
        with self._lock, suppress(sqlite3.Error):  # of a full disk another request will tell
            self._kept.execute("INSERT OR REPLACE INTO thumbs VALUES (?, ?, ?)", (name, stamp, data))
        return data


def _make_ahead(file: Path, refs: list[ImageRef], near: Any) -> None:
    """Make the pictures around the image that is looked at, wherever that is meanwhile."""
    if hasattr(os, "nice"):
        os.nice(10)
    parent = multiprocessing.parent_process()
    thumbs = Thumbs(file, refs.__getitem__, lambda: len(refs), Pictures(refs.__getitem__).thumb)
    at = -1
    while at != near.value:
        at = near.value
        for number in _around(at, len(refs)):
            if parent is not None and not parent.is_alive():
                return
            with suppress(ApieceError, OSError):  # the page tells it where it is shown
                thumbs.made(number)
            if abs(near.value - at) > _JUMP:
                break


def _around(near: int, count: int) -> Iterator[int]:
    """Yield the numbers around one, from the nearest on, twice as many after it as before it."""
    for step in range(1, _AHEAD):
        yield from (n for n in (near + 2 * step - 1, near + 2 * step, near - step) if 0 <= n < count)


def _stamp(ref: ImageRef) -> str:
    with suppress(OSError):  # whoever reads the image says that it is gone
        state = os.stat(ref.path)
        return f"{state.st_mtime_ns} {state.st_size}"
    return ""
